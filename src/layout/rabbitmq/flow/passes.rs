//! When the broker's collectors ran, as far as the histories of queues show it.
//!
//! A collector notes the totals of all queues of its node at one instant, so a change in the history
//! of any queue tells when everyone's totals were noted. Its timer is set anew after each run
//! (`rabbit_mgmt_metrics_collector.erl`, `collect_metrics`): runs are never less than 5 s apart.

use super::samples::{Point, Samples};
use std::collections::BTreeSet;

/// A run takes as long as it takes to read the counters of all channels, and its label is of its
/// beginning: what is noted may be this much younger.
pub(super) const RUN_SECS: f64 = 0.3;

/// At least one run falls into so many seconds, whatever the broker is busy with.
const SURE_SECS: f64 = 7.0;
const PERIOD_SECS: f64 = 5.0;
/// A run can have begun this much before its label says, where the clock is being slowed down.
const EARLY_SECS: f64 = 0.05;
/// Forgotten after so many seconds.
const KEPT_SECS: i64 = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    Publish,
    Deliver,
}

/// The seconds in which the collectors of publishing and of deliveries began a run.
#[derive(Debug, Default)]
pub(super) struct Passes {
    publish: BTreeSet<i64>,
    deliver: BTreeSet<i64>,
    /// Each node has collectors of its own, and a total is the sum of what they noted.
    pub(super) has_many_nodes: bool,
}

impl Passes {
    /// Takes what a history tells. Only one in steps of a second tells something.
    pub(super) fn learn(&mut self, samples: &Samples) {
        if samples.step != 1 {
            return;
        }
        for pair in samples.points.windows(2) {
            if let [before, now] = pair
                && now.at == before.at + 1
            {
                for counter in [Counter::Publish, Counter::Deliver] {
                    if has_changed(*before, *now, counter) {
                        self.of(counter).insert(now.at);
                    }
                }
            }
        }
        for runs in [&mut self.publish, &mut self.deliver] {
            if let Some(last) = runs.last().copied() {
                *runs = runs.split_off(&(last - KEPT_SECS));
            }
        }
    }

    /// What was known by the end of second `now.at` of a counter had been noted no earlier than
    /// this.
    pub(super) fn not_before(
        &self,
        before: Option<Point>,
        now: Point,
        step: u32,
        counter: Counter,
    ) -> f64 {
        let at = now.at as f64;
        let surely = at - SURE_SECS;
        if self.has_many_nodes {
            return surely;
        }
        let runs = match counter {
            Counter::Publish => &self.publish,
            Counter::Deliver => &self.deliver,
        };
        let by_runs = runs.range(..=now.at).next_back().map_or(surely, |run| {
            let since = (now.at - run) as f64;
            // Runs since then, were each as late as can be.
            let further = (since / SURE_SECS).floor() * PERIOD_SECS;
            *run as f64 - 1.0 - EARLY_SECS + further
        });
        let by_change = before
            .filter(|before| has_changed(*before, now, counter))
            .map_or(surely, |_| at - f64::from(step) - EARLY_SECS);
        by_runs.max(by_change).max(surely).min(at)
    }

    /// A restart of the broker or of its clock.
    pub(super) fn forget(&mut self) {
        self.publish.clear();
        self.deliver.clear();
    }

    fn of(&mut self, counter: Counter) -> &mut BTreeSet<i64> {
        match counter {
            Counter::Publish => &mut self.publish,
            Counter::Deliver => &mut self.deliver,
        }
    }
}

fn has_changed(before: Point, now: Point, counter: Counter) -> bool {
    match counter {
        Counter::Publish => before.totals.publish != now.totals.publish,
        Counter::Deliver => {
            before.totals.deliver_get != now.totals.deliver_get
                || before.totals.redeliver != now.totals.redeliver
        }
    }
}
