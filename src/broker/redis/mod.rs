//! Redis (and Valkey) as a [`Source`]: connects, finds queues, and holds the layouts'
//! conversations with the server.

mod catalogue;
mod command;
mod connect;
mod discovery;
mod guard;
mod node;
mod session;

use super::wire::Meter;
use super::{BrokerError, Source};
use crate::clock;
use crate::config;
use crate::layout::redis::{Outcome, QueueRef, Refusal, Step};
use crate::model::flow::Span;
use crate::model::{
    Cost, DropReason, Observation, PollFailure, PollSuccess, System, Timestamp, Window,
};
use catalogue::{Bound, Catalogue};
use connect::Connector;
use discovery::Discovery;
use session::Session;
use std::sync::Arc;
use std::time::Duration;

/// Queues in one conversation: one round trip for each kind of read of so many.
const CHUNK: usize = 500;

/// A conversation that goes on longer than this has lost its thread.
const MAX_ROUNDS: usize = 16;

/// Faults of single queues that are told one by one.
const MAX_FAULTS: usize = 10;

pub struct RedisSource {
    config: config::Redis,
    max_payload: u64,
    discovery_interval: Duration,
    meter: Arc<Meter>,
    catalogue: Catalogue,
    discovery: Discovery,
    session: Option<Session>,
}

/// The broker's clock as seen from ours, with the doubt that the round trip leaves.
#[derive(Debug, Clone, Copy)]
struct BrokerClock {
    /// What to add to our clock, at least and at most, in microseconds.
    ahead: (i64, i64),
}

/// What one poll has gathered.
#[derive(Default)]
struct Harvest {
    observations: Vec<Observation>,
    unreadable: u64,
    faults: Vec<PollFailure>,
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
            session: None,
        }
    }

    /// The open session, taken out so that a future dropped half-way also drops its connections.
    async fn take_session(&mut self) -> Result<Session, BrokerError> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => {
                self.discovery.restart();
                let connector = Connector {
                    config: &self.config,
                    max_payload: self.max_payload,
                    meter: &self.meter,
                };
                connector.connect().await
            }
        }
    }

    async fn poll_with(&mut self, session: &mut Session) -> Result<PollSuccess, BrokerError> {
        let clock = BrokerClock::read(session).await?;
        let (polled, over_limit) = self.catalogue.polled();
        // Before the lists: what is pushed in between is then counted at the next poll.
        let pushes = session.pushes().await?;
        let mut harvest = Harvest::default();
        for (bound, queues) in self.catalogue.layouts.iter_mut().zip(&polled) {
            if queues.is_empty() {
                continue;
            }
            overview(bound, session, clock, &mut harvest).await?;
            for chunk in queues.chunks(CHUNK) {
                converse(bound, chunk, session, clock, &mut harvest).await?;
            }
        }
        let now = clock::now().mono;
        for (index, queues) in polled.iter().enumerate() {
            self.remember_busy(index, queues, &harvest, now);
        }
        let mut success = harvest.finish(session, over_limit)?;
        success.pushes = pushes;
        Ok(success)
    }

    /// A queue with jobs in it is alive, whether or not a registry still names it.
    fn remember_busy(
        &mut self,
        layout: usize,
        queues: &[QueueRef],
        harvest: &Harvest,
        now: tokio::time::Instant,
    ) {
        let Some(system) = self.catalogue.layouts.get(layout).map(|bound| bound.system) else {
            return;
        };
        let busy = harvest.observations.iter().filter(|observation| {
            observation.system == system && observation.jobs.ready.is_some_and(|ready| ready > 0)
        });
        let mut queues = queues.iter();
        // Observations come in the order of the queues.
        for observation in busy {
            if let Some(queue) = queues.find(|queue| Arc::ptr_eq(&queue.shown, &observation.queue))
            {
                self.catalogue.learn(layout, &queue.raw, now);
            }
        }
    }
}

