//! The fold of polls into snapshots, one per broker. Owned by the store task.

use super::counter::MonotoneCounter;
use super::flow::{
    Claim, Counts, DEFAULT_BUCKETS, FlowBasis, FlowMemory, FlowView, Ledger, Settings,
};
use super::latency::{Latency, LatencySource};
use super::snapshot::{BrokerKind, BrokerSnapshot, Cost, LastError, QueueSnapshot};
use super::{DropReason, ErrorKind, Observation, System};
use crate::clock::Now;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What a poller tells about one poll.
#[derive(Debug)]
pub struct Report {
    pub broker: Arc<str>,
    /// The end of the poll.
    pub at: Now,
    /// The interval in force from now on.
    pub interval: Duration,
    pub cost: Cost,
    pub outcome: Result<PollSuccess, PollFailure>,
}

#[derive(Debug, Default)]
pub struct PollSuccess {
    pub version: Option<Arc<str>>,
    pub observations: Vec<Observation>,
    pub dropped: BTreeMap<DropReason, u64>,
    /// Pushes to all lists of the broker so far, where it tells.
    pub pushes: Option<u64>,
    /// Faults of single queues; the poll as a whole is good.
    pub faults: Vec<PollFailure>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollFailure {
    pub kind: ErrorKind,
    pub message: String,
}

/// What is remembered of one broker between polls.
#[derive(Debug)]
pub struct BrokerState {
    snapshot: BrokerSnapshot,
    /// As configured.
    stale_after: Duration,
    /// Upper bounds of the buckets of waits.
    wait_buckets: Arc<[f64]>,
    ledger: Ledger,
    queues: HashMap<(System, Arc<str>), QueueMemory>,
}

/// What outlives a poll of one queue.
#[derive(Debug, Default)]
struct QueueMemory {
    counters: [MonotoneCounter; 6],
    source: Option<LatencySource>,
    seen: u64,
    flow: FlowMemory,
}

impl BrokerState {
    pub fn new(
        name: Arc<str>,
        kind: BrokerKind,
        interval: Duration,
        stale_after: Duration,
    ) -> Self {
        Self {
            snapshot: BrokerSnapshot {
                name,
                kind,
                version: None,
                polls: 0,
                last_poll_ok: false,
                last_success: None,
                last_error: None,
                errors: BTreeMap::new(),
                interval,
                stale_after,
                cost: Cost::default(),
                dropped: BTreeMap::new(),
                queues: Arc::default(),
            },
            stale_after,
            wait_buckets: DEFAULT_BUCKETS.into(),
            ledger: Ledger::default(),
            queues: HashMap::new(),
        }
    }

    /// Waits are counted in buckets with these upper bounds, ascending.
    #[must_use]
    pub fn with_wait_buckets(mut self, buckets: Arc<[f64]>) -> Self {
        self.wait_buckets = buckets;
        self
    }

    pub fn snapshot(&self) -> BrokerSnapshot {
        self.snapshot.clone()
    }

    /// Folds one poll in.
    pub fn apply(&mut self, report: Report) {
        self.snapshot.polls += 1;
        self.snapshot.interval = report.interval;
        self.snapshot.cost = report.cost;
        self.snapshot.last_poll_ok = report.outcome.is_ok();
        match report.outcome {
            Ok(success) => self.succeed(success, report.at),
            Err(failure) => self.note(&failure, report.at),
        }
    }

