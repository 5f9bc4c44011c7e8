//! Late starts.

use super::*;
use std::time::Duration;

fn poll(memory: &mut FlowMemory, at: f64, line: LineSample, objective: Option<f64>) {
    let sample = FlowSample {
        span: Span { from: at, to: at },
        lines: vec![line],
    };
    let settings = Settings {
        buckets: &objective.iter().copied().collect(),
        objective: objective.map(Duration::from_secs_f64),
        starts: u64::MAX,
        witness: &Witness::default(),
    };
    memory.apply(&sample, window(at), &settings);
}

fn late(memory: &FlowMemory) -> u64 {
    memory.view().unwrap().totals.late
}

#[test]
fn jobs_are_late_that_waited_longer_than_the_objective() {
    let mut memory = FlowMemory::default();
    let mut poll = |at, ready, total| {
        poll(&mut memory, at, line(0, ready, total), Some(3.0));
        late(&memory)
    };
    assert_eq!(poll(0.0, 0, 0), 0);
    // Ten come at 0.5 on the average; they go at 1.5, 5.5 and 9.5.
    assert_eq!(poll(1.0, 10, 10), 0);
    assert_eq!(poll(2.0, 6, 10), 0);
    assert_eq!(poll(5.0, 6, 10), 0);
    assert_eq!(poll(6.0, 3, 10), 3);
    assert_eq!(poll(9.0, 4, 11), 3);
    assert_eq!(poll(10.0, 1, 11), 6);
    // The last one came at 7.5 and goes at 11.
    assert_eq!(poll(12.0, 0, 11), 7);
    assert_eq!(poll(13.0, 0, 11), 7);
}

#[test]
fn a_job_from_before_the_first_poll_is_late_when_it_certainly_is() {
    let mut memory = FlowMemory::default();
    let first = from_before(10);
    poll(&mut memory, 0.0, first, Some(3.0));
    // These four have waited for 0 s at least.
    poll(&mut memory, 2.0, line(0, 6, 0), Some(3.0));
    poll(&mut memory, 3.0, line(0, 6, 0), Some(3.0));
    assert_eq!(late(&memory), 0);
    // Five that waited for 3 s at least, and not more for all we know.
    poll(&mut memory, 4.0, line(0, 1, 0), Some(3.0));
    assert_eq!(late(&memory), 0);
    poll(&mut memory, 5.0, line(0, 0, 0), Some(3.0));
    assert_eq!(late(&memory), 1);
    assert_eq!(memory.view().unwrap().totals.censored, 10);
}

#[test]
fn late_starts_outlive_the_process_with_the_other_totals() {
    let mut memory = FlowMemory::default();
    poll(&mut memory, 0.0, line(0, 0, 0), Some(1.0));
    poll(&mut memory, 1.0, line(0, 8, 8), Some(1.0));
    poll(&mut memory, 9.0, line(0, 3, 8), Some(1.0));
    let before = late(&memory);
    assert!(before > 0);
    let saved = memory.save(9.0).unwrap();
    let shift = Shift {
        now: 10.0,
        gap: 1.0,
        doubt: 0.1,
    };
    let mut memory = FlowMemory::resume(&saved, &shift, &[1.0].into());
    assert_eq!(late(&memory), before);
    poll(&mut memory, 11.0, line(0, 0, 8), Some(1.0));
    assert_eq!(late(&memory), before + 3);
    let memory = FlowMemory::resume(&saved.without_counters(), &shift, &[1.0].into());
    assert_eq!(late(&memory), 0);
}

proptest! {
    /// However it is cut into segments, the bucket at the objective tells the same.
    #[test]
    fn late_starts_are_those_beyond_the_bucket_of_the_objective(
        steps in prop::collection::vec((0u64..20, 0u64..25, 0.1..5.0f64), 1..60),
        objective in 0.0..30.0f64,
    ) {
        let (mut memory, mut without) = (FlowMemory::default(), FlowMemory::default());
        let (mut at, mut ready, mut total, mut before) = (0.0, 0, 0, 0);
        poll(&mut memory, at, line(0, 0, 0), Some(objective));
        for (arrived, left, secs) in steps {
            (at, total) = (at + secs, total + arrived);
            ready = (ready + arrived).saturating_sub(left);
            poll(&mut memory, at, line(0, ready, total), Some(objective));
            poll(&mut without, at, line(0, ready, total), None);
            let view = memory.view().unwrap();
            let on_time = view.waits.as_ref().map_or(0, |waits| waits.buckets().next().unwrap().1);
            let count = view.waits.as_ref().map_or(0, Waits::count);
            prop_assert_eq!(view.totals.late, count - on_time);
            prop_assert!(view.totals.late >= before);
            before = view.totals.late;
        }
        prop_assert_eq!(late(&without), 0);
    }
}
