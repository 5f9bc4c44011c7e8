use super::iso_time;
use super::redis::bind;
use super::unacked::{Routes, Unacked};
use crate::config;
use crate::layout::redis::{Layout, Outcome, Refusal, RefusalKind, Reply};
use crate::layout::testing::{Keyspace, Stored};
use crate::model::{Head, LatencySource, Observation, Reason, Timestamp};
use proptest::prelude::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/celery-redis.json");
/// Shortly after the recordings.
const NOW: Timestamp = Timestamp::from_micros(1_795_409_600_000_000);
const MAX: u64 = 1 << 20;

fn layout(celery: config::Celery) -> Box<dyn Layout> {
    bind(
        &config::Redis {
            celery,
            ..crate::layout::testing::redis()
        },
        MAX,
    )
}

fn default_layout() -> Box<dyn Layout> {
    layout(config::Celery::default())
}

fn binding(queue: &str) -> Stored {
    Stored::Set(vec![format!("{queue}\x06\x16\x06\x16{queue}").into_bytes()])
}

fn message(headers: &str) -> String {
    format!(r#"{{"body": "W10=", "headers": {headers}, "properties": {{}}}}"#)
}

/// One queue `q` whose list holds these messages, next to run last.
fn one_queue(messages: &[&str]) -> Observation {
    let mut keys = Keyspace::default();
    keys.put("_kombu.binding.q", binding("q"))
        .list("q", messages);
    keys.observe(&mut *default_layout(), NOW)
        .remove("q")
        .unwrap()
}

#[test]
fn waiting_tasks_are_counted_by_queue_and_priority_step() {
    let keys = Keyspace::recorded(RECORDED, "waiting_no_worker");
    let seen = keys.observe(&mut *default_layout(), NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["celery", "emails", "pk"]);
    let celery = &seen["celery"];
    assert_eq!(celery.jobs.ready, Some(6));
    assert_eq!(celery.priorities, [(0, 4), (3, 1), (6, 0), (9, 1)]);
    assert_eq!(
        (celery.jobs.in_progress, celery.jobs.scheduled),
        (Some(0), Some(0))
    );
    assert_eq!(celery.head, Head::Unknown(Reason::NoTimestamp));
}

#[test]
fn what_workers_hold_is_split_by_queue_and_eta() {
    let keys = Keyspace::recorded(RECORDED, "running_early_ack_c2_prefetch8");
    // Three of the ten messages were recorded; one of them is due at 04:59:16.
    let seen = keys.observe(
        &mut *default_layout(),
        Timestamp::from_micros(1_795_409_360_000_000),
    );
    assert_eq!(seen["celery"].jobs.in_progress, Some(2));
    assert_eq!(seen["celery"].jobs.scheduled, Some(1));
    assert_eq!(
        seen["celery"].next_due,
        iso_time("2026-11-23T04:59:16.461500+00:00")
    );
    assert_eq!(seen["emails"].jobs.in_progress, Some(0));
}

#[test]
fn worker_events_and_remote_control_are_no_queues() {
    let keys = Keyspace::recorded(RECORDED, "running_early_ack_c2_prefetch8");
    let seen = keys.observe(&mut *default_layout(), NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["celery", "emails", "pk"]);
}

#[test]
fn every_known_place_of_a_timestamp_is_found() {
    let mut keys = Keyspace::recorded(RECORDED, "timestamp_variants_global_keyprefix_{myapp}:");
    let queues = ["celery", "ts_hdr", "ts_judoscale", "ts_prop", "ts_stamp"];
    for queue in queues {
        keys.put(&format!("{{myapp}}:_kombu.binding.{queue}"), binding(queue));
    }
    let options = config::Celery {
        global_keyprefix: "{myapp}:".into(),
        ..config::Celery::default()
    };
    let seen = keys.observe(&mut *layout(options), NOW);
    assert_eq!(seen["celery"].head, Head::Unknown(Reason::NoTimestamp));
    for queue in ["ts_hdr", "ts_judoscale", "ts_prop", "ts_stamp"] {
        let Head::Since {
            earliest,
            latest,
            source,
            ..
        } = seen[queue].head
        else {
            panic!("{queue}: {:?}", seen[queue].head);
        };
        assert_eq!(source, LatencySource::Message, "{queue}");
        // All were sent within the second 1795409538.
        assert_eq!(earliest.micros() / 1_000_000, 1_795_409_538, "{queue}");
        assert_eq!(latest.micros() / 1_000_000, 1_795_409_538, "{queue}");
    }
}

#[test]
fn tasks_due_later_at_the_head_are_skipped_and_counted_as_scheduled() {
    let later = message(r#"{"eta": "2026-11-23T09:00:00+00:00", "redelivered": true}"#);
    let waiting = message(r#"{"enqueued_at": 1795409590.25}"#);
    let seen = one_queue(&[&waiting, &waiting, &later, &later]);
    assert_eq!((seen.jobs.ready, seen.jobs.scheduled), (Some(2), Some(2)));
    let Head::Since { earliest, .. } = seen.head else {
        panic!("{:?}", seen.head)
    };
    assert_eq!(
        earliest,
        Timestamp::from_secs_f64(1_795_409_590.25).unwrap()
    );
    assert!(seen.next_due.is_some());
}

#[test]
fn a_queue_of_tasks_due_later_has_nothing_waiting() {
    let later = message(r#"{"eta": "2026-11-23T09:00:00+00:00"}"#);
    let seen = one_queue(&[&later, &later, &later]);
    assert_eq!((seen.jobs.ready, seen.jobs.scheduled), (Some(0), Some(3)));
    assert_eq!(seen.head, Head::Empty);
}

#[test]
fn too_many_tasks_due_later_leave_the_latency_unknown() {
    let later = message(r#"{"eta": "2026-11-23T09:00:00+00:00"}"#);
    let seen = one_queue(&vec![later.as_str(); 40]);
    assert_eq!(seen.head, Head::Unknown(Reason::OnlyScheduledSeen));
    assert_eq!(seen.jobs.ready, Some(40 - 17));
}

#[test]
fn the_oldest_of_all_priority_steps_counts() {
    let mut keys = Keyspace::default();
    keys.put("_kombu.binding.q", binding("q"))
        .list("q", &[&message(r#"{"enqueued_at": 1795409590.0}"#)])
        .list(
            "q\x06\x169",
            &[&message(r#"{"enqueued_at": 1795409500.0}"#)],
        );
    let seen = keys.observe(&mut *default_layout(), NOW);
    let want = Timestamp::from_secs_f64(1_795_409_500.0).unwrap();
    assert_eq!(seen["q"].head, Head::exactly(want, LatencySource::Message));
}

#[test]
fn one_untimed_step_leaves_a_lower_bound_only() {
    let mut keys = Keyspace::default();
    keys.put("_kombu.binding.q", binding("q"))
        .list("q", &[&message(r#"{"enqueued_at": 1795409590.0}"#)])
        .list("q\x06\x169", &[&message("{}")]);
    let seen = keys.observe(&mut *default_layout(), NOW);
    assert!(matches!(
        seen["q"].head,
        Head::Since {
            upper_is_hard: false,
            ..
        }
    ));
}

#[test]
fn what_was_put_back_has_no_upper_bound() {
    let seen = one_queue(&[&message(
        r#"{"enqueued_at": 1795409590.0, "redelivered": true}"#,
    )]);
    assert!(matches!(
        seen.head,
        Head::Since {
            upper_is_hard: false,
            ..
        }
    ));
}

#[test]
fn other_separators_and_steps_are_read_as_configured() {
    let mut keys = Keyspace::default();
    keys.put("_kombu.binding.q", Stored::Set(vec![b"q::q".to_vec()]))
        .list("q", &["{}"])
        .list("q:4", &["{}", "{}"]);
    let options = config::Celery {
        separator: ":".into(),
        priority_steps: (0..10).collect(),
        ..config::Celery::default()
    };
    let seen = keys.observe(&mut *layout(options), NOW);
    assert_eq!(seen["q"].jobs.ready, Some(3));
    assert_eq!(seen["q"].priorities[4], (4, 2));
}

#[test]
fn a_key_of_the_wrong_type_makes_its_queue_unreadable_and_no_other() {
    let mut keys = Keyspace::default();
    keys.put("_kombu.binding.bad", binding("bad"))
        .put("_kombu.binding.good", binding("good"))
        .put("bad\x06\x163", Stored::Text(Vec::new()))
        .list("good", &["{}"]);
    let outcomes = keys.poll(&mut *default_layout(), NOW);
    assert!(
        matches!(&outcomes[0], Outcome::Unreadable(refusal) if refusal.kind == RefusalKind::WrongType)
    );
    assert!(matches!(&outcomes[1], Outcome::Observed(seen) if seen.jobs.ready == Some(1)));
}

#[test]
fn more_held_messages_than_the_limit_leave_the_split_unknown() {
    let mut keys = Keyspace::recorded(RECORDED, "running_early_ack_c2_prefetch8");
    keys.list("emails", &[]);
    let options = config::Celery {
        unacked_limit: 5,
        ..config::Celery::default()
    };
    let seen = keys.observe(&mut *layout(options), NOW);
    assert_eq!(
        (
            seen["celery"].jobs.in_progress,
            seen["celery"].jobs.scheduled
        ),
        (None, None)
    );
    assert!(seen["celery"].jobs.ready.is_some());
}

#[test]
fn a_held_message_that_cannot_be_read_leaves_the_split_unknown() {
    let mut keys = Keyspace::recorded(RECORDED, "waiting_no_worker");
    let hash = [(b"tag".to_vec(), b"garbage".to_vec())]
        .into_iter()
        .collect();
    keys.put("unacked_index", Stored::Zset(vec![(b"tag".to_vec(), 1.0)]))
        .put("unacked", Stored::Hash(hash));
    let seen = keys.observe(&mut *default_layout(), NOW);
    assert_eq!(seen["emails"].jobs.in_progress, None);
    let unreadable = Some(Reason::UnacknowledgedUnreadable);
    assert_eq!(seen["emails"].jobs_unknown, unreadable);
}

#[test]
fn a_missing_right_is_the_reason_of_what_it_hides() {
    let refused = |command: &str, kind| {
        Reply::Refused(Refusal {
            kind,
            message: format!("no {command}"),
        })
    };
    let mut unacked = Unacked::new("unacked".to_owned(), 100, MAX);
    for (kind, reason) in [
        (RefusalKind::NotPermitted, Reason::WorkNotPermitted),
        (RefusalKind::WrongType, Reason::UnacknowledgedUnreadable),
    ] {
        let routes = Routes::default();
        assert!(!unacked.step(0, Vec::new(), &routes, NOW).is_empty());
        let replies = vec![refused("zcard", kind), refused("hlen", kind)];
        assert!(unacked.step(1, replies, &routes, NOW).is_empty());
        assert_eq!(unacked.unknown(), Some(reason));
    }
}

proptest! {
    #[test]
    fn garbage_in_a_queue_is_unknown_and_never_a_panic(
        element in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut keys = Keyspace::default();
        let list = Stored::List { len: 1, head: vec![element.clone()], tail: vec![element] };
        keys.put("_kombu.binding.q", binding("q")).put("q", list);
        let seen = keys.observe(&mut *default_layout(), NOW);
        prop_assert_eq!(seen["q"].jobs.ready, Some(1));
        prop_assert!(matches!(seen["q"].head, Head::Unknown(_)));
    }

    #[test]
    fn a_garbage_binding_is_no_panic(member in prop::collection::vec(any::<u8>(), 0..40)) {
        default_layout().member(b"_kombu.binding.x", &member);
    }
}
