use super::group::{Found, Info, Memory, Sight};
use super::{GroupRef, Groups, bind};
use crate::layout::redis::{
    Bytes, Layout, Outcome, Probe as _, QueueRef, Read, Refusal, RefusalKind, Reply, Step,
};
use crate::layout::testing::{Keyspace, Stored};
use crate::model::flow::{HeadState, Starts};
use crate::model::{Head, LatencySource, Observation, Reason, System, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const RECORDED: &str = include_str!("../../../tests/fixtures/stream.json");

/// Seconds after the recordings.
const NOW: Timestamp = Timestamp::from_micros(1_795_477_600_000_000);

fn layout() -> Box<dyn Layout> {
    bind(&crate::layout::testing::redis(), 1 << 20)
}

fn observe(case: &str) -> BTreeMap<String, Observation> {
    Keyspace::recorded(RECORDED, case).observe(&mut *layout(), NOW)
}

fn added(ms: i64) -> Head {
    let at = Timestamp::from_micros(ms * 1000);
    Head::Since {
        earliest: at,
        latest: at.plus(Duration::from_micros(999)),
        upper_is_hard: true,
        source: LatencySource::Broker,
    }
}

#[test]
fn every_group_is_a_queue_and_nothing_else_is() {
    let seen = observe("waiting");
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, ["orders/all", "orders/end", "orders/mid"]);
    let all = &seen["orders/all"];
    assert_eq!((all.jobs.ready, all.jobs.in_progress), (Some(6), Some(3)));
    assert_eq!(all.consumers, Some(2));
    assert_eq!(all.head, added(1_795_477_591_290));
    assert_eq!(
        all.oldest_in_progress,
        Some(NOW.minus(Duration::from_millis(51)))
    );
    let end = &seen["orders/end"];
    assert_eq!((end.jobs.ready, end.head), (Some(0), Head::Empty));
}

#[test]
fn the_counters_of_a_group_are_its_flow() {
    let seen = observe("waiting");
    let flow = seen["orders/all"].flow.as_ref().unwrap();
    let [line] = flow.lines.as_slice() else {
        panic!("{flow:?}");
    };
    assert_eq!(
        (line.arrivals.total, line.started),
        (10, Some(Starts::of(4)))
    );
    assert_eq!(line.ready, 6);
    assert!(matches!(line.head.state, HeadState::Stamped { .. }));
    // Its counters are not known, so neither is what flows.
    assert_eq!(seen["orders/mid"].flow, None);
}

#[test]
fn what_a_group_has_read_follows_from_its_lag() {
    // Nothing was delivered yet, so `entries-read` is null.
    let fields = [text("entries-added"), Reply::Int(40)];
    let queues = [QueueRef {
        raw: Bytes::from(b"s/g".as_slice()),
        shown: "s/g".into(),
    }];
    let answer = |read: &Read| match read {
        Read::XinfoGroups(_) => info(Reply::Int(30), 0),
        Read::Atomic(..) => {
            Reply::Array(vec![info(Reply::Int(30), 0), Reply::Array(fields.to_vec())])
        }
        Read::Xlen(_) => Reply::Int(30),
        _ => Reply::Array(vec![Reply::Array(vec![text("1795477590000-1")])]),
    };
    let mut layout = layout();
    let mut line = || {
        layout.begin();
        let outcome = converse(layout.probe(&queues, NOW), answer).pop();
        let Some(Outcome::Observed(seen)) = outcome else {
            panic!("{outcome:?}");
        };
        let line = seen.flow.map(|flow| flow.lines[0]);
        line.map(|line| (line.arrivals.total, line.started))
    };
    assert_eq!(line(), None);
    assert_eq!(line(), Some((40, Some(Starts::of(10)))));
}

#[test]
fn where_redis_knows_no_lag_a_few_entries_are_counted() {
    // Made at an id in the middle.
    assert_eq!(observe("waiting")["orders/mid"].jobs.ready, Some(6));
    // An entry that was not yet delivered was deleted.
    let seen = observe("deleted_ahead");
    for queue in ["orders/all", "orders/mid"] {
        assert_eq!(seen[queue].jobs.ready, Some(5), "{queue}");
        assert_eq!(seen[queue].jobs_unknown, None);
        assert_eq!(seen[queue].head, added(1_795_477_591_290), "{queue}");
    }
    let seen = observe("read_to_the_end");
    assert_eq!(seen["orders/all"].jobs.ready, Some(1));
    assert_eq!(seen["orders/end"].jobs.ready, Some(1));
    assert_eq!(seen["orders/end"].head, added(1_795_477_591_393));
}

