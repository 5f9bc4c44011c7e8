//! Books of made-up brokers.

mod removals;
mod strangers;
mod truth;

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// A line for which so many arrivals are to be expected, if it is not a new one.
fn claim(seen: u64, may_have_more: bool, expected: f64) -> Claim {
    Claim {
        seen,
        may_have_more,
        is_delivered: true,
        is_used: expected > 0.0,
        is_quick: expected > 0.0,
        measured: expected,
        ..Claim::default()
    }
}

fn pushes(pushes: u64) -> Tally {
    Tally {
        pushes: Some(pushes),
        ..Tally::default()
    }
}

/// What the lines get of the arrivals that nobody has seen, and how good all that is together.
fn settle(ledger: &mut Ledger, all: u64, claims: &[Claim]) -> (Vec<u64>, Counts) {
    told(&ledger.settle(pushes(all), claims))
}

fn told(settled: &Settled) -> (Vec<u64>, Counts) {
    let unseen = settled.0.iter().map(|part| part.unseen).collect();
    let counts = settled.0.iter().map(|part| part.counts);
    (unseen, counts.fold(Counts::Exact, Counts::and))
}

fn removed(settled: &Settled) -> Vec<u64> {
    settled.0.iter().map(|part| part.removed).collect()
}

#[test]
fn one_line_gets_all_that_was_pushed_and_not_seen() {
    let mut ledger = Ledger::default();
    let lines = [quiet(0)];
    assert_eq!(settle(&mut ledger, 100, &lines).1, Counts::LowerBound);
    let lines = [claim(7, false, 0.0), claim(3, true, 1.0)];
    let settled = settle(&mut ledger, 150, &lines);
    assert_eq!(settled, (vec![0, 40], Counts::Exact));
}

#[test]
fn what_the_lists_showed_before_the_count_did_is_not_counted_twice() {
    let mut ledger = Ledger::default();
    ledger.settle(pushes(100), &[]);
    let lines = [claim(5, true, 1.0)];
    assert_eq!(settle(&mut ledger, 103, &lines).0, [0]);
    assert_eq!(settle(&mut ledger, 110, &lines).0, [0]);
    assert_eq!(settle(&mut ledger, 120, &lines).0, [5]);
}

#[test]
fn what_came_and_went_just_before_a_list_filled_up_is_given_to_it_later() {
    let mut ledger = Ledger::default();
    ledger.settle(pushes(0), &[]);
    let (turned, followed) = (
        |seen| [claim(seen, true, 1.0)],
        |seen| [claim(seen, false, 1.0)],
    );
    assert_eq!(settle(&mut ledger, 10, &turned(4)).0, [6]);
    // Five more came and went after the count was read; then the list was followed.
    assert_eq!(settle(&mut ledger, 22, &followed(7)).0, [0]);
    assert_eq!(settle(&mut ledger, 30, &followed(11)).0, [0]);
    assert_eq!(settle(&mut ledger, 40, &followed(7)).0, [0]);
    assert_eq!(settle(&mut ledger, 40, &turned(0)).0, [5]);
    // As above, but what was pushed during the next polls hides them for a while.
    assert_eq!(settle(&mut ledger, 50, &turned(10)).0, [0]);
    assert_eq!(settle(&mut ledger, 62, &followed(12)).0, [0]);
    assert_eq!(settle(&mut ledger, 70, &followed(3)).0, [0]);
    assert_eq!(settle(&mut ledger, 70, &turned(0)).0, [5]);
}

#[test]
fn what_is_pushed_elsewhere_while_a_list_is_followed_is_not_saved_up_for_it() {
    let mut ledger = Ledger::default();
    ledger.settle(pushes(0), &[]);
    assert_eq!(settle(&mut ledger, 10, &[claim(10, true, 1.0)]).0, [0]);
    for poll in 1..100 {
        let settled = settle(&mut ledger, 10 + 20 * poll, &[claim(10, false, 1.0)]);
        assert_eq!(settled, (vec![0], Counts::Exact));
    }
    // No more than one interval's.
    let settled = settle(&mut ledger, 10 + 20 * 99, &[claim(0, true, 1.0)]);
    assert_eq!(settled.0, [20]);
}

