//! `check`: one round of search and poll for each broker, told to a person.

use super::exit;
use crate::broker::rabbitmq::RabbitMqSource;
use crate::broker::redis::RedisSource;
use crate::broker::simulated::SimulatedSource;
use crate::broker::{BrokerError, Lacking, Source};
use crate::clock;
use crate::config::{Broker, Config, Endpoint};
use crate::model::tasks::{EventKind, EventsView};
use crate::model::{BrokerSnapshot, BrokerState, ErrorKind, Latency, QueueSnapshot, Report};
use crate::redact;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How long the search for queues may take in all.
const SEARCH_LIMIT: Duration = Duration::from_secs(60);

/// How long events are listened to: live workers tell that they are alive every 2 s.
const LISTENING: Duration = Duration::from_secs(5);

/// Queues listed; more are only counted.
const LISTED: usize = 50;

/// Longer names push their line's columns to the right.
const NAME_WIDTH: usize = 40;

/// Checks every broker and gives the exit code: the worst of them.
pub(super) async fn check(config: Config) -> u8 {
    let mut code = 0;
    for broker in &config.brokers {
        let outcome = match &broker.endpoint {
            Endpoint::Redis(redis) => look(broker, RedisSource::new(broker, redis)).await,
            Endpoint::RabbitMq(rabbit) => look(broker, RabbitMqSource::new(broker, rabbit)).await,
            Endpoint::Simulated => look(broker, SimulatedSource::default()).await,
        };
        let (text, found) = report(broker, outcome);
        // Nothing can be done about a closed output.
        std::io::stdout().write_all(text.as_bytes()).ok();
        code = code.max(found);
    }
    code
}

/// What one search and one poll have found.
struct Found {
    snapshot: BrokerSnapshot,
    /// By what way the broker was read.
    ways: Vec<String>,
    lacking: Lacking,
}

/// One search and one poll, and the rights that are missing.
async fn look<S: Source>(broker: &Broker, mut source: S) -> Result<Found, BrokerError> {
    let limit = |what: &str, limit: Duration| {
        let limit = humantime::format_duration(limit);
        BrokerError::new(
            ErrorKind::Timeout,
            format!(
                "{what} took longer than {limit}: is this the right host and port, does it speak \
                 TLS (rediss://, amqps://) or not as the URL says, and does a firewall let it through?"
            ),
        )
    };
    let started = clock::now().mono;
    while !source.discovered() {
        let pause = tokio::time::timeout(broker.poll.timeout, source.discover())
            .await
            .map_err(|_| limit("the search for queues", broker.poll.timeout))??;
        if clock::now().mono.saturating_duration_since(started) > SEARCH_LIMIT {
            return Err(limit("the search for queues", SEARCH_LIMIT));
        }
        if !source.discovered() {
            tokio::time::sleep(pause).await;
        }
    }
    let poll = async |source: &mut S| {
        tokio::time::timeout(broker.poll.timeout, source.poll())
            .await
            .map_err(|_| limit("a poll", broker.poll.timeout))?
    };
    let mut success = poll(&mut source).await?;
    if broker.celery_events().is_some() {
        tokio::time::sleep(LISTENING).await;
        success = poll(&mut source).await?;
    }
    let lacking = tokio::time::timeout(broker.poll.timeout, source.lacking())
        .await
        .map_err(|_| limit("a look at the rights", broker.poll.timeout))??;
    let mut state = BrokerState::new(
        Arc::clone(&broker.name),
        broker.kind(),
        broker.poll.interval,
        broker.poll.stale_after,
    );
    let faults: Vec<String> = success
        .faults
        .iter()
        .map(|fault| fault.message.clone())
        .collect();
    state.apply(Report {
        broker: Arc::clone(&broker.name),
        at: clock::now(),
        interval: broker.poll.interval,
        cost: source.cost(),
        outcome: Ok(success),
    });
    let mut snapshot = state.snapshot();
    if let Some(error) = &mut snapshot.last_error {
        error.message = faults.join("\n").into();
    }
    Ok(Found {
        snapshot,
        ways: source.describe(),
        lacking,
    })
}

fn report(broker: &Broker, outcome: Result<Found, BrokerError>) -> (String, u8) {
    let mut text = format!("{} ({})", broker.name, redact::endpoint(&broker.endpoint));
    match outcome {
        Err(error) => {
            let code = match error.kind {
                ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Tls | ErrorKind::Protocol => {
                    exit::UNAVAILABLE
                }
                _ => exit::FAILURE,
            };
            push(
                &mut text,
                format_args!(": FAILED ({})\n  {error}\n", error.kind.as_str()),
            );
            (text, code)
        }
        Ok(Found {
            snapshot,
            ways,
            lacking,
        }) => {
            describe(&mut text, &snapshot);
            for way in ways {
                push(&mut text, format_args!("  source: {way}\n"));
            }
            describe_lacking(&mut text, &lacking);
            let is_fine = snapshot.last_error.is_none() && lacking.needed.is_empty();
            (text, if is_fine { 0 } else { exit::FAILURE })
        }
    }
}