#[test]
fn what_was_trimmed_away_does_not_wait_but_is_still_pending() {
    let seen = &observe("trimmed_away")["orders/all"];
    assert_eq!((seen.jobs.ready, seen.jobs.in_progress), (Some(0), Some(3)));
    assert_eq!(seen.head, Head::Empty);
}

#[test]
fn ids_of_the_producers_own_tell_no_time() {
    let seen = &observe("own_ids")["orders/all"];
    assert_eq!(seen.jobs.ready, Some(2));
    assert_eq!(seen.head, Head::Unknown(Reason::NoTimestamp));
}

#[test]
fn an_entry_that_was_claimed_does_not_hide_the_one_that_takes_longest() {
    let seen = &observe("claimed_again")["orders/all"];
    let longest = NOW.minus(Duration::from_millis(51));
    assert_eq!(seen.oldest_in_progress, Some(longest));
}

#[test]
fn a_key_of_another_type_is_no_stream() {
    let mut keys = Keyspace::default();
    keys.put("orders", Stored::Text(Vec::new()));
    let mut layout = layout();
    let queue = |name: &str| QueueRef {
        raw: name.as_bytes().into(),
        shown: name.into(),
    };
    let queues = [queue("orders/all"), queue("gone/all")];
    let outcomes = converse(layout.probe(&queues, NOW), |read| keys.answer(read));
    assert!(
        matches!(&outcomes[0], Outcome::Unreadable(refusal) if refusal.kind == RefusalKind::WrongType)
    );
    // A stream that is gone is an empty queue.
    assert!(matches!(&outcomes[1], Outcome::Observed(seen) if seen.jobs.ready == Some(0)));
}

fn converse(
    mut probe: Box<dyn super::Probe + Send + '_>,
    answer: impl Fn(&Read) -> Reply,
) -> Vec<Outcome> {
    let mut replies = Vec::new();
    for _ in 0..8 {
        match probe.step(replies) {
            Step::Read(reads) => replies = reads.iter().map(&answer).collect(),
            Step::Done(outcomes) => return outcomes,
        }
    }
    panic!("the probe does not end");
}

fn text(text: &str) -> Reply {
    Reply::Bytes(text.as_bytes().to_vec())
}

fn info(lag: Reply, pending: i64) -> Reply {
    let fields = vec![
        text("name"),
        text("g"),
        text("consumers"),
        Reply::Int(1),
        text("pending"),
        Reply::Int(pending),
        text("last-delivered-id"),
        text("1795477590000-0"),
        text("lag"),
        lag,
    ];
    Reply::Array(vec![Reply::Array(fields)])
}

