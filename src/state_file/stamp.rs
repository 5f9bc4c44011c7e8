//! When something was written, on clocks that outlive a process.

use crate::clock;
use crate::model::flow::Shift;
use serde::{Deserialize, Serialize};

/// State that is older than this many seconds is not used: too much has happened since.
const MAX_GAP: f64 = 6.0 * 3600.0;

/// What two readings of the same clocks may differ by, in seconds, and by which share of the time
/// between them clocks may run apart.
const SLACK: f64 = 1.0;
const DRIFT: f64 = 1e-3;

/// One instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Microseconds since 1970, by a clock that may be set.
    wall: i64,
    /// Which run of the machine it is, and how long it has run: nobody sets that clock, but it ends
    /// with the machine.
    boot: Option<Boot>,
    /// Seconds on this process' own clock.
    #[serde(skip)]
    mono: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Boot {
    id: String,
    uptime: f64,
}

/// Why what was written then is not used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the clock has gone backwards since it was written")]
    Backwards,
    #[error("it is older than 6 hours")]
    TooOld,
    #[error("the clock was set since it was written")]
    ClocksDisagree,
}

impl Stamp {
    pub fn now() -> Self {
        let now = clock::now();
        Self {
            wall: now.wall.micros(),
            boot: Boot::now(),
            mono: now.uptime_secs(),
        }
    }

    /// Seconds on this process' own clock.
    pub fn mono(&self) -> f64 {
        self.mono
    }

    pub fn unix_secs(&self) -> u64 {
        u64::try_from(self.wall / 1_000_000).unwrap_or(0)
    }

    /// How times of then become times of now.
    pub fn shift_to(&self, now: &Self) -> Result<Shift, Unusable> {
        let by_wall = now.wall.saturating_sub(self.wall) as f64 / 1e6;
        if by_wall < 0.0 {
            return Err(Unusable::Backwards);
        }
        if by_wall > MAX_GAP {
            return Err(Unusable::TooOld);
        }
        let allowed = SLACK + DRIFT * by_wall;
        let (gap, doubt) = match (&self.boot, &now.boot) {
            (Some(then), Some(now)) if then.id == now.id => {
                let by_uptime = now.uptime - then.uptime;
                let apart = (by_uptime - by_wall).abs();
                // Not so written that a NaN would pass.
                let is_same = apart <= allowed;
                if !is_same {
                    return Err(Unusable::ClocksDisagree);
                }
                // The uptime is told in hundredths.
                (by_uptime.max(0.0), apart + 0.02)
            }
            _ => (by_wall, allowed),
        };
        Ok(Shift {
            now: now.mono,
            gap,
            doubt,
        })
    }

    #[cfg(test)]
    pub(super) fn at(wall_secs: i64, boot: Option<(&str, f64)>) -> Self {
        Self {
            wall: wall_secs * 1_000_000,
            boot: boot.map(|(id, uptime)| Boot {
                id: id.to_owned(),
                uptime,
            }),
            mono: 1000.0,
        }
    }
}

impl Boot {
    /// None where Linux does not tell.
    fn now() -> Option<Self> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        Some(Self {
            id: id.trim().to_owned(),
            uptime: uptime.split_ascii_whitespace().next()?.parse().ok()?,
        })
    }
}