fn quiet(queue: usize) -> Claim {
    Claim {
        queue,
        may_have_more: true,
        is_delivered: true,
        is_default: true,
        ..Claim::default()
    }
}

#[test]
fn a_queue_that_was_never_used_gets_them_only_if_it_is_the_only_one() {
    let mut ledger = Ledger::default();
    ledger.settle(pushes(0), &[]);
    let settled = settle(&mut ledger, 10, &[quiet(0)]);
    assert_eq!(settled, (vec![10], Counts::Exact));
    // Of two that nothing is known of, neither.
    let settled = settle(&mut ledger, 20, &[quiet(0), quiet(1)]);
    assert_eq!(settled, (vec![0, 0], Counts::LowerBound));
    assert_eq!(
        settle(&mut ledger, 20, &[quiet(0), quiet(1)]).1,
        Counts::Exact
    );
    let settled = settle(&mut ledger, 30, &[quiet(0), claim(0, true, 2.0)]);
    assert_eq!(settled, (vec![0, 10], Counts::Exact));
    let busy = Claim {
        queue: 1,
        ..claim(0, true, 2.0)
    };
    let settled = settle(&mut ledger, 40, &[quiet(0), busy]);
    assert_eq!(settled, (vec![0, 10], Counts::Shared));
    // Nor if others are not read that may have had them.
    let partial = Tally {
        is_partial: true,
        ..pushes(50)
    };
    let settled = ledger.settle(partial, &[quiet(0)]);
    assert_eq!(told(&settled), (vec![0], Counts::LowerBound));
}

#[test]
fn a_queue_whose_jobs_wait_gets_none_of_those_that_go_quickly() {
    let mut ledger = Ledger::default();
    ledger.settle(pushes(0), &[]);
    let slow = Claim {
        queue: 1,
        is_quick: false,
        ..claim(1, true, 9.0)
    };
    let settled = settle(&mut ledger, 50, &[quiet(0), slow]);
    assert_eq!(settled, (vec![0, 0], Counts::LowerBound));
    // As soon as the other one has been caught with a job it gets them.
    let caught = Claim {
        is_quick: true,
        caught: 0.1,
        ..quiet(0)
    };
    let settled = settle(&mut ledger, 100, &[caught, slow]);
    assert_eq!(settled, (vec![49, 0], Counts::Shared));
}

#[test]
fn they_are_shared_by_measured_rates_and_else_by_what_was_found_at_a_look() {
    let mut ledger = Ledger::default();
    ledger.settle(pushes(0), &[]);
    let line = |queue, measured, caught| Claim {
        queue,
        caught,
        is_used: true,
        is_quick: true,
        ..claim(0, true, measured)
    };
    let mut share = |all, claims: &[Claim]| settle(&mut ledger, all, claims).0;
    let caught = [line(0, 0.0, 0.3), line(1, 0.0, 0.1)];
    assert_eq!(share(100, &caught), [75, 25]);
    // One that tells both says how many come for each that is found.
    let both = [line(0, 0.0, 0.3), line(1, 20.0, 0.1)];
    assert_eq!(share(200, &both), [75, 25]);
    // Half of the time it held others, and was not free.
    let busy = Claim {
        had_jobs: true,
        ..line(0, 30.0, 0.0)
    };
    assert_eq!(share(300, &[busy, line(1, 5.0, 0.0)]), [75, 25]);
}

