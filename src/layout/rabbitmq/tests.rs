//! Layouts over rows recorded from RabbitMQ 3.10.8 and 4.0.5.

mod versions;

use super::{Layout, QueueRow, Vhost, is_internal};
use crate::layout::LAYOUTS;
use crate::layout::celery;
use crate::model::{Head, Jobs, LatencySource, Observation, Reason, System, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const CELERY_3: &str = include_str!("../../../tests/fixtures/rabbitmq/3.10.8-celery.json");
const CELERY_4: &str = include_str!("../../../tests/fixtures/rabbitmq/4.0.5-celery.json");
const DRAMATIQ: &str = include_str!("../../../tests/fixtures/rabbitmq/3.10.8-dramatiq.json");
const API: &str = include_str!("../../../tests/fixtures/rabbitmq/api.json");
const PLAIN: &str = include_str!("../../../tests/fixtures/rabbitmq/plain.json");

/// Rows as they were recorded.
fn rows(list: &Value) -> Vec<QueueRow> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|row| QueueRow::decode(row).unwrap())
        .collect()
}

/// Observations by queue of one recorded case, as a source makes them.
fn observe(file: &str, case: &str) -> BTreeMap<String, Observation> {
    let file: Value = serde_json::from_str(file).unwrap();
    let rows = rows(file.pointer(case).unwrap());
    let exchanges = file["exchanges"].as_object().cloned().unwrap_or_default();
    let exchanges = exchanges
        .into_iter()
        .map(|(name, kind)| (name, kind.as_str().unwrap().to_owned()));
    let vhost = Vhost::of(exchanges.collect(), rows.iter());
    let config = config();
    let layouts: Vec<Box<dyn Layout>> = LAYOUTS
        .iter()
        .filter_map(|row| Some(row.rabbitmq?(&config)))
        .collect();
    let mut groups: BTreeMap<String, (usize, Vec<&QueueRow>)> = BTreeMap::new();
    for row in rows.iter().filter(|row| !is_internal(row)) {
        let (name, at) = layouts
            .iter()
            .enumerate()
            .find_map(|(at, layout)| Some((layout.claim(row, &vhost)?, at)))
            .unwrap();
        groups.entry(name).or_insert((at, Vec::new())).1.push(row);
    }
    groups
        .into_iter()
        .map(|(name, (at, rows))| (name, layouts[at].observe(&rows)))
        .collect()
}

pub(super) fn config() -> crate::config::RabbitMq {
    use crate::config::{HttpApi, RabbitMq, Tls};
    RabbitMq {
        nodes: Vec::new(),
        amqp_tls: false,
        management: HttpApi::Off,
        prometheus: HttpApi::Off,
        username: "guest".to_owned(),
        password: crate::redact::Secret::new("guest"),
        vhosts: vec!["/".to_owned()],
        tls: Tls::default(),
        declare: Vec::new(),
        declare_objectives: None,
        declare_limit: 0,
        internal_queues: false,
        celery: crate::config::Celery::default(),
    }
}

fn depths(observation: &Observation) -> (Option<u64>, Option<u64>, Option<u64>) {
    (
        observation.jobs.ready,
        observation.jobs.in_progress,
        observation.consumers,
    )
}

#[test]
fn celerys_queues_are_found_with_and_without_a_worker() {
    for case in ["/running", "/worker_stopped"] {
        let seen = observe(CELERY_3, case);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["celery", "emails"]);
        assert!(
            seen.values().all(|one| one.system == System::Celery),
            "{case}"
        );
    }
    let running = &observe(CELERY_3, "/running")["celery"];
    assert_eq!(depths(running), (Some(7), Some(9), Some(1)));
    assert_eq!(running.head, Head::Unknown(Reason::NoTimestamp));
    let counters = running.counters;
    assert_eq!(
        (
            counters.enqueued,
            counters.started,
            counters.finished,
            counters.redelivered
        ),
        (Some(21), Some(14), Some(5), Some(4))
    );
    let stopped = &observe(CELERY_3, "/worker_stopped")["celery"];
    assert_eq!(depths(stopped), (Some(16), Some(0), Some(0)));
    let waiting = &observe(CELERY_3, "/waiting")["celery"];
    assert_eq!(waiting.counters.enqueued, Some(4));
    assert_eq!(waiting.counters.finished, Some(0));
}

