//! What statistics leave in doubt: what has left or come without being counted.

use super::{FlowMemory, Line, QueueFlow};
use crate::model::flow::ledger::Counts;
use crate::model::flow::sample::FlowSample;
use crate::model::flow::view::{FlowBasis, FlowTotals};
use crate::model::flow::waits::Waits;
use crate::model::{Age, Window};
use std::time::Duration;

impl FlowMemory {
    /// The age of what is behind the first `gone` jobs of a queue with one line, as of the last
    /// sample; `None` if there is nothing.
    pub(in crate::model::flow) fn age_behind(&self, gone: u64) -> Option<Age> {
        let age = self.only_line()?.curve.head(gone, 0)?;
        let secs = |secs| Duration::try_from_secs_f64(secs).unwrap_or_default();
        Some(Age {
            min: secs(age.min),
            estimate: secs(age.estimate),
            max: age.max.map(secs),
        })
    }

    /// So many jobs at the head may be older than this.
    pub(in crate::model::flow) fn older_than(&self, longest: Duration) -> u64 {
        let (mut older, mut end) = (0, self.only_line().map_or(0, |line| line.curve.ready()));
        // Who is behind another is no older.
        while older < end {
            let middle = older + (end - older) / 2;
            let max = self.age_behind(middle).and_then(|age| age.max);
            match max.is_none_or(|max| max > longest) {
                true => older = middle + 1,
                false => end = middle,
            }
        }
        older
    }

    fn only_line(&self) -> Option<&Line> {
        match self {
            Self::Active(flow) => match flow.lines.as_slice() {
                [line] => Some(line),
                _ => None,
            },
            _ => None,
        }
    }

    /// What has come since then may have come at any time since then.
    pub(in crate::model::flow) fn distrust_arrivals_since(&mut self, since: f64) {
        if let Self::Active(flow) = self {
            for line in &mut flow.lines {
                line.curve.distrust_since(since);
            }
        }
    }

    /// What came and went meanwhile has not been counted.
    pub(in crate::model) fn lose_sight(&mut self) {
        match self {
            Self::Unseen => {}
            Self::Quiet(_, counts) => *counts = counts.and(Counts::LowerBound),
            Self::Active(flow) => flow.totals.counts = flow.totals.counts.and(Counts::LowerBound),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        match self {
            Self::Unseen => Counts::Exact,
            Self::Quiet(_, counts) => *counts,
            Self::Active(flow) => flow.totals.counts,
        }
    }

    /// What the age of the oldest job rests on, as far as others know more than the counts.
    pub(in crate::model::flow) fn set_basis(
        &mut self,
        basis: FlowBasis,
        sample: &FlowSample,
        window: Window,
    ) {
        if let Self::Quiet(span, counts) = *self {
            *self = Self::Active(Box::new(QueueFlow::new(
                sample,
                window,
                Some((span, counts)),
            )));
        }
        if let Self::Active(flow) = self {
            flow.basis = basis;
        }
    }

    /// Counting begins anew, until [`Self::set_counts`] takes it up again.
    pub(in crate::model::flow) fn take_counts(&mut self) -> (FlowTotals, Option<Waits>) {
        match self {
            Self::Active(flow) => (std::mem::take(&mut flow.totals), flow.waits.take()),
            _ => Default::default(),
        }
    }

    /// What is known of the jobs that wait stays.
    pub(in crate::model::flow) fn set_counts(&mut self, counts: (FlowTotals, Option<Waits>)) {
        if let Self::Active(flow) = self {
            (flow.totals, flow.waits) = counts;
        }
    }

    /// Jobs that were seen to start.
    pub(in crate::model::flow) fn started(&self) -> u64 {
        match self {
            Self::Active(flow) => flow.totals.started,
            _ => 0,
        }
    }
}
