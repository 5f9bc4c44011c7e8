//! `[brokers.NAME.redis]`: where the Redis is and what is in it.

use super::access::{Credentials, or_fault, parse_url, read_tls};
use super::environment::Environment;
use super::fault::Placed;
use super::reader::Table;
use super::url::{BrokerUrl, decode};
use super::{
    Arq, Bullmq, Dramatiq, HostPort, Huey, Redis, RedisTopology, Resque, Sentinels, Taskiq, systems,
};
use std::path::PathBuf;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What the scheme of the URL says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

/// Scheme, form, TLS.
const SCHEMES: [(&str, Form, bool); 8] = [
    ("redis", Form::Single, false),
    ("rediss", Form::Single, true),
    ("unix", Form::Unix, false),
    ("redis+unix", Form::Unix, false),
    ("redis+sentinel", Form::Sentinel, false),
    ("rediss+sentinel", Form::Sentinel, true),
    ("redis+cluster", Form::Cluster, false),
    ("rediss+cluster", Form::Cluster, true),
];

/// The schemes of Redis URLs.
pub(super) fn schemes() -> Vec<&'static str> {
    SCHEMES.iter().map(|(scheme, ..)| *scheme).collect()
}

/// What the URL alone says about the data.
struct Location {
    form: Form,
    tls: bool,
    hosts: Vec<HostPort>,
    /// The socket or the name of the Sentinel's master.
    path: String,
    db: Option<u32>,
}

/// Reads the keys of a Redis other than those that all brokers have. `None` means that a fault has
/// been noted.
pub(super) fn read(table: &Table<'_>, env: &Environment) -> Option<Redis> {
    let written = table.text("url");
    let credentials = Credentials::read(table, ["username", "password_file", "password_env"], env);
    let sentinel = Credentials::read(
        table,
        [
            "sentinel_username",
            "sentinel_password_file",
            "sentinel_password_env",
        ],
        env,
    );
    let db = table.integer("db", 0..=u64::from(u32::MAX));
    let celery = systems::read_celery_on_redis(table);
    let rq = systems::read_rq(table);
    let dramatiq = Dramatiq {
        namespace: systems::read_prefix(table, "dramatiq", "namespace", "dramatiq"),
    };
    let huey = Huey {
        queues: systems::read_queues(table, "huey", &[]),
    };
    let arq = Arq {
        queues: systems::read_queues(table, "arq", &["arq:queue"]),
    };
    let taskiq = Taskiq {
        queues: systems::read_queues(table, "taskiq", &["taskiq"]),
    };
    let sidekiq = systems::read_sidekiq(table);
    let bullmq = Bullmq {
        prefix: systems::read_prefix(table, "bullmq", "prefix", "bull"),
    };
    let resque = Resque {
        namespace: systems::read_prefix(table, "resque", "namespace", "resque"),
    };
    let list = systems::read_list(table);

    if written.is_none() && !table.has("url") {
        table.fault("has no `url`, for example url = \"redis://localhost:6379/0\"");
    }
    let url = written
        .as_ref()
        .and_then(|written| parse_url(table, written));
    let location = url
        .as_ref()
        .zip(written.as_ref())
        .and_then(|(url, written)| {
            let known = SCHEMES
                .into_iter()
                .find(|(scheme, ..)| *scheme == url.scheme);
            let Some((_, form, tls)) = known else {
                let message = format!("must begin with {}", super::suggest::schemes(&schemes()));
                table.notes.fault(&written.at, message);
                return None;
            };
            or_fault(table, &written.at, locate(form, tls, url))
        });
    let tls = read_tls(
        table,
        location.as_ref().map(|location| location.tls),
        "`rediss://`, `rediss+sentinel://` or `rediss+cluster://`",
    );
    let (username, password) = credentials.join(table, url.as_ref());
    let form = location.as_ref().map(|location| location.form);
    if form.is_some_and(|form| form != Form::Sentinel) {
        let beside = [
            sentinel.username.as_ref().map(|username| &username.at),
            sentinel.password.as_ref().map(|password| &password.at),
        ];
        for at in beside.into_iter().flatten() {
            table.notes.fault(
                at,
                "needs a `redis+sentinel://` or `rediss+sentinel://` URL",
            );
        }
    }
    let db = join_db(table, db, location.as_ref());
    let Location {
        form,
        tls: encrypted,
        hosts,
        path,
        ..
    } = location?;
    let topology = match form {
        Form::Single => RedisTopology::Single(hosts.into_iter().next()?),
        Form::Unix => RedisTopology::Unix(PathBuf::from(path)),
        Form::Cluster => RedisTopology::Cluster(hosts),
        Form::Sentinel => RedisTopology::Sentinel(Sentinels {
            hosts,
            master: path,
            username: sentinel.username.map(|username| username.value),
            password: sentinel.password.map(|password| password.value),
        }),
    };
    Some(Redis {
        topology,
        username,
        password,
        db,
        tls: encrypted.then_some(tls),
        celery,
        rq,
        dramatiq,
        huey,
        arq,
        taskiq,
        sidekiq,
        bullmq,
        resque,
        list,
    })
}

