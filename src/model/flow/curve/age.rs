//! How old a message is by its number.

use super::{Basis, HeadAge, WaitCurve, number};

impl WaitCurve {
    /// The age of the message behind the first `skip`, as of the last poll; `None` where there is
    /// none. Up to `put_back` messages at the head may have been handed out before.
    pub fn head(&self, skip: u64, put_back: u64) -> Option<HeadAge> {
        let first = self.departed + 1;
        let message = first.saturating_add(number(skip));
        if message > self.arrived {
            return None;
        }
        let arrival = self.arrival(message);
        let estimate = (self.to - arrival.estimate).max(0.0);
        // Of what was there before us, nothing is known but the bound.
        let is_older = arrival.not_before.is_none();
        let put_back = number(put_back);
        if put_back > 0 || message <= self.furthest {
            // It is older than the first that was never handed out.
            let fresh = self.furthest.max(self.departed + put_back) + 1;
            let fresh = self.arrival(fresh.max(message).min(self.arrived));
            let min = (self.from - fresh.by).max(0.0);
            return Some(HeadAge {
                min,
                estimate: if is_older { min } else { estimate.max(min) },
                max: None,
                basis: match is_older && message > self.furthest {
                    _ if self.departed < self.unordered_until => Basis::Unordered,
                    true => Basis::Cold,
                    false => Basis::PutBack,
                },
            });
        }
        let min = (self.from - arrival.by).max(0.0);
        let (max, basis) = match arrival.not_before {
            _ if self.departed < self.unordered_until => (None, Basis::Unordered),
            Some(not_before) => (Some(self.to - not_before), Basis::Curve),
            None => (None, Basis::Cold),
        };
        let estimate = if is_older { min } else { estimate };
        Some(HeadAge {
            min,
            estimate: estimate.max(min),
            max: max.map(|max| max.max(min)),
            basis,
        })
    }
}
