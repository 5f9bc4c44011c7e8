use super::bind;
use crate::layout::redis::{Layout, Outcome};
use crate::layout::testing::{Keyspace, Stored, redis};
use crate::model::{Head, LatencySource, Reason, System, Timestamp};
use proptest::prelude::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/taskiq.json");

const NOW: Timestamp = Timestamp::from_micros(1_795_410_300_000_000);

fn layout(queues: &[&str]) -> Box<dyn Layout> {
    let mut redis = redis();
    redis.taskiq.queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
    bind(&redis, 1 << 20)
}

#[test]
fn the_default_list_is_known_by_its_messages() {
    let keys = Keyspace::recorded(RECORDED, "list_waiting");
    let mut layout = layout(&["taskiq"]);
    let seen = keys.observe(&mut *layout, NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["taskiq"]);
    let seen = &seen["taskiq"];
    assert_eq!(seen.system, System::Taskiq);
    assert_eq!((seen.jobs.ready, seen.jobs.in_progress), (Some(2), None));
    assert_eq!(seen.head, Head::Unknown(Reason::NoTimestamp));
    assert_eq!(seen.flow.as_ref().map(|flow| flow.lines.len()), Some(1));
}

#[test]
fn a_list_of_another_kind_is_none_of_ours() {
    for element in ["x", "{}", r#"{"task_id": 1}"#, r#"{"task_id": "a", "x": "#] {
        let mut keys = Keyspace::default();
        keys.list("taskiq", &[element]);
        let seen = keys.observe(&mut *layout(&["taskiq"]), NOW);
        assert!(seen.is_empty(), "{element}: {seen:?}");
    }
}

#[test]
fn a_stream_is_known_by_its_group() {
    let seen = Keyspace::recorded(RECORDED, "stream").observe(&mut *layout(&["taskiq"]), NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["tasks"]);
    let seen = &seen["tasks"];
    assert_eq!((seen.jobs.ready, seen.jobs.in_progress), (Some(6), Some(0)));
    let Head::Since {
        earliest, source, ..
    } = seen.head
    else {
        panic!("{:?}", seen.head);
    };
    assert_eq!(earliest, Timestamp::from_micros(1_795_410_228_928_000));
    assert_eq!(source, LatencySource::Broker);
}

#[test]
fn queues_of_both_kinds_are_told_apart_at_every_poll() {
    let mut keys = Keyspace::recorded(RECORDED, "stream");
    keys.list("mail", &["anything"]);
    keys.put("odd", Stored::Text(Vec::new()));
    let outcomes = keys.poll(&mut *layout(&["gone", "mail", "odd"]), NOW);
    let ready: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Observed(seen) => (seen.queue.to_string(), seen.jobs.ready),
            _ => ("unreadable".to_owned(), None),
        })
        .collect();
    let seen = |queue: &str, ready| (queue.to_owned(), Some(ready));
    assert_eq!(
        ready,
        [
            seen("gone", 0),
            seen("mail", 1),
            ("unreadable".to_owned(), None),
            seen("tasks", 6)
        ]
    );
}

proptest! {
    #[test]
    fn no_element_makes_the_layout_fail(element: Vec<u8>, configured: bool) {
        let mut keys = Keyspace::default();
        let elements = vec![element];
        keys.put("taskiq", Stored::List { len: 1, head: elements.clone(), tail: elements.clone() });
        keys.put("mail", Stored::List { len: 1, head: elements.clone(), tail: elements });
        let queues = if configured { &["mail", "taskiq"][..] } else { &["taskiq"] };
        let seen = keys.observe(&mut *layout(queues), NOW);
        prop_assert_eq!(seen.len(), usize::from(configured));
    }
}
