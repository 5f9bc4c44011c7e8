//! How long a job runs, from the best source there is.

use crate::model::Objective;

/// The mean run time of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServiceTime {
    pub secs: f64,
    pub source: ServiceSource,
}

/// Where a mean run time comes from, best first. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceSource {
    /// The job system records when jobs start and end.
    Recorded,
    /// Workers that were executing a job, over jobs that ended. Jobs that are only prefetched are
    /// not executed, so this needs a count of busy workers.
    Busy,
    /// Slots of attached workers, over jobs that ended while more were waiting all the time.
    Saturated,
    /// `service_time` of the objective.
    Configured,
}

impl ServiceSource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Busy => "busy",
            Self::Saturated => "saturated",
            Self::Configured => "configured",
        }
    }
}

/// What one span between two polls tells of run times.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Work {
    pub(super) secs: f64,
    /// Run times that the job system recorded: how many, and their sum.
    pub(super) recorded: (f64, f64),
    /// Jobs that ended, where that is known.
    pub(super) ended: Option<f64>,
    /// Workers that were executing a job at the beginning and at the end of the span.
    pub(super) busy: Option<(f64, f64)>,
    /// Attached slots, if they had something to take all the time.
    pub(super) saturated_slots: Option<f64>,
}

/// What is remembered of a queue's run times.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct WorkMemory {
    recorded: Runs,
    busy: Runs,
    saturated: Runs,
    /// Jobs running at the last poll.
    running: f64,
}

/// Time spent on jobs, and the jobs. Both fade: a job counts half after ten minutes or after a
/// hundred further jobs, whichever is later, so that neither a quiet night nor a rush forgets all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Runs {
    secs: f64,
    jobs: f64,
}

const HALF_LIFE_SECS: f64 = 600.0;
const HALF_LIFE_JOBS: f64 = 100.0;

/// Jobs that must have ended before their mean is taken for that of all: five, which have faded a
/// little meanwhile.
const ENOUGH: f64 = 4.5;

// === impl WorkMemory ===

impl WorkMemory {
    pub(super) fn add(&mut self, work: &Work) {
        let (jobs, secs) = work.recorded;
        self.recorded.add(work.secs, secs, jobs);
        self.running = 0.0;
        let Some(ended) = work.ended else { return };
        if let Some((before, now)) = work.busy {
            let busy_secs = (before + now) / 2.0 * work.secs;
            self.busy.add(work.secs, busy_secs, ended);
            self.running = now;
        }
        if let Some(slots) = work.saturated_slots {
            self.saturated.add(work.secs, slots * work.secs, ended);
        }
    }

    /// The best that is known; `None` if nothing is.
    pub(super) fn service_time(&self, objective: Option<&Objective>) -> Option<ServiceTime> {
        let told = |secs: f64, source| ServiceTime { secs, source };
        let recorded = self.recorded.mean(0.0);
        let busy = self.busy.mean(self.running);
        let is_enough = self.busy.jobs >= ENOUGH;
        let configured = objective.and_then(|objective| objective.service_time);
        let configured = configured.map(|time| time.as_secs_f64());
        if let Some(secs) = recorded.filter(|_| self.recorded.jobs >= ENOUGH) {
            Some(told(secs, ServiceSource::Recorded))
        } else if let Some(secs) = busy.filter(|_| is_enough) {
            Some(told(secs, ServiceSource::Busy))
        } else if self.saturated.jobs >= ENOUGH {
            let mean = self.saturated.mean(0.0);
            mean.map(|secs| told(secs, ServiceSource::Saturated))
        } else {
            // Jobs that run longer than they were said to are seen before they end.
            match (configured, busy) {
                (Some(secs), Some(least)) if least > secs => Some(told(least, ServiceSource::Busy)),
                (secs, _) => secs.map(|secs| told(secs, ServiceSource::Configured)),
            }
        }
    }
}

// === impl Runs ===

impl Runs {
    fn add(&mut self, elapsed: f64, secs: f64, jobs: f64) {
        let fades = |amount: f64, half_life: f64| 0.5_f64.powf(amount.max(0.0) / half_life);
        let kept = fades(elapsed, HALF_LIFE_SECS).max(fades(jobs, HALF_LIFE_JOBS));
        self.secs = self.secs * kept + secs.max(0.0);
        self.jobs = self.jobs * kept + jobs.max(0.0);
    }

    /// Seconds a job. Of jobs that still run half count as done: one that has run for some time is
    /// likely to run as long again.
    fn mean(&self, running: f64) -> Option<f64> {
        let jobs = self.jobs + running / 2.0;
        let mean = self.secs / jobs;
        (jobs > 0.0 && mean.is_finite() && mean > 0.0).then_some(mean)
    }
}
