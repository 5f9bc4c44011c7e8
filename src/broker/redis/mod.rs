//! Redis (and Valkey) as a [`Source`]: connects, finds queues, and holds the layouts'
//! conversations with the server.

mod broker_clock;
mod calls;
mod catalogue;
mod command;
mod connect;
mod conversation;
mod discovery;
mod events;
mod guard;
mod harvest;
mod memory;
mod node;
mod price;
mod quarantine;
pub mod rights;
mod schedule;
mod session;

use super::events::Events;
use super::wire::Meter;
use super::{BrokerError, Lacking, Source, SourceMemory};
use crate::clock;
use crate::config;
use crate::layout::celery::events::channels;
use crate::layout::redis::QueueRef;
use crate::model::flow::{MisusesAt, Tally};
use crate::model::{Cost, PollSuccess};
use broker_clock::BrokerClock;
use calls::Calls;
use catalogue::Catalogue;
use connect::Connector;
use conversation::{Round, overview};
use discovery::Discovery;
use harvest::Harvest;
use memory::Remembering;
use quarantine::Quarantine;
use schedule::{Activity, Candidate, Pace, Plan, Schedule};
use session::Session;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct RedisSource {
    config: config::Redis,
    max_payload: u64,
    discovery_interval: Duration,
    meter: Arc<Meter>,
    catalogue: Catalogue,
    discovery: Discovery,
    schedule: Schedule,
    session: Option<Session>,
    memory: Remembering,
    quarantine: Arc<Mutex<Quarantine>>,
    events: Events,
}

// === impl RedisSource ===

impl RedisSource {
    /// Binds the layouts; does not connect yet.
    pub fn new(broker: &config::Broker, redis: &config::Redis) -> Self {
        Self {
            config: redis.clone(),
            max_payload: broker.poll.max_payload_bytes,
            discovery_interval: broker.poll.discovery_interval,
            meter: Arc::default(),
            catalogue: Catalogue::new(broker, redis),
            discovery: Discovery::default(),
            schedule: Schedule::new(broker.poll.max_broker_cpu_ratio, broker.poll.interval),
            session: None,
            memory: Remembering::default(),
            quarantine: Arc::default(),
            events: Events::default(),
        }
    }

    /// Listens to Celery's events, if that is wanted and not done yet.
    fn start_events(&mut self) {
        let celery = &self.config.celery;
        let Some(config) = celery.events.as_ref().filter(|_| !self.events.is_started()) else {
            return;
        };
        let db = self.config.db;
        let subscription = events::Subscription {
            pattern: channels(&celery.global_keyprefix, db, &config.exchange),
            config: self.config.clone(),
            max_payload: self.max_payload,
            meter: Arc::clone(&self.meter),
        };
        self.events.start(String::new(), config, subscription);
    }

