//! Prints the table of `bench/README.md`: the flow model on simulated queues, two hours of each
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

use replay::{celery, estimated, quantile, run};
use scenarios::scenarios;
use std::sync::Arc;
use tailback::layout::redis::{QueueRef, Reply, Step};
use tailback::model::flow::{
    Arrivals, DEFAULT_BUCKETS, FlowMemory, FlowSample, LineHead, LineSample, Settings, Span,
    Witness,
};

fn main() {
    memory();
    println!(
        "| workload | poll | inside bounds | no max | head error, median / p95 s | relative | Little | depth | first seen \
         | true wait p50 / p95 / p99 | tailback | error | until it runs | forecast off, without / with prefetched | started, seen / true | commands, bytes, scanned a poll |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for scenario in scenarios(7200.0) {
        for interval in [0.5, 1.0, 5.0, 15.0] {
            let mut run = run(&scenario, interval, 0.0, true);
            let polls = run.polls as f64;
            let waits = [0.5, 0.95, 0.99].map(|share| {
                (
                    quantile(&mut run.true_waits, share),
                    estimated(&run.view, share),
                )
            });
            let errors = waits.map(|(truth, told)| (told - truth).abs());
            let starts = [0.5, 0.95, 0.99].map(|share| quantile(&mut run.true_starts, share));
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            println!(
                "| {} | {interval} s | {:.2} % of {} | {} | {:.2} / {:.2} | {} | {} | {} | {} | {:.2} / {:.2} / {:.2} | {:.2} / {:.2} / {:.2} | {:.2} / {:.2} / {:.2} | {:.2} / {:.2} / {:.2} | {} / {} | {} / {} | {:.1}, {:.0}, {:.1} |",
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
                errors[0],
                errors[1],
                errors[2],
                starts[0],
                starts[1],
                starts[2],
                percent(run.drain.relative(0.5)),
                percent(run.expected.relative(0.5)),
                run.view.totals.started,
                run.true_waits.len(),
                run.lists.commands as f64 / polls,
                run.lists.bytes as f64 / polls,
                run.lists.scanned as f64 / polls,
            );
        }
    }
}

/// What a queue takes, by what the process grows when there are many of them. Nothing is given back
/// meanwhile, or it would be taken again.
fn memory() {
    println!("| a queue | bytes of its flow | bytes of its positions |\n|---|---|---|");
    let grown = |build: &mut dyn FnMut()| {
        let before = resident();
        build();
        resident().saturating_sub(before)
    };
    let mut keep: Vec<Vec<FlowMemory>> = Vec::new();
    let mut layout = celery();
    let queues: Vec<QueueRef> = (0..100_000)
        .map(|number| QueueRef {
            raw: format!("queue-{number}").into_bytes().into(),
            shown: format!("queue-{number}").into(),
        })
        .collect();
    layout.begin();
    let positions = grown(&mut || {
        for queues in queues.chunks(500) {
            let now = tailback::model::Timestamp::from_micros(0);
            let mut probe = layout.probe(queues, now);
            let mut step = probe.step(Vec::new());
            while let Step::Read(reads) = step {
                step = probe.step(vec![Reply::Int(0); reads.len()]);
            }
        }
    });
    for (name, polls, each, many) in [
        ("always empty", 2, 0, 100_000),
        ("30 polls of a backlog", 30, 3, 5000),
        ("500 polls of it and more", 700, 3, 2000),
    ] {
        let flow = grown(&mut || {
            keep.push((0..many).map(|_| flow_of(polls, each)).collect());
        });
        let positions = match each {
            0 => (positions / queues.len()).to_string(),
            _ => "three elements".to_owned(),
        };
        println!("| {name} | {} | {positions} |", flow / many);
    }
    println!();
    assert_eq!(keep.len(), 3);
}

/// A queue after so many polls a second apart, to each of which so many jobs come and none leaves.
fn flow_of(polls: u64, each: u64) -> FlowMemory {
    let mut flow = FlowMemory::default();
    let buckets: Arc<[f64]> = DEFAULT_BUCKETS.into();
    for poll in 0..polls {
        let sample = FlowSample {
            span: Span {
                from: poll as f64,
                to: poll as f64 + 0.01,
            },
            lines: vec![LineSample {
                line: 0,
                ready: poll * each,
                arrivals: Arrivals {
                    total: poll * each,
                    ..Arrivals::default()
                },
                started: None,
                head: LineHead::PLAIN,
            }],
        };
        let settings = Settings {
            buckets: &buckets,
            objective: None,
            starts: u64::MAX,
            witness: &Witness::default(),
        };
        flow.apply(&sample, sample.span.on_brokers_clock(), &settings);
    }
    flow
}

/// Bytes of memory that the process occupies.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}
