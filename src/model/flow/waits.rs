//! The histogram of waits. Whole messages fall into buckets, so that its count equals the number of
//! messages that started with a known wait.

use super::curve::Segment;
use super::saved::SavedWaits;
use std::sync::Arc;
use std::time::Duration;

/// Upper bounds of the buckets where the configuration names none, in seconds.
pub const DEFAULT_BUCKETS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

#[derive(Debug, Clone, PartialEq)]
pub struct Waits {
    bounds: Arc<[f64]>,
    /// Waits up to each bound.
    within: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Waits {
    /// An empty histogram with these bounds, ascending.
    pub fn new(bounds: Arc<[f64]>) -> Self {
        Self {
            within: vec![0; bounds.len()],
            bounds,
            count: 0,
            sum: 0.0,
        }
    }

    pub(super) fn save(&self) -> SavedWaits {
        SavedWaits {
            bounds: self.bounds.to_vec(),
            within: self.within.clone(),
            count: self.count,
            sum: if self.sum.is_finite() { self.sum } else { 0.0 },
        }
    }

    /// `None` if the buckets are others now, or it cannot be a histogram.
    pub(super) fn resume(saved: &SavedWaits, bounds: &Arc<[f64]>) -> Option<Self> {
        let SavedWaits {
            within, count, sum, ..
        } = saved;
        // A fraction may have lost its last bit on the way.
        let is_same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b.abs();
        let is_sound = saved.bounds.len() == bounds.len()
            && within.len() == bounds.len()
            && saved.bounds.iter().zip(bounds.iter()).all(is_same)
            && within.is_sorted()
            && within.last().is_none_or(|last| last <= count)
            && sum.is_finite();
        is_sound.then(|| Self {
            bounds: Arc::clone(bounds),
            within: within.clone(),
            count: *count,
            sum: *sum,
        })
    }

    pub fn add(&mut self, segment: &Segment) {
        self.count = self.count.saturating_add(segment.count);
        self.sum += segment.count as f64 * (segment.first + segment.last) / 2.0;
        for (bound, within) in self.bounds.iter().zip(&mut self.within) {
            *within = within.saturating_add(segment.within(*bound));
        }
    }

    /// Adds a time that is known exactly.
    pub fn record(&mut self, time: Duration) {
        let secs = time.as_secs_f64();
        self.add(&Segment {
            count: 1,
            first: secs,
            last: secs,
            min: secs,
            max: secs,
        });
    }

    /// Each bound with the number of waits up to it.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.bounds.iter().copied().zip(self.within.iter().copied())
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Of all waits, in seconds.
    pub const fn sum(&self) -> f64 {
        self.sum
    }
}

impl Segment {
    /// How many of its waits are at most `bound`: `k` waits spread evenly from the first to the
    /// last, counted without visiting them.
    pub fn within(&self, bound: f64) -> u64 {
        let Self {
            count, first, last, ..
        } = *self;
        if count <= 1 || first == last {
            let is_within = (first + last) / 2.0 <= bound;
            return if is_within { count } else { 0 };
        }
        let place = (bound - first) / (last - first) * (count - 1) as f64;
        let within = if last > first {
            place.floor() + 1.0
        } else {
            count as f64 - place.ceil()
        };
        // A float to integer cast saturates.
        (within.max(0.0) as u64).min(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(count: u64, first: f64, last: f64) -> Segment {
        Segment {
            count,
            first,
            last,
            min: 0.0,
            max: f64::MAX,
        }
    }

    proptest! {
        #[test]
        fn buckets_are_those_of_counting_one_by_one(
            count in 1u64..60,
            first in 0u32..200,
            last in 0u32..200,
            bounds in prop::collection::btree_set(0u32..200, 1..8),
        ) {
            // Halves, so that no wait falls on a bound but for rounding.
            let (first, last) = (f64::from(first) + 0.37, f64::from(last) + 0.37);
            let bounds: Arc<[f64]> = bounds.into_iter().map(f64::from).collect();
            let segment = segment(count, first, last);
            let mut waits = Waits::new(Arc::clone(&bounds));
            waits.add(&segment);
            let each: Vec<f64> = (0..count)
                .map(|i| match count {
                    1 => (first + last) / 2.0,
                    _ => first + (last - first) * i as f64 / (count - 1) as f64,
                })
                .collect();
            for (bound, within) in waits.buckets() {
                let near = each.iter().any(|wait| (wait - bound).abs() < 1e-9);
                let counted = each.iter().filter(|wait| **wait <= bound).count() as u64;
                prop_assert!(near || within == counted, "{} {} {}", bound, within, counted);
            }
            prop_assert_eq!(waits.count(), count);
            prop_assert!((waits.sum() - each.iter().sum::<f64>()).abs() < 1e-6);
        }

        #[test]
        fn no_segment_panics_or_counts_more_than_it_has(
            count in any::<u64>(), first in any::<f64>(), last in any::<f64>(), bound in any::<f64>(),
        ) {
            prop_assert!(segment(count, first, last).within(bound) <= count);
        }
    }
}
