//! Builds a [`Config`] from a file, or from URLs alone.

use super::environment::Environment;
use super::fault::{Faults, Notes, Place};
use super::from_urls::split_urls;
use super::poll::PollKeys;
use super::reader::{Source, Table, is_plain};
use super::{
    Broker, Config, Endpoint, Http, Metrics, Objectives, State, objectives, rabbitmq, redis,
    selection, serve,
};
use crate::model::BrokerKind;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeTable;

/// The environment variable with URLs, in place of URLs on the command line.
const BROKERS_VARIABLE: &str = "TAILBACK_BROKERS";

const KINDS_ARE: &str = "the kinds are `redis` and `rabbitmq`, as in [brokers.NAME.redis]";

/// Each bucket is a series of every queue.
const MAX_BUCKETS: usize = 64;

const KINDS: [BrokerKind; 2] = [BrokerKind::Redis, BrokerKind::RabbitMq];

impl Default for Metrics {
    fn default() -> Self {
        Self {
            wait_buckets: crate::model::flow::DEFAULT_BUCKETS.into(),
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            path: None,
            interval: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// What the command line and the environment ask for: the file, or else the URLs, or else the
    /// URLs in `TAILBACK_BROKERS`.
    pub fn load(file: Option<&Path>, urls: &[String], env: &Environment) -> Result<Self, Faults> {
        let variable = || Place::Named(BROKERS_VARIABLE.into());
        let listed = match env.get(BROKERS_VARIABLE) {
            Ok(listed) => listed.map_or_else(Vec::new, split_urls),
            Err(error) => return Err(Faults::single(variable(), error.to_string())),
        };
        match file {
            Some(_) if !urls.is_empty() => Err(Faults::single(
                Place::Named("argument 1".into()),
                "a URL cannot be used together with `--config`; write the broker into the file",
            )),
            Some(_) if !listed.is_empty() => Err(Faults::single(
                variable(),
                "cannot be used together with `--config`; unset it or leave the file out",
            )),
            Some(path) => Self::from_file(path, env),
            None if !urls.is_empty() => Self::from_urls(urls, env),
            None => {
                let is_alone = listed.len() == 1;
                let place = |nth| match is_alone {
                    true => BROKERS_VARIABLE.to_owned(),
                    false => format!("{BROKERS_VARIABLE}, URL {nth}"),
                };
                Self::from_places(&listed, place, env)
            }
        }
    }

    fn from_file(path: &Path, env: &Environment) -> Result<Self, Faults> {
        let name = path.display().to_string();
        match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => Self::from_toml(&text, &name, env),
            Ok(Err(_)) => Err(Faults::single(Place::Named(name.into()), "is not UTF-8")),
            Err(error) => Err(Faults::single(
                Place::Named(name.into()),
                format!("cannot be read: {error}"),
            )),
        }
    }

    /// The configuration in a TOML file of this name and text.
    pub fn from_toml(text: &str, file_name: &str, env: &Environment) -> Result<Self, Faults> {
        let notes = Notes::default();
        let config = Self::read_toml(text, file_name, env, &notes);
        notes.conclude(config)
    }

    /// As [`Config::from_toml`], with the faults left in `notes`.
    pub(super) fn read_toml(text: &str, file_name: &str, env: &Environment, notes: &Notes) -> Self {
        let source = Source::File {
            name: file_name.into(),
            text,
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return read_root(Table::root(notes, &source, document.get_ref()), env);
        }
        // What the tables mean cannot be known before the syntax is right, so nothing else is said.
        let mut lines = BTreeSet::new();
        for error in errors {
            let place = source.place(&error.span().unwrap_or_default());
            if let Place::Line { line, .. } = place
                && lines.insert(line)
            {
                // The message alone: the error's own text shows the line, which may hold a password.
                let message = format!("is not TOML: {}", error.message());
                notes.fault(
                    &super::fault::At {
                        place,
                        path: String::new(),
                    },
                    message,
                );
            }
        }
        Self {
            http: Http::default(),
            keda: None,
            metrics: Metrics::default(),
            state: State::default(),
            brokers: Vec::new(),
            objectives: Objectives::default(),
        }
    }
}

fn read_root(root: Table<'_>, env: &Environment) -> Config {
    let http = serve::read_http(root.table("http"), env);
    let keda = serve::read_keda(root.table("keda"));
    let metrics = read_metrics(root.table("metrics"));
    let state = read_state(root.table("state"));
    let table = root.table("defaults");
    let defaults = PollKeys::read(&table, None);
    table.finish();
    let brokers = root.table("brokers");
    if !root.has("brokers") || brokers.is_present() && brokers.is_empty() {
        root.fault(
            "no broker is configured; begin with [brokers.main.redis] and \
             url = \"redis://localhost:6379/0\"",
        );
    }
    let names = brokers.names();
    let mut brokers = read_brokers(&brokers, &defaults, env);
    let objectives = objectives::read(&root, &names);
    for broker in &mut brokers {
        if let Endpoint::RabbitMq(rabbitmq) = &mut broker.endpoint
            && let Some(declared) = &mut rabbitmq.declare_objectives
        {
            declared.clone_from(&objectives);
        }
    }
    root.finish();
    Config {
        http,
        keda,
        metrics,
        state,
        brokers,
        objectives,
    }
}

fn read_metrics(table: Table<'_>) -> Metrics {
    let buckets = table.numbers("wait_buckets");
    if let Some(buckets) = &buckets {
        let ascend = buckets
            .value
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.value < b.value));
        let is_positive = buckets.value.first().is_some_and(|first| first.value > 0.0);
        if !ascend || !is_positive || buckets.value.len() > MAX_BUCKETS {
            let message = format!(
                "must be 1 to {MAX_BUCKETS} seconds above 0, each more than the one before"
            );
            table.notes.fault(&buckets.at, message);
        }
    }
    table.finish();
    buckets.map_or_else(Metrics::default, |buckets| Metrics {
        wait_buckets: buckets.value.iter().map(|bucket| bucket.value).collect(),
    })
}

