//! Two counters of which one contains the other: attempts that ended, and those of them that failed.

use super::redis::{Refusal, Reply};
use crate::model::Counters;

/// More bytes than a counter has digits.
pub(crate) const DIGITS: u32 = 32;

/// What Sidekiq, Resque and Asynq count. The two are written, and read by us, one after the other, so
/// that their difference can fall for a moment without anything having been reset.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    processed: u64,
    failed: u64,
    finished: u64,
}

impl Tally {
    /// Takes the strings that hold the two; neither exists before it is first counted up. Without both
    /// numbers nothing is known.
    pub(crate) fn read(&mut self, processed: Reply, failed: Reply) -> Result<Counters, Refusal> {
        let both = counter(processed)?.zip(counter(failed)?);
        Ok(both.map_or_else(Counters::default, |(processed, failed)| {
            self.take(processed, failed)
        }))
    }

    fn take(&mut self, processed: u64, failed: u64) -> Counters {
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

fn counter(reply: Reply) -> Result<Option<u64>, Refusal> {
    let text = reply.bytes()?.unwrap_or_default();
    if text.is_empty() {
        return Ok(Some(0));
    }
    let text = std::str::from_utf8(&text).ok();
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_numbers_or_unknown() {
        let read = |text: &[u8]| {
            let none = Reply::Bytes(Vec::new());
            let counters = Tally::default().read(Reply::Bytes(text.to_vec()), none);
            counters.unwrap().finished
        };
        assert_eq!(read(b""), Some(0));
        assert_eq!(read(b"42"), Some(42));
        assert_eq!(read(b"-1"), None);
        assert_eq!(read(b"many"), None);
        assert_eq!(read(b"\xff"), None);
    }

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
