//! Lists used in every way, in order and not, against the same list with its times known.

use super::*;
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply, Side};
use crate::layout::testing::{Keyspace, Stored};
use crate::model::flow::{
    Counts, DEFAULT_BUCKETS, FlowMemory, FlowSample, LineHead, LineSample, Settings, Span,
};
use crate::model::{Latency, Timestamp, Window};
use proptest::prelude::*;
use std::collections::VecDeque;

mod restart;

/// A list whose head is at the back, with the time at which each element came.
struct Tracked {
    elements: VecDeque<(Vec<u8>, f64)>,
    head: Side,
    unique: bool,
    memory: Memory,
    flow: FlowMemory,
    now: f64,
    next: u64,
    loose: bool,
    /// The server does not know LPOS.
    is_old: bool,
    fetched: usize,
}

impl Tracked {
    fn new(unique: bool) -> Self {
        Self {
            elements: VecDeque::new(),
            head: Side::Right,
            unique,
            memory: Memory::default(),
            flow: FlowMemory::default(),
            now: 0.0,
            next: 0,
            loose: false,
            is_old: false,
            fetched: 0,
        }
    }

    fn push(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.next += 1;
            let element = format!("job {}", self.next).into_bytes();
            self.elements.push_front((element, self.now));
        }
        self
    }

    fn push_alike(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.elements.push_front((b"job".to_vec(), self.now));
        }
        self
    }

    fn pop(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.elements.pop_back();
        }
        self
    }

    fn keys(&self) -> Keyspace {
        let elements = self.elements.iter().map(|(element, _)| element.clone());
        let elements: Vec<Vec<u8>> = match self.head {
            Side::Right => elements.collect(),
            Side::Left => elements.rev().collect(),
        };
        let mut keys = Keyspace::default();
        if !elements.is_empty() {
            let list = Stored::List {
                len: elements.len(),
                tail: elements.clone(),
                head: elements,
            };
            keys.put("q", list);
        }
        keys
    }

    fn answer(&mut self, keys: &Keyspace, read: &Read) -> Reply {
        let Read::Atomic(_, reads) = read else {
            panic!("{read:?}");
        };
        for read in reads {
            match read {
                Read::Lpos { .. } if self.is_old => {
                    return Reply::Refused(Refusal {
                        kind: RefusalKind::Other,
                        message: "ERR unknown command `LPOS`".into(),
                    });
                }
                Read::Lrange(_, from, to) => {
                    self.fetched = self.fetched.max((to - from + 1) as usize);
                }
                _ => {}
            }
        }
        keys.answer(read)
    }

    /// One poll, a second after the last.
    fn poll(&mut self) -> Latency {
        self.now += 1.0;
        let (key, ready) = (Bytes::from(b"q".as_slice()), self.elements.len() as u64);
        let keys = self.keys();
        let marks = self.memory.get(&key, 0);
        let mut watch = Watch::new(Bytes::clone(&key), self.head, self.unique, marks);
        let sight = if ready == 0 {
            watch.conclude_empty(&mut self.memory)
        } else {
            let mut read = watch.ask(ready, true, &self.memory);
            loop {
                let answer = self.answer(&keys, &read);
                let reply = match (answer, self.loose) {
                    (Reply::Array(replies), true) => Reply::Loose(replies),
                    (reply, _) => reply,
                };
                match watch.take(reply, &mut self.memory) {
                    Next::Ask(next) => read = next,
                    Next::Seen(sight) => break *sight,
                    Next::Torn => read = watch.ask(ready, true, &self.memory),
                    Next::Refused(refusal) => panic!("{refusal:?}"),
                }
            }
        };
        let line = LineSample {
            line: 0,
            ready,
            arrivals: sight.arrivals,
            started: None,
            head: LineHead::PLAIN,
        };
        self.memory.put(&key, vec![sight.marks]);
        let at = Timestamp::from_micros((self.now * 1e6) as i64);
        let sample = FlowSample {
            span: Span {
                from: self.now,
                to: self.now,
            },
            lines: vec![line],
        };
        let settings = Settings {
            buckets: &DEFAULT_BUCKETS.into(),
            counts: Counts::Exact,
            objective: None,
        };
        self.flow
            .apply(&sample, Window { from: at, to: at }, &settings)
    }

    /// Polls, and checks that the oldest element is inside the bounds; whether they are closed.
    fn checked(&mut self) -> bool {
        let latency = self.poll();
        let oldest = self.elements.iter().map(|(_, at)| *at);
        let oldest = oldest.fold(f64::INFINITY, f64::min);
        match latency {
            Latency::Empty => assert!(self.elements.is_empty()),
            Latency::Unknown(reason) => panic!("{reason:?}"),
            Latency::Known { age, .. } => {
                let truth = self.now - oldest;
                assert!(age.min.as_secs_f64() <= truth + 1e-5, "{age:?} {truth}");
                if let Some(max) = age.max {
                    assert!(truth <= max.as_secs_f64() + 1e-5, "{age:?} {truth}");
                }
                return age.max.is_some();
            }
        }
        true
    }

    fn enqueued(&self) -> u64 {
        self.flow.view().unwrap().totals.enqueued
    }
}

