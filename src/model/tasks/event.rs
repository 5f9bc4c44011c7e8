//! What job systems tell of single tasks and of workers while it happens.

use crate::model::Timestamp;
use std::time::Duration;

/// One event, as a job system sent it. Times are those of the host that sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The process that tells it: `NAME@HOST`.
    pub sender: String,
    pub at: Timestamp,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Task {
        id: String,
        step: TaskStep,
    },
    Worker(WorkerState),
    /// Something that is of no use here.
    Other,
}

/// What has happened to a task.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskStep {
    Sent {
        queue: Option<String>,
        /// How often the task was tried before.
        attempt: u32,
        /// When it may start, where that is later than now.
        due: Option<Timestamp>,
    },
    Received {
        name: String,
        attempt: u32,
    },
    Started,
    Succeeded {
        runtime: Option<Duration>,
    },
    Failed,
    Retried,
    Revoked,
    Rejected,
}

/// What a worker tells of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WorkerState {
    Online,
    Alive {
        /// Tasks that it runs.
        active: Option<u64>,
        /// Time between two such events.
        every: Option<Duration>,
    },
    Offline,
}

/// The `event` label: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    Sent,
    Received,
    Started,
    Succeeded,
    Failed,
    Retried,
    Revoked,
    Rejected,
    Worker,
    Other,
}

impl EventKind {
    pub const ALL: [Self; 10] = [
        Self::Sent,
        Self::Received,
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::Retried,
        Self::Revoked,
        Self::Rejected,
        Self::Worker,
        Self::Other,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
            Self::Worker => "worker",
            Self::Other => "other",
        }
    }
}

impl What {
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Worker(_) => EventKind::Worker,
            Self::Other => EventKind::Other,
            Self::Task { step, .. } => match step {
                TaskStep::Sent { .. } => EventKind::Sent,
                TaskStep::Received { .. } => EventKind::Received,
                TaskStep::Started => EventKind::Started,
                TaskStep::Succeeded { .. } => EventKind::Succeeded,
                TaskStep::Failed => EventKind::Failed,
                TaskStep::Retried => EventKind::Retried,
                TaskStep::Revoked => EventKind::Revoked,
                TaskStep::Rejected => EventKind::Rejected,
            },
        }
    }
}

/// Why something that events could have told is not known. The `reason` label: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The stream of events broke off.
    Disconnected,
    /// We stood still for so long that the broker may have dropped some.
    Stalled,
    /// A message that could not be read.
    Decode,
    /// No room for one more task.
    Full,
    /// A task started whose sending was not told.
    Unmatched,
    /// A task started before it was sent, by clocks that cannot be reconciled, or the clock of a host
    /// is not known yet.
    Clocks,
}

impl Loss {
    pub const ALL: [Self; 6] = [
        Self::Disconnected,
        Self::Stalled,
        Self::Decode,
        Self::Full,
        Self::Unmatched,
        Self::Clocks,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Stalled => "stalled",
            Self::Decode => "decode",
            Self::Full => "full",
            Self::Unmatched => "unmatched",
            Self::Clocks => "clocks",
        }
    }
}

/// A count for each of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts<const N: usize>([u64; N]);

pub type EventCounts = Counts<{ EventKind::ALL.len() }>;
pub type LossCounts = Counts<{ Loss::ALL.len() }>;

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Counts<N> {
    fn count(&mut self, index: usize, times: u64) {
        if let Some(count) = self.0.get_mut(index) {
            *count = count.saturating_add(times);
        }
    }

    fn get(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl EventCounts {
    pub(super) fn note(&mut self, kind: EventKind) {
        self.count(kind as usize, 1);
    }

    pub fn of(&self, kind: EventKind) -> u64 {
        self.get(kind as usize)
    }
}

impl LossCounts {
    pub(super) fn note(&mut self, loss: Loss, times: u64) {
        self.count(loss as usize, times);
    }

    pub fn of(&self, loss: Loss) -> u64 {
        self.get(loss as usize)
    }
}
