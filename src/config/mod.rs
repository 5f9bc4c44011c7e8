//! The configuration: what the file, the URLs on the command line and the environment say, checked
//! and turned into types that cannot be wrong. Knows the job systems' options by name, nothing of
//! how they are used.

mod access;
mod environment;
mod fault;
mod filter;
mod from_urls;
mod load;
mod objectives;
mod poll;
mod rabbitmq;
mod reader;
mod redis;
mod selection;
mod serve;
mod simulated;
mod suggest;
mod systems;
mod url;
mod values;

pub use environment::{Environment, NotUtf8};
pub use fault::{Fault, Faults};
pub use filter::QueueFilter;
pub use objectives::Objectives;

use crate::model::BrokerKind;
use crate::redact::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A whole, valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub http: Http,
    /// Absent: KEDA is not answered.
    pub keda: Option<Keda>,
    pub metrics: Metrics,
    pub state: State,
    /// In the order of their names; at least one.
    pub brokers: Vec<Broker>,
    pub objectives: Objectives,
}

/// What outlives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The file; default none: nothing is kept.
    pub path: Option<PathBuf>,
    /// Time between two writes. Default 30 s.
    pub interval: Duration,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    pub listen: SocketAddr,
    /// Who has neither of these, where one is set, is told nothing but whether we live.
    pub bearer_token: Option<Secret>,
    pub api_key: Option<Secret>,
    /// `/metrics` is told to everybody all the same. Default false.
    pub open_metrics: bool,
}

/// `[keda]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keda {
    pub listen: SocketAddr,
    pub tls: Option<ServerTls>,
}

/// `[keda.tls]`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Clients must have a certificate of this authority.
    pub client_ca_file: Option<PathBuf>,
}

/// `[metrics]`: how they are cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Upper bounds of the buckets of `tailback_queue_wait_seconds`, ascending.
    pub wait_buckets: Arc<[f64]>,
}

/// One `[brokers.NAME.redis]` or `[brokers.NAME.rabbitmq]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    pub name: Arc<str>,
    pub poll: Poll,
    pub queues: QueueFilter,
    pub layouts: Layouts,
    pub endpoint: Endpoint,
}

impl Broker {
    /// How to listen to Celery's events, if that is wanted.
    pub fn celery_events(&self) -> Option<&CeleryEvents> {
        match &self.endpoint {
            Endpoint::Redis(redis) => redis.celery.events.as_ref(),
            Endpoint::RabbitMq(rabbitmq) => rabbitmq.celery.events.as_ref(),
            Endpoint::Simulated => None,
        }
    }

    pub const fn kind(&self) -> BrokerKind {
        match self.endpoint {
            Endpoint::Redis(_) => BrokerKind::Redis,
            Endpoint::RabbitMq(_) => BrokerKind::RabbitMq,
            Endpoint::Simulated => BrokerKind::Simulated,
        }
    }
}

/// When to poll and how much to take.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    /// Redis 1 s, RabbitMQ 5 s by default.
    pub interval: Duration,
    /// The limit for one whole poll. Default: 2 s for Redis, 4 s for RabbitMQ.
    pub timeout: Duration,
    /// After this long without a good poll the queues' series are absent. Default: 3 intervals, or
    /// interval + timeout if that is longer.
    pub stale_after: Duration,
    /// Pause between two searches for queues. Default 10 s.
    pub discovery_interval: Duration,
    /// How long a queue that is no longer listed anywhere stays at 0. Default 1 h.
    pub forget_after: Duration,
    /// Queues exported at most. Default 10,000.
    pub max_queues: usize,
    /// The share of a core that polling may cost a Redis before quiet queues are read less often,
    /// and then all of them, in (0, 1]. Default 0.02.
    pub max_broker_cpu_ratio: f64,
    /// Job payloads larger than this are not fetched. Default 1 MiB.
    pub max_payload_bytes: u64,
}

/// `layouts = "auto"` or a list of systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layouts {
    /// Every layout that finds itself in the broker.
    Auto,
    Only(Vec<crate::model::System>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Endpoint {
    Redis(Redis),
    RabbitMq(RabbitMq),
    /// Exists only in this process; no file can name it.
    Simulated,
}

/// `[brokers.NAME.redis]`
#[derive(Debug, Clone, PartialEq)]
pub struct Redis {
    pub topology: RedisTopology,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub db: u32,
    pub tls: Option<Tls>,
    pub celery: Celery,
    pub rq: Rq,
    pub dramatiq: Dramatiq,
    pub huey: Huey,
    pub arq: Arq,
    pub taskiq: Taskiq,
    pub sidekiq: Sidekiq,
    pub bullmq: Bullmq,
    pub resque: Resque,
    pub list: List,
}

/// Where the data is. Written as the scheme of the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisTopology {
    /// `redis://host:6379/0`, `rediss://…`
    Single(HostPort),
    /// `redis+unix:///run/redis.sock?db=0`, also `unix://`
    Unix(PathBuf),
    /// `redis+sentinel://[user@]s1:26379,s2:26379/mymaster/0`, `rediss+sentinel://…`. The
    /// sentinels' own credentials are `sentinel_username` and `sentinel_password_*`.
    Sentinel(Sentinels),
    /// `redis+cluster://[user@]n1:6379,n2:6379`, `rediss+cluster://…`
    Cluster(Vec<HostPort>),
}

