//! Builds a [`Config`] from a file, or from URLs alone.

use super::environment::Environment;
use super::fault::{Faults, Notes, Place};
use super::from_urls::split_urls;
use super::poll::PollKeys;
use super::reader::{Source, Table, is_plain};
use super::{Broker, Config, Endpoint, Http, rabbitmq, redis, selection};
use crate::model::BrokerKind;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use toml::de::DeTable;

/// The environment variable with URLs, in place of URLs on the command line.
const BROKERS_VARIABLE: &str = "TAILBACK_BROKERS";

const KINDS_ARE: &str = "the kinds are `redis` and `rabbitmq`, as in [brokers.NAME.redis]";

const KINDS: [BrokerKind; 2] = [BrokerKind::Redis, BrokerKind::RabbitMq];

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9828)),
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
            brokers: Vec::new(),
        }
    }
}

fn read_root(root: Table<'_>, env: &Environment) -> Config {
    let http = root.table("http");
    let listen = http.text("listen");
    let listen = listen.and_then(|text| {
        text.value
            .parse()
            .map_err(|_| {
                let message = "must be an IP address and a port, for example \"0.0.0.0:9828\"";
                root.notes.fault(&text.at, message);
            })
            .ok()
    });
    http.finish();
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
    let brokers = read_brokers(&brokers, &defaults, env);
    root.finish();
    Config {
        http: listen.map_or_else(Http::default, |listen| Http { listen }),
        brokers,
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