impl Source for RedisSource {
    async fn poll(&mut self) -> Result<PollSuccess, BrokerError> {
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

    fn cost(&self) -> Cost {
        self.meter.cost()
    }
}

/// Lets a layout ask about all its queues together.
async fn overview(
    bound: &mut Bound,
    session: &mut Session,
    clock: BrokerClock,
    harvest: &mut Harvest,
) -> Result<(), BrokerError> {
    let mut replies = Vec::new();
    for round in 0..MAX_ROUNDS {
        let reads = bound.layout.overview(round, replies, clock.now());
        if reads.is_empty() {
            break;
        }
        replies = session.execute(&reads).await?;
    }
    for refusal in bound.layout.complaints() {
        harvest.faults.push(PollFailure {
            kind: refusal.kind.error_kind(),
            message: format!("{}: {}", bound.system.as_str(), refusal.message),
        });
    }
    Ok(())
}

/// Holds one conversation about some queues.
async fn converse(
    bound: &mut Bound,
    queues: &[QueueRef],
    session: &mut Session,
    clock: BrokerClock,
    harvest: &mut Harvest,
) -> Result<(), BrokerError> {
    let (from, began) = (clock.earliest(), clock::now().uptime_secs());
    let system = bound.system;
    let mut probe = bound.layout.probe(queues, clock.now());
    let mut replies = Vec::new();
    for _ in 0..MAX_ROUNDS {
        match probe.step(replies) {
            Step::Read(reads) => replies = session.execute(&reads).await?,
            Step::Done(outcomes) => {
                let window = Window {
                    from,
                    to: clock.latest(),
                };
                let span = Span {
                    from: began,
                    to: clock::now().uptime_secs(),
                };
                for (queue, outcome) in queues.iter().zip(outcomes) {
                    harvest.take(system, queue, outcome, (window, span));
                }
                return Ok(());
            }
        }
    }
    Err(BrokerError::new(
        crate::model::ErrorKind::Internal,
        format!("the {} layout did not come to an end", system.as_str()),
    ))
}

// === impl BrokerClock ===

impl BrokerClock {
    async fn read(session: &mut Session) -> Result<Self, BrokerError> {
        let before = clock::now().wall.micros();
        let server = session.time().await?.micros();
        let after = clock::now().wall.micros();
        Ok(Self {
            ahead: (server - after, server - before),
        })
    }

    fn earliest(self) -> Timestamp {
        Timestamp::from_micros(clock::now().wall.micros() + self.ahead.0)
    }

    fn latest(self) -> Timestamp {
        Timestamp::from_micros(clock::now().wall.micros() + self.ahead.1)
    }

    fn now(self) -> Timestamp {
        let (least, most) = self.ahead;
        Timestamp::from_micros(clock::now().wall.micros() + least.midpoint(most))
    }
}

// === impl Harvest ===

impl Harvest {
    fn take(
        &mut self,
        system: System,
        queue: &QueueRef,
        outcome: Outcome,
        (window, span): (Window, Span),
    ) {
        match outcome {
            Outcome::Observed(mut observation) => {
                observation.window = window;
                if let Some(flow) = &mut observation.flow {
                    flow.span = span;
                }
                self.observations.push(*observation);
            }
            Outcome::Unreadable(refusal) => {
                self.unreadable += 1;
                if self.faults.len() < MAX_FAULTS {
                    self.faults.push(explain(system, queue, &refusal));
                }
            }
        }
    }

    fn finish(mut self, session: &Session, over_limit: u64) -> Result<PollSuccess, BrokerError> {
        if self.observations.is_empty()
            && let Some(first) = self.faults.first()
        {
            // Nothing at all could be read: that is a failed poll, not one with gaps.
            return Err(BrokerError::new(
                first.kind,
                format!("{}: {}", session.place(), first.message),
            ));
        }
        let mut success = PollSuccess {
            version: session.version().map(Into::into),
            observations: std::mem::take(&mut self.observations),
            faults: self.faults,
            ..PollSuccess::default()
        };
        for (reason, count) in [
            (DropReason::Limit, over_limit),
            (DropReason::Unreadable, self.unreadable),
        ] {
            if count > 0 {
                success.dropped.insert(reason, count);
            }
        }
        Ok(success)
    }
}

fn explain(system: System, queue: &QueueRef, refusal: &Refusal) -> PollFailure {
    use crate::layout::redis::RefusalKind;
    let advice = match refusal.kind {
        RefusalKind::NotPermitted => {
            "; give the ACL user that right, or leave the queue out with `exclude`"
        }
        RefusalKind::WrongType => "; leave it out with `exclude`, or name the right layouts",
        RefusalKind::TooLarge | RefusalKind::Other => "",
    };
    // A name can be long, and this goes to the log.
    let name: String = queue.shown.chars().take(200).collect();
    PollFailure {
        kind: refusal.kind.error_kind(),
        message: format!(
            "cannot read the {} queue {name:?}: {}{advice}",
            system.as_str(),
            refusal.message
        ),
    }
}