#[test]
fn a_quorum_queue_that_is_not_reported_yet_is_unknown() {
    let new = &observe(CELERY_4, "/declared_6s_ago")["celery"];
    assert_eq!((new.system, new.jobs), (System::Celery, Jobs::default()));
    assert_eq!(new.head, Head::Unknown(Reason::NotReported));
    assert_eq!(new.counters.enqueued, Some(4));
}

#[test]
fn the_plain_list_of_4_x_decodes() {
    let seen = observe(CELERY_4, "/running");
    assert_eq!(
        seen.keys().collect::<Vec<_>>(),
        ["celery", "celery_delayed", "emails"]
    );
    assert_eq!(depths(&seen["celery"]), (Some(8), Some(8), Some(1)));
    assert_eq!(seen["emails"].counters.enqueued, Some(1));
    let nothing_scheduled = &seen["celery_delayed"];
    assert_eq!(
        nothing_scheduled.jobs,
        Jobs {
            scheduled: Some(0),
            ..Jobs::default()
        }
    );
}

#[test]
fn native_delayed_delivery_is_one_queue_of_scheduled_jobs() {
    let seen = observe(CELERY_4, "/delayed");
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["celery_delayed", "qq"]);
    let delayed = &seen["celery_delayed"];
    assert_eq!(
        delayed.jobs,
        Jobs {
            scheduled: Some(2),
            ..Jobs::default()
        }
    );
    assert_eq!(delayed.head, Head::Unknown(Reason::OnlyScheduledSeen));
    assert_eq!(delayed.counters.enqueued, None);
    assert_eq!(seen["qq"].jobs.ready, Some(2));
}

#[test]
fn dramatiqs_three_queues_are_one() {
    let jobs = |ready, in_progress, scheduled, failed| Jobs {
        ready: Some(ready),
        in_progress: Some(in_progress),
        scheduled: Some(scheduled),
        failed: Some(failed),
        ..Jobs::default()
    };
    for (case, default, emails) in [
        ("/waiting", jobs(2, 0, 1, 0), jobs(1, 0, 0, 0)),
        ("/running", jobs(12, 4, 2, 2), jobs(0, 0, 0, 0)),
        ("/after_stop", jobs(14, 0, 2, 2), jobs(0, 0, 0, 0)),
    ] {
        let seen = observe(DRAMATIQ, case);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["default", "emails"]);
        assert!(seen.values().all(|one| one.system == System::Dramatiq));
        assert_eq!(seen["default"].jobs, default, "{case}");
        assert_eq!(seen["emails"].jobs, emails, "{case}");
    }
    let running = &observe(DRAMATIQ, "/running")["default"];
    assert_eq!(running.consumers, Some(1));
    let counters = running.counters;
    assert_eq!(
        (counters.enqueued, counters.started, counters.finished),
        (Some(23), Some(11), Some(5))
    );
}

#[test]
fn only_a_classic_queues_head_without_priorities_tells_a_time() {
    for version in ["3.10.8", "4.0.5"] {
        let seen = observe(PLAIN, &format!("/{version}/fresh"));
        let earliest = Timestamp::from_micros(1_700_000_000_000_000);
        let head = Head::Since {
            earliest,
            latest: earliest.plus(Duration::from_secs(1)),
            upper_is_hard: true,
            source: LatencySource::Broker,
        };
        assert_eq!(seen["t.classic"].head, head, "{version}");
        assert_eq!(seen["t.prio"].head, Head::Unknown(Reason::NoTimestamp));
        assert_eq!(seen["t.quorum"].head, Head::Unknown(Reason::NotReported));
    }
    let lazy = &observe(PLAIN, "/3.10.8 lazy")["lazy"];
    assert_eq!(
        (lazy.jobs.ready, lazy.head),
        (Some(4), Head::Unknown(Reason::NoTimestamp))
    );
}

#[test]
fn returned_messages_are_started_once_and_again_only_when_delivered_first() {
    let seen = observe(PLAIN, "/3.10.8/got_30_times");
    // 30 deliveries of one message, and of three in turn.
    assert_eq!(seen["t.classic"].counters.started, Some(1));
    assert_eq!(seen["t.quorum"].counters.started, Some(3));
    assert_eq!(seen["t.classic"].counters.redelivered, Some(29));
    assert_eq!(seen["t.classic"].counters.finished, Some(0));
}

#[test]
fn nothing_ready_is_empty_though_a_held_message_has_a_time() {
    for version in ["3.10.8", "4.0.5"] {
        let seen = observe(PLAIN, &format!("/{version}/all_unacknowledged"));
        for (queue, one) in seen {
            assert_eq!(
                (one.jobs.ready, one.head),
                (Some(0), Head::Empty),
                "{version} {queue}"
            );
        }
    }
}

