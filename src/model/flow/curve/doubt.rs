//! Arrivals that are found late.

use super::WaitCurve;

impl WaitCurve {
    /// More has come since then than was counted at the time, and nobody knows when: then a number
    /// may belong to a message that came as early as that. Not to one that came later than is
    /// thought.
    pub(in crate::model::flow) fn distrust_since(&mut self, since: f64) {
        for knot in &mut self.knots {
            knot.not_before = knot.not_before.min(since);
        }
    }
}