#[test]
fn arrivals_are_counted_to_the_one_at_either_end_and_in_any_length() {
    for (head, unique) in [
        (Side::Right, true),
        (Side::Left, true),
        (Side::Right, false),
        (Side::Left, false),
    ] {
        let mut list = Tracked::new(unique);
        list.head = head;
        list.poll();
        let mut pushed = 0;
        for (push, pop) in [
            (5, 0),
            (40, 3),
            (3000, 30),
            (100, 900),
            (7, 1500),
            (300, 0),
            (0, 400),
            (0, 10),
        ] {
            list.push(push).pop(pop);
            pushed += push as u64;
            assert!(list.checked(), "{head:?} {push} {pop}");
            assert_eq!(list.enqueued(), pushed, "{head:?} {push} {pop}");
        }
    }
}

#[test]
fn a_server_that_does_not_search_is_read_instead() {
    for head in [Side::Right, Side::Left] {
        let mut list = Tracked::new(true);
        (list.head, list.is_old) = (head, true);
        list.poll();
        let mut pushed = 0;
        for (push, pop, fetched) in [
            (5, 0, 0),
            (40, 3, 128),
            (20, 30, 32),
            (3000, 0, 512),
            (100, 900, 128),
            (450, 0, 512),
            (3000, 2, 512),
            (0, 0, 32),
        ] {
            list.fetched = 0;
            list.push(push).pop(pop);
            pushed += push as u64;
            assert!(list.checked(), "{head:?} {push} {pop}");
            assert_eq!(list.enqueued(), pushed, "{head:?} {push} {pop}");
            assert!(list.fetched <= fetched, "{head:?} {push}: {}", list.fetched);
        }
        // Beyond what is fetched, the truth stays inside.
        list.push(3000).pop(2900);
        assert!(list.checked());
        assert!(list.enqueued() < pushed + 3000);
        list.push(3).pop(5000);
        assert!(list.checked());
    }
}

#[test]
fn draining_and_refilling_between_two_polls_is_noticed() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(30).checked();
    list.pop(30).push(20);
    assert!(list.checked());
    assert_eq!(list.enqueued(), 50);
    let Latency::Known { age, .. } = list.poll() else {
        panic!("known");
    };
    assert_eq!(age.max.unwrap().as_secs(), 2);
}

#[test]
fn more_than_a_search_reaches_leaves_the_truth_inside() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(9000).checked();
    for _ in 0..5 {
        list.push(4000).pop(3500);
        assert!(list.checked());
    }
    assert!(list.enqueued() < 29_000);
    // Once it moves slowly again, bounds close in on what came since.
    for _ in 0..9 {
        list.push(100).pop(1800);
        assert!(list.checked());
    }
}

#[test]
fn taking_from_the_wrong_end_leaves_a_lower_bound() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(50).checked();
    for _ in 0..5 {
        list.push(3);
        (0..6).for_each(|_| drop(list.elements.pop_front()));
        assert!(!list.checked());
    }
}

#[test]
fn removing_from_the_middle_leaves_a_lower_bound_until_all_that_was_there_has_left() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(50).checked();
    list.elements.drain(10..20);
    assert!(!list.push(5).checked());
    assert!(!list.push(5).pop(20).checked());
    assert!(list.push(5).pop(30).checked());
}

#[test]
fn going_round_leaves_a_lower_bound() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(20).checked();
    for turn in [1, 3, 1] {
        for _ in 0..turn {
            let head = list.elements.pop_back().unwrap();
            list.elements.push_front(head);
        }
        assert!(!list.checked(), "{turn}");
    }
}

#[test]
fn elements_that_are_all_alike_leave_wide_bounds() {
    let mut list = Tracked::new(false);
    list.poll();
    list.push_alike(40).checked();
    for _ in 0..30 {
        list.push_alike(7).pop(9);
        list.checked();
    }
    // The queue grows and shrinks: what is known stays true.
    list.push_alike(500).checked();
    list.pop(300).checked();
    list.pop(300).checked();
}

#[test]
fn what_is_put_back_at_the_head_leaves_a_lower_bound() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(30).checked();
    let taken: Vec<_> = (0..8).map(|_| list.elements.pop_back().unwrap()).collect();
    assert!(list.push(4).checked());
    list.elements.extend(taken);
    assert!(!list.push(4).checked());
    assert!(list.pop(12).checked());
}

#[test]
fn without_transactions_only_a_list_that_stands_still_counts() {
    let mut list = Tracked::new(true);
    list.loose = true;
    list.poll();
    list.push(20).checked();
    for _ in 0..5 {
        list.push(6).pop(4);
        assert!(list.checked());
    }
    assert_eq!(list.enqueued(), 50);
    let mut watch = Watch::new(
        b"q".as_slice().into(),
        Side::Right,
        true,
        list.memory.get(&b"q".as_slice().into(), 0),
    );
    let read = watch.ask(10, true, &list.memory);
    let Reply::Array(mut torn) = list.keys().answer(&read) else {
        panic!("an array");
    };
    // One more came before the end.
    torn[0] = Reply::Int(list.elements.len() as i64 - 1);
    let next = watch.take(Reply::Loose(torn), &mut list.memory);
    assert!(matches!(next, Next::Torn), "{next:?}");
}