/// A long stream of which Redis does not know the lag; its entries are of this size.
fn long_stream(size: i64) -> (Observation, u32) {
    const LENGTH: i64 = 1_000_000;
    let fetched = std::cell::Cell::new(0);
    let mut layout = layout();
    let queues = [QueueRef {
        raw: Bytes::from(b"s/g".as_slice()),
        shown: "s/g".into(),
    }];
    let mut outcomes = converse(layout.probe(&queues, NOW), |read| match read {
        Read::XinfoGroups(_) => info(Reply::Nil, 0),
        Read::Xlen(_) => Reply::Int(LENGTH),
        Read::MemoryUsage(_) => Reply::Int(LENGTH * size),
        Read::XrangeAfter(_, after, count) => {
            fetched.set(fetched.get() + *count);
            let first = if after.starts_with(b"0-") { 0 } else { 1 };
            let entry = |n: u32| Reply::Array(vec![text(&format!("179547759{first}000-{n}"))]);
            Reply::Array((1..=*count).map(entry).collect())
        }
        read => panic!("{read:?} is not asked"),
    });
    match outcomes.pop() {
        Some(Outcome::Observed(seen)) => (*seen, fetched.get()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_than_can_be_counted_is_a_lower_bound_and_no_number() {
    let (seen, fetched) = long_stream(100);
    assert_eq!(seen.jobs.ready, None);
    assert_eq!(seen.jobs_unknown, Some(Reason::LagUnknown));
    assert_eq!((seen.ready_at_least, fetched), (Some(128), 130));
    assert_eq!(seen.head, added(1_795_477_591_000));
    // Large entries are not fetched by the dozen.
    let (seen, fetched) = long_stream(1 << 20);
    assert_eq!((seen.ready_at_least, fetched), (Some(1), 3));
}

#[test]
fn a_lag_below_zero_tells_nothing() {
    // XGROUP SETID with an ENTRIESREAD that is too large.
    let groups = Info::decode(info(Reply::Int(-95), 0)).unwrap();
    assert_eq!(groups[b"g".as_slice()].lag, None);
}

#[test]
fn an_entry_that_is_too_large_still_has_its_id() {
    let too_large = Reply::Refused(Refusal {
        kind: RefusalKind::TooLarge,
        message: "OVERSIZE 9999999".into(),
    });
    let fields = Reply::Array(vec![text("data"), too_large.clone()]);
    let entry = Reply::Array(vec![text("1795477590000-0"), fields]);
    let found = Found::first(Reply::Array(vec![entry]));
    assert_eq!(found, Found::Id(b"1795477590000-0".to_vec()));
    // Later polls do not ask for it again.
    assert_eq!(
        Found::first(too_large),
        Found::Hidden(RefusalKind::TooLarge)
    );
}

#[test]
fn with_many_pending_the_oldest_counts_only_if_it_was_delivered_once() {
    let pending = |deliveries| {
        let entry = |n: i64| {
            let count = if n == 0 { deliveries } else { 1 };
            let fields = [
                text("1-1"),
                text("c"),
                Reply::Int(500 - n),
                Reply::Int(count),
            ];
            Reply::Array(fields.to_vec())
        };
        let mut sight = Sight::default();
        sight.pending(Reply::Array((0..32).map(entry).collect()), NOW);
        sight.oldest_start
    };
    assert_eq!(pending(1), Some(NOW.minus(Duration::from_millis(500))));
    assert_eq!(pending(2), None);
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let words: &[&[u8]] = &[b"name", b"lag", b"pending", b"last-delivered-id", b"1-1"];
    let leaf = prop_oneof![
        Just(Reply::Nil),
        any::<i64>().prop_map(Reply::Int),
        prop::sample::select(words).prop_map(|word| Reply::Bytes(word.to_vec())),
        prop::collection::vec(any::<u8>(), 0..24).prop_map(Reply::Bytes),
        Just(Reply::Refused(Refusal {
            kind: RefusalKind::TooLarge,
            message: String::new(),
        })),
    ];
    leaf.prop_recursive(3, 40, 10, |inner| {
        prop::collection::vec(inner, 0..10).prop_map(Reply::Array)
    })
}

proptest! {
    #[test]
    fn whatever_redis_answers_every_group_has_its_outcome(
        replies in prop::collection::vec(any_reply(), 1..40),
        info_is_good: bool,
    ) {
        let queue = QueueRef { raw: Bytes::from(b"s/g".as_slice()), shown: "s/g".into() };
        let groups = ["s", "s", "t"].map(|stream| GroupRef {
            queue: &queue,
            stream: stream.as_bytes().into(),
            group: b"g".as_slice().into(),
        });
        let mut memory = Memory::default();
        let mut probe = Groups::new(System::Stream, groups.into(), NOW, &mut memory);
        let mut next = replies.iter().cycle().cloned();
        let mut asked = Vec::new();
        for _ in 0..8 {
            let answers = asked.iter().map(|read: &Read| match read {
                Read::XinfoGroups(_) if info_is_good => info(Reply::Nil, 1),
                _ => next.next().unwrap(),
            }).collect();
            match probe.step(answers) {
                Step::Read(reads) => asked = reads,
                Step::Done(outcomes) => {
                    prop_assert_eq!(outcomes.len(), 3);
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "the probe does not end");
    }
}
