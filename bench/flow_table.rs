//! Prints the table of `docs/latency.md`: the flow model on simulated queues, two hours of each
//! workload, beside what others would say.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_lossless,
    clippy::disallowed_methods,
    reason = "a bench may panic and print"
)]

#[path = "../tests/flow_sim/list.rs"]
mod list;
#[path = "../tests/flow_sim/random.rs"]
mod random;
#[path = "../tests/flow_sim/replay.rs"]
mod replay;
#[path = "../tests/flow_sim/scenarios.rs"]
mod scenarios;
#[path = "../tests/flow_sim/truth.rs"]
mod truth;

use replay::{estimated, quantile, run};
use scenarios::scenarios;

fn main() {
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