    fn succeed(&mut self, success: PollSuccess, at: Now) {
        if let Some(first) = success.faults.first() {
            self.note(first, at);
            for fault in success.faults.iter().skip(1) {
                *self.snapshot.errors.entry(fault.kind).or_default() += 1;
            }
        } else {
            self.snapshot.last_error = None;
        }
        let mut dropped = success.dropped;
        self.snapshot.last_success = Some(at);
        self.snapshot.stale_after = self.stale_after.max(self.snapshot.interval * 2);
        if success.version.is_some() {
            self.snapshot.version = success.version;
        }
        let polls = self.snapshot.polls;
        let mut observations = success.observations;
        let counts = self.settle(success.pushes, &mut observations);
        let settings = Settings {
            buckets: &self.wait_buckets,
            counts,
        };
        let mut queues: Vec<QueueSnapshot> = observations
            .into_iter()
            .map(|observation| {
                let key = (observation.system, Arc::clone(&observation.queue));
                self.queues
                    .entry(key)
                    .or_default()
                    .fold(observation, polls, &settings)
            })
            .collect();
        queues.sort_by(|a, b| (a.system, &a.queue).cmp(&(b.system, &b.queue)));
        let before = queues.len();
        queues.dedup_by(|a, b| a.system == b.system && a.queue == b.queue);
        let collided = before - queues.len();
        if collided > 0 {
            *dropped.entry(DropReason::NameCollision).or_default() += collided as u64;
        }
        // A queue that was not observed is gone: its counters start again if it comes back.
        self.queues.retain(|_, memory| memory.seen == polls);
        self.snapshot.dropped = dropped;
        self.snapshot.queues = queues.into();
    }

    /// Shares out the arrivals that no poll has seen.
    fn settle(&mut self, pushes: Option<u64>, observations: &mut [Observation]) -> Counts {
        let quiet = FlowMemory::default();
        let claims: Vec<Claim> = observations
            .iter()
            .filter_map(|seen| Some((seen, seen.flow.as_ref()?)))
            .flat_map(|(seen, sample)| {
                let key = (seen.system, Arc::clone(&seen.queue));
                let memory = self.queues.get(&key).map_or(&quiet, |memory| &memory.flow);
                memory.claims(sample)
            })
            .collect();
        let Some((shares, counts)) = self.ledger.settle(pushes, &claims) else {
            return Counts::LowerBound;
        };
        let lines = observations
            .iter_mut()
            .filter_map(|seen| seen.flow.as_mut())
            .flat_map(|sample| &mut sample.lines);
        for (line, share) in lines.zip(shares) {
            line.arrivals.unseen = share;
        }
        counts
    }

    fn note(&mut self, failure: &PollFailure, at: Now) {
        *self.snapshot.errors.entry(failure.kind).or_default() += 1;
        self.snapshot.last_error = Some(LastError {
            kind: failure.kind,
            message: failure.message.as_str().into(),
            at: at.wall,
        });
    }
}

impl QueueMemory {
    fn fold(
        &mut self,
        mut observation: Observation,
        poll: u64,
        settings: &Settings<'_>,
    ) -> QueueSnapshot {
        self.seen = poll;
        let latency = match &observation.flow {
            None => Latency::from_head(observation.head, observation.window),
            Some(sample) => observation.statistics.fold(
                &mut self.flow,
                sample,
                observation.window,
                observation.jobs.ready,
                settings,
            ),
        };
        let flow = self.flow.view().map(|flow| match observation.flow {
            Some(_) => flow,
            // The totals stand; what was true at the last sight may no longer be.
            None => Arc::new(FlowView {
                drain: None,
                basis: FlowBasis::Unknown,
                ..FlowView::clone(&flow)
            }),
        });
        let latency = match flow.as_ref().filter(|_| observation.flow.is_some()) {
            Some(flow) => latency.or_unknown(observation.head, flow.basis.unknown()),
            None => latency,
        };
        if let Some(flow) = &flow {
            let counters = &mut observation.counters;
            counters.enqueued = counters.enqueued.or(Some(flow.totals.enqueued));
            counters.started = counters.started.or(Some(flow.totals.started));
        }
        match latency {
            Latency::Known { source, .. } => self.source = Some(source),
            // An empty queue says nothing of where its times come from.
            Latency::Empty => {}
            Latency::Unknown(_) => self.source = Some(LatencySource::None),
        }
        let counters = observation
            .counters
            .zip_with(&mut self.counters, |raw, counter| {
                raw.map(|raw| counter.observe(raw))
            });
        QueueSnapshot {
            system: observation.system,
            queue: observation.queue,
            jobs: observation.jobs,
            priorities: observation.priorities,
            latency,
            source: self.source.unwrap_or(LatencySource::None),
            oldest_in_progress: observation.oldest_in_progress,
            next_due: observation.next_due,
            consumers: observation.consumers,
            busy_workers: observation.busy_workers,
            paused: observation.paused,
            counters,
            flow,
        }
    }
}
