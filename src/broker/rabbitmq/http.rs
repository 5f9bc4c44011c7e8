//! `GET` over a few kept-alive HTTP/1.1 connections, to whichever of several nodes answers.

use crate::broker::BrokerError;
use crate::broker::tls::{self, TlsContext};
use crate::broker::wire::{self, Meter};
use crate::config::{HostPort, Tls};
use crate::model::ErrorKind;
use crate::redact::Secret;
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No reply that we ask for is near this long: a page of 500 queues has about 100 kB.
pub(super) const MAX_BODY_BYTES: usize = 16 << 20;
/// So many requests are under way at once: one that is slow holds up none of the others, and the
/// broker is not made to answer all of them at the same time.
pub(super) const LANES: usize = 4;

/// Takes the body of a good answer as it comes in.
pub(super) trait Sink: Send {
    /// Forgets what a node that then failed has sent.
    fn clear(&mut self);

    /// Takes the next bytes; says what is wrong with them, if the rest is not wanted.
    fn take(&mut self, bytes: &[u8]) -> Result<(), String>;
}

/// A client of one cluster's HTTP API.
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
    next: AtomicUsize,
    /// Connections on which no reply is due.
    idle: Mutex<Vec<Connection>>,
    lanes: Semaphore,
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    pub(super) node: HostPort,
}

struct Connection {
    node: usize,
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<hyper::Result<()>>,
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
            next: AtomicUsize::new(0),
            idle: Mutex::default(),
            lanes: Semaphore::new(LANES),
        }
    }

    /// Asks the node that answered last, or else the others in turn. `what` is the name under
    /// which the request is counted. A server error (5xx) counts as no answer.
    pub(super) async fn get(&self, what: &'static str, path: &str) -> Result<Answer, BrokerError> {
        let mut body = Vec::new();
        let mut answer = self.stream(what, path, &mut body).await?;
        if answer.status == StatusCode::OK {
            answer.body = body;
        }
        Ok(answer)
    }

    /// As [`Self::get`]; the body of a good answer goes to `sink`, and only another one is kept.
    pub(super) async fn stream(
        &self,
        what: &'static str,
        path: &str,
        sink: &mut dyn Sink,
    ) -> Result<Answer, BrokerError> {
        self.stream_within(self.limit, what, path, sink).await
    }

    /// As [`Self::stream`], with another limit for the answer of each node.
    pub(super) async fn stream_within(
        &self,
        limit: Duration,
        what: &'static str,
        path: &str,
        sink: &mut dyn Sink,
    ) -> Result<Answer, BrokerError> {
        // Nobody closes the semaphore.
        let _lane = self.lanes.acquire().await;
        let mut failures: Vec<BrokerError> = Vec::new();
        // The connection stays out of its place until its reply has been read to the end: if this
        // future is dropped, so is the connection.
        let mut first = self.next.load(Ordering::Relaxed);
        let idle = self.idle().pop();
        if let Some(connection) = idle {
            let node = connection.node;
            self.next.store(self.after(node), Ordering::Relaxed);
            first = node;
            match self.exchange(connection, limit, (what, path), sink).await {
                Ok(answer) => return Ok(answer),
                // A node that was too slow is not asked twice. Any other failure may be no more
                // than the server's closing of an idle connection.
                Err(error) if error.kind == ErrorKind::Timeout => {
                    failures.push(error);
                    first = self.after(node);
                }
                Err(_) => {}
            }
        }
        let mut node = first;
        for _ in failures.len()..self.nodes.len() {
            self.next.store(self.after(node), Ordering::Relaxed);
            let outcome = match self.connect(node).await {
                Ok(connection) => self.exchange(connection, limit, (what, path), sink).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => failures.push(error),
            }
            node = self.after(node);
        }
        Err(all_failed(failures))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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
        let driver = tokio::spawn(driver);
        Ok(Connection {
            node,
            sender,
            driver,
        })
    }

    /// One request and its whole reply; keeps the connection and its node if all went well.
    async fn exchange(
        &self,
        mut connection: Connection,
        limit: Duration,
        (what, path): (&'static str, &str),
        sink: &mut dyn Sink,
    ) -> Result<Answer, BrokerError> {
        let node = self.node(connection.node);
        let request = self.request(&node, path)?;
        self.meter.count(what, 1);
        let exchange = async {
            let sending = async {
                connection.sender.ready().await?;
                connection.sender.send_request(request).await
            };
            let response = match sending.await {
                Ok(response) => response,
                // What has happened is known to whoever drives the connection.
                Err(error) if error.is_closed() || error.is_canceled() => {
                    let cause = (&mut connection.driver).await.ok().and_then(Result::err);
                    return Err(broken(&node, &cause.unwrap_or(error)));
                }
                Err(error) => return Err(broken(&node, &error)),
            };
            let status = response.status();
            let mut kept = Vec::new();
            let sink: &mut dyn Sink = match status {
                StatusCode::OK => sink,
                _ => &mut kept,
            };
            sink.clear();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| broken(&node, &error))?;
                if let Some(bytes) = frame.data_ref() {
                    sink.take(bytes).map_err(|fault| {
                        let message = format!("{node} answered {path} with {fault}");
                        BrokerError::new(ErrorKind::Protocol, message)
                    })?;
                }
            }
            Ok((status, kept))
        };
        let (status, body) = timeout(limit, exchange)
            .await
            .map_err(|_| too_slow(&node, &format!("answer {path}"), limit))??;
        if status.is_server_error() {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!("{node} answered {status} to {path}; see the broker's log"),
            ));
        }
        self.next.store(connection.node, Ordering::Relaxed);
        self.idle().push(connection);
        Ok(Answer { status, body, node })
    }

    fn request(&self, node: &HostPort, path: &str) -> Result<Request<Empty<Bytes>>, BrokerError> {
        Request::get(format!("{}{path}", self.path_prefix))
            .header(HOST, node.to_string())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json, */*;q=0.5")
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

impl Sink for Vec<u8> {
    fn clear(&mut self) {
        self.clear();
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.len() + bytes.len() > MAX_BODY_BYTES {
            return Err(format!("more than {MAX_BODY_BYTES} bytes"));
        }
        self.extend_from_slice(bytes);
        Ok(())
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
    if let Some(refusal) = tls::refusal(node, error) {
        return refusal;
    }
    if error.downcast_ref().is_some_and(hyper::Error::is_parse) {
        return BrokerError::new(
            ErrorKind::Protocol,
            format!("{node} does not answer in HTTP: {error}; is it the port of an HTTP API?"),
        );
    }
    BrokerError::new(
        ErrorKind::Connect,
        format!("the connection to {node} broke: {error}"),
    )
}

fn too_slow(node: &HostPort, what: &str, limit: Duration) -> BrokerError {
    BrokerError::new(
        ErrorKind::Timeout,
        format!("{node} did not {what} within {limit:?}"),
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
