//! Growing pauses between tries, jittered so that many tailbacks do not knock together.

use std::time::Duration;

/// Doubles from `min` to `max`; each pause is drawn from its upper half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            tries: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next pause; `jitter` is in `0.0..1.0`.
    pub(super) fn next(&mut self, jitter: f64) -> Duration {
        let base = self
            .min
            .saturating_mul(1 << self.tries.min(20))
            .min(self.max);
        self.tries = self.tries.saturating_add(1);
        (base / 2 + base.mul_f64(jitter.clamp(0.0, 1.0) / 2.0)).max(self.min / 2)
    }
}

/// A number in `0.0..1.0` from the time and a name: good enough to spread starts and tries, which is
/// all that it is for.
pub(super) fn jitter(seed: &str, micros: i64) -> f64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (seed, micros).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_stays_between_half_the_least_and_the_most(
            min in 1u64..10_000, max in 1u64..100_000, tries in 1usize..60, micros in any::<i64>(),
        ) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            let mut backoff = Backoff::new(min, max);
            for try_ in 0..tries {
                let pause = backoff.next(jitter("main", micros.wrapping_add(try_ as i64)));
                prop_assert!(min / 2 <= pause && pause <= max.max(min));
            }
        }
    }

    #[test]
    fn it_grows_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let pauses: Vec<u64> = (0..5).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.next(1.0).as_secs(), 1);
    }
}
