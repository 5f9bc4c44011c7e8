//! What is asked of the server, and what is remembered.

use super::*;
use crate::layout::redis::UNSTAMPED;
use crate::model::{Head, Observation, Reason, System};

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
        Elements::Unique,
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
    let mut watch = Watch::new(b"q".as_slice().into(), Side::Right, Elements::Unique, marks);
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
fn a_refusal_explains_what_it_hides_and_nothing_else() {
    let head = |reason| Head::Unknown(reason);
    let explained = |memory: &Memory, head| {
        let mut seen = Observation::new(System::Celery, "q".into(), UNSTAMPED);
        seen.head = head;
        memory.explain(&mut seen);
        (seen.head, seen.counts_unknown)
    };
    let mut memory = Memory::default();
    let garbage = head(Reason::Undecodable);
    assert_eq!(explained(&memory, garbage), (garbage, None));
    memory.refuse(Refusal {
        kind: RefusalKind::NotPermitted,
        message: "NOPERM".into(),
    });
    let counts = Some(Reason::CountsNotReadable);
    for hidden in [Reason::Undecodable, Reason::NoTimestamp] {
        let positions = head(Reason::PositionsNotReadable);
        assert_eq!(explained(&memory, head(hidden)), (positions, counts));
    }
    for other in [head(Reason::NotPermitted), Head::Empty] {
        assert_eq!(explained(&memory, other), (other, counts));
    }
}

#[test]
fn what_is_remembered_of_a_queue_goes_with_the_queue() {
    let (mut memory, watch) = (Memory::default(), |memory: &mut Memory| {
        let watch = Watch::new(
            b"q".as_slice().into(),
            Side::Right,
            Elements::Unique,
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
