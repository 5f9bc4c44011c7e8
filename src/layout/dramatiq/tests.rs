use super::bind;
use crate::layout::redis::{Layout, Outcome, RefusalKind};
use crate::layout::testing::{Keyspace, Stored, redis};
use crate::model::{Head, LatencySource, Observation, Reason, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const RECORDED: &str = include_str!("../../../tests/fixtures/dramatiq.json");

const NOW: Timestamp = Timestamp::from_micros(1_795_409_945_000_000);

fn layout() -> Box<dyn Layout> {
    bind(&redis(), 1 << 20)
}

fn observe(keys: &Keyspace) -> BTreeMap<String, Observation> {
    keys.observe(&mut *layout(), NOW)
}

fn sent(ms: i64) -> Head {
    let at = Timestamp::from_micros(ms * 1000);
    Head::Since {
        earliest: at,
        latest: at.plus(Duration::from_micros(999)),
        // What a worker puts back goes to the tail.
        upper_is_hard: false,
        source: LatencySource::Message,
    }
}

#[test]
fn waiting_and_delayed_messages_are_counted() {
    let seen = observe(&Keyspace::recorded(RECORDED, "waiting"));
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["default", "emails"]);
    let default = &seen["default"];
    assert_eq!(
        (default.jobs.ready, default.jobs.in_progress),
        (Some(2), Some(0))
    );
    assert_eq!(
        (default.jobs.scheduled, default.jobs.failed),
        (Some(1), Some(0))
    );
    assert_eq!(default.consumers, None);
    assert_eq!(seen["emails"].head, sent(1_795_409_938_118));
}

#[test]
fn a_message_that_may_have_been_delayed_tells_no_time() {
    let seen = observe(&Keyspace::recorded(RECORDED, "waiting"));
    // Sent before delayed messages were seen: it may have been one of them.
    assert_eq!(seen["default"].head, Head::Unknown(Reason::NoTimestamp));
    assert!(seen["default"].flow.is_some());
    let seen = observe(&Keyspace::recorded(RECORDED, "after_fail"));
    let default = &seen["default"];
    assert_eq!(
        (default.jobs.failed, default.jobs.ready),
        (Some(1), Some(1))
    );
    assert_eq!(default.head, Head::Unknown(Reason::NoTimestamp));
}

fn queue_of(message: &[u8]) -> Keyspace {
    let mut keys = Keyspace::default();
    let messages = [
        (b"1".to_vec(), message.to_vec()),
        (b"2".to_vec(), Vec::new()),
    ];
    keys.list("dramatiq:q", &["1"]).put(
        "dramatiq:q.msgs",
        Stored::Hash(messages.into_iter().collect()),
    );
    keys
}

#[test]
fn what_no_list_holds_is_with_the_workers() {
    let seen = observe(&queue_of(br#"{"message_timestamp": 1795409938118}"#));
    let jobs = seen["q"].jobs;
    assert_eq!((jobs.ready, jobs.in_progress), (Some(1), Some(1)));
    assert_eq!(seen["q"].head, sent(1_795_409_938_118));
}

#[test]
fn another_encoder_leaves_the_counts() {
    let seen = observe(&queue_of(b"\x80\x05pickle"));
    assert_eq!(seen["q"].jobs.ready, Some(1));
    assert_eq!(seen["q"].head, Head::Unknown(Reason::Undecodable));
}

#[test]
fn a_queue_with_nothing_but_delayed_or_dead_messages_is_found() {
    let mut keys = Keyspace::default();
    let one = || Stored::Hash([(b"1".to_vec(), Vec::new())].into_iter().collect());
    keys.put("dramatiq:a.DQ.msgs", one())
        .put("dramatiq:b.XQ.msgs", one())
        .put("dramatiq:.msgs", one())
        .put("dramatiq:c.msgs", Stored::Text(Vec::new()))
        .put("other:d.msgs", one());
    let seen = observe(&keys);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(seen["a"].jobs.scheduled, Some(1));
}

#[test]
fn a_key_of_the_wrong_type_makes_its_queue_unreadable() {
    let mut keys = queue_of(b"{}");
    keys.put("dramatiq:q", Stored::Text(Vec::new()));
    let outcomes = keys.poll(&mut *layout(), NOW);
    assert!(
        matches!(&outcomes[..], [Outcome::Unreadable(refusal)] if refusal.kind == RefusalKind::WrongType)
    );
}

proptest! {
    #[test]
    fn no_message_makes_the_layout_fail(message: Vec<u8>, number: f64, retried: bool) {
        let options = if retried { r#"{"requeue_timestamp": 1}"# } else { "{}" };
        let text = format!(r#"{{"message_timestamp": {number}, "options": {options}}}"#);
        for message in [message, text.into_bytes()] {
            let seen = observe(&queue_of(&message));
            prop_assert_eq!(seen["q"].jobs.ready, Some(1));
        }
    }
}
