//! Fresh depths through AMQP: `queue.declare passive`, which asks the queue itself and changes
//! nothing. Nothing is ever consumed or got.

use super::join::join;
use super::transport::{self, Cutter};
use crate::broker::BrokerError;
use crate::broker::tls::{self, TlsContext};
use crate::broker::wire::{self, Meter};
use crate::config::{HostPort, RabbitMq, Tls};
use crate::model::ErrorKind;
use crate::redact::Secret;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Queue};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Enough for a declare and its reply; lapin allocates 64 frames a connection.
const FRAME_MAX: u32 = 8192;

/// What the broker says of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Declared {
    Holds {
        ready: u64,
        consumers: u64,
    },
    /// There is no such queue.
    Missing,
    /// It exists, and this user or connection must not look at it.
    Refused(BrokerError),
}

/// AMQP connections to one cluster, one a vhost, made when first needed.
pub(super) struct Amqp {
    nodes: Vec<HostPort>,
    tls: Option<Tls>,
    username: String,
    password: Secret,
    /// How long one node may take to connect, and to answer all declares.
    limit: Duration,
    meter: Arc<Meter>,
    /// The node to connect to next, as in `http`.
    next: usize,
    links: HashMap<String, Link>,
    /// What the connections are called in the broker's lists.
    name: &'static str,
}

pub(super) struct Link {
    pub(super) connection: Connection,
    _cutter: Cutter,
}

impl Amqp {
    pub(super) fn new(config: &RabbitMq, limit: Duration, meter: Arc<Meter>) -> Self {
        let limit = limit / u32::try_from(config.nodes.len()).unwrap_or(u32::MAX).max(1);
        Self {
            nodes: config.nodes.clone(),
            tls: config.amqp_tls.then(|| config.tls.clone()),
            username: config.username.clone(),
            password: config.password.clone(),
            limit,
            meter,
            next: 0,
            links: HashMap::new(),
            name: "tailback (read-only)",
        }
    }

    /// The same under another name.
    pub(super) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Declares passively each of `names`; the answers are in their order.
    pub(super) async fn declare(
        &mut self,
        vhost: &str,
        names: &[String],
    ) -> Result<Vec<Declared>, BrokerError> {
        // Out of its place while replies are due, so that a dropped future takes it along.
        let mut link = match self.links.remove(vhost) {
            Some(link) if link.connection.status().connected() => link,
            _ => self.connect(vhost).await?,
        };
        let declared = match self.declare_over(&link, names).await {
            Ok(declared) => declared,
            // The connection may have been dead without our knowing.
            Err(error) if error.kind == ErrorKind::Connect => {
                drop(link);
                link = self.connect(vhost).await?;
                self.declare_over(&link, names).await?
            }
            Err(error) => return Err(error),
        };
        self.links.insert(vhost.to_owned(), link);
        Ok(declared)
    }

    async fn declare_over(
        &self,
        link: &Link,
        names: &[String],
    ) -> Result<Vec<Declared>, BrokerError> {
        let declaring = async {
            let mut declared = Vec::with_capacity(names.len());
            // A refusal closes the channel and takes all later declares along: ask for those again.
            while let Some(rest) = names.get(declared.len()..).filter(|rest| !rest.is_empty()) {
                let channel = link.connection.create_channel().await?;
                self.meter.count("queue_declare_passive", rest.len() as u64);
                let replies = join(rest.iter().map(|name| declare(&channel, name)).collect()).await;
                for reply in replies {
                    match reply {
                        Ok(queue) => declared.push(Declared::Holds {
                            ready: queue.message_count().into(),
                            consumers: queue.consumer_count().into(),
                        }),
                        // Replies come in the order of the declares: the first error is the
                        // refused queue's own.
                        Err(error) => {
                            declared.push(self.refusal(&error).ok_or(error)?);
                            break;
                        }
                    }
                }
                if channel.status().connected() {
                    channel.close(200, "OK".into()).await?;
                }
            }
            lapin::Result::Ok(declared)
        };
        timeout(self.limit, declaring)
            .await
            .map_err(|_| {
                BrokerError::new(
                    ErrorKind::Timeout,
                    format!("AMQP: no answer to queue.declare within {:?}", self.limit),
                )
            })?
            .map_err(|error| {
                BrokerError::new(
                    ErrorKind::Connect,
                    format!("the AMQP connection broke: {error}"),
                )
            })
    }

