//! A counter that belongs to somebody else and may start again from nothing.

/// Follows a raw total that falls back when its owner restarts, and never goes backwards itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MonotoneCounter {
    total: u64,
    raw: u64,
    /// The part of a sum that has gone and may come back.
    missing: u64,
}

impl MonotoneCounter {
    /// Takes the next raw reading. A reading below the last one is a restart: what it shows has
    /// all happened since.
    pub fn observe(&mut self, raw: u64) -> u64 {
        let gained = if raw >= self.raw { raw - self.raw } else { raw };
        self.total = self.total.saturating_add(gained);
        self.raw = raw;
        self.total
    }

    /// As [`Self::observe`] for a raw total that may be the sum of several owners': when it falls,
    /// one of them has gone, and what the others show had happened before. So a fall adds nothing.
    /// Nor does a rise by all that went or more: whoever was only out of sight brings back what has
    /// been counted. Where it restarted instead, as much may then be left out, once.
    pub fn observe_sum(&mut self, raw: u64) -> u64 {
        match raw.checked_sub(self.raw) {
            None => {
                self.missing = self.missing.saturating_add(self.raw - raw);
                self.raw = raw;
            }
            Some(gained) if self.missing > 0 && gained >= self.missing => {
                self.raw = self.raw.saturating_add(std::mem::take(&mut self.missing));
            }
            Some(_) => {}
        }
        self.observe(raw)
    }

    /// As either of the two.
    pub fn observe_any(&mut self, raw: u64, is_sum: bool) -> u64 {
        match is_sum {
            true => self.observe_sum(raw),
            false => self.observe(raw),
        }
    }

    pub const fn total(self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_restart_adds_what_came_after_it_and_nothing_else() {
        let mut counter = MonotoneCounter::default();
        assert_eq!(
            [100, 120, 0, 5].map(|raw| counter.observe(raw)),
            [100, 120, 120, 125]
        );
    }

    #[test]
    fn a_part_that_leaves_a_sum_takes_nothing_away_and_adds_nothing() {
        let mut counter = MonotoneCounter::default();
        assert_eq!(
            [50, 20, 20, 45].map(|raw| counter.observe_sum(raw)),
            [50, 50, 50, 75]
        );
    }

    #[test]
    fn a_part_that_comes_back_to_a_sum_is_not_counted_again() {
        let mut counter = MonotoneCounter::default();
        assert_eq!(
            [500, 200, 210, 515, 520].map(|raw| counter.observe_sum(raw)),
            [500, 500, 510, 515, 520]
        );
    }

    proptest! {
        #[test]
        fn it_never_goes_backwards(raws in prop::collection::vec(0u64..1_000_000, 1..50)) {
            let mut counter = MonotoneCounter::default();
            let totals: Vec<u64> = raws.iter().map(|raw| counter.observe(*raw)).collect();
            prop_assert!(totals.windows(2).all(|pair| pair[0] <= pair[1]));
            let mut sum = MonotoneCounter::default();
            let totals: Vec<u64> = raws.iter().map(|raw| sum.observe_sum(*raw)).collect();
            prop_assert!(totals.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert!(sum.total() <= counter.total());
        }
    }
}