    /// The open session, taken out so that a future dropped half-way also drops its connections.
    async fn take_session(&mut self) -> Result<Session, BrokerError> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => {
                self.discovery.restart();
                self.memory.new_session();
                let connector = Connector {
                    config: &self.config,
                    max_payload: self.max_payload,
                    meter: &self.meter,
                    quarantine: &self.quarantine,
                };
                connector.connect().await
            }
        }
    }

    async fn poll_with(&mut self, session: &mut Session) -> Result<PollSuccess, BrokerError> {
        let clock = BrokerClock::read(session).await?;
        self.memory
            .take_up(session, &mut self.catalogue.layouts)
            .await?;
        let (polled, over_limit) = self.catalogue.polled();
        // Before the lists: what is pushed in between is then counted at the next poll.
        let calls = session.calls().await?;
        let now = clock::now();
        let started = now.mono;
        let plan = self.plan(&polled, started);
        let mut due = plan.due.iter();
        let (mut systems, mut left_pushed) = (0, 0);
        let mut harvest = Harvest::with_faults(&self.discovery.complaints);
        let layouts = self.catalogue.layouts.iter_mut().zip(polled);
        for (layout, (bound, queues)) in layouts.enumerate() {
            if queues.is_empty() {
                continue;
            }
            let mut round = Round::default();
            for ((queue, pace), due) in queues.into_iter().zip(&mut due) {
                if *due {
                    round.of(&pace).push(queue);
                } else {
                    harvest.kept.push((bound.system, queue.shown));
                }
            }
            overview(bound, session, clock, &mut harvest).await?;
            round
                .hold((layout, &mut *bound), session, clock, &mut harvest)
                .await?;
            harvest.systems.extend(bound.layout.totals());
            systems += usize::from(bound.layout.is_here());
            left_pushed += usize::from(bound.layout.is_here() && bound.layout.is_left_pushed());
        }
        // Only now: a poll that fails half-way has told nobody anything.
        for sighting in std::mem::take(&mut harvest.sightings) {
            let is_quiet = self.catalogue.note(&sighting, started) == Activity::Quiet;
            let index = sighting.observation.filter(|_| is_quiet);
            if let Some(seen) = index.and_then(|index| harvest.observations.get_mut(index)) {
                seen.interval = Some(plan.quiet_interval);
            }
        }
        tracing::debug!(
            read = harvest.observations.len(),
            kept = harvest.kept.len(),
            broker_cpu_us = harvest.spent.as_micros() as u64,
            "read what was due"
        );
        let mut tally = Tally {
            // Of several systems' pushes nothing tells which were whose.
            pushes: calls.map(|calls| calls.lpush).filter(|_| left_pushed < 2),
            takes: calls.map(|calls| calls.takes),
            deliveries: calls.map(|calls| calls.zadd),
            takes_after: None,
            deliveries_after: None,
            misuses_earlier: self.memory.earlier_misuses(),
            misuses: misuses(calls, now).filter(|_| self.memory.is_same_run()),
            misuses_after: None,
            is_partial: over_limit > 0 || !harvest.kept.is_empty(),
            is_alone: systems == 1,
            is_new_run: !self.memory.is_same_run(),
        };
        let (is_any_emptied, is_any_open) = (harvest.is_any_emptied(), harvest.is_any_order_open());
        if is_any_emptied || is_any_open {
            let calls = session.calls().await?;
            tally.misuses_after = misuses(calls, clock::now());
            let calls = calls.filter(|_| is_any_emptied);
            tally.takes_after = calls.map(|calls| calls.takes);
            tally.deliveries_after = calls.map(|calls| calls.zadd);
        }
        let mut success = harvest.finish(session, over_limit)?;
        self.events.fill(&mut success);
        for bound in &mut self.catalogue.layouts {
            bound.layout.told();
        }
        let is_whole = over_limit == 0 && success.kept.is_empty();
        self.memory.note(calls.map(|calls| calls.misuses), is_whole);
        success.tally = tally;
        success.needed_interval = plan.interval;
        success.kept_interval = plan.quiet_interval;
        Ok(success)
    }

    /// Which of all queues are read now.
    fn plan(&mut self, polled: &[Vec<(QueueRef, Pace)>], now: tokio::time::Instant) -> Plan {
        let mut overhead = price::ROUND_TRIP;
        let mut candidates = Vec::new();
        for (bound, queues) in self.catalogue.layouts.iter().zip(polled) {
            if !queues.is_empty() {
                overhead += bound.prices.overview();
            }
            candidates.extend(queues.iter().map(|(_, pace)| Candidate {
                pace: *pace,
                price: bound.prices.of_queue(pace.activity()),
            }));
        }
        self.schedule.plan(&candidates, overhead, now)
    }
}

/// What those calls say that were read by now.
fn misuses(calls: Option<Calls>, now: clock::Now) -> Option<MisusesAt> {
    calls.map(|calls| MisusesAt {
        at: now.uptime_secs(),
        count: calls.misuses,
    })
}

impl Source for RedisSource {
    async fn poll(&mut self) -> Result<PollSuccess, BrokerError> {
        self.start_events();
        let mut session = self.take_session().await?;
        let success = self.poll_with(&mut session).await?;
        self.session = Some(session);
        Ok(success)
    }

    async fn discover(&mut self) -> Result<Duration, BrokerError> {
        let mut session = self.take_session().await?;
        let pause = self
            .discovery
            .slice(&mut session, &mut self.catalogue, self.discovery_interval)
            .await?;
        self.session = Some(session);
        Ok(pause)
    }

    fn discovered(&self) -> bool {
        self.discovery.complete
    }

    fn remember(&mut self, earlier: Option<SourceMemory>) {
        self.memory = Remembering::after(earlier);
    }

    fn memory(&mut self) -> Option<SourceMemory> {
        self.memory.save(&mut self.catalogue.layouts)
    }

    fn is_shaking_hands(&self) -> bool {
        self.meter.is_shaking_hands()
    }

    async fn lacking(&mut self) -> Result<Lacking, BrokerError> {
        // One that nothing has been refused in yet, and that nobody goes on with.
        self.session = None;
        let mut session = self.take_session().await?;
        let tells_calls = session.calls().await?.is_some();
        let probes = rights::probes();
        let replies = session.execute(&probes).await?;
        let needed = probes.iter().zip(replies);
        let needed = needed.filter_map(|(read, reply)| rights::refused(read, &reply));
        let mut lacking = Lacking {
            needed: needed.collect(),
            useful: Vec::new(),
        };
        lacking.needed.sort_unstable();
        lacking.needed.dedup();
        if !tells_calls {
            lacking.useful.push("info");
        }
        Ok(lacking)
    }

    fn cost(&self) -> Cost {
        self.meter.cost()
    }
}
