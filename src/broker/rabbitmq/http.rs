//! `GET` over one kept-alive HTTP/1.1 connection, to whichever of several nodes answers.

use crate::broker::BrokerError;
use crate::broker::tls::TlsContext;
use crate::broker::wire::{self, Meter};
use crate::config::{HostPort, Tls};
use crate::model::ErrorKind;
use crate::redact::Secret;
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No reply that we ask for is near this long: a page of 500 queues has about 100 kB.
pub(super) const MAX_BODY_BYTES: usize = 16 << 20;

/// A client of one cluster's management API.
pub(super) struct Client {
    nodes: Vec<HostPort>,
    tls: Option<Tls>,
    path_prefix: String,
    authorization: HeaderValue,
    /// How long one node may take to connect and to answer.
    limit: Duration,
    meter: Arc<Meter>,
    /// The node to connect to next: the one that worked last. While it is being tried, the one
    /// after it, so that a call that is given up or fails leads on to another node.
    next: usize,
    connection: Option<Connection>,
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    pub(super) node: HostPort,
}

struct Connection {
    node: usize,
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    pub(super) fn new(
        nodes: Vec<HostPort>,
        tls: Option<Tls>,
        path_prefix: &str,
        (username, password): (&str, &Secret),
        limit: Duration,
        meter: Arc<Meter>,
    ) -> Self {
        // Half of the poll's time is left for AMQP, should no node answer.
        let tries = u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
        let limit = limit / tries / 2;
        let path_prefix = path_prefix.trim_end_matches('/').to_owned();
        let authorization = basic(username, password);
        Self {
            nodes,
            tls,
            path_prefix,
            authorization,
            limit,
            meter,
            next: 0,
            connection: None,
        }
    }

    /// Asks the node that answered last, or else the others in turn. `what` is the name under
    /// which the request is counted. A server error (5xx) counts as no answer.
    pub(super) async fn get(
        &mut self,
        what: &'static str,
        path: &str,
    ) -> Result<Answer, BrokerError> {
        // The connection stays out of its place until its reply has been read to the end: if this
        // future is dropped, so is the connection.
        if let Some(connection) = self.connection.take() {
            let node = connection.node;
            self.next = self.after(node);
            match self.exchange(connection, what, path).await {
                Ok(answer) => return Ok(answer),
                // A node that was too slow is not asked twice. Any other failure may be no more
                // than the server's closing of an idle connection.
                Err(error) if error.kind == ErrorKind::Timeout => {}
                Err(_) => self.next = node,
            }
        }
        let mut failures: Vec<BrokerError> = Vec::new();
        for _ in 0..self.nodes.len() {
            let node = self.next;
            self.next = self.after(node);
            let outcome = match self.connect(node).await {
                Ok(connection) => self.exchange(connection, what, path).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => failures.push(error),
            }
        }
        Err(all_failed(failures))
    }

    const fn after(&self, node: usize) -> usize {
        if node + 1 < self.nodes.len() {
            node + 1
        } else {
            0
        }
    }

    fn node(&self, node: usize) -> HostPort {
        self.nodes.get(node).cloned().unwrap_or_else(|| HostPort {
            host: String::new(),
            port: 0,
        })
    }

    async fn connect(&self, node: usize) -> Result<Connection, BrokerError> {
        let to = self.node(node);
        let connecting = async {
            let tls = self.tls.as_ref().map(TlsContext::load).transpose()?;
            let stream = wire::connect(&to, tls.as_ref(), &self.meter).await?;
            http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| broken(&to, &error))
        };
        let (sender, driver) = timeout(self.limit, connecting)
            .await
            .map_err(|_| too_slow(&to, "accept a connection", self.limit))??;
        // Its errors reach us through the request in hand.
        let driver = tokio::spawn(async move { driver.await.unwrap_or_default() });
        Ok(Connection {
            node,
            sender,
            driver,
        })
    }

    /// One request and its whole reply; keeps the connection and its node if all went well.
    async fn exchange(
        &mut self,
        mut connection: Connection,
        what: &'static str,
        path: &str,
    ) -> Result<Answer, BrokerError> {
        let node = self.node(connection.node);
        let request = self.request(&node, path)?;
        self.meter.count(what, 1);
        let exchange = async {
            connection
                .sender
                .ready()
                .await
                .map_err(|error| broken(&node, &error))?;
            let response = connection
                .sender
                .send_request(request)
                .await
                .map_err(|error| broken(&node, &error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY_BYTES)
                .collect()
                .await
                .map_err(|error| match error.downcast::<LengthLimitError>() {
                    Ok(_) => BrokerError::new(
                        ErrorKind::Protocol,
                        format!("{node} answered {path} with more than {MAX_BODY_BYTES} bytes"),
                    ),
                    Err(error) => broken(&node, &*error),
                })?;
            Ok((status, body.to_bytes()))
        };
        let (status, body) = timeout(self.limit, exchange)
            .await
            .map_err(|_| too_slow(&node, &format!("answer {path}"), self.limit))??;
        if status.is_server_error() {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!("the management API at {node} answered {status}; see the broker's log"),
            ));
        }
        self.next = connection.node;
        self.connection = Some(connection);
        Ok(Answer { status, body, node })
    }

    fn request(&self, node: &HostPort, path: &str) -> Result<Request<Empty<Bytes>>, BrokerError> {
        Request::get(format!("{}{path}", self.path_prefix))
            .header(HOST, node.to_string())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("tailback/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| {
                BrokerError::new(
                    ErrorKind::Internal,
                    format!("cannot ask {node} for {path}: {error}"),
                )
            })
    }
}

fn basic(username: &str, password: &Secret) -> HeaderValue {
    let pair = format!("{username}:{}", password.expose());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    // Base64 is always a valid header value.
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

fn broken(node: &HostPort, error: &(dyn Error + 'static)) -> BrokerError {
    if error.downcast_ref().is_some_and(hyper::Error::is_parse) {
        return BrokerError::new(
            ErrorKind::Protocol,
            format!("{node} does not answer in HTTP: {error}; is it the management API's port?"),
        );
    }
    BrokerError::new(
        ErrorKind::Connect,
        format!("the connection to the management API at {node} broke: {error}"),
    )
}

fn too_slow(node: &HostPort, what: &str, limit: Duration) -> BrokerError {
    BrokerError::new(
        ErrorKind::Timeout,
        format!("the management API at {node} did not {what} within {limit:?}"),
    )
}

/// One error for the failures of all nodes, of the first one's kind.
fn all_failed(failures: Vec<BrokerError>) -> BrokerError {
    let kind = failures
        .first()
        .map_or(ErrorKind::Internal, |first| first.kind);
    let messages: Vec<_> = failures
        .into_iter()
        .map(|failure| failure.message)
        .collect();
    BrokerError::new(kind, messages.join("; "))
}
