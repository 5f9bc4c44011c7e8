//! Another process takes over: on the same server, on one that may be another, and on one that is.

use super::*;
use crate::layout::redis::SavedMarks;
use crate::model::flow::{SavedFlow, Shift};

impl Tracked {
    /// Writes everything down.
    fn save(&self) -> (String, String, Misuses) {
        let flow = self.flow.save(self.now).unwrap();
        (
            serde_json::to_string(&self.memory.save()).unwrap(),
            serde_json::to_string(&flow).unwrap(),
            self.misuses,
        )
    }

    /// Lets `gap` seconds pass until another process, which has another time and believes that `gap +
    /// error` have passed, takes up what was written down.
    fn resume(
        &mut self,
        saved: &(String, String, Misuses),
        gap: f64,
        error: f64,
        is_same_server: bool,
    ) {
        let now = 3.0;
        for (_, at) in &mut self.elements {
            *at += now - gap - self.now;
        }
        self.now = now;
        let shift = Shift {
            now,
            gap: gap + error,
            doubt: error.abs(),
        };
        let marks: SavedMarks = serde_json::from_str(&saved.0).unwrap();
        let flow: SavedFlow = serde_json::from_str(&saved.1).unwrap();
        self.memory = Memory::default();
        self.memory.resume(marks, is_same_server);
        // The times in these tests are not the broker's, whose clock goes on over a restart.
        self.flow = FlowMemory::resume(&flow, &shift, &DEFAULT_BUCKETS.into());
        let mut witness = Witness::default();
        if is_same_server {
            witness.recall(saved.2);
        }
        self.witness = Some(witness);
    }
}

/// A list that 30 with known times have come to, 25 of which are still there.
fn watched(unique: bool) -> Tracked {
    let mut list = Tracked::new(unique);
    list.poll();
    list.push(10).checked();
    list.push(20).pop(5).checked();
    list
}

#[test]
fn a_restart_costs_nothing_but_the_width_of_the_gap() {
    for (is_same_server, unique) in [(true, true), (false, true), (true, false)] {
        for error in [0.0, 0.5, -0.5] {
            let mut list = watched(unique);
            let saved = list.save();
            list.push(7).pop(8);
            list.resume(&saved, 60.0, error, is_same_server);
            assert!(list.checked(), "{is_same_server} {error}");
            assert_eq!(list.enqueued(), 37);
            // All 10 of the first poll are gone, so the head came in the second poll.
            let Latency::Known { age, .. } = list.poll() else {
                panic!("known");
            };
            let width = age.max.unwrap().as_secs_f64() - age.min.as_secs_f64();
            assert!(width < 2.5, "{age:?}");
            assert!(list.push(5).pop(8).checked());
        }
    }
}

/// What was called in the meantime is not known, and new jobs may have been put anywhere.
#[test]
fn after_another_run_of_the_server_a_list_that_anybody_may_use_has_a_lower_bound() {
    let mut list = watched(false);
    let saved = list.save();
    list.push(7).pop(8);
    list.resume(&saved, 60.0, 0.0, false);
    assert!(!list.checked());
    assert!(!list.push(5).pop(8).checked());
    assert!(list.push(5).pop(16).checked());
}

#[test]
fn another_list_under_the_same_name_is_cold() {
    for ready in [1, 10, 5000] {
        let mut list = watched(true);
        let saved = list.save();
        list.elements.clear();
        // Jobs of another server, which have been waiting there for long.
        list.now -= 1000.0;
        list.next += 100_000;
        list.push(ready);
        list.now += 1000.0;
        list.resume(&saved, 60.0, 0.0, false);
        assert!(!list.checked(), "{ready}");
        assert!(!list.push(3).checked());
    }
}

#[test]
fn a_list_that_was_empty_says_nothing_of_another_server() {
    for (is_same_server, had_jobs) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut list = Tracked::new(true);
        list.poll();
        if had_jobs {
            list.push(4).checked();
            list.pop(4).checked();
        }
        let saved = list.save();
        list.now += 10.0;
        list.push(5);
        list.now -= 10.0;
        list.resume(&saved, 60.0, 0.0, is_same_server);
        assert_eq!(list.checked(), is_same_server);
    }
}

#[test]
fn a_server_that_may_have_lost_something_must_be_recognised() {
    let mut list = watched(true);
    let old = list.elements.clone();
    list.pop(10).checked();
    list.memory.distrust();
    // It is back as it was a while ago: jobs that were taken are there again.
    list.elements = old;
    assert!(!list.checked());
    let mut list = watched(true);
    list.memory.distrust();
    assert!(list.push(3).pop(2).checked());
}

#[test]
fn what_cannot_be_a_flow_is_not_taken_up() {
    let list = watched(true);
    let (_, flow, _) = list.save();
    let shift = Shift {
        now: 0.0,
        gap: 0.0,
        doubt: 0.0,
    };
    let is_taken = |flow: &str| {
        serde_json::from_str(flow).is_ok_and(|flow| {
            let flow = FlowMemory::resume(&flow, &shift, &DEFAULT_BUCKETS.into());
            matches!(flow, FlowMemory::Active(_))
        })
    };
    assert!(is_taken(&flow));
    for (from, to) in [
        ("\"departed\":5,", "\"departed\":200,"),
        ("\"departed\":5,", "\"departed\":-9223372036854775808,"),
        ("\"arrived\":30,\"departed\"", "\"arrived\":31,\"departed\""),
        ("\"knots\":[", "\"knots\":[[99,null,null],"),
    ] {
        let changed = flow.replace(from, to);
        assert_ne!(changed, flow, "{from}");
        assert!(!is_taken(&changed), "{to}");
    }
}

proptest! {
    #[test]
    fn the_truth_is_inside_over_any_restart(
        polls in prop::collection::vec((0usize..400, 0usize..400, prop::option::weighted(0.3, (0.0..500.0f64, -1.0..1.0f64, any::<bool>()))), 1..30),
        unique in any::<bool>(),
    ) {
        let mut list = Tracked::new(unique);
        list.poll();
        for (push, pop, restart) in polls {
            let saved = restart.map(|_| list.save());
            list.push(push).pop(pop);
            if let (Some((gap, error, is_same)), Some(saved)) = (restart, saved) {
                // Pushed at the beginning of the gap; then none can be older than the file.
                list.resume(&saved, gap, error, is_same);
            }
            list.checked();
        }
    }
}
