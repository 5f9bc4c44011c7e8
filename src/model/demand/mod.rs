//! How many job slots a queue needs: `λ·S/ρ + Q·S/T`, with jobs arriving at rate λ, S their mean run
//! time, ρ the share of the time that workers may be busy, Q the ready jobs, T the longest wait.
//!
//! The first term carries what keeps coming, the second drains what waits within T. Waiting time
//! itself steers badly: it is near zero until there are too few workers, and then grows whatever
//! their number.

mod service;

use super::Objective;
use super::flow::{FadingRate, Waits};
use super::snapshot::QueueSnapshot;
pub use service::{ServiceSource, ServiceTime};
use service::{Work, WorkMemory};
use std::time::Duration;

/// What is known of the demand for workers, as of the last poll.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Jobs a second, over about the last five minutes, or fewer if the last minute shows that fewer
    /// come by now; absent where arrivals are not counted.
    pub arrivals: Option<f64>,
    /// Whether the queue has been watched for long enough that `arrivals` can be relied on.
    pub is_warm: bool,
    pub service_time: Option<ServiceTime>,
}

/// Why it is not known how many job slots a queue needs. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemandUnknown {
    NoObjective,
    NotCounted,
    DepthUnknown,
    NotWarm,
    NoServiceTime,
}

/// What outlives a poll.
#[derive(Debug, Default)]
pub struct DemandMemory {
    /// Half-life 208 s: an event counts 300 s in all.
    arrivals: FadingRate<208>,
    /// The same over 60 s.
    recent_arrivals: FadingRate<42>,
    watched_secs: f64,
    work: WorkMemory,
    last: Option<Sight>,
}

/// What a poll shows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sight {
    at: f64,
    ready: Option<u64>,
    in_progress: Option<u64>,
    enqueued: Option<u64>,
    started: Option<u64>,
    finished: Option<u64>,
    /// Recorded run times since the first poll: how many, and their sum.
    runs: (u64, f64),
    busy: Option<u64>,
    slots: Option<u64>,
    is_paused: bool,
}

/// So long must a queue have been watched: a rate over less would jump about, and a restart of
/// tailback would look like a lull.
const WARM_SECS: f64 = 60.0;

/// In a longer span between two polls, or three intervals, nobody has looked: what came meanwhile
/// may not have been counted.
const LONGEST_SPAN_SECS: f64 = 60.0;

// === impl Demand ===

impl Demand {
    /// Nothing known yet.
    pub const NONE: Self = Self {
        arrivals: None,
        is_warm: false,
        service_time: None,
    };
}

impl QueueSnapshot {
    /// Jobs that one worker runs at the same time, as the objective says.
    pub fn slots_per_worker(&self) -> f64 {
        let objective = self.objective.as_ref();
        objective.map_or(1.0, |objective| f64::from(objective.slots_per_worker))
    }

    /// Jobs that a worker holds. A worker may be seen at work whose job is counted nowhere.
    pub fn held_jobs(&self) -> Option<u64> {
        self.jobs.in_progress.max(self.busy_workers)
    }

    /// Jobs that wait or run, at least: workers are needed while there are any. `None` where none is
    /// seen and it is not known that there is none.
    pub fn unfinished_jobs(&self) -> Option<u64> {
        let (ready, held) = (self.jobs.ready, self.held_jobs());
        let ready_at_least = ready.or(self.ready_at_least);
        let seen = ready_at_least
            .unwrap_or(0)
            .saturating_add(held.unwrap_or(0));
        (seen > 0 || ready.is_some() && held.is_some()).then_some(seen)
    }

    /// Job slots needed so that jobs wait no longer than the objective says, or than `wait`.
    pub fn required_slots(&self, wait: Option<Duration>) -> Result<f64, DemandUnknown> {
        let objective = self.objective.as_ref();
        let wait = wait.or_else(|| objective.map(|objective| objective.wait));
        let wait = wait.ok_or(DemandUnknown::NoObjective)?;
        let utilization = objective.map_or(Objective::DEFAULT_UTILIZATION, |objective| {
            objective.utilization
        });
        let demand = self.demand;
        let arrivals = demand.arrivals.ok_or(DemandUnknown::NotCounted)?;
        let ready = self.jobs.ready.ok_or(DemandUnknown::DepthUnknown)?;
        if !demand.is_warm {
            return Err(DemandUnknown::NotWarm);
        }
        let service = demand.service_time.ok_or(DemandUnknown::NoServiceTime)?;
        let wait = wait.as_secs_f64().max(f64::MIN_POSITIVE);
        let slots = service.secs * (arrivals / utilization + ready as f64 / wait);
        Ok(slots.clamp(0.0, f64::MAX))
    }
}

