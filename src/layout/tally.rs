//! Two counters of which one contains the other: attempts that ended, and those of them that failed.

use crate::model::Counters;

/// What Sidekiq, Resque and Asynq count. The two are written, and read by us, one after the other, so
/// that their difference can fall for a moment without anything having been reset.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    processed: u64,
    failed: u64,
    finished: u64,
}

impl Tally {
    /// Takes the next reading: jobs done, and failed attempts.
    pub(crate) fn take(&mut self, processed: u64, failed: u64) -> Counters {
        let finished = processed.saturating_sub(failed);
        let is_reset = processed < self.processed || failed < self.failed;
        self.finished = match is_reset {
            true => finished,
            false => finished.max(self.finished),
        };
        (self.processed, self.failed) = (processed, failed);
        Counters {
            finished: Some(self.finished),
            failures: Some(failed),
            ..Counters::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_taken_out_of_what_was_processed() {
        let mut tally = Tally::default();
        let mut take = |processed, failed| tally.take(processed, failed).finished.unwrap();
        assert_eq!(take(6, 2), 4);
        // The failures of the same batch come in a moment later.
        assert_eq!(take(16, 2), 14);
        assert_eq!(take(16, 5), 14);
        assert_eq!(take(21, 5), 16);
        // Reset by hand.
        assert_eq!(take(0, 0), 0);
        assert_eq!(take(1, 3), 0);
    }
}
