//! Messages that carry the time at which they came: two more knots on the same curve.

use super::{Knot, WaitCurve, number};

impl WaitCurve {
    /// The message behind the first `skip` says that it came between `earliest` and `latest`. That
    /// narrows down when it and its neighbours came. `false`: it cannot have come then, so nothing is
    /// made of it. Where messages may have changed places, nothing speaks for or against it.
    pub fn stamp(&mut self, skip: u64, earliest: f64, latest: f64) -> bool {
        let message = (self.departed + 1).saturating_add(number(skip));
        let is_in_order = message > self.furthest && self.departed >= self.unordered_until;
        if message > self.arrived || !is_in_order || earliest.is_nan() || latest.is_nan() {
            return true;
        }
        let (before, knot) = self.bracket(message);
        if latest < before.not_before || earliest > knot.by {
            return false;
        }
        let not_before = earliest.max(before.not_before);
        let by = latest.min(knot.by).max(not_before);
        // Who came before it came no later, and who came after it no earlier.
        let at = self.at_least(message - 1);
        for knot in self.knots.iter_mut().take(at).rev() {
            if knot.by <= by {
                break;
            }
            knot.by = by;
        }
        for knot in self.knots.iter_mut().skip(at) {
            if knot.not_before >= not_before {
                break;
            }
            knot.not_before = not_before;
        }
        for count in [message - 1, message] {
            let at = self.at_least(count);
            match self.knots.get_mut(at) {
                Some(knot) if knot.count == count => knot.by = knot.by.min(by),
                _ => self.knots.insert(
                    at,
                    Knot {
                        count,
                        by,
                        not_before,
                    },
                ),
            }
        }
        self.compact();
        true
    }

    /// The place of the first knot that counts so many.
    fn at_least(&self, count: i64) -> usize {
        self.knots.partition_point(|knot| knot.count < count)
    }
}
