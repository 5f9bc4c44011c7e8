//! What the flow of a queue tells, as readers see it.

use super::curve::Basis;
use super::ledger::Counts;
use super::waits::Waits;
use crate::model::Reason;
use std::time::Duration;

/// Counted since the first poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowTotals {
    pub enqueued: u64,
    pub started: u64,
    /// Handed out once more.
    pub again: u64,
    /// Left without having been handed out, where the broker tells the two apart.
    pub removed: u64,
    /// Came back to the head.
    pub put_back: u64,
    /// Started, but older than our first poll: not in the histogram.
    pub censored: u64,
    /// Started later than the queue's objective allows, if it has one: those that were within it by
    /// the best estimate are not among them, censored ones are if they certainly were not.
    pub late: u64,
    /// How good all these are.
    pub counts: Counts,
}

/// What the flow of a queue tells. Immutable and shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowView {
    pub totals: FlowTotals,
    /// Absent until a job whose arrival was seen has started.
    pub waits: Option<Waits>,
    pub drain: Option<Duration>,
    /// Departures a second while there is something to take; 0 if none has been seen.
    pub departures_per_second: f64,
    pub basis: FlowBasis,
}

/// What the latency of a queue rests on. Closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FlowBasis {
    #[default]
    Empty,
    /// The head carries its own time.
    Timestamp,
    /// The head carries a time at which it cannot have come; so as [`Self::Curve`].
    TimestampRejected,
    /// Arrivals and departures seen, order kept: hard bounds.
    Curve,
    /// The head was there before our first poll: a lower bound.
    Cold,
    /// Jobs were put back at the head: a lower bound.
    PutBack,
    /// Jobs were taken out of order, or nothing shows that they were not: a lower bound.
    Unordered,
    /// Nothing that tells it.
    Unknown,
}

impl FlowView {
    /// Of a queue in which no job has been seen.
    pub(super) fn quiet(counts: Counts) -> Self {
        let mut quiet = Self::default();
        quiet.totals.counts = counts;
        quiet
    }
}

impl FlowBasis {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Timestamp => "timestamp",
            Self::TimestampRejected => "timestamp_rejected",
            Self::Curve => "curve",
            Self::Cold => "cold",
            Self::PutBack => "put_back",
            Self::Unordered => "unordered",
            Self::Unknown => "unknown",
        }
    }

    /// Why nothing at all is known where it could not tell more than "at least zero".
    pub const fn unknown(self) -> Reason {
        match self {
            Self::PutBack => Reason::PutBack,
            Self::Unordered => Reason::TakenOutOfOrder,
            _ => Reason::NotWatchedYet,
        }
    }

    /// Why there is no upper bound.
    pub const fn without_max(self) -> Option<&'static str> {
        match self {
            Self::Empty | Self::Timestamp | Self::Curve => None,
            Self::TimestampRejected => Some(
                "the oldest job was there before tailback's first poll, and carries a time that \
                 cannot be right",
            ),
            Self::Cold => Some(
                "the oldest job was there before tailback's first poll, or before the broker's counts \
                 began anew",
            ),
            Self::PutBack => {
                Some("jobs were put back at the head, in an order that is not visible")
            }
            Self::Unordered => Some(
                "jobs were taken out of the order of their arrival, or may have been: nothing shows \
                 that they were not",
            ),
            Self::Unknown => Some("nothing tells how old the oldest job is"),
        }
    }
}

impl From<Basis> for FlowBasis {
    fn from(basis: Basis) -> Self {
        match basis {
            Basis::Curve => Self::Curve,
            Basis::Cold => Self::Cold,
            Basis::PutBack => Self::PutBack,
            Basis::Unordered => Self::Unordered,
        }
    }
}
