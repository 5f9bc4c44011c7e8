//! The curves of a queue together, and what becomes of them.

use super::*;

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
    let first = from_before(10);
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
fn what_was_taken_before_the_first_poll_and_is_put_back_is_as_old_as_the_bound_at_least() {
    let mut memory = FlowMemory::default();
    let first = from_before(10);
    apply(&mut memory, 0.0, &[first]);
    let Latency::Known { age, .. } = apply(&mut memory, 5.0, &[line(0, 14, 0)]) else {
        panic!("known");
    };
    assert_eq!((age.min.as_secs_f64(), age.max), (5.0, None));
    assert_eq!(age.estimate, age.min);
    assert_eq!(memory.view().unwrap().basis, FlowBasis::PutBack);
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
                objective: None,
                starts: u64::MAX,
                witness: &Witness::default(),
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