    /// What a reply to a passive declare that closed the channel means for its queue.
    fn refusal(&self, error: &lapin::Error) -> Option<Declared> {
        match amqp_code(error)? {
            404 => Some(Declared::Missing),
            code @ (403 | 405) => Some(Declared::Refused(BrokerError::new(
                ErrorKind::Permission,
                format!(
                    "AMQP: the user `{}` may not declare a queue passively ({code}); from RabbitMQ \
                     4.2.7 on that needs read, write or configure permission on it: {error}",
                    self.username
                ),
            ))),
            _ => None,
        }
    }

    /// Connects to the node that worked last, or else to the others in turn.
    pub(super) async fn connect(&mut self, vhost: &str) -> Result<Link, BrokerError> {
        let mut failures: Option<BrokerError> = None;
        for _ in 0..self.nodes.len() {
            let node = self.next;
            self.next = if node + 1 < self.nodes.len() {
                node + 1
            } else {
                0
            };
            match self.connect_to(node, vhost).await {
                Ok(link) => {
                    self.next = node;
                    return Ok(link);
                }
                Err(error) => match &mut failures {
                    None => failures = Some(error),
                    Some(first) => first.message = format!("{}; {}", first.message, error.message),
                },
            }
        }
        Err(failures
            .unwrap_or_else(|| BrokerError::new(ErrorKind::Internal, "no AMQP node is configured")))
    }

    async fn connect_to(&self, node: usize, vhost: &str) -> Result<Link, BrokerError> {
        let Some(to) = self.nodes.get(node) else {
            return Err(BrokerError::new(ErrorKind::Internal, "no such AMQP node"));
        };
        let connecting = async {
            let tls = self.tls.as_ref().map(TlsContext::load).transpose()?;
            let stream = wire::connect(to, tls.as_ref(), &self.meter).await?;
            let properties = ConnectionProperties::default().with_connection_name(self.name.into());
            self.meter.count("amqp_connect", 1);
            let (connection, cutter) =
                transport::handshake(self.uri(to, vhost), stream, properties)
                    .await
                    .map_err(|error| self.connect_error(to, vhost, &error))?;
            Ok(Link {
                connection,
                _cutter: cutter,
            })
        };
        timeout(self.limit, connecting).await.map_err(|_| {
            BrokerError::new(
                ErrorKind::Timeout,
                format!(
                    "{to} did not accept an AMQP connection within {:?}",
                    self.limit
                ),
            )
        })?
    }

    /// Never shown: its Debug and Display hold the password.
    fn uri(&self, to: &HostPort, vhost: &str) -> AMQPUri {
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.username.clone(),
                    password: self.password.expose().to_owned(),
                },
                host: to.host.clone(),
                port: to.port,
            },
            vhost: vhost.to_owned(),
            query: AMQPQueryString {
                frame_max: Some(FRAME_MAX),
                ..AMQPQueryString::default()
            },
        }
    }

    fn connect_error(&self, to: &HostPort, vhost: &str, error: &lapin::Error) -> BrokerError {
        let user = &self.username;
        if let lapin::ErrorKind::IOError(error) = error.kind()
            && let Some(refusal) = tls::refusal(to, &**error)
        {
            return refusal;
        }
        match amqp_code(error) {
            Some(403) => BrokerError::new(
                ErrorKind::Auth,
                format!("AMQP: {to} refuses the name or password of the user `{user}`: {error}"),
            ),
            Some(530) => BrokerError::new(
                ErrorKind::Permission,
                format!(
                    "AMQP: {to} has no vhost `{vhost}`, or the user `{user}` no permission in it; \
                     any will do: rabbitmqctl set_permissions -p {vhost} {user} '^$' '^$' '^$'"
                ),
            ),
            Some(_) => {
                BrokerError::new(ErrorKind::Protocol, format!("AMQP: {to} refuses: {error}"))
            }
            None => BrokerError::new(
                ErrorKind::Connect,
                format!("AMQP: the connection to {to} failed: {error}; is this its AMQP port?"),
            ),
        }
    }
}

async fn declare(channel: &Channel, name: &str) -> lapin::Result<Queue> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(name.into(), passive, FieldTable::default())
        .await
}

/// The reply code of a refusal by the broker.
pub(super) fn amqp_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(refusal) => Some(refusal.get_id()),
        _ => None,
    }
}