/// Who knows which server is the master of this name, and how to log in to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinels {
    pub hosts: Vec<HostPort>,
    pub master: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An IPv6 address needs its brackets before a port.
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `[brokers.NAME.….tls]`: refines a TLS connection that the URL's scheme asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM with the CA certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM with the client certificate chain; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// The name to verify instead of the URL's host.
    pub server_name: Option<String>,
}

/// Options of Celery on Redis (kombu's transport options of the same names) and on RabbitMQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Celery {
    /// kombu `global_keyprefix`; default empty.
    pub global_keyprefix: String,
    /// kombu `sep`; default `\x06\x16`.
    pub separator: String,
    /// kombu `priority_steps`; default 0, 3, 6, 9. Sorted, distinct, starts with 0.
    pub priority_steps: Vec<u8>,
    /// JSON paths in the message at which an enqueue time may be, best first.
    pub timestamp_paths: Vec<Vec<String>>,
    /// kombu `unacked_key`; default `unacked` (the index is `<unacked_key>_index`).
    pub unacked_key: String,
    /// How many unacknowledged messages to attribute to their queues; above it the split is
    /// unknown. Default 1000.
    pub unacked_limit: u32,
    /// RabbitMQ: globs of queues that are Celery's though detection cannot tell. Default none.
    pub queues: Vec<String>,
    /// Whether to listen to its events. Default not.
    pub events: Option<CeleryEvents>,
}

/// How to listen to Celery's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeleryEvents {
    /// Celery's `event_exchange`; default `celeryev`.
    pub exchange: String,
    /// Most waiting tasks to remember; default 1,500,000.
    pub max_waiting: u32,
    /// Most names of tasks to tell apart; default 100.
    pub max_tasks: u16,
}

/// Options of RQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rq {
    /// Key prefix; default `rq`.
    pub prefix: String,
}

/// Options of Dramatiq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dramatiq {
    /// `RedisBroker(namespace=…)`; default `dramatiq`.
    pub namespace: String,
}

/// Options of Huey.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Huey {
    /// Names of queues to show also while they are empty, when nothing in Redis tells of them.
    pub queues: Vec<String>,
}

/// Options of ARQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arq {
    /// Keys of queues (`queue_name`); default `arq:queue`. Others are found by their health check.
    pub queues: Vec<String>,
}

/// Options of TaskIQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taskiq {
    /// Keys of list brokers (`queue_name`); default `taskiq`. Streams are found by their group.
    pub queues: Vec<String>,
}

/// Options of Sidekiq.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sidekiq {
    /// The redis-namespace of Sidekiq 6 and older, without its colon; default none.
    pub namespace: String,
}

/// Options of BullMQ and Bull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bullmq {
    /// `prefix`; default `bull`.
    pub prefix: String,
}

/// Options of Resque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resque {
    /// `Resque.redis.namespace`; default `resque`.
    pub namespace: String,
}

/// Plain Redis lists that are queues. Nothing in Redis says so, so they must be named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// Key names, or globs (`*`, `?`, `[…]`) that a SCAN looks for. Default none.
    pub keys: Vec<String>,
    /// The end at which jobs are taken; default right, as `LPUSH` and `BRPOP` do.
    pub head: ListEnd,
}

/// An end of a Redis list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListEnd {
    Left,
    #[default]
    Right,
}

/// `[brokers.NAME.rabbitmq]`
#[derive(Debug, Clone, PartialEq)]
pub struct RabbitMq {
    /// The AMQP nodes, in the order to try them: `amqp://user@host:5672/vhost`, `amqps://…`. All
    /// share user and vhost.
    pub nodes: Vec<HostPort>,
    pub amqp_tls: bool,
    /// Management API nodes; default: the AMQP hosts, port 15672 (15671 with TLS).
    pub management: HttpApi,
    /// Nodes of the Prometheus plugin, each of which tells of its own queues; default: the AMQP hosts,
    /// port 15692 (15691 with TLS), where AMQP has its usual port. Asked where the management API is not there or has no statistics.
    pub prometheus: HttpApi,
    pub username: String,
    pub password: Secret,
    /// Virtual hosts to read; default: the one in the URL (`/` if it has none). Queues of further
    /// ones are shown as `vhost/queue`.
    pub vhosts: Vec<String>,
    pub tls: Tls,
    /// Globs of queues whose depth is read fresh through AMQP (`queue.declare passive`) at every
    /// poll; names without wildcards are also the queues read when the management API is absent.
    pub declare: Vec<String>,
    /// The queues that these name are declared too. Default: none.
    pub declare_objectives: Option<Objectives>,
    /// At most this many passive declares per poll. Default 100.
    pub declare_limit: u32,
    /// Also show exclusive, reply, pidbox and event queues. Default false.
    pub internal_queues: bool,
    pub celery: Celery,
}

/// Where an API of the broker's is that speaks HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpApi {
    /// It is not asked.
    Off,
    Nodes {
        nodes: Vec<HostPort>,
        tls: bool,
        path_prefix: String,
    },
}

#[cfg(test)]
mod tests;
