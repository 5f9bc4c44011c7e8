//! Celery on RabbitMQ (Celery 4.0–5.7, kombu 5.0–5.7, py-amqp).
//!
//! # Which queues are Celery's
//!
//! A message says so, but reading one would disturb its queue. What can be seen without that: a
//! worker declares the exchanges `celeryev` (`celery/events/event.py`) and `celery.pidbox`
//! (`kombu/pidbox.py`), and both workers and producers declare for each task queue an exchange,
//! by default of the queue's own name (`celery/app/amqp.py`, `Queues.add_missing` and
//! `task_create_missing_queues`). `celeryev` is durable, so that it outlives the workers and
//! a restart of the broker. So in a vhost with a sign of Celery, a queue with an exchange of its
//! own name is Celery's. The configuration's `celery.queues` names others: those with an exchange
//! of another name.
//!
//! # What the numbers mean here
//!
//! * `in_progress` is what workers hold: running tasks with `acks_late`, prefetched ones and those
//!   with an ETA. Without `acks_late` (the default) a task is acknowledged when it starts, so a
//!   running one is not in it.
//! * `started` counts deliveries to workers, prefetched ones included. `finished` counts
//!   acknowledgements: starts without `acks_late`, ends with it.
//! * Priorities (`x-max-priority`) are not counted by level anywhere.
//! * Quorum queues with native delayed delivery (kombu 5.5 on) have 28 more queues, from
//!   `celery_delayed_0` to `_27`, before kombu 5.7 without and then with an optional
//!   `<prefix>_` (`kombu/transport/native_delayed_delivery.py`). They are shown as one queue,
//!   `celery_delayed` or `<prefix>_celery_delayed`, with all its jobs `scheduled`: which level a
//!   job is in says nothing of when it is due.
//! * A task with an ETA that no worker has taken yet counts as ready from its publishing on.

use crate::config;
use crate::layout::rabbitmq::{Layout, QueueRow, UNSTAMPED, Vhost, observe_one};
use crate::model::{Head, Observation, Reason, System};
use globset::{Glob, GlobSet, GlobSetBuilder};

struct Celery {
    /// Queues that are Celery's because the configuration says so.
    named: GlobSet,
}

/// Binds to a broker with the options of `[brokers.NAME.rabbitmq.celery]`.
pub fn bind(config: &config::RabbitMq) -> Box<dyn Layout> {
    let mut named = GlobSetBuilder::new();
    // The loader refuses globs that cannot be compiled.
    for glob in config
        .celery
        .queues
        .iter()
        .filter_map(|glob| Glob::new(glob).ok())
    {
        named.add(glob);
    }
    Box::new(Celery {
        named: named.build().unwrap_or_default(),
    })
}

impl Layout for Celery {
    fn claim(&self, row: &QueueRow, vhost: &Vhost) -> Option<String> {
        if let Some(group) = delayed(&row.name) {
            return Some(group.to_owned());
        }
        let is_ours = self.named.is_match(&row.name)
            || has_task_exchange(&row.name, vhost) && has_signs_of_celery(vhost);
        is_ours.then(|| row.name.clone())
    }

    fn observe(&self, rows: &[&QueueRow]) -> Observation {
        if rows.iter().any(|row| delayed(&row.name).is_some()) {
            return observe_delayed(rows);
        }
        observe_one(System::Celery, rows)
    }
}

/// The queues of native delayed delivery together. Unknown as long as one of them is.
fn observe_delayed(rows: &[&QueueRow]) -> Observation {
    let mut observation = Observation::new(System::Celery, "".into(), UNSTAMPED);
    observation.head = Head::Unknown(Reason::OnlyScheduledSeen);
    observation.jobs.scheduled = rows
        .iter()
        .try_fold(0_u64, |sum, row| Some(sum.saturating_add(row.messages()?)));
    observation
}

/// `celery_delayed` of `celery_delayed_0` to `celery_delayed_27`, prefix kept.
fn delayed(name: &str) -> Option<&str> {
    const HIGHEST_LEVEL: u8 = 27;
    let (group, level) = name.rsplit_once('_')?;
    let prefix = group.strip_suffix("celery_delayed")?;
    let is_level = level.bytes().all(|byte| byte.is_ascii_digit())
        && (level == "0" || !level.starts_with('0'))
        && level
            .parse::<u8>()
            .is_ok_and(|level| level <= HIGHEST_LEVEL);
    (is_level && (prefix.is_empty() || prefix.ends_with('_'))).then_some(group)
}

