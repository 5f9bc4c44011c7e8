//! The job systems' options.

use super::fault::{At, Notes, Placed};
use super::reader::Table;
use super::selection::read_queue_globs;
use super::{Celery, CeleryEvents, List, ListEnd, Rq, Sidekiq};

impl Default for Celery {
    fn default() -> Self {
        Self {
            global_keyprefix: String::new(),
            separator: "\u{6}\u{16}".to_owned(),
            priority_steps: vec![0, 3, 6, 9],
            timestamp_paths: default_timestamp_paths(),
            unacked_key: "unacked".to_owned(),
            unacked_limit: 1000,
            queues: Vec::new(),
            events: None,
        }
    }
}

/// The places that hold the time of *this* sending come first. The rest are copied unchanged into
/// the message of a retry, so there they tell when the job was sent for the first time; used first,
/// they would make every retried job look as old as its first attempt.
fn default_timestamp_paths() -> Vec<Vec<String>> {
    [
        // Sentry's SDK, fractions of a second, set at every sending.
        &["headers", "sentry-task-enqueued-time"][..],
        // Judoscale, fractions of a second, set at every sending.
        &["properties", "published_at"],
        // `apply_async(timestamp=…)`: whole seconds, so up to 1 s too old; absent from retries.
        &["properties", "timestamp"],
        // The user's own header, a stamp, another user's own header: kept by a retry.
        &["headers", "enqueued_at"],
        &["headers", "stamps", "enqueued_at"],
        &["headers", "timestamp"],
    ]
    .map(|path| path.iter().map(|&segment| segment.to_owned()).collect())
    .to_vec()
}

impl Default for Rq {
    fn default() -> Self {
        Self {
            prefix: "rq".to_owned(),
        }
    }
}

/// `[brokers.NAME.redis.celery]`
pub(super) fn read_celery_on_redis(parent: &Table<'_>) -> Celery {
    let table = parent.table("celery");
    let built_in = Celery::default();
    let global_keyprefix = table.text("global_keyprefix");
    let separator = non_empty(&table, table.text("separator"));
    let steps = table.bytes("priority_steps");
    let paths = table.texts("timestamp_paths");
    let unacked_key = non_empty(&table, table.text("unacked_key"));
    let unacked_limit = table.integer("unacked_limit", 0..=10_000);
    let celery = Celery {
        global_keyprefix: global_keyprefix.map_or(built_in.global_keyprefix, |text| text.value),
        separator: separator.unwrap_or(built_in.separator),
        priority_steps: steps.map_or(built_in.priority_steps, |steps| {
            priority_steps(table.notes, steps)
        }),
        timestamp_paths: match paths {
            None => built_in.timestamp_paths,
            Some(paths) => paths
                .value
                .into_iter()
                .filter_map(|path| timestamp_path(table.notes, &path.at, &path.value))
                .collect(),
        },
        unacked_key: unacked_key.unwrap_or(built_in.unacked_key),
        unacked_limit: unacked_limit
            .and_then(|limit| u32::try_from(limit.value).ok())
            .unwrap_or(built_in.unacked_limit),
        queues: Vec::new(),
        events: read_events(&table),
    };
    table.finish();
    celery
}

/// `[brokers.NAME.rabbitmq.celery]`
pub(super) fn read_celery_on_rabbitmq(parent: &Table<'_>) -> Celery {
    let table = parent.table("celery");
    let celery = Celery {
        queues: read_queue_globs(&table, "queues"),
        events: read_events(&table),
        ..Celery::default()
    };
    table.finish();
    celery
}

/// The keys about Celery's events, in the tables of both brokers.
fn read_events(table: &Table<'_>) -> Option<CeleryEvents> {
    let is_wanted = table.boolean("events").is_some_and(|wanted| wanted.value);
    let exchange = non_empty(table, table.text("event_exchange"));
    let max_waiting = table.integer("events_max_waiting", 1000..=20_000_000);
    let max_tasks = table.integer("events_max_tasks", 1..=10_000);
    let events = CeleryEvents {
        exchange: exchange.unwrap_or_else(|| "celeryev".to_owned()),
        max_waiting: max_waiting
            .and_then(|limit| u32::try_from(limit.value).ok())
            .unwrap_or(1_500_000),
        max_tasks: max_tasks
            .and_then(|limit| u16::try_from(limit.value).ok())
            .unwrap_or(100),
    };
    is_wanted.then_some(events)
}