fn read_state(table: Table<'_>) -> State {
    let path = table.text("path");
    let interval = table.duration(
        "interval",
        Duration::from_secs(1)..=Duration::from_secs(3600),
    );
    let path = path.and_then(|path| {
        // It is replaced by renaming another one onto it.
        let is_file = Path::new(&path.value).file_name().is_some() && !path.value.ends_with('/');
        if !is_file {
            let message = "must be the path of a file, for example \"/var/lib/tailback/state\"";
            table.notes.fault(&path.at, message);
        }
        is_file.then(|| path.value.into())
    });
    table.finish();
    State {
        path,
        interval: interval.map_or(State::default().interval, |interval| interval.value),
    }
}

fn read_brokers(table: &Table<'_>, defaults: &PollKeys, env: &Environment) -> Vec<Broker> {
    let mut brokers = Vec::new();
    for (name, broker) in table.tables() {
        if !is_plain(name) {
            broker.fault(
                "the name of a broker must be of 1 to 64 letters, digits and the characters `_.-`",
            );
        }
        let mut kinds: Vec<_> = KINDS
            .into_iter()
            .map(|kind| (kind, broker.table(kind.as_str())))
            .collect();
        kinds.retain(|(_, table)| table.is_present());
        if broker.is_empty() {
            broker.fault(format!("has no kind; {KINDS_ARE}"));
        } else if kinds.len() > 1 {
            broker.fault("is of two kinds; give each broker a name of its own");
        }
        for (kind, table) in kinds {
            brokers.extend(read_broker(table, name, kind, defaults, env));
        }
        broker.finish_with(|_, _| format!("unknown kind of broker; {KINDS_ARE}"));
    }
    brokers
}

/// A broker of this name and kind; `None` means that a fault has been noted.
pub(super) fn read_broker(
    table: Table<'_>,
    name: &str,
    kind: BrokerKind,
    defaults: &PollKeys,
    env: &Environment,
) -> Option<Broker> {
    let poll = PollKeys::read(&table, Some(kind)).resolve(defaults, kind, &table);
    let queues = selection::read_filter(&table);
    let layouts = selection::read_layouts(&table, kind);
    let endpoint = match kind {
        BrokerKind::Redis => redis::read(&table, env).map(Endpoint::Redis),
        BrokerKind::RabbitMq => rabbitmq::read(&table, env).map(Endpoint::RabbitMq),
        BrokerKind::Simulated => Some(Endpoint::Simulated),
    };
    table.finish();
    Some(Broker {
        name: Arc::from(name),
        poll,
        queues,
        layouts,
        endpoint: endpoint?,
    })
}