/// The database of the key or of the URL; 0 if neither names one.
fn join_db(table: &Table<'_>, key: Option<Placed<u64>>, location: Option<&Location>) -> u32 {
    let in_url = location.and_then(|location| location.db);
    let beside = key.as_ref().and_then(|db| u32::try_from(db.value).ok());
    if let Some(Placed { at, value }) = &key {
        if in_url.is_some_and(|in_url| u64::from(in_url) != *value) {
            table
                .notes
                .fault(at, "differs from the database in the URL");
        }
        let is_cluster = location.is_some_and(|location| location.form == Form::Cluster);
        if is_cluster && *value != 0 {
            table
                .notes
                .fault(at, "must be 0, the only database that a cluster has");
        }
    }
    beside.or(in_url).unwrap_or(0)
}

fn locate(form: Form, tls: bool, url: &BrokerUrl) -> Result<Location, &'static str> {
    let path = url.path.as_deref().unwrap_or("");
    let in_query = db_in_query(url)?;
    let default_port = if form == Form::Sentinel {
        SENTINEL_PORT
    } else {
        REDIS_PORT
    };
    let hosts = if form == Form::Unix {
        Vec::new()
    } else {
        url.hosts(default_port)?
    };
    let (path, in_path) = match form {
        Form::Unix => (socket(url, path)?, None),
        Form::Single if hosts.len() > 1 => {
            return Err("has several hosts; they need `redis+sentinel://` or `redis+cluster://`");
        }
        Form::Single => (String::new(), db_in_path(path)?),
        Form::Sentinel => {
            let (master, db) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                return Err("has no name of a master behind the hosts, for example \
                            `redis+sentinel://sentinel:26379/mymaster/0`");
            }
            (decode(master)?, db_in_path(db)?)
        }
        Form::Cluster => {
            let db = db_in_path(path)?;
            if db.or(in_query).is_some_and(|db| db != 0) {
                return Err("names a database; a cluster has only 0");
            }
            (String::new(), db)
        }
    };
    if in_path.is_some() && in_query.is_some() && in_path != in_query {
        return Err("names two databases");
    }
    Ok(Location {
        form,
        tls,
        hosts,
        path,
        db: in_path.or(in_query),
    })
}

fn socket(url: &BrokerUrl, path: &str) -> Result<String, &'static str> {
    if url.has_hosts() || path.is_empty() {
        return Err("must name a socket by its absolute path, for example \
                    `redis+unix:///run/redis/redis.sock?db=0`");
    }
    Ok(format!("/{}", decode(path)?))
}

fn db_in_path(path: &str) -> Result<Option<u32>, &'static str> {
    match path {
        "" => Ok(None),
        digits => parse_db(digits).map(Some),
    }
}

fn db_in_query(url: &BrokerUrl) -> Result<Option<u32>, &'static str> {
    match url.query.as_deref() {
        None | Some("") => Ok(None),
        Some(query) => match query.strip_prefix("db=") {
            Some(db) if !db.contains('&') => parse_db(db).map(Some),
            _ => Err(
                "has a parameter behind `?` other than `db`; TLS is set in the table `tls`, \
                      user and password before the host or by their own keys",
            ),
        },
    }
}

fn parse_db(text: &str) -> Result<u32, &'static str> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(db) if is_number => Ok(db),
        _ => Err("has a database that is not a whole number"),
    }
}
