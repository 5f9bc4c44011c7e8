//! Dramatiq 1.x and 2.x on RabbitMQ (`dramatiq/brokers/rabbitmq.py`, `dramatiq/common.py`).
//!
//! A queue is three: `NAME`; `NAME.DQ`, where a delayed message waits until a worker that holds it
//! puts it into `NAME`; and `NAME.XQ`, where dead letters stay for a week. The first two have the
//! arguments `x-dead-letter-exchange: ""` and `x-dead-letter-routing-key: NAME.XQ`, by which they
//! are told: three queues of such names are somebody else's without them.
//!
//! # What the numbers mean here
//!
//! * `ready`, `in_progress`, counters and the flow are those of `NAME`. A worker holds twice as many
//!   messages as it has threads, of which those that run are acknowledged when they end.
//! * `scheduled` is all of `NAME.DQ`: workers hold what is delayed, up to a thousand messages a
//!   thread. Retries are among it. A delayed message is published again, and counted as `enqueued`,
//!   when it is due, so its delay is no waiting time.
//! * `failed` is all of `NAME.XQ`.
//! * A message's own time is in its body, which nobody can read without taking the message.

use crate::config;
use crate::layout::rabbitmq::{Layout, QueueRow, UNSTAMPED, Vhost, observe_one};
use crate::model::{Head, Observation, Reason, System};

const DELAYED: &str = ".DQ";
const DEAD: &str = ".XQ";

struct Dramatiq;

/// Binds to a broker. There are no options.
pub fn bind(_config: &config::RabbitMq) -> Box<dyn Layout> {
    Box::new(Dramatiq)
}

impl Layout for Dramatiq {
    fn claim(&self, row: &QueueRow, vhost: &Vhost) -> Option<String> {
        let name = queue_of(&row.name);
        let dead = format!("{name}{DEAD}");
        let is_dramatiqs = |queue: &str| vhost.dead_letters.get(queue) == Some(&dead);
        (is_dramatiqs(name) && is_dramatiqs(&format!("{name}{DELAYED}"))).then(|| name.to_owned())
    }

    fn observe(&self, rows: &[&QueueRow]) -> Observation {
        let ending = |ending: &str| rows.iter().find(|row| row.name.ends_with(ending));
        let live = rows.iter().find(|row| queue_of(&row.name) == row.name);
        let mut observation = match live {
            Some(row) => observe_one(System::Dramatiq, &[row]),
            None => Observation {
                head: Head::Unknown(Reason::NotReported),
                ..Observation::new(System::Dramatiq, "".into(), UNSTAMPED)
            },
        };
        observation.jobs.scheduled = ending(DELAYED).and_then(|row| row.messages());
        observation.jobs.failed = ending(DEAD).and_then(|row| row.messages());
        observation
    }
}

/// The queue that a queue's name says that it is a part of.
fn queue_of(name: &str) -> &str {
    [DELAYED, DEAD]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vhost(dead_letters: &[(&str, &str)]) -> Vhost {
        Vhost {
            dead_letters: dead_letters
                .iter()
                .map(|&(queue, to)| (queue.to_owned(), to.to_owned()))
                .collect(),
            ..Vhost::default()
        }
    }

    #[test]
    fn only_queues_that_lead_to_their_dead_letters_are_dramatiqs() {
        let claim = |queue, vhost: &Vhost| Dramatiq.claim(&QueueRow::named(queue), vhost);
        let own = vhost(&[("a", "a.XQ"), ("a.DQ", "a.XQ")]);
        for queue in ["a", "a.DQ", "a.XQ"] {
            assert_eq!(claim(queue, &own), Some("a".to_owned()));
        }
        assert_eq!(claim("b.XQ", &own), None);
        for others in [
            vhost(&[]),
            vhost(&[("a", "a.XQ")]),
            vhost(&[("a", "dead"), ("a.DQ", "a.XQ")]),
        ] {
            for queue in ["a", "a.DQ", "a.XQ"] {
                assert_eq!(claim(queue, &others), None);
            }
        }
    }

    #[test]
    fn a_part_that_is_not_reported_is_unknown() {
        let (live, delayed) = (QueueRow::named("a"), QueueRow::named("a.DQ"));
        let seen = Dramatiq.observe(&[&live, &delayed]);
        assert_eq!((seen.jobs.ready, seen.jobs.scheduled), (None, None));
        assert_eq!(seen.head, Head::Unknown(Reason::NotReported));
        assert_eq!(Dramatiq.observe(&[&delayed]).head, seen.head);
    }
}