#[test]
fn without_statistics_there_are_depths_and_nothing_else() {
    for version in ["3.10.8", "4.0.5"] {
        for (queue, one) in observe(PLAIN, &format!("/{version} without statistics")) {
            assert_eq!(depths(&one), (Some(5), Some(0), None), "{version} {queue}");
            assert_eq!(one.counters, crate::model::Counters::default());
            assert_eq!(one.head, Head::Unknown(Reason::NoTimestamp));
        }
    }
    for version in ["3.10.8", "4.0.5"] {
        let seen = observe(PLAIN, &format!("/{version} without anything"));
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["f.classic", "f.quorum"]);
        for one in seen.values() {
            assert_eq!(one.head, Head::Unknown(Reason::NotReported));
            assert_eq!(depths(one), (None, None, None));
        }
    }
}

#[test]
fn a_time_in_another_unit_is_the_same_time() {
    for written in [1.7e9, 1.7e12, 1.7e15] {
        let mut row = QueueRow::named("q");
        row.kind = super::Kind::Classic;
        (row.ready, row.unacknowledged, row.head_timestamp) = (Some(1), Some(0), Some(written));
        let plain = super::bind(&config());
        let Head::Since { earliest, .. } = plain.observe(&[&row]).head else {
            panic!("{written}")
        };
        assert_eq!(earliest, Timestamp::from_micros(1_700_000_000_000_000));
    }
}

#[test]
fn a_glob_in_the_configuration_makes_a_queue_celerys() {
    let mut config = config();
    config.celery.queues = vec!["custom*".to_owned()];
    let layout = celery::rabbitmq::bind(&config);
    let claim = |name| layout.claim(&QueueRow::named(name), &Vhost::default());
    assert_eq!(claim("custom.1"), Some("custom.1".to_owned()));
    assert_eq!(claim("other"), None);
}

#[test]
fn answers_with_columns_decode_though_4_x_leaves_out_what_is_null() {
    let file: Value = serde_json::from_str(API).unwrap();
    let published = |row: &QueueRow| row.stats.map(|stats| stats.publish);
    let old = rows(&file["3.10.8"]["columns"]);
    assert_eq!(old.len(), 2);
    for row in &old {
        assert_eq!((row.ready, row.unacknowledged), (Some(5), Some(0)));
        assert_eq!((published(row), row.head_timestamp), (Some(5), None));
    }
    let [celery, delayed] = &rows(&file["4.0.5"]["columns"])[..] else {
        panic!("two rows")
    };
    assert_eq!((celery.ready, published(celery)), (Some(16), Some(21)));
    assert_eq!((delayed.consumers, published(delayed)), (Some(0), Some(0)));
    for version in ["3.10.8", "4.0.5"] {
        for page in ["page", "page_by_name"] {
            let page = rows(&file[version][page]["items"]);
            assert_eq!(page.len(), 2);
            assert!(
                page.iter()
                    .all(|row| row.ready.is_some() && row.stats.is_none())
            );
        }
    }
}

#[test]
fn a_recorded_history_is_one_whatever_has_not_happened_yet() {
    let file: Value = serde_json::from_str(API).unwrap();
    for version in ["3.10.8", "4.0.5"] {
        let (name, history) = super::flow::Samples::decode(&file[version]["history"], 5).unwrap();
        let history = history.unwrap();
        assert_eq!((name.as_str(), history.points.len()), ("f.classic", 4));
        for point in &history.points {
            assert_eq!((point.totals.publish, point.totals.deliver_get), (5, 0));
        }
        let first = history.points[0].at;
        let last = history.latest().unwrap().at;
        assert_eq!(last - first, 15, "{version}");
    }
}

/// `messages_ready_high` is of RabbitMQ 4.x, where quorum queues have two priorities
/// (`rabbit_quorum_queue.erl`).
#[test]
fn a_quorum_queue_with_urgent_messages_is_not_in_order() {
    let row = |high: Value| {
        let row = serde_json::json!({"name": "q", "type": "quorum", "messages_ready": 3,
            "messages_ready_high": high, "messages_ready_normal": 1, "messages_ready_returned": 0,
            "delivery_limit": 20, "publishers": 1});
        QueueRow::decode(&row).unwrap()
    };
    assert!(row(Value::from(2)).has_priorities);
    assert!(!row(Value::from(0)).has_priorities);
    assert!(!row(Value::Null).has_priorities);
}
