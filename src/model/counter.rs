//! A counter that belongs to somebody else and may start again from nothing.

/// Follows a raw total that falls back when its owner restarts, and never goes backwards itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MonotoneCounter {
    total: u64,
    raw: u64,
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

    proptest! {
        #[test]
        fn it_never_goes_backwards(raws in prop::collection::vec(0u64..1_000_000, 1..50)) {
            let mut counter = MonotoneCounter::default();
            let totals: Vec<u64> = raws.iter().map(|raw| counter.observe(*raw)).collect();
            prop_assert!(totals.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