impl DemandUnknown {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoObjective => "no objective is set for the queue",
            Self::NotCounted => "the jobs that arrive in the queue are not counted",
            Self::DepthUnknown => "the number of ready jobs is not known",
            Self::NotWarm => "the queue has been watched for less than a minute",
            Self::NoServiceTime => {
                "nothing has told yet how long a job runs; the objective's service_time may"
            }
        }
    }

    /// Whether it will be known by itself, without another configuration.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::DepthUnknown | Self::NotWarm)
    }
}

// === impl DemandMemory ===

impl DemandMemory {
    /// Takes the next poll of the queue.
    pub fn fold(&mut self, queue: &QueueSnapshot) -> Demand {
        let now = Sight::of(queue);
        let longest = LONGEST_SPAN_SECS.max(queue.interval.as_secs_f64() * 3.0);
        if let Some(before) = self.last.replace(now) {
            let secs = now.at - before.at;
            if secs > 0.0 && secs <= longest {
                self.add(&before, &now, secs);
            }
        }
        Demand {
            arrivals: now.enqueued.map(|_| self.arrivals_per_second()),
            is_warm: self.watched_secs >= WARM_SECS,
            service_time: self.work.service_time(queue.objective.as_ref()),
        }
    }

    /// The rate of five minutes, unless the last minute shows that less comes by now, beyond chance: a
    /// fan-out that has been drained would hold workers for minutes.
    fn arrivals_per_second(&self) -> f64 {
        let usual = self.arrivals.per_second();
        // What is counted with fading weights over 60 s scatters as a count over 120 s.
        let deviation = (usual / 120.0).sqrt();
        usual.min(self.recent_arrivals.per_second() + 2.0 * deviation)
    }

    fn add(&mut self, before: &Sight, now: &Sight, secs: f64) {
        if let Some(arrived) = gained(before.enqueued, now.enqueued) {
            self.arrivals.add(now.at, secs, arrived);
            self.recent_arrivals.add(now.at, secs, arrived);
            self.watched_secs += secs;
        }
        let ready = |sight: &Sight| sight.ready.is_some_and(|ready| ready > 0);
        let is_saturated = ready(before) && ready(now) && !now.is_paused && !before.is_paused;
        let (runs, run_secs) = now.runs;
        self.work.add(&Work {
            secs,
            recorded: (
                runs.saturating_sub(before.runs.0) as f64,
                run_secs - before.runs.1,
            ),
            ended: ended(before, now),
            busy: before.busy.zip(now.busy).map(|(a, b)| (a as f64, b as f64)),
            saturated_slots: now
                .slots
                .filter(|slots| is_saturated && *slots > 0 && before.slots == now.slots)
                .map(|slots| slots as f64),
        });
    }
}

/// Jobs that ended between two polls: as counted, else those that started less those that are held
/// since.
fn ended(before: &Sight, now: &Sight) -> Option<f64> {
    let counted = gained(before.finished, now.finished);
    counted.or_else(|| {
        let started = gained(before.started, now.started)?;
        let (before, now) = before.in_progress.zip(now.in_progress)?;
        Some((started + before as f64 - now as f64).max(0.0))
    })
}

fn gained(before: Option<u64>, now: Option<u64>) -> Option<f64> {
    before
        .zip(now)
        .map(|(before, now)| now.saturating_sub(before) as f64)
}

// === impl Sight ===

impl Sight {
    fn of(queue: &QueueSnapshot) -> Self {
        let runs = queue.measured.as_ref().and_then(|seen| seen.runs.as_ref());
        let per_worker = queue
            .objective
            .map_or(1, |objective| u64::from(objective.slots_per_worker));
        Self {
            at: queue.observed.uptime_secs(),
            ready: queue.jobs.ready,
            in_progress: queue.jobs.in_progress,
            enqueued: queue.counters.enqueued,
            started: queue.counters.started,
            finished: queue.counters.finished,
            runs: runs.map_or((0, 0.0), |runs| (runs.count(), Waits::sum(runs))),
            busy: queue.busy_workers,
            slots: queue
                .consumers
                .map(|consumers| consumers.saturating_mul(per_worker)),
            is_paused: queue.paused == Some(true),
        }
    }
}

#[cfg(test)]
mod tests;
