//! Any RabbitMQ queue, whatever its jobs are: what the broker itself counts and keeps.
//!
//! | fact | from |
//! |---|---|
//! | ready | `messages_ready`; not of streams, which keep messages that have been read |
//! | in progress | `messages_unacknowledged`: delivered, prefetched ones included |
//! | enqueued | `publish`; dead-lettered arrivals are not in it |
//! | started | `deliver_get − redeliver`: each message once, however often it came back. What a classic queue held when the broker was restarted counts as redelivered from the first time on |
//! | finished | `ack + deliver_no_ack + get_no_ack` |
//! | consumer capacity | `consumer_capacity` of classic queues. Without consumers it says nothing; of a quorum queue whose consumers all hold as much as they may, 3.10 says 1 |
//! | head | `head_message_timestamp`, where it can only mean waiting time |
//!
//! `head_message_timestamp` is the AMQP `timestamp` property of the oldest message, in whole
//! seconds, and covers messages that a consumer holds (`rabbit_classic_queue`/`rabbit_variable_queue`
//! `head_message_timestamp`: the minimum over the ready head and the oldest unacknowledged). So it
//! tells the age of the oldest *waiting* message only when nothing is unacknowledged. With
//! `x-max-priority` it is the head of the highest priority. Quorum queues and streams have none, up
//! to 4.3. It is the time at which the message was published: of one that was dead-lettered into
//! the queue, the first publishing.

use super::{Kind, Layout, QueueRow, UNSTAMPED, Vhost};
use crate::config;
use crate::model::flow::{HeadState, Order, StampOf};
use crate::model::{Counters, Head, LatencySource, Observation, Reason, System, Timestamp};
use std::time::Duration;

struct Plain;

/// Binds to a broker. Plain queues have no options.
pub fn bind(_config: &config::RabbitMq) -> Box<dyn Layout> {
    Box::new(Plain)
}

impl Layout for Plain {
    fn claim(&self, row: &QueueRow, _vhost: &Vhost) -> Option<String> {
        Some(row.name.clone())
    }

    fn observe(&self, rows: &[&QueueRow]) -> Observation {
        observe_one(System::RabbitMq, rows)
    }
}

/// What the broker tells of a queue that is a single row.
pub(in crate::layout) fn observe_one(system: System, rows: &[&QueueRow]) -> Observation {
    let mut observation = Observation::new(system, "".into(), UNSTAMPED);
    // A claim without a row is a fault of the caller's; it then knows nothing.
    let Some(row) = rows.first() else {
        return observation;
    };
    observation.consumers = row.consumers;
    observation.consumer_capacity = row
        .consumer_capacity
        .filter(|_| row.kind == Kind::Classic && row.consumers.is_some_and(|count| count > 0));
    observation.head = head(row);
    observation.counters = counters(row);
    if row.kind != Kind::Stream {
        observation.jobs.ready = row.ready;
        observation.jobs.in_progress = row.unacknowledged;
        if row.ready.is_none() || row.unacknowledged.is_none() {
            observation.jobs_unknown = Some(Reason::NotReported);
        }
        add_flow(&mut observation, row);
    }
    observation
}

/// What the counters tell; the time of the head itself is better where there is one.
fn add_flow(observation: &mut Observation, row: &QueueRow) {
    let Some(flow) = &row.flow else {
        return;
    };
    let mut latest = flow.latest.clone();
    let all = std::iter::once(&mut latest);
    observation.statistics = flow.statistics.clone();
    for sample in observation.statistics.earlier.iter_mut().chain(all) {
        for line in &mut sample.lines {
            if row.has_priorities {
                line.arrivals.order = Order::Broken;
            }
        }
    }
    if let Head::Since {
        earliest,
        latest: newest,
        upper_is_hard,
        source,
    } = observation.head
    {
        for line in &mut latest.lines {
            line.head.state = HeadState::Stamped {
                // Not comparable: the line is as of the last statistics, the head as of now.
                of: StampOf::Other,
                earliest,
                latest: newest,
                upper_is_hard,
                source,
            };
        }
    }
    observation.flow = Some(latest);
}

/// The oldest waiting message.
fn head(row: &QueueRow) -> Head {
    if row.kind == Kind::Stream {
        return Head::Unknown(Reason::NoTimestamp);
    }
    match row.ready {
        None => return Head::Unknown(Reason::NotReported),
        Some(0) => return Head::Empty,
        Some(_) => {}
    }
    let timestamp = row
        .head_timestamp
        .and_then(Timestamp::from_number_of_unknown_unit);
    let Some(earliest) = timestamp.filter(|_| row.kind == Kind::Classic && !row.has_priorities)
    else {
        return Head::Unknown(Reason::NoTimestamp);
    };
    match row.unacknowledged {
        Some(0) => Head::Since {
            earliest,
            latest: earliest.plus(Duration::from_secs(1)),
            upper_is_hard: true,
            source: LatencySource::Broker,
        },
        Some(_) => Head::Unknown(Reason::IncludesUnacknowledged),
        None => Head::Unknown(Reason::NotReported),
    }
}

/// The flow through a queue.
fn counters(row: &QueueRow) -> Counters {
    let Some(stats) = row.stats else {
        return Counters::default();
    };
    let mut counters = Counters {
        enqueued: Some(stats.publish),
        ..Counters::default()
    };
    if row.kind != Kind::Stream {
        counters.started = Some(stats.deliver_get.saturating_sub(stats.redeliver));
        counters.finished = Some(
            stats
                .ack
                .saturating_add(stats.deliver_no_ack)
                .saturating_add(stats.get_no_ack),
        );
        counters.redelivered = Some(stats.redeliver);
    }
    counters
}