#[test]
fn a_transaction_is_short_and_its_searches_are_bounded() {
    let mut list = Tracked::new(true);
    list.poll();
    list.push(5000).checked();
    list.push(100).pop(50).checked();
    let marks = list.memory.get(&b"q".as_slice().into(), 0);
    let mut watch = Watch::new(b"q".as_slice().into(), Side::Right, true, marks);
    let Read::Atomic(_, reads) = watch.ask(5050, true, &list.memory) else {
        panic!("a transaction");
    };
    assert!(reads.len() <= 7, "{reads:?}");
    let limits: Vec<u32> = reads
        .iter()
        .filter_map(|read| match read {
            Read::Lpos { limit, .. } => Some(limit.get()),
            _ => None,
        })
        .collect();
    assert_eq!(limits.len(), 2);
    assert!(limits.iter().all(|limit| *limit <= Read::MAX_SCAN));
}

#[test]
fn a_refusal_is_remembered_for_a_while() {
    let mut memory = Memory::default();
    let refusal = |kind| Refusal {
        kind,
        message: "NOPERM".into(),
    };
    memory.refuse(refusal(RefusalKind::WrongType));
    assert_eq!(memory.refused(), None);
    memory.refuse(refusal(RefusalKind::NotPermitted));
    assert!(memory.refused().is_some());
    (0..300).for_each(|_| memory.begin());
    assert_eq!(memory.refused(), None);
}

#[test]
fn what_is_remembered_of_a_queue_goes_with_the_queue() {
    let (mut memory, watch) = (Memory::default(), |memory: &mut Memory| {
        let watch = Watch::new(
            b"q".as_slice().into(),
            Side::Right,
            true,
            ListMarks::default(),
        );
        watch.conclude_unread(3, memory).marks
    });
    let queue = Bytes::from(b"q".as_slice());
    let marks = watch(&mut memory);
    memory.put(&queue, vec![marks]);
    (0..300).for_each(|_| memory.begin());
    assert!(memory.get(&queue, 0).is_known);
    let same_name = Bytes::from(b"q".as_slice());
    drop(queue);
    (0..300).for_each(|_| memory.begin());
    assert!(!memory.get(&same_name, 0).is_known);
}

/// What can happen to a list between two polls.
#[derive(Debug, Clone)]
enum Use {
    Push(usize),
    Pop(usize),
    TakeFromTail(usize),
    Remove(usize),
    PutBack(usize),
    Rotate(usize),
    Purge,
}

fn uses() -> impl Strategy<Value = Vec<Vec<Use>>> {
    let one = prop_oneof![
        8 => (0usize..40).prop_map(Use::Push),
        8 => (0usize..40).prop_map(Use::Pop),
        1 => (1usize..5).prop_map(Use::TakeFromTail),
        1 => (0usize..40).prop_map(Use::Remove),
        1 => (1usize..9).prop_map(Use::PutBack),
        1 => (1usize..4).prop_map(Use::Rotate),
        1 => Just(Use::Purge),
    ];
    prop::collection::vec(prop::collection::vec(one, 0..4), 1..40)
}

proptest! {
    #[test]
    fn no_use_of_a_list_panics(polls in uses(), unique in any::<bool>(), left in any::<bool>(), is_old in any::<bool>()) {
        let mut list = Tracked::new(unique);
        list.is_old = is_old;
        list.head = if left { Side::Left } else { Side::Right };
        let mut taken = Vec::new();
        for uses in polls {
            for each in uses {
                match each {
                    Use::Push(count) => {
                        list.push(count);
                    }
                    Use::Pop(count) => taken.extend((0..count).filter_map(|_| list.elements.pop_back())),
                    Use::TakeFromTail(count) => (0..count).for_each(|_| drop(list.elements.pop_front())),
                    Use::Remove(at) => drop(list.elements.remove(at)),
                    Use::PutBack(count) => list.elements.extend(taken.drain(taken.len().saturating_sub(count)..)),
                    Use::Rotate(count) => (0..count).for_each(|_| {
                        if let Some(head) = list.elements.pop_back() {
                            list.elements.push_front(head);
                        }
                    }),
                    Use::Purge => list.elements.clear(),
                }
            }
            list.poll();
        }
    }

    #[test]
    fn in_order_the_truth_is_inside(polls in prop::collection::vec((0usize..400, 0usize..400), 1..40), unique in any::<bool>(), is_old in any::<bool>()) {
        let mut list = Tracked::new(unique);
        list.is_old = is_old;
        list.poll();
        for (push, pop) in polls {
            list.push(push).pop(pop);
            prop_assert!(list.checked());
        }
    }
}
