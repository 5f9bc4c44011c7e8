//! Single tasks, as far as their job system tells of them while they happen: what was told is joined
//! by the tasks' ids in a store of bounded size. Pure.
//!
//! A stream of events is told once and to whoever listens, so nobody can say that all of it was
//! heard. Therefore the waits are told as a sample, beside those of the flow model, which counts
//! every task. What is known to be missing is counted ([`Loss`]).

mod clocks;
mod event;
mod known;
mod log;
mod news;
#[cfg(test)]
mod tests;
mod totals;
mod waiting;
mod workers;

pub use event::{Event, EventCounts, EventKind, Loss, LossCounts, TaskStep, What, WorkerState};
pub use log::{Busy, Limits, TaskLog};
pub use news::QueueTold;
pub use totals::{EventsReport, EventsView, TaskCounts, TaskNews, TaskView};

/// The `task` label of tasks beyond the limit, and of those whose names were not told.
pub const OTHER: &str = "other";
