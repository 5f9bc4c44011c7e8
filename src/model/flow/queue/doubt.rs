//! What statistics leave in doubt: what has left or come without being counted.

use super::FlowMemory;
use crate::model::flow::view::FlowTotals;
use std::time::Duration;

impl FlowMemory {
    /// The least and the likeliest age of what is behind the first `gone` jobs of a queue with one
    /// line, as of the last sample; `None` if there is nothing.
    pub(in crate::model::flow) fn age_behind(&self, gone: u64) -> Option<(Duration, Duration)> {
        let Self::Active(flow) = self else {
            return None;
        };
        let [line] = flow.lines.as_slice() else {
            return None;
        };
        let age = line.curve.head(gone, 0)?;
        let secs = |secs| Duration::try_from_secs_f64(secs).unwrap_or_default();
        Some((secs(age.min), secs(age.estimate)))
    }

    /// What has come since then may have come at any time since then.
    pub(in crate::model::flow) fn distrust_arrivals_since(&mut self, since: f64) {
        if let Self::Active(flow) = self {
            for line in &mut flow.lines {
                line.curve.distrust_since(since);
            }
        }
    }

    /// Counting begins now; what is known of the jobs that wait stays.
    pub(in crate::model::flow) fn forget_counts(&mut self) {
        if let Self::Active(flow) = self {
            (flow.totals, flow.waits) = (FlowTotals::default(), None);
        }
    }
}
