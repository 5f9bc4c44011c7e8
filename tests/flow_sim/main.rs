//! The flow model on simulated Celery queues whose truth is known: the real layout reads lists in
//! memory, the real model makes latencies of it. The truth must be inside the bounds at every poll.
//! `make bench-flow` prints the table of `bench/README.md` over two hours of each workload.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_lossless,
    clippy::disallowed_methods,
    reason = "tests may panic and print"
)]

mod list;
mod random;
mod replay;
mod scenarios;
mod truth;

use random::Random;
use replay::{estimated, quantile, run, run_beside};
use scenarios::{FOUR, scenario, scenarios};
use tailback::model::flow::Counts;
use truth::Scenario;

fn check(scenario: &Scenario, interval: f64, told: bool) {
    let run = run(scenario, interval, 0.0, told);
    let name = format!("{} at {interval} s", scenario.name);
    assert_eq!(run.inside, run.scored, "{name}: the truth left the bounds");
    let totals = run.view.totals;
    let counted = run.view.waits.as_ref().map_or(0, |waits| waits.count());
    assert_eq!(counted + totals.censored, totals.started, "{name}");
    assert_eq!(
        totals.enqueued + totals.put_back - totals.started - totals.removed,
        run.left,
        "{name}: messages are not conserved"
    );
    // Nothing is counted twice; what comes and goes unseen is missing only where the broker does not
    // tell of it, but for what did so during the last poll. A few of those that are purged while
    // others are delivered may be taken for started.
    let truth = run.true_waits.len() as u64;
    let (few, purges) = (8, 16 * 3 * scenario.purges.len() as u64);
    assert!(
        totals.started <= truth + if told { purges } else { run.purged },
        "{name}"
    );
    assert!(totals.removed <= run.purged, "{name}");
    // What is put back into an empty list cannot be told from what is new.
    let put_back = if scenario.crashes.is_empty() { 0 } else { 100 };
    assert!(totals.enqueued <= run.pushed + put_back, "{name}");
    // At 5 s more than 2,000 of the fastest queue come and go between two polls, which is said.
    let is_too_fast = scenario.name == "990 msg/s" && interval > 2.0;
    if told && !is_too_fast {
        assert!(
            totals.enqueued + few >= run.pushed,
            "{name}: {totals:?} {}",
            run.pushed
        );
        assert_eq!(totals.counts, Counts::Exact, "{name}");
    } else {
        assert_eq!(totals.counts, Counts::LowerBound, "{name}");
    }
    // Only while what a crash has put back is at the head.
    let unbounded = match scenario.crashes.is_empty() {
        true => 0,
        false => run.scored / 20,
    };
    assert!(run.without_max <= unbounded, "{name}: {}", run.without_max);
}

#[test]
fn the_truth_is_inside_the_bounds_at_every_poll() {
    for scenario in scenarios(1200.0) {
        for interval in [0.5, 1.0, 5.0] {
            for told in [true, false] {
                check(&scenario, interval, told);
            }
        }
    }
}

/// An application's pushes are nobody's jobs: no queue gets any, and none of its own are lost. Until
/// they have shown themselves a few may be taken for jobs that came and went.
#[test]
fn what_others_push_is_not_counted() {
    let few = 24;
    for scenario in scenarios(1200.0) {
        for (interval, strangers) in [(1.0, 0.7), (1.0, 12.0), (5.0, 200.0)] {
            let run = run_beside(&scenario, interval, 0.0, true, strangers);
            let name = format!("{} at {interval} s beside {strangers}/s", scenario.name);
            assert_eq!(run.inside, run.scored, "{name}: the truth left the bounds");
            let totals = run.view.totals;
            let put_back = if scenario.crashes.is_empty() { 0 } else { 100 };
            eprintln!("{name}: {} {totals:?}", run.pushed);
            let slack = few + put_back + run.pushed / 200;
            assert!(
                totals.enqueued <= run.pushed + slack,
                "{name}: {totals:?} {}",
                run.pushed
            );
            let purges = 40 * scenario.purges.len() as u64;
            let is_too_fast = scenario.name == "990 msg/s" && interval > 2.0;
            assert!(
                totals.enqueued + slack + purges >= run.pushed || is_too_fast,
                "{name}: {totals:?} {}",
                run.pushed
            );
        }
    }
}

#[test]
fn a_cold_start_has_a_true_lower_bound_that_becomes_exact() {
    let mut random = Random::new(3);
    let mut arrivals = vec![0.0; 2000];
    arrivals.extend(random.poisson(900.0, 5.0, |_| 5.0));
    let scenario = scenario("cold start", 900.0, vec![FOUR], arrivals);
    let run = run(&scenario, 1.0, 2.0, true);
    assert_eq!(run.inside, run.scored);
    assert!(run.without_max > 100 && run.without_max < run.scored);
    assert!(run.view.totals.censored > 1900);
}

#[test]
fn messages_that_carry_their_time_leave_no_error() {
    let scenarios = scenarios(1200.0);
    let named = |name: &str| scenarios.iter().find(|each| each.name == name).unwrap();
    let mut told = run(named("on/off, stamped"), 5.0, 0.0, true);
    let mut inferred = run(named("on/off"), 5.0, 0.0, true);
    let (told, inferred) = (told.head.absolute(1.0), inferred.head.absolute(0.5));
    assert!(told < 1e-5 && inferred > 0.05, "{told} s, {inferred} s");
}

#[test]
fn with_prefetch_the_expected_wait_is_that_until_the_start() {
    let scenarios = scenarios(3600.0);
    let held = scenarios.iter().find(|each| each.name == "prefetch 4x");
    let mut run = run(held.unwrap(), 1.0, 0.0, true);
    let (drain, expected) = (run.drain.relative(0.5), run.expected.relative(0.5));
    assert!(
        expected < 0.25 && expected < drain / 1.5,
        "{expected} and not {drain}"
    );
    let p95 = |waits: &mut Vec<f64>| quantile(waits, 0.95);
    assert!(p95(&mut run.true_starts) > p95(&mut run.true_waits) + 5.0);
}

#[test]
fn under_load_the_estimates_are_close_and_not_only_inside() {
    let scenarios = scenarios(900.0);
    let busy = scenarios
        .iter()
        .find(|each| each.name == "rho 0.99")
        .unwrap();
    let mut run = run(busy, 1.0, 0.0, true);
    let (absolute, relative) = (run.head.absolute(0.5), run.head.relative(0.5));
    assert!(absolute < 0.2 && relative < 0.1, "{absolute} s, {relative}");
    let (truth, told) = (
        quantile(&mut run.true_waits, 0.95),
        estimated(&run.view, 0.95),
    );
    assert!(
        (told / truth - 1.0).abs() < 0.05,
        "p95 {told} s, in truth {truth} s"
    );
}