#[test]
fn where_queues_are_not_read_what_others_get_is_a_guess() {
    let mut ledger = Ledger::default();
    ledger.settle(pushes(0), &[]);
    let partial = |all| Tally {
        is_partial: true,
        ..pushes(all)
    };
    let busy = claim(0, true, 2.0);
    let settled = told(&ledger.settle(partial(0), &[busy]));
    assert_eq!(settled.1, Counts::Exact);
    // In truth these went to the quiet queue, which is read later.
    let settled = told(&ledger.settle(partial(3), &[busy]));
    assert_eq!(settled, (vec![3], Counts::Shared));
    let quiet = Claim {
        queue: 1,
        ..claim(3, false, 0.0)
    };
    let settled = settle(&mut ledger, 3, &[busy, quiet]);
    assert_eq!(settled, (vec![0, 0], Counts::Shared));
    // Made good at the cost of whoever comes next; then all is even.
    let settled = settle(&mut ledger, 5, &[busy]);
    assert_eq!(settled, (vec![0], Counts::Shared));
    let settled = settle(&mut ledger, 9, &[busy]);
    assert_eq!(settled, (vec![3], Counts::Shared));
    let settled = settle(&mut ledger, 12, &[busy]);
    assert_eq!(settled, (vec![3], Counts::Exact));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_more_is_given_out_than_was_pushed(
        polls in prop::collection::vec((0u64..500, prop::collection::vec((0u64..50, any::<bool>(), 0.0..9.0f64, any::<bool>()), 0..6)), 1..40),
    ) {
        let (mut ledger, mut pushed, mut given) = (Ledger::default(), 0, 0);
        ledger.settle(pushes(0), &[]);
        for (more, claims) in polls {
            let claims: Vec<Claim> = claims
                .into_iter()
                .enumerate()
                .map(|(queue, (seen, may_have_more, expected, is_default))| Claim {
                    queue, is_default, ..claim(seen, may_have_more, expected)
                })
                .collect();
            pushed += more;
            let (shares, _) = settle(&mut ledger, pushed, &claims);
            given += shares.iter().sum::<u64>();
            prop_assert!(given <= pushed);
            for (claim, share) in claims.iter().zip(shares) {
                prop_assert!(share == 0 || claim.may_have_more);
            }
        }
    }

    /// Pushes (`true`) and takes of one list, before its broker's count is read and between that and
    /// the reading of the list itself.
    #[test]
    fn of_a_list_whose_broker_counts_nothing_else_every_job_is_counted_in_the_end(
        is_told in any::<bool>(),
        polls in prop::collection::vec(
            (prop::collection::vec(any::<bool>(), 0..20), prop::collection::vec(any::<bool>(), 0..6)),
            1..60,
        ),
    ) {
        let mut ledger = Ledger::default();
        let (mut list, mut pushed, mut counted): (VecDeque<u64>, u64, u64) = Default::default();
        let (mut taken, mut asked) = (0, 0);
        let zero = is_told.then_some(0);
        ledger.settle(Tally { takes: zero, deliveries: zero, ..pushes(0) }, &[]);
        let drain = (vec![false; 1200], Vec::new());
        for (before, during) in polls.into_iter().chain([drain.clone(), drain]) {
            let (newest, was_empty) = (list.back().copied().unwrap_or(0), list.is_empty());
            let had = list.len() as u64;
            let mut at_count = (0, 0, 0);
            for (index, is_push) in before.iter().chain(&during).enumerate() {
                if index == before.len() {
                    at_count = (pushed, taken, asked);
                }
                if *is_push {
                    pushed += 1;
                    list.push_back(pushed);
                } else {
                    asked += 1;
                    taken += u64::from(list.pop_front().is_some());
                }
            }
            if during.is_empty() {
                at_count = (pushed, taken, asked);
            }
            let turned = was_empty || list.front().is_none_or(|first| *first > newest);
            let seen = list.iter().filter(|id| **id > newest).count() as u64;
            let left = had + seen - list.len() as u64;
            let line = Claim { is_default: true, left, ..claim(seen, turned, 0.0) };
            let tally = Tally {
                takes: is_told.then_some(at_count.2),
                deliveries: is_told.then_some(at_count.1),
                ..pushes(at_count.0)
            };
            let (unseen, counts) = told(&ledger.settle(tally, &[line]));
            prop_assert_eq!(counts, Counts::Exact);
            counted += seen + unseen[0];
            prop_assert!(counted <= pushed, "{} of {}", counted, pushed);
        }
        prop_assert_eq!(counted, pushed);
    }
}
