//! The only caller of the system's clocks. Everything else takes a [`Now`] as an argument.

use crate::model::Timestamp;
use std::sync::OnceLock;
use tokio::time::Instant;

/// One instant on both clocks: the wall clock to compare with what others wrote down, the
/// monotonic one to measure how long something took or has been.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    pub wall: Timestamp,
    pub mono: Instant,
}

/// Reads both clocks.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn now() -> Now {
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        });
    Now {
        wall: Timestamp::from_micros(wall),
        mono: Instant::now(),
    }
}

impl Now {
    /// Seconds on the monotonic clock, from a point that stays the same while the process runs.
    pub fn uptime_secs(&self) -> f64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let origin = *ORIGIN.get_or_init(|| self.mono);
        self.mono.saturating_duration_since(origin).as_secs_f64()
    }
}
