//! How long jobs of a queue may wait.

use super::System;
use std::fmt;
use std::time::Duration;

/// What is asked of a queue: `ratio` of its jobs start within `wait`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// The longest wait that is not late.
    pub wait: Duration,
    /// The share of jobs that must not be late, between 0 and 1.
    pub ratio: f64,
    /// How busy workers may be on the average, above 0 and at most 1.
    pub utilization: f64,
    /// Jobs that one worker runs at the same time.
    pub slots_per_worker: u32,
    /// How long a job runs, where nothing else tells.
    pub service_time: Option<Duration>,
}

impl Objective {
    pub const DEFAULT_RATIO: f64 = 0.99;
    pub const DEFAULT_UTILIZATION: f64 = 0.95;
}

/// Says which objective holds for a queue.
pub trait Objectives: fmt::Debug + Send + Sync {
    fn of(&self, broker: &str, system: System, queue: &str) -> Option<Objective>;
}
