//! The curve against the vectors of the reference model, and against made-up queues whose truth is
//! known.

mod late;

use super::*;
use crate::model::{Latency, LatencySource, Timestamp, Window};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bursts, a flat spell, a requeue at the head, a purge: inputs and the answers of the reference
/// model, written by an independent implementation in Python.
const VECTORS: &str = include_str!("../../../tests/fixtures/flow-vectors.json");

fn near(a: f64, b: &Value, what: &str, at: usize) {
    let b = b.as_f64().unwrap();
    assert!(
        (a - b).abs() < 1e-6 * b.abs().max(1.0),
        "{what} of poll {at}: {a}, not {b}"
    );
}

#[test]
fn the_curve_answers_as_the_reference_model_does() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let bounds: Arc<[f64]> = file["le"]
        .as_array()
        .unwrap()
        .iter()
        .map(|le| le.as_f64().unwrap())
        .collect();
    let max_knots = file["kmax"].as_u64().unwrap() as usize;
    let mut curve = WaitCurve::with_max_knots(0.0, 0.01, 0, max_knots);
    let mut total = Moved::default();
    for (at, poll) in file["polls"].as_array().unwrap().iter().enumerate() {
        let [
            s,
            r,
            n,
            a,
            started,
            head,
            segments,
            within,
            sum,
            knots,
            starts,
            removed,
            requeued,
            _,
        ] = poll.as_array().unwrap().as_slice()
        else {
            panic!("columns");
        };
        let (mut waits, mut seen) = (Waits::new(Arc::clone(&bounds)), Vec::new());
        let moved = curve.update(
            Poll {
                from: s.as_f64().unwrap(),
                to: r.as_f64().unwrap(),
                at: r.as_f64().unwrap(),
                ready: n.as_u64().unwrap(),
                arrived: a.as_u64().unwrap(),
                started: started.as_u64(),
            },
            |segment| {
                waits.add(&segment);
                seen.push(segment);
            },
        );
        total.started += moved.started;
        total.removed += moved.removed;
        total.put_back += moved.put_back;
        for (segment, want) in seen.iter().zip(segments.as_array().unwrap()) {
            assert_eq!(segment.count, want[0].as_u64().unwrap());
            near(segment.first, &want[1], "first", at);
            near(segment.last, &want[2], "last", at);
            near(segment.min, &want[3], "min", at);
            near(segment.max, &want[4], "max", at);
        }
        assert_eq!(seen.len(), segments.as_array().unwrap().len());
        let counted: Vec<u64> = waits.buckets().map(|(_, count)| count).collect();
        let want: Vec<u64> = within
            .as_array()
            .unwrap()
            .iter()
            .map(|count| count.as_u64().unwrap())
            .collect();
        assert_eq!(counted, want, "buckets of poll {at}");
        near(waits.sum(), sum, "sum", at);
        if let Some(age) = curve.head(0, 0) {
            near(age.min, &head[0], "head min", at);
            near(age.estimate, &head[1], "head", at);
            match age.max {
                Some(max) => near(max, &head[2], "head max", at),
                None => assert!(head[2].is_null(), "poll {at}"),
            }
        } else {
            assert_eq!(n.as_u64(), Some(0));
        }
        assert_eq!(curve.knots() as u64, knots.as_u64().unwrap(), "poll {at}");
        assert_eq!(total.started, starts.as_u64().unwrap());
        assert_eq!(total.removed, removed.as_u64().unwrap());
        assert_eq!(total.put_back, requeued.as_u64().unwrap());
    }
}

/// What happens between two polls.
#[derive(Debug, Clone)]
struct Span1 {
    secs: f64,
    /// Arrivals and departures, in turn, by what share of the time has passed.
    events: Vec<(f64, bool)>,
    slow: f64,
}