fn describe(text: &mut String, snapshot: &BrokerSnapshot) {
    let version = snapshot.version.as_deref().unwrap_or("version unknown");
    let commands: u64 = snapshot.cost.commands.values().sum();
    push(
        text,
        format_args!(
            ": ok, {} {version}, {} queues, {commands} commands, {} bytes\n",
            snapshot.kind.as_str(),
            snapshot.queues.len(),
            snapshot.cost.bytes_sent + snapshot.cost.bytes_received
        ),
    );
    if snapshot.queues.is_empty() {
        push(
            text,
            format_args!(
                "  no queue was found: has a producer or worker of the job system been connected \
                 yet, and is this the right database or virtual host?\n"
            ),
        );
    } else {
        let head = ["SYSTEM", "QUEUE", "READY", "LATENCY", "SOURCE"].map(str::to_owned);
        let rows: Vec<_> = snapshot.queues.iter().take(LISTED).map(cells).collect();
        let width = rows
            .iter()
            .map(|[_, queue, ..]| queue.chars().count())
            .max()
            .unwrap_or(0);
        let width = width.clamp("QUEUE".len(), NAME_WIDTH);
        row(text, &head, width);
        for cells in &rows {
            row(text, cells, width);
        }
    }
    let more = snapshot.queues.len().saturating_sub(LISTED);
    if more > 0 {
        push(text, format_args!("  … and {more} more\n"));
    }
    if let Some(events) = &snapshot.events {
        push(text, format_args!("  events: {}\n", heard(events)));
    }
    for (reason, count) in &snapshot.dropped {
        push(
            text,
            format_args!("  not exported: {count} queues ({})\n", reason.as_str()),
        );
    }
    if let Some(error) = &snapshot.last_error {
        for line in error.message.lines() {
            push(text, format_args!("  problem: {line}\n"));
        }
    }
}

fn describe_lacking(text: &mut String, lacking: &Lacking) {
    let rule = |rights: &[&str]| {
        rights
            .iter()
            .map(|right| format!(" +{right}"))
            .collect::<String>()
    };
    if !lacking.needed.is_empty() {
        push(
            text,
            format_args!(
                "  problem: the user lacks the rights{}: what is read with them is unknown, also in \
                 queues yet to come; `tailback generate acl` writes the rule\n",
                rule(&lacking.needed)
            ),
        );
    }
    if !lacking.useful.is_empty() {
        push(
            text,
            format_args!(
                "  note: without{} jobs that come and go between two polls are not counted, and plain \
                 lists mostly have no upper bound of their latency\n",
                rule(&lacking.useful)
            ),
        );
    }
}

/// What came in while we listened, and what to do about what did not.
fn heard(events: &EventsView) -> String {
    let limit = humantime::format_duration(LISTENING);
    let all = events.events.sum();
    if !events.is_listening {
        return "they cannot be listened to".to_owned();
    }
    if all == 0 {
        return format!(
            "none came in {limit}: start Celery's workers with -E (or worker_send_task_events = True)"
        );
    }
    let workers = events.workers.unwrap_or(0);
    let mut text = format!("{all} in {limit}, {workers} workers");
    let of = |kind| events.events.of(kind);
    let (sent, started) = (of(EventKind::Sent), of(EventKind::Started));
    if sent == 0 {
        text.push_str(match started {
            0 => "; none of a task",
            _ => {
                "; none tells of a sending: without task_send_sent_event = True nothing can be told \
                 by queue"
            }
        });
    }
    text
}

fn cells(queue: &QueueSnapshot) -> [String; 5] {
    let (latency, source) = match queue.latency {
        Latency::Empty => ("0s".to_owned(), queue.source.as_str().to_owned()),
        Latency::Known { age, source, .. } => (rounded(age.estimate), source.as_str().to_owned()),
        Latency::Unknown(reason) => ("?".to_owned(), format!("none: {}", reason.as_str())),
    };
    [
        queue.system.as_str().to_owned(),
        // A name may hold anything; a terminal must not obey it.
        queue.queue.escape_debug().collect(),
        queue
            .jobs
            .ready
            .map_or_else(|| "?".to_owned(), |ready| ready.to_string()),
        latency,
        source,
    ]
}

/// As exact as a person wants it: milliseconds below a minute, then seconds.
fn rounded(age: Duration) -> String {
    let age = if age < Duration::from_secs(60) {
        Duration::from_millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    } else {
        Duration::from_secs(age.as_secs())
    };
    humantime::format_duration(age).to_string()
}

/// One line of the table. `width` is that of the longest name.
fn row(text: &mut String, [system, queue, ready, latency, source]: &[String; 5], width: usize) {
    push(
        text,
        format_args!("  {system:<8}  {queue:<width$}  {ready:>9}  {latency:>12}  {source}\n"),
    );
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(line).ok();
}
