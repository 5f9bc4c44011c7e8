//! The flow model on simulated Celery queues whose truth is known: the real layout reads lists in
//! memory, the real model makes latencies of it.
//!
//! `cargo test --test flow_sim` asserts that the truth is inside the bounds at every poll;
//! `cargo test --release --test flow_sim -- --ignored --nocapture` prints the table of
//! `docs/latency.md` over two hours each.

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
mod truth;

use random::Random;
use replay::{Run, estimated, quantile, run};
use truth::{Crash, Node, Scenario};

const HALF: fn(&mut Random) -> f64 = |random| random.exponential(0.5);
const FOUR: Node = Node {
    processes: 4,
    prefetch: 0,
};

fn scenario(name: &'static str, secs: f64, nodes: Vec<Node>, arrivals: Vec<f64>) -> Scenario {
    Scenario {
        name,
        arrivals: arrivals.into_iter().map(|at| (at, 0)).collect(),
        nodes,
        service: HALF,
        secs,
        crashes: Vec::new(),
        purges: Vec::new(),
        levels: 1,
    }
}

/// The workloads, `secs` long each.
fn scenarios(secs: f64) -> Vec<Scenario> {
    let mut random = Random::new(1);
    let mut all = Vec::new();
    for (name, rho) in [
        ("rho 0.5", 0.5),
        ("rho 0.8", 0.8),
        ("rho 0.95", 0.95),
        ("rho 0.99", 0.99),
    ] {
        let arrivals = random.poisson(secs, 8.0, |_| 8.0 * rho);
        all.push(scenario(name, secs, vec![FOUR], arrivals));
    }
    let arrivals = random.poisson(secs, 24.0, |t| if t % 300.0 < 60.0 { 24.0 } else { 2.0 });
    all.push(scenario("on/off", secs, vec![FOUR], arrivals));

    let mut arrivals = random.poisson(secs, 12.0, |_| 12.0);
    for at in [secs / 12.0 + 1.3, secs * 0.41 + 1.7] {
        arrivals.extend((0..10_000).map(|_| at + 2.0 * random.share()));
    }
    arrivals.sort_by(f64::total_cmp);
    let twenty = Node {
        processes: 20,
        prefetch: 0,
    };
    all.push(scenario("fan-out 10,000", secs, vec![twenty], arrivals));

    let wave = |t: f64| 8.0 * (0.7 + 0.55 * (std::f64::consts::TAU * t / secs * 2.0).sin());
    let arrivals = random.poisson(secs, 10.0, wave);
    all.push(scenario("diurnal", secs, vec![FOUR], arrivals));

    let arrivals = random.poisson(secs, 6.8, |_| 6.8);
    all.push(Scenario {
        service: |random| random.pareto(0.5),
        ..scenario("heavy tail", secs, vec![FOUR], arrivals)
    });

    let short = secs / 12.0;
    let arrivals = random.poisson(
        short,
        990.0,
        |t| if t % 200.0 < 150.0 { 990.0 } else { 900.0 },
    );
    let many = Node {
        processes: 96,
        prefetch: 0,
    };
    all.push(Scenario {
        service: |random| random.exponential(0.1),
        ..scenario("990 msg/s", short, vec![many], arrivals)
    });

    let arrivals = random.poisson(secs, 9.0, |t| {
        if t % (secs / 4.0) < secs / 5.0 {
            9.0
        } else {
            2.0
        }
    });
    all.push(Scenario {
        purges: vec![secs * 0.19, secs * 0.68],
        ..scenario("purge", secs, vec![FOUR], arrivals)
    });

    let arrivals = random.poisson(secs, 7.6, |_| 7.6);
    let holding = Node {
        processes: 2,
        prefetch: 8,
    };
    let crashes = (0..)
        .map(|n| 300.0 + 300.0 * f64::from(n))
        .take_while(|at| *at < secs);
    all.push(Scenario {
        crashes: crashes
            .map(|at| Crash {
                at,
                node: 0,
                back_after: 2.0,
                up_after: 30.0,
            })
            .collect(),
        ..scenario("crash + requeue", secs, vec![holding, holding], arrivals)
    });

    let levels: Vec<(f64, usize)> = random
        .poisson(secs, 7.7, |_| 7.7)
        .into_iter()
        .map(|at| (at, random.pick(&[0, 1, 1, 2]).unwrap()))
        .collect();
    all.push(Scenario {
        arrivals: levels,
        levels: 3,
        ..scenario("priorities", secs, vec![FOUR], Vec::new())
    });
    all
}

fn check(scenario: &Scenario, interval: f64, run: &Run) {
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
    // What comes and goes between two polls is not seen; nothing is counted twice.
    let purged = if scenario.purges.is_empty() {
        0
    } else {
        20_000
    };
    assert!(
        totals.started <= run.true_waits.len() as u64 + purged,
        "{name}"
    );
    if scenario.crashes.is_empty() {
        assert_eq!(run.without_max, 0, "{name}");
    }
}

#[test]
fn the_truth_is_inside_the_bounds_at_every_poll() {
    for scenario in scenarios(1200.0) {
        for interval in [1.0, 5.0] {
            for told in [true, false] {
                check(&scenario, interval, &run(&scenario, interval, 0.0, told));
            }
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

/// Prints the table; two hours of each workload.
#[test]
#[ignore = "prints a table; minutes in a debug build"]
fn table() {
    println!(
        "| workload | poll | inside bounds | no max | head error, median / p95 s | relative | Little | depth | first seen \
         | true wait p50 / p95 / p99 | tailback | started, seen / true | commands, bytes, scanned a poll |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for scenario in scenarios(7200.0) {
        for interval in [1.0, 5.0, 15.0] {
            let mut run = run(&scenario, interval, 0.0, true);
            let polls = run.polls as f64;
            let waits = [0.5, 0.95, 0.99].map(|share| {
                (
                    quantile(&mut run.true_waits, share),
                    estimated(&run.view, share),
                )
            });
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            println!(
                "| {} | {interval} s | {:.2} % of {} | {} | {:.2} / {:.2} | {} | {} | {} | {} | {:.2} / {:.2} / {:.2} | {:.2} / {:.2} / {:.2} | {} / {} | {:.1}, {:.0}, {:.1} |",
                scenario.name,
                100.0 * run.inside as f64 / run.scored.max(1) as f64,
                run.scored,
                run.without_max,
                run.head.absolute(0.5),
                run.head.absolute(0.95),
                percent(run.head.relative(0.5)),
                percent(run.little.relative(0.5)),
                percent(run.depth.relative(0.5)),
                percent(run.first_seen.relative(0.5)),
                waits[0].0,
                waits[1].0,
                waits[2].0,
                waits[0].1,
                waits[1].1,
                waits[2].1,
                run.view.totals.started,
                run.true_waits.len(),
                run.lists.commands as f64 / polls,
                run.lists.bytes as f64 / polls,
                run.lists.scanned as f64 / polls,
            );
        }
    }
}