/// `[brokers.NAME.redis.rq]`
pub(super) fn read_rq(parent: &Table<'_>) -> Rq {
    let table = parent.table("rq");
    let prefix = table.text("prefix");
    if let Some(prefix) = &prefix {
        // What RQ 3 itself accepts as RQ_KEY_PREFIX.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:{}-".contains(&byte);
        if prefix.value.is_empty() || !prefix.value.bytes().all(is_allowed) {
            let message = "must be of letters, digits and the characters `_.:{}-`, as in RQ itself";
            table.notes.fault(&prefix.at, message);
        }
    }
    table.finish();
    prefix.map_or_else(Rq::default, |prefix| Rq {
        prefix: prefix.value,
    })
}

/// A table with one key: what all keys of the system begin with.
pub(super) fn read_prefix(
    parent: &Table<'_>,
    system: &'static str,
    key: &'static str,
    built_in: &str,
) -> String {
    let table = parent.table(system);
    let prefix = non_empty(&table, table.text(key));
    table.finish();
    prefix.unwrap_or_else(|| built_in.to_owned())
}

/// A table with the key `queues`: queues that exist whether or not Redis tells of them.
pub(super) fn read_queues(
    parent: &Table<'_>,
    system: &'static str,
    built_in: &[&str],
) -> Vec<String> {
    let table = parent.table(system);
    let queues = table.texts("queues");
    let queues = queues.map(|queues| {
        queues
            .value
            .into_iter()
            .filter_map(|queue| non_empty(&table, Some(queue)))
            .collect()
    });
    table.finish();
    queues.unwrap_or_else(|| built_in.iter().map(|queue| (*queue).to_owned()).collect())
}

/// `[brokers.NAME.redis.sidekiq]`
pub(super) fn read_sidekiq(parent: &Table<'_>) -> Sidekiq {
    let table = parent.table("sidekiq");
    let namespace = table.text("namespace");
    table.finish();
    Sidekiq {
        namespace: namespace.map_or_else(String::new, |namespace| namespace.value),
    }
}

/// `[brokers.NAME.redis.list]`
pub(super) fn read_list(parent: &Table<'_>) -> List {
    let table = parent.table("list");
    let keys = table.texts("keys").map_or_else(Vec::new, |keys| keys.value);
    let keys = keys
        .into_iter()
        .filter_map(|key| non_empty(&table, Some(key)))
        .collect();
    let head = table.text("head").map(|head| match head.value.as_str() {
        "left" => ListEnd::Left,
        "right" => ListEnd::Right,
        _ => {
            let message = "must be \"left\" or \"right\", the end at which jobs are taken";
            table.notes.fault(&head.at, message);
            ListEnd::default()
        }
    });
    table.finish();
    List {
        keys,
        head: head.unwrap_or_default(),
    }
}

fn non_empty(table: &Table<'_>, text: Option<Placed<String>>) -> Option<String> {
    let text = text?;
    if text.value.is_empty() {
        table.notes.fault(&text.at, "must not be empty");
        return None;
    }
    Some(text.value)
}

/// Sorted as kombu sorts them.
fn priority_steps(notes: &Notes, written: Placed<Vec<Placed<u8>>>) -> Vec<u8> {
    let mut steps = Vec::new();
    for step in written.value {
        if steps.contains(&step.value) {
            notes.fault(&step.at, "is listed twice");
        }
        steps.push(step.value);
    }
    if !steps.contains(&0) {
        notes.fault(
            &written.at,
            "must have the step 0, the list that has no number in its key",
        );
    }
    steps.sort_unstable();
    steps
}

/// Takes `headers."sentry-task-enqueued-time"` apart.
fn timestamp_path(notes: &Notes, at: &At, text: &str) -> Option<Vec<String>> {
    let path = segments(text);
    if path.is_none() {
        let message = "must be names with dots between them; a name that has a dot or a dash \
                       itself is put in double quotes, as in 'headers.\"x-time\"'";
        notes.fault(at, message);
    }
    path
}

fn segments(mut text: &str) -> Option<Vec<String>> {
    let mut path = Vec::new();
    loop {
        let (segment, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => text.split_at(text.find('.').unwrap_or(text.len())),
        };
        let is_bare = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if segment.is_empty() || !(text.starts_with('"') || is_bare(segment)) {
            return None;
        }
        path.push(segment.to_owned());
        if rest.is_empty() {
            return Some(path);
        }
        text = rest.strip_prefix('.')?;
    }
}
