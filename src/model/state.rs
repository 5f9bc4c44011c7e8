//! The fold of polls into snapshots, one per broker. Owned by the store task.

mod queue;

use super::counter::MonotoneCounter;
use super::flow::{Claim, DEFAULT_BUCKETS, FlowMemory, Ledger, Settings, Shift, Tally, Witness};
use super::history::Seen;
use super::objective::Objectives;
use super::saved::{Resumed, SavedFlows};
use super::snapshot::{BrokerKind, BrokerSnapshot, Cost, LastError, QueueSnapshot, held};
use super::tasks::{EventsReport, EventsView};
use super::{DropReason, ErrorKind, Observation, System, SystemTotals, Timestamp};
use crate::clock::Now;
use queue::QueueMemory;
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
    /// What job systems tell of all their queues together.
    pub systems: Vec<SystemTotals>,
    /// Queues that were not due: their last observations stand, and are as old as they are.
    pub kept: Vec<(System, Arc<str>)>,
    /// How often those are read.
    pub kept_interval: Duration,
    /// The budget asks for so much time between polls.
    pub needed_interval: Duration,
    pub dropped: BTreeMap<DropReason, u64>,
    /// What the broker counts of all its lists together, where it tells.
    pub tally: Tally,
    /// What events have told since the poll before, where they are listened to.
    pub events: Option<EventsReport>,
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
    objectives: Option<Arc<dyn Objectives>>,
    ledger: Ledger,
    witness: Witness,
    queues: HashMap<(System, Arc<str>), QueueMemory>,
    systems: HashMap<System, [MonotoneCounter; 6]>,
    /// What an earlier process has left of queues that have not been seen yet.
    resumed: Option<Resumed>,
    /// The end of the last poll of a flow, on our clock and the broker's.
    clock: Option<(f64, Timestamp)>,
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
                systems: Arc::default(),
                events: None,
                queues: Arc::default(),
            },
            stale_after,
            wait_buckets: DEFAULT_BUCKETS.into(),
            objectives: None,
            ledger: Ledger::default(),
            witness: Witness::default(),
            queues: HashMap::new(),
            systems: HashMap::new(),
            resumed: None,
            clock: None,
        }
    }

    /// Takes up what another process has remembered, as far as queues are found again.
    pub fn resume(&mut self, saved: SavedFlows, shift: Shift, with_counters: bool) {
        self.resumed = Some(Resumed::new(saved, shift, with_counters));
    }

    /// What the next process must know; `now` is in seconds on our monotonic clock.
    pub fn save(&self, now: f64) -> SavedFlows {
        let flows = self
            .queues
            .iter()
            .map(|((system, queue), memory)| (*system, queue, &memory.flow));
        SavedFlows::new(now, self.clock, flows)
    }

    /// Waits are counted in buckets with these upper bounds, ascending.
    #[must_use]
    pub fn with_wait_buckets(mut self, buckets: Arc<[f64]>) -> Self {
        self.wait_buckets = buckets;
        self
    }

    /// Queues have the objectives that these say.
    #[must_use]
    pub fn with_objectives(mut self, objectives: Arc<dyn Objectives>) -> Self {
        self.objectives = Some(objectives);
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
        self.take_up(&observations);
        self.settle(success.tally, &mut observations);
        let settings = Settings {
            buckets: &self.wait_buckets,
            objective: None,
            starts: u64::MAX,
            witness: &self.witness,
        };
        let interval = self.snapshot.interval;
        let mut queues = Vec::with_capacity(observations.len() + success.kept.len());
        for observation in observations {
            let key = (observation.system, Arc::clone(&observation.queue));
            let memory = self
                .queues
                .entry(key)
                .or_insert_with_key(|(system, queue)| {
                    QueueMemory::new(
                        self.objectives.as_deref(),
                        &self.snapshot.name,
                        *system,
                        queue,
                    )
                });
            (memory.seen, memory.read) = (polls, polls);
            let mut queue = memory.fold(observation, (at, interval), &settings);
            let held = held(self.snapshot.stale_after, queue.interval);
            queue.history = memory.history.fold(Seen::from(&queue), held);
            queues.push(queue);
        }
        self.keep(
            success.kept,
            success.kept_interval.max(interval),
            &mut queues,
        );
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
        self.snapshot.systems = self.total_up(success.systems);
        if let Some(report) = success.events {
            let before = self.snapshot.events.take();
            self.snapshot.events = Some(EventsView::after(before, report, &self.wait_buckets));
        }
        self.snapshot.queues = queues.into();
    }

    /// Counters of whole job systems, never falling.
    fn total_up(&mut self, mut systems: Vec<SystemTotals>) -> Arc<[SystemTotals]> {
        systems.sort_by_key(|totals| totals.system);
        for totals in &mut systems {
            let counters = self.systems.entry(totals.system).or_default();
            totals.counters = totals
                .counters
                .zip_with(counters, |raw, counter| raw.map(|raw| counter.observe(raw)));
        }
        systems.into()
    }

    /// Goes on with the flow of queues that an earlier process has watched.
    fn take_up(&mut self, observations: &[Observation]) {
        for seen in observations {
            let Some(sample) = &seen.flow else { continue };
            self.clock = Some((sample.span.to, seen.window.to));
            let Some(resumed) = &mut self.resumed else {
                continue;
            };
            let key = (seen.system, Arc::clone(&seen.queue));
            let flow = resumed.take(&key, sample, seen.window, &self.wait_buckets);
            if let Some(flow) = flow
                && !self.queues.contains_key(&key)
            {
                let objectives = self.objectives.as_deref();
                let mut memory = QueueMemory::new(objectives, &self.snapshot.name, key.0, &key.1);
                memory.flow = flow;
                self.queues.insert(key, memory);
            }
        }
        if self.resumed.as_ref().is_some_and(Resumed::is_empty) {
            self.resumed = None;
        }
    }

    /// Tells each line its part of what the broker has counted.
    fn settle(&mut self, tally: Tally, observations: &mut [Observation]) {
        let quiet = FlowMemory::default();
        let claims: Vec<Claim> = observations
            .iter()
            .enumerate()
            .filter_map(|(index, seen)| Some((index, seen, seen.flow.as_ref()?)))
            .flat_map(|(index, seen, sample)| {
                let key = (seen.system, Arc::clone(&seen.queue));
                let memory = self.queues.get(&key).map_or(&quiet, |memory| &memory.flow);
                memory.claims(index, sample)
            })
            .collect();
        let settled = self.ledger.settle(tally, &claims);
        if let Some(count) = tally.misuses_earlier {
            self.witness.recall(count);
        }
        self.witness.hear(tally.misuses, tally.misuses_after);
        let lines = observations
            .iter_mut()
            .filter_map(|seen| seen.flow.as_mut())
            .flat_map(|sample| &mut sample.lines);
        settled.hand_out(lines);
    }

    /// Takes over what is known of queues that were not due.
    fn keep(
        &mut self,
        kept: Vec<(System, Arc<str>)>,
        interval: Duration,
        queues: &mut Vec<QueueSnapshot>,
    ) {
        let polls = self.snapshot.polls;
        if kept.is_empty() {
            return;
        }
        for key in &kept {
            if let Some(memory) = self.queues.get_mut(key) {
                memory.seen = polls;
            }
        }
        let known = self.snapshot.queues.iter().filter(|queue| {
            let key = (queue.system, Arc::clone(&queue.queue));
            let memory = self.queues.get(&key);
            memory.is_some_and(|memory| memory.seen == polls && memory.read != polls)
        });
        queues.extend(known.map(|queue| QueueSnapshot {
            interval,
            ..queue.clone()
        }));
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

#[cfg(test)]
mod tests;
