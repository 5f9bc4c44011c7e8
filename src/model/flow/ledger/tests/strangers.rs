//! Pushes of other programs beside those of jobs.

use super::*;

/// One poll of one list that is empty whenever it is looked at: what came and went.
fn unseen(
    ledger: &mut Ledger,
    [pushes, takes, deliveries]: [u64; 3],
    is_alone: bool,
) -> (u64, Counts) {
    let tally = Tally {
        takes: Some(takes),
        deliveries: Some(deliveries),
        is_alone,
        ..super::pushes(pushes)
    };
    let line = Claim {
        is_default: true,
        ..claim(0, true, 0.0)
    };
    let (unseen, counts) = told(&ledger.settle(tally, &[line]));
    (unseen[0], counts)
}

#[test]
fn an_idle_queue_gets_nothing_of_what_others_push() {
    let mut ledger = Ledger::default();
    unseen(&mut ledger, [0, 0, 0], true);
    // Its workers ask in vain, twice a poll.
    for poll in 1..100 {
        let (count, counts) = unseen(&mut ledger, [50 * poll, 2 * poll, 0], true);
        assert_eq!(count, 0, "{poll}");
        assert!(poll < 3 || counts == Counts::LowerBound, "{poll}");
    }
    // Then it gets work, which is all counted.
    let mut all = 0;
    for poll in 0..100 {
        let calls = [5000 + 60 * poll, 200 + 12 * poll, 10 * poll];
        all += unseen(&mut ledger, calls, true).0;
    }
    assert_eq!(all, 990);
}

#[test]
fn whoever_writes_what_consumers_write_is_found_out_by_not_taking_anything() {
    let mut ledger = Ledger::default();
    unseen(&mut ledger, [0, 0, 0], true);
    let mut all = 0;
    for poll in 1..100 {
        all += unseen(&mut ledger, [50 * poll, 2 * poll, 50 * poll], true).0;
    }
    // Once it has shown itself it adds nothing more.
    assert!(all <= 8, "{all}");
}

#[test]
fn beside_another_system_deliveries_prove_nothing() {
    let mut ledger = Ledger::default();
    unseen(&mut ledger, [0, 0, 0], false);
    unseen(&mut ledger, [30, 0, 0], false);
    unseen(&mut ledger, [60, 0, 0], false);
    unseen(&mut ledger, [100, 0, 0], false);
    for poll in 1..20 {
        assert_eq!(
            unseen(&mut ledger, [100 + 50 * poll, 9 * poll, 9 * poll], false),
            (0, Counts::LowerBound)
        );
    }
}

#[test]
fn where_deliveries_are_not_counted_pops_are_the_limit_and_nothing_is_called_exact() {
    let poll = |ledger: &mut Ledger, pushes, takes| {
        let tally = Tally {
            takes: Some(takes),
            ..super::pushes(pushes)
        };
        let line = Claim {
            is_delivered: false,
            is_default: true,
            ..claim(0, true, 0.0)
        };
        let (unseen, counts) = told(&ledger.settle(tally, &[line]));
        (unseen[0], counts)
    };
    let mut ledger = Ledger::default();
    poll(&mut ledger, 0, 0);
    assert_eq!(poll(&mut ledger, 30, 32), (30, Counts::Assumed));
    // Two more may be waiting since.
    assert_eq!(poll(&mut ledger, 80, 34), (4, Counts::Assumed));
    assert_eq!(poll(&mut ledger, 130, 36), (2, Counts::Assumed));
    assert_eq!(poll(&mut ledger, 180, 38), (2, Counts::Estimated));
    assert_eq!(poll(&mut ledger, 230, 40), (0, Counts::Estimated));
    // Three consumers wait, which is counted; what is pushed then they get without being counted, and
    // two of them ask for more.
    let mut ledger = Ledger::default();
    poll(&mut ledger, 0, 0);
    assert_eq!(poll(&mut ledger, 0, 3), (0, Counts::Exact));
    assert_eq!(poll(&mut ledger, 3, 5), (3, Counts::Assumed));
}