fn spans() -> impl Strategy<Value = Vec<Span1>> {
    let event = (0.0..1.0f64, any::<bool>());
    let span = (
        0.01..20.0f64,
        prop::collection::vec(event, 0..30),
        0.0..0.2f64,
    )
        .prop_map(|(secs, mut events, slow)| {
            events.sort_by(|a, b| a.0.total_cmp(&b.0));
            Span1 { secs, events, slow }
        });
    prop::collection::vec(span, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn in_order_every_wait_and_every_head_is_inside_its_bounds(spans in spans(), first in 0u64..20) {
        let mut now = 0.0;
        // Arrival times; what was there before us arrived at -5.
        let mut queue: VecDeque<f64> = (0..first).map(|_| -5.0).collect();
        let mut curve = WaitCurve::with_max_knots(-0.01, 0.0, first, 16);
        let (mut arrived, mut left, mut counted, mut censored) = (0u64, 0u64, 0u64, 0u64);
        for span in spans {
            let (from, mut waits, mut new) = (now, Vec::new(), 0);
            now += span.secs;
            for (share, is_arrival) in &span.events {
                let at = from + share * span.secs;
                if *is_arrival {
                    queue.push_back(at);
                    new += 1;
                } else if let Some(since) = queue.pop_front() {
                    waits.push(at - since);
                }
            }
            arrived += new;
            left += waits.len() as u64;
            let poll = Poll {
                from: now,
                to: now + span.slow,
                at: now + span.slow,
                ready: queue.len() as u64,
                arrived: new,
                started: None,
            };
            let mut segments = Vec::new();
            let moved = curve.update(poll, |segment| segments.push(segment));
            // The oldest ones that left are those that no segment tells of.
            let mut each = waits.iter().skip(moved.censored as usize);
            for segment in &segments {
                prop_assert!(segment.min <= segment.max);
                for _ in 0..segment.count {
                    let wait = *each.next().unwrap();
                    prop_assert!(segment.min - 1e-9 <= wait && wait <= segment.max + 1e-9);
                }
                counted += segment.count;
            }
            censored += moved.censored;
            prop_assert_eq!(each.next(), None);
            prop_assert!(curve.knots() <= 16);
            let head = curve.head(0, 0);
            prop_assert_eq!(head.is_some(), !queue.is_empty());
            if let (Some(head), Some(since)) = (head, queue.front()) {
                let truth = now - since;
                prop_assert!(head.min - 1e-9 <= truth);
                prop_assert!(head.max.is_none_or(|max| truth <= max + 1e-9));
                prop_assert!(head.min <= head.estimate);
                prop_assert_eq!(head.max.is_none(), *since < 0.0);
            }
            // The next poll begins after this one has ended.
            now += span.slow;
        }
        prop_assert_eq!(counted + censored, left);
        prop_assert_eq!(first + arrived - left, queue.len() as u64);
    }

    #[test]
    fn a_true_time_at_the_head_leaves_no_error_and_a_false_one_is_found_out(
        spans in spans(), first in 0u64..20, off in prop::option::of(-30.0..30.0f64),
    ) {
        let mut now = 0.0;
        let mut queue: VecDeque<f64> = (0..first).map(|_| -5.0).collect();
        let mut curve = WaitCurve::new(-0.01, 0.0, first);
        for span in spans {
            let (from, mut waits, mut new) = (now, Vec::new(), 0);
            now += span.secs;
            for (share, is_arrival) in &span.events {
                let at = from + share * span.secs;
                if *is_arrival {
                    queue.push_back(at);
                    new += 1;
                } else if let Some(since) = queue.pop_front() {
                    waits.push(at - since);
                }
            }
            let poll = Poll {
                from: now,
                to: now + span.slow,
                at: now + span.slow,
                ready: queue.len() as u64,
                arrived: new,
                started: None,
            };
            let mut segments = Vec::new();
            let moved = curve.update(poll, |segment| segments.push(segment));
            let mut each = waits.iter().skip(moved.censored as usize);
            for segment in &segments {
                for wait in each.by_ref().take(segment.count as usize) {
                    prop_assert!(segment.min - 1e-9 <= *wait && *wait <= segment.max + 1e-9);
                }
            }
            let (inferred, since) = (curve.head(0, 0), queue.front().copied());
            prop_assert_eq!(inferred.is_some(), since.is_some());
            if let (Some(inferred), Some(since)) = (inferred, since) {
                let told = since + off.unwrap_or(0.0);
                let age = poll.to - told;
                // Beyond what the poll itself leaves open.
                let cannot_be = age < inferred.min - span.slow - 1e-6
                    || inferred.max.is_some_and(|max| age > max + 1e-6);
                let agrees = curve.stamp(0, told, told);
                prop_assert!(!(agrees && cannot_be));
                if off.is_none() {
                    prop_assert!(agrees);
                    let head = curve.head(0, 0).unwrap();
                    prop_assert!((head.estimate - age).abs() < 1e-9, "{head:?} {age}");
                    prop_assert!(head.min - 1e-9 <= now - since);
                    prop_assert!(head.max.is_some_and(|max| (max - age).abs() < 1e-9));
                } else if !agrees {
                    prop_assert_eq!(curve.head(0, 0), Some(inferred));
                } else {
                    // A false time that nothing contradicts: what follows is not to be trusted.
                    return Ok(());
                }
            }
            now += span.slow;
        }
    }

    #[test]
    fn any_sequence_of_polls_is_survived_and_conserves_messages(
        polls in prop::collection::vec(
            (any::<f64>(), any::<f64>(), 0u64..50, 0u64..50, prop::option::of(0u64..50), 0u8..8),
            1..80,
        ),
    ) {
        let mut curve = WaitCurve::with_max_knots(0.0, 0.0, 3, 8);
        let (mut arrived, mut gone) = (3, 0i64);
        for (from, to, ready, new, started, what) in polls {
            let mut in_segments = 0;
            let poll = Poll { from, to, at: to, ready, arrived: new, started };
            let moved = curve.update(poll, |segment| in_segments += segment.count);
            prop_assert_eq!(in_segments + moved.censored, moved.started);
            arrived += new as i64;
            gone += (moved.started + moved.removed) as i64 - moved.put_back as i64;
            prop_assert_eq!(arrived - gone, ready as i64);
            match what {
                0 => curve.lose_sight(),
                1 => curve.distrust_order(),
                2 | 3 => {
                    let (a, b) = (curve.seen_at() - from, curve.seen_at() - from * 0.5);
                    curve.stamp(new, a.min(b), a.max(b));
                }
                _ => {}
            }
            for (skip, put_back) in [(0, 0), (1, 0), (0, 4), (u64::MAX, u64::MAX)] {
                if let Some(head) = curve.head(skip, put_back) {
                    prop_assert!(head.min <= head.estimate);
                    prop_assert!(head.max.is_none_or(|max| head.min <= max));
                }
            }
            prop_assert!(curve.knots() <= 9);
        }
    }

    #[test]
    fn huge_and_absurd_numbers_do_not_panic(
        polls in prop::collection::vec((any::<f64>(), any::<u64>(), any::<u64>(), any::<Option<u64>>()), 1..20),
    ) {
        let mut curve = WaitCurve::new(0.0, 0.0, u64::MAX);
        for (at, ready, arrived, started) in polls {
            curve.update(Poll { from: at, to: at, at, ready, arrived, started }, |_| {});
            curve.head(ready, arrived);
            curve.lose_sight();
        }
    }
}

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
        out_of_order: false,
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
            counts: Counts::Exact,
            objective: None,
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

#[test]
fn the_oldest_of_several_lines_counts_and_their_waits_are_one_histogram() {
    let mut memory = FlowMemory::default();
    assert_eq!(
        apply(&mut memory, 0.0, &[line(0, 0, 0), line(3, 0, 0)]),
        Latency::Empty
    );
    // Four jobs of low priority come, then two of high.
    apply(&mut memory, 1.0, &[line(0, 0, 0), line(3, 4, 4)]);
    let latency = apply(&mut memory, 5.0, &[line(0, 2, 2), line(3, 4, 4)]);
    assert_eq!(bounds(latency), (4.0, Some(5.0)));
    apply(&mut memory, 6.0, &[line(0, 0, 2), line(3, 3, 4)]);
    let view = memory.view().unwrap();
    assert_eq!((view.totals.enqueued, view.totals.started), (6, 3));
    assert_eq!(view.waits.as_ref().unwrap().count(), 3);
    assert_eq!(view.basis, FlowBasis::Curve);
}

#[test]
fn a_lower_bound_becomes_exact_when_the_observed_part_reaches_the_head() {
    let mut memory = FlowMemory::default();
    let first = LineSample {
        arrivals: Arrivals {
            is_first: true,
            ..arrivals(0)
        },
        ..line(0, 10, 0)
    };
    apply(&mut memory, 0.0, &[first]);
    assert_eq!(
        bounds(apply(&mut memory, 5.0, &[line(0, 12, 4)])),
        (5.0, None)
    );
    assert_eq!(memory.view().unwrap().basis, FlowBasis::Cold);
    let latency = apply(&mut memory, 9.0, &[line(0, 4, 4)]);
    assert_eq!(bounds(latency), (4.0, Some(9.0)));
    let view = memory.view().unwrap();
    assert_eq!((view.totals.censored, view.totals.started), (10, 10));
    assert_eq!(view.waits, None);
}

#[test]
fn a_time_at_the_head_is_exact_unless_the_polls_have_shown_otherwise() {
    let stamped = |at: f64| LineSample {
        head: LineHead {
            state: HeadState::Stamped {
                earliest: window(at).from,
                latest: window(at).from,
                upper_is_hard: true,
                source: LatencySource::Message,
                of: StampOf::Arrival,
            },
            ..LineHead::PLAIN
        },
        ..line(0, 3, 3)
    };
    let age = |latency: Latency| match latency {
        Latency::Known { age, source, .. } => {
            let max = age.max.map(|max| max.as_secs_f64());
            (source, age.min.as_secs_f64(), max)
        }
        other => panic!("{other:?}"),
    };
    // The three came between the polls at 0 and 5: a clock may be a tenth off, and no more.
    for (sent, want, basis) in [
        (
            3.0,
            (LatencySource::Message, 2.0, Some(2.0)),
            FlowBasis::Timestamp,
        ),
        (
            5.05,
            (LatencySource::Message, 0.0, Some(0.0)),
            FlowBasis::Timestamp,
        ),
        (
            -0.05,
            (LatencySource::Message, 5.0, Some(5.0)),
            FlowBasis::Timestamp,
        ),
        (
            -7.0,
            (LatencySource::Flow, 0.0, Some(5.0)),
            FlowBasis::TimestampRejected,
        ),
        (
            900.0,
            (LatencySource::Flow, 0.0, Some(5.0)),
            FlowBasis::TimestampRejected,
        ),
    ] {
        let mut memory = FlowMemory::default();
        apply(&mut memory, 0.0, &[line(0, 0, 0)]);
        assert_eq!(
            age(apply(&mut memory, 5.0, &[stamped(sent)])),
            want,
            "{sent}"
        );
        assert_eq!(memory.view().unwrap().basis, basis, "{sent}");
    }
    // The time of the one tells of those behind it, also where nothing else was known of them.
    let mut memory = FlowMemory::default();
    let first = |sample: LineSample| LineSample {
        arrivals: Arrivals {
            is_first: true,
            ..sample.arrivals
        },
        ..sample
    };
    apply(&mut memory, 5.0, &[first(stamped(3.0))]);
    let latency = apply(&mut memory, 6.0, &[line(0, 2, 3)]);
    let (min, max) = bounds(latency);
    let max = max.unwrap();
    assert!(
        (min - 1.0).abs() < 1e-6 && (3.0..3.2).contains(&max),
        "{min} {max}"
    );
    assert_eq!(memory.view().unwrap().totals.censored, 0);
}

#[test]
fn a_broker_clock_that_jumps_ahead_costs_the_memory_and_one_that_falls_back_does_not() {
    for (jump, want) in [(60.0, None), (-60.0, Some(3.0))] {
        let mut memory = FlowMemory::default();
        apply(&mut memory, 0.0, &[line(0, 0, 0)]);
        apply(&mut memory, 1.0, &[line(0, 1, 1)]);
        let sample = FlowSample {
            span: Span { from: 3.0, to: 3.0 },
            lines: vec![line(0, 1, 1)],
        };
        let latency = memory.apply(
            &sample,
            window(3.0 + jump),
            &Settings {
                buckets: &DEFAULT_BUCKETS.into(),
                counts: Counts::Exact,
                objective: None,
            },
        );
        assert_eq!(bounds(latency).1, want);
    }
}

#[test]
fn lost_arrivals_leave_a_wide_hard_bound() {
    let mut memory = FlowMemory::default();
    apply(&mut memory, 0.0, &[line(0, 0, 0)]);
    apply(&mut memory, 1.0, &[line(0, 5, 5)]);
    let lost = LineSample {
        arrivals: Arrivals {
            epoch: 2,
            ..arrivals(2005)
        },
        ..line(0, 900, 0)
    };
    // Whatever is at the head now, it came after the poll at 0.
    assert_eq!(bounds(apply(&mut memory, 2.0, &[lost])), (0.0, Some(1.0)));
    let view = memory.view().unwrap();
    assert_eq!(view.totals.counts, Counts::LowerBound);
    assert_eq!(view.totals.started, 1105);
}

#[test]
fn a_list_that_turned_over_has_exact_counts_only_if_its_pushes_are_counted() {
    for (is_pushed, want) in [(true, Counts::Exact), (false, Counts::LowerBound)] {
        let mut memory = FlowMemory::default();
        apply(&mut memory, 0.0, &[line(0, 0, 0)]);
        apply(&mut memory, 1.0, &[line(0, 1, 1)]);
        let emptied = LineSample {
            arrivals: Arrivals {
                turned_over: true,
                is_pushed,
                ..arrivals(1)
            },
            ..line(0, 0, 1)
        };
        apply(&mut memory, 2.0, &[emptied]);
        assert_eq!(memory.view().unwrap().totals.counts, want);
    }
}
