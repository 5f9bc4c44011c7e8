//! What a front end tells of the lines of a queue at one poll: counts and where the head stands,
//! nothing of how it found out.

use super::ledger::Counts;
use super::order::Order;
use crate::model::latency::Reason;
use crate::model::{Head, LatencySource, Timestamp};

/// The lines of one queue, read at the same poll.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowSample {
    /// Set by whoever did the reads.
    pub span: Span,
    pub lines: Vec<LineSample>,
}

/// When a read happened, in seconds on our own monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Span {
    pub from: f64,
    pub to: f64,
}

/// One line: messages that are taken in the order of their arrival. A Celery queue has one for each
/// priority step, most queues have one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineSample {
    /// Which of the queue's lines this is.
    pub line: u8,
    /// Messages waiting, those that are due later among them.
    pub ready: u64,
    pub arrivals: Arrivals,
    /// Messages handed out so far, where the broker counts them.
    pub started: Option<Starts>,
    pub head: LineHead,
}

/// Messages handed out so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Starts {
    /// For the first time.
    pub first: u64,
    /// Once more, after having come back and waited.
    pub again: u64,
    /// Once more, without having been seen to wait.
    pub unseen: u64,
}

impl Starts {
    /// Where none has ever come back.
    pub const fn of(first: u64) -> Self {
        Self {
            first,
            again: 0,
            unseen: 0,
        }
    }

    /// With so many more.
    #[must_use]
    pub const fn plus(self, first: u64, again: u64, unseen: u64) -> Self {
        Self {
            first: self.first.saturating_add(first),
            again: self.again.saturating_add(again),
            unseen: self.unseen.saturating_add(unseen),
        }
    }

    /// Those since `before`. A total that has fallen is a restart: what it shows has happened since.
    pub(super) fn since(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if before.first <= self.first => Self {
                first: self.first - before.first,
                again: self.again.saturating_sub(before.again),
                unseen: self.unseen.saturating_sub(before.unseen),
            },
            _ => self,
        }
    }
}

/// Arrivals so far, as the front end has counted them, and what the broker's own counts say. It says a total and not a difference, so that
/// a poll that never reached us costs nothing but precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrivals {
    pub total: u64,
    /// Changes where the total is only a lower bound since the poll before.
    pub epoch: u32,
    /// The first poll of this line: what it holds was there before us.
    pub is_first: bool,
    /// Everything that waited at the poll before has left: more may have come and gone unseen.
    pub turned_over: bool,
    /// Arrivals are counted among the broker's pushes.
    pub is_pushed: bool,
    /// Arrivals that no poll has seen, as the count of pushes tells. Set by the fold.
    pub unseen: u64,
    /// Departures are counted among the broker's deliveries, unless they are removals.
    pub is_delivered: bool,
    /// Those that waited at the poll before, if none of them is left, or none is found again of a line
    /// that may be another.
    pub gone: u64,
    /// Departures that were no deliveries, as the count of deliveries tells. Set by the fold.
    pub removed: u64,
    /// How good the last two are. Set by the fold.
    pub counts: Counts,
    /// Whether messages were taken in the order of their arrival.
    pub order: Order,
    /// So many from the head on may be others than their numbers say; if the order is open, only where
    /// somebody may have put them there.
    pub others: u64,
    /// So many of the newest may have come later than their numbers say, if the order was not kept:
    /// others, which had those numbers, were taken from the tail.
    pub newer: u64,
}

/// What the front end knows of the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineHead {
    /// Messages before it that are due later, so that they do not wait.
    pub skip: u64,
    /// So many messages from the head on may have been handed out before and were put back; 0 if
    /// the head itself was not.
    pub put_back: u64,
    pub state: HeadState,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeadState {
    /// There is one, unless the line is empty.
    Waiting,
    /// It says itself since when it could be taken: between these two.
    Stamped {
        earliest: Timestamp,
        latest: Timestamp,
        upper_is_hard: bool,
        source: LatencySource,
        of: StampOf,
    },
    /// Every message is due later.
    AllDueLater,
    /// Which message is the head cannot be told.
    Unknown(Reason),
}

/// What a time in a message is the time of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampOf {
    /// Its coming to this line.
    Arrival,
    /// Its becoming due, later than that: messages behind it may have waited longer.
    Due,
    /// Something that cannot be compared with what the line tells.
    Other,
}

impl LineSample {
    /// How good the count is of what has come since the poll before.
    pub(super) const fn counts(&self) -> Counts {
        // What the count of pushes does not cover may have come and gone without a trace.
        match self.arrivals.turned_over && !self.arrivals.is_pushed {
            true => Counts::LowerBound,
            false => self.arrivals.counts,
        }
    }
}

impl LineHead {
    /// The first message, of which nothing else is known.
    pub const PLAIN: Self = Self {
        skip: 0,
        put_back: 0,
        state: HeadState::Waiting,
    };

    /// The first message, with its time if that is known: where it is not, the flow tells.
    pub const fn of(head: Head) -> Self {
        Self {
            state: HeadState::of(head),
            ..Self::PLAIN
        }
    }
}

impl HeadState {
    /// What a head says of itself; one that says nothing only waits. When it came to its line is not
    /// known from it: clients write their times before they push.
    pub const fn of(head: Head) -> Self {
        match head {
            Head::Since {
                earliest,
                latest,
                upper_is_hard,
                source,
            } => Self::Stamped {
                earliest,
                latest,
                upper_is_hard,
                source,
                of: StampOf::Other,
            },
            Head::Empty | Head::Unknown(_) => Self::Waiting,
        }
    }
}

impl Arrivals {
    /// As the broker itself counts them.
    pub const fn counted(total: u64, epoch: u32) -> Self {
        Self {
            total,
            epoch,
            is_first: false,
            turned_over: false,
            is_pushed: false,
            unseen: 0,
            is_delivered: false,
            gone: 0,
            removed: 0,
            counts: Counts::Exact,
            order: Order::Kept,
            others: 0,
            newer: 0,
        }
    }
}
