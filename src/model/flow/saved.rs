//! The flow of a queue as it is written down for the next process to take up.
//!
//! Times are ages in microseconds, counted back from the instant of writing and rounded outwards.
//! What is read may be anything: whoever takes it up checks it, and leaves it where it makes no
//! sense.

use super::ledger::Counts;
use serde::{Deserialize, Serialize};

/// How the times of whoever wrote become ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// Now, in seconds on our own monotonic clock.
    pub now: f64,
    /// Seconds between the writing and now.
    pub gap: f64,
    /// By how much the gap may be off, either way.
    pub doubt: f64,
}

/// The flow of one queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SavedFlow {
    Quiet(SavedQuiet),
    Active(Box<SavedQueue>),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedSpan {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A queue that has always been empty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SavedQuiet {
    #[serde(flatten)]
    pub(super) span: SavedSpan,
    #[serde(default)]
    pub(super) counts: SavedCounts,
}

/// 0 exact, 1 shared, 3 assumed, 4 a lower bound, else nothing that is certain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SavedCounts(u8);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedQueue {
    pub(super) span: SavedSpan,
    /// The broker's time at the end of that span, in microseconds since 1970.
    pub(super) broker_time: i64,
    pub(super) lines: Vec<SavedLine>,
    pub(super) totals: SavedTotals,
    pub(super) waits: Option<SavedWaits>,
    pub(super) departures: SavedRate,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedTotals {
    pub(super) enqueued: u64,
    pub(super) started: u64,
    pub(super) removed: u64,
    pub(super) put_back: u64,
    pub(super) censored: u64,
    #[serde(default)]
    pub(super) again: u64,
    #[serde(default)]
    pub(super) late: u64,
    pub(super) counts: SavedCounts,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedLine {
    pub(super) id: u8,
    pub(super) epoch: u32,
    pub(super) arrived: u64,
    #[serde(default)]
    pub(super) turnover: SavedTurnover,
    pub(super) started: Option<u64>,
    pub(super) curve: SavedCurve,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedCurve {
    /// Count, age of `by`, age of `not_before`; no age where it is minus infinity.
    pub(super) knots: Vec<(i64, Option<u64>, Option<u64>)>,
    pub(super) arrived: i64,
    pub(super) departed: i64,
    pub(super) furthest: i64,
    pub(super) unordered_until: i64,
    pub(super) span: SavedSpan,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedWaits {
    pub(super) bounds: Vec<f64>,
    pub(super) within: Vec<u64>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedTurnover {
    pub(super) measured: SavedRate,
    pub(super) caught: SavedRate,
    pub(super) quick: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedRate {
    pub(super) events: f64,
    pub(super) secs: f64,
    pub(super) age: Option<u64>,
}

// === impl SavedCounts ===

impl From<Counts> for SavedCounts {
    fn from(counts: Counts) -> Self {
        Self(match counts {
            Counts::Exact => 0,
            Counts::Shared => 1,
            Counts::Assumed => 3,
            Counts::LowerBound => 4,
            Counts::Estimated => 5,
        })
    }
}

impl From<SavedCounts> for Counts {
    fn from(saved: SavedCounts) -> Self {
        match saved.0 {
            0 => Self::Exact,
            1 => Self::Shared,
            3 => Self::Assumed,
            4 => Self::LowerBound,
            _ => Self::Estimated,
        }
    }
}

// === impl Shift ===

impl Shift {
    pub(crate) fn likely(&self, age: u64) -> f64 {
        self.now - self.gap - age as f64 / 1e6
    }

    pub(super) fn earliest(&self, age: u64) -> f64 {
        self.likely(age) - self.doubt
    }

    /// Nothing that was written down is still to come.
    pub(super) fn latest(&self, age: u64) -> f64 {
        (self.likely(age) + self.doubt).min(self.now)
    }
}

// === impl SavedFlow ===

impl SavedFlow {
    /// How many knots it holds, which are nearly all of its size.
    pub(crate) fn knots(&self) -> usize {
        match self {
            Self::Quiet(_) => 0,
            Self::Active(queue) => queue.lines.iter().map(|line| line.curve.knots.len()).sum(),
        }
    }

    /// The same with counters that begin again.
    pub(crate) fn without_counters(mut self) -> Self {
        match &mut self {
            Self::Quiet(quiet) => quiet.counts = SavedCounts::default(),
            Self::Active(queue) => {
                queue.totals = SavedTotals::default();
                queue.waits = None;
            }
        }
        self
    }
}

/// Microseconds from `at` to `now`, not less.
pub(crate) fn age_up(at: f64, now: f64) -> u64 {
    // A float to integer cast saturates.
    ((now - at) * 1e6).ceil().max(0.0) as u64
}

/// Microseconds from `at` to `now`, not more.
pub(super) fn age_down(at: f64, now: f64) -> u64 {
    ((now - at) * 1e6).floor().max(0.0) as u64
}
