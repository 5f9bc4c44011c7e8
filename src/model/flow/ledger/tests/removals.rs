//! What was removed, as against what has started.

use super::*;

fn deliveries(before: u64, after: u64) -> Tally {
    Tally {
        deliveries: Some(before),
        deliveries_after: Some(after),
        ..pushes(0)
    }
}

fn emptied(queue: usize, left: u64) -> Claim {
    Claim {
        queue,
        left,
        gone: left,
        ..Claim::default()
    }
}

#[test]
fn what_is_gone_and_was_not_delivered_was_removed() {
    let begin = || {
        let mut ledger = Ledger::default();
        ledger.settle(deliveries(50, 50), &[]);
        ledger
    };
    let settle = |tally, claims: &[Claim]| {
        let settled = begin().settle(tally, claims);
        (removed(&settled), told(&settled).1)
    };
    let one = |removed| (vec![removed], Counts::Exact);
    // A purge while nothing is delivered, while little is, and while much is: some may be on their
    // way to being counted.
    assert_eq!(settle(deliveries(50, 50), &[emptied(0, 500)]), one(500));
    assert_eq!(settle(deliveries(52, 53), &[emptied(0, 500)]), one(494));
    assert_eq!(settle(deliveries(140, 150), &[emptied(0, 500)]), one(384));
    // All were delivered, or as good as all.
    assert_eq!(settle(deliveries(550, 550), &[emptied(0, 500)]), one(0));
    assert_eq!(settle(deliveries(530, 535), &[emptied(0, 500)]), one(0));
    // Others use the same command: removals hide, starts are never taken for removals.
    assert_eq!(settle(deliveries(9000, 9000), &[emptied(0, 500)]), one(0));
    // The count was reset, or not read after the lists.
    assert_eq!(settle(deliveries(3, 3), &[emptied(0, 500)]), one(0));
    let early = Tally {
        deliveries_after: None,
        ..deliveries(50, 50)
    };
    assert_eq!(settle(early, &[emptied(0, 500)]), one(0));
    // Two are purged together; or perhaps one, and the other one worked off.
    let two = [emptied(0, 300), emptied(1, 100)];
    assert_eq!(
        settle(deliveries(50, 50), &two),
        (vec![300, 100], Counts::Exact)
    );
    assert_eq!(
        settle(deliveries(250, 250), &two),
        (vec![184, 0], Counts::Shared)
    );
    // The one that the loss fits, not the larger one that was worked off; and never one that had
    // little beside one that had much.
    let delivered = deliveries(350, 350);
    assert_eq!(settle(delivered, &two), (vec![0, 84], Counts::Shared));
    let beside = [emptied(0, 300), emptied(1, 3)];
    let delivered = deliveries(55, 55);
    assert_eq!(settle(delivered, &beside), (vec![293, 0], Counts::Shared));
}

#[test]
fn what_came_and_went_earlier_is_not_removed_by_a_purge() {
    let mut ledger = Ledger::default();
    let mut settle = |pushed, delivered, line: Claim| {
        let tally = Tally {
            pushes: Some(pushed),
            ..deliveries(delivered, delivered)
        };
        let settled = ledger.settle(tally, &[line]);
        (settled.0[0].unseen, settled.0[0].removed)
    };
    settle(0, 0, claim(0, true, 1.0));
    settle(10, 6, claim(4, true, 1.0));
    // Five came and went while that was read, and were counted only then.
    assert_eq!(settle(22, 11, claim(7, false, 1.0)), (0, 0));
    let purged = Claim {
        left: 11,
        gone: 11,
        ..claim(0, true, 1.0)
    };
    assert_eq!(settle(22, 11, purged), (5, 11));
}

#[test]
fn what_was_delivered_before_it_shows_is_not_removed() {
    let mut ledger = Ledger::default();
    let mut settle = |pushed, [delivered, after]: [u64; 2], line: Claim| {
        let tally = Tally {
            pushes: Some(pushed),
            takes: Some(delivered),
            takes_after: Some(after),
            ..deliveries(delivered, after)
        };
        let settled = ledger.settle(tally, &[line]);
        (settled.0[0].unseen, settled.0[0].removed)
    };
    settle(401, [1, 1], claim(0, true, 1.0));
    // 13 were taken; of the 63 that are left, eleven have come since the count was read.
    assert_eq!(settle(466, [13, 13], claim(63, true, 1.0)), (2, 0));
    let emptied = Claim {
        left: 63,
        gone: 63,
        ..claim(344, true, 1.0)
    };
    assert_eq!(settle(817, [77, 79], emptied), (7, 0));
}

#[test]
fn what_was_popped_may_be_delivered_though_that_is_not_counted_yet() {
    let settle = |taken: u64, delivered: u64| {
        let mut ledger = Ledger::default();
        let calls = |taken, delivered| Tally {
            takes: Some(taken),
            takes_after: Some(taken),
            ..deliveries(delivered, delivered)
        };
        ledger.settle(calls(7, 0), &[]);
        let settled = ledger.settle(calls(7 + taken, delivered), &[emptied(0, 3)]);
        settled.0[0].removed
    };
    // Three consumers that sleep between the two; one of them; none, and a purge.
    assert_eq!([settle(3, 0), settle(1, 0), settle(0, 0)], [0, 2, 3]);
    // What was counted is not allowed for once more.
    assert_eq!([settle(1, 1), settle(2, 1), settle(3, 3)], [2, 1, 0]);
}

#[test]
fn where_jobs_are_taken_without_being_counted_nothing_is_taken_for_a_removal() {
    let mut ledger = Ledger::default();
    ledger.settle(deliveries(0, 0), &[]);
    // A consumer that does not acknowledge works a backlog off and empties it in the end.
    let taken = Claim {
        left: 30,
        ..Claim::default()
    };
    for _ in 0..3 {
        let settled = ledger.settle(deliveries(0, 0), &[taken]);
        assert_eq!(removed(&settled), [0]);
    }
    let settled = ledger.settle(deliveries(0, 0), &[emptied(0, 25)]);
    assert_eq!(removed(&settled), [0]);
    // One that does takes its place: what it delivers brings the trust back.
    let settled = ledger.settle(deliveries(100, 100), &[emptied(0, 100)]);
    assert_eq!(removed(&settled), [0]);
    let settled = ledger.settle(deliveries(100, 100), &[emptied(0, 40)]);
    assert_eq!(removed(&settled), [40]);
}
