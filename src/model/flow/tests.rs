//! The flow model against made-up queues whose truth is known.

mod any_order;
mod in_order;
mod late;
mod queue;
mod totals;
mod vectors;

use super::*;
use crate::model::{Latency, LatencySource, Timestamp, Window};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;

fn window(at: f64) -> Window {
    let at = Timestamp::from_micros(1_795_410_000_000_000 + (at * 1e6) as i64);
    Window { from: at, to: at }
}

fn arrivals(total: u64) -> Arrivals {
    Arrivals {
        total,
        epoch: 1,
        is_first: false,
        turned_over: false,
        is_pushed: true,
        ..Arrivals::default()
    }
}

fn line(line: u8, ready: u64, total: u64) -> LineSample {
    LineSample {
        line,
        ready,
        arrivals: arrivals(total),
        started: None,
        head: LineHead::PLAIN,
    }
}

/// The first sight of a line: so many were there before.
fn from_before(ready: u64) -> LineSample {
    LineSample {
        arrivals: Arrivals {
            is_first: true,
            ..arrivals(0)
        },
        ..line(0, ready, 0)
    }
}

fn apply(memory: &mut FlowMemory, at: f64, lines: &[LineSample]) -> Latency {
    let sample = FlowSample {
        span: Span { from: at, to: at },
        lines: lines.to_vec(),
    };
    memory.apply(
        &sample,
        window(at),
        &Settings {
            buckets: &DEFAULT_BUCKETS.into(),
            objective: None,
            starts: u64::MAX,
            witness: &Witness::default(),
        },
    )
}

fn bounds(latency: Latency) -> (f64, Option<f64>) {
    match latency {
        Latency::Known { age, source, .. } => {
            assert_eq!(source, LatencySource::Flow);
            (age.min.as_secs_f64(), age.max.map(|max| max.as_secs_f64()))
        }
        other => panic!("{other:?}"),
    }
}