fn has_task_exchange(queue: &str, vhost: &Vhost) -> bool {
    vhost
        .exchanges
        .get(queue)
        .is_some_and(|kind| matches!(kind.as_str(), "direct" | "topic"))
}

/// Whether a worker has ever been in this vhost, or a producer with Celery's default queue.
fn has_signs_of_celery(vhost: &Vhost) -> bool {
    const DEFAULT_QUEUE: &str = "celery";
    let is = |exchange: &str, kind: &str| vhost.exchanges.get(exchange).is_some_and(|k| k == kind);
    is("celeryev", "topic")
        || is("celery.pidbox", "fanout")
        || is("celery_delayed_delivery", "topic")
        || is(DEFAULT_QUEUE, "direct") && vhost.queues.contains(DEFAULT_QUEUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vhost(exchanges: &[(&str, &str)], queues: &[&str]) -> Vhost {
        Vhost {
            exchanges: exchanges
                .iter()
                .map(|&(n, k)| (n.to_owned(), k.to_owned()))
                .collect(),
            queues: queues.iter().map(|&name| name.to_owned()).collect(),
            ..Vhost::default()
        }
    }

    fn layout() -> Celery {
        let mut named = GlobSetBuilder::new();
        named.add(Glob::new("forced.*").unwrap());
        Celery {
            named: named.build().unwrap(),
        }
    }

    fn claim(queue: &str, vhost: &Vhost) -> Option<String> {
        layout().claim(&QueueRow::named(queue), vhost)
    }

    #[test]
    fn a_queue_with_its_own_exchange_is_celerys_where_there_are_signs_of_celery() {
        let own = [
            ("emails", "direct"),
            ("celeryev", "topic"),
            ("log", "fanout"),
        ];
        let with_worker = vhost(&own, &["emails", "plain", "log"]);
        assert_eq!(claim("emails", &with_worker), Some("emails".to_owned()));
        assert_eq!(claim("plain", &with_worker), None);
        assert_eq!(claim("log", &with_worker), None);
        assert_eq!(
            claim("emails", &vhost(&[("emails", "direct")], &["emails"])),
            None
        );
    }

    #[test]
    fn the_default_queue_is_a_sign_by_itself() {
        let producer_only = vhost(&[("celery", "direct"), ("b", "direct")], &["celery", "b"]);
        assert_eq!(claim("celery", &producer_only), Some("celery".to_owned()));
        assert_eq!(claim("b", &producer_only), Some("b".to_owned()));
    }

    #[test]
    fn a_name_in_the_configuration_needs_no_sign() {
        assert_eq!(
            claim("forced.x", &Vhost::default()),
            Some("forced.x".to_owned())
        );
    }

    #[test]
    fn the_levels_of_delayed_delivery_are_one_queue() {
        for (name, group) in [
            ("celery_delayed_0", Some("celery_delayed")),
            ("celery_delayed_27", Some("celery_delayed")),
            ("eu_celery_delayed_9", Some("eu_celery_delayed")),
            ("celery_delayed_28", None),
            ("celery_delayed_07", None),
            ("celery_delayed_", None),
            ("celery_delayed_+1", None),
            ("xcelery_delayed_1", None),
            ("celery_delayed_delivery", None),
        ] {
            assert_eq!(delayed(name), group, "{name}");
        }
    }

    #[test]
    fn delayed_jobs_are_summed_and_unknown_while_a_level_is_not_reported() {
        let level = |level: u8, ready| {
            let mut row = QueueRow::named(format!("celery_delayed_{level}"));
            (row.ready, row.unacknowledged) = (ready, Some(0));
            row
        };
        let (some, none, unknown) = (level(9, Some(3)), level(1, Some(0)), level(2, None));
        let observed = layout().observe(&[&some, &none]);
        assert_eq!(observed.jobs.scheduled, Some(3));
        assert_eq!(observed.jobs.ready, None);
        assert_eq!(layout().observe(&[&some, &unknown]).jobs.scheduled, None);
    }
}
