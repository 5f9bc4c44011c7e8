//! The conversations of a poll: each layout asks round by round, about all its queues together and
//! about some at a time.

use super::broker_clock::BrokerClock;
use super::catalogue::Bound;
use super::harvest::Harvest;
use super::price;
use super::schedule::{Activity, Pace};
use super::session::Session;
use crate::broker::BrokerError;
use crate::clock;
use crate::layout::redis::{QueueRef, Step};
use crate::model::flow::Span;
use crate::model::{ErrorKind, PollFailure, Window};
use std::time::Duration;

/// Queues in one conversation: one round trip for each kind of read of so many.
const CHUNK: usize = 500;

/// A conversation that goes on longer than this has lost its thread.
const MAX_ROUNDS: usize = 16;

/// The queues of one layout that are read at one poll. What is alike is read together, so that each
/// kind has its price.
#[derive(Default)]
pub(super) struct Round {
    unread: Vec<QueueRef>,
    active: Vec<QueueRef>,
    quiet: Vec<QueueRef>,
}

impl Round {
    pub(super) fn of(&mut self, pace: &Pace) -> &mut Vec<QueueRef> {
        match pace.activity() {
            Activity::Unread => &mut self.unread,
            Activity::Active => &mut self.active,
            Activity::Quiet => &mut self.quiet,
        }
    }

    pub(super) async fn hold(
        &self,
        (layout, bound): (usize, &mut Bound),
        session: &mut Session,
        clock: BrokerClock,
        harvest: &mut Harvest,
    ) -> Result<(), BrokerError> {
        let kinds = [
            (Activity::Active, &self.active),
            (Activity::Quiet, &self.quiet),
            (Activity::Unread, &self.unread),
        ];
        for (activity, queues) in kinds {
            let mut spent = Duration::ZERO;
            for chunk in queues.chunks(CHUNK) {
                spent += converse((layout, bound), chunk, session, clock, harvest).await?;
            }
            bound.prices.learn(activity, spent, queues.len());
            harvest.spent += spent;
        }
        Ok(())
    }
}

/// Lets a layout ask about all its queues together.
pub(super) async fn overview(
    bound: &mut Bound,
    session: &mut Session,
    clock: BrokerClock,
    harvest: &mut Harvest,
) -> Result<(), BrokerError> {
    bound.layout.begin();
    let mut replies = Vec::new();
    let mut spent = Duration::ZERO;
    for round in 0..MAX_ROUNDS {
        let reads = bound.layout.overview(round, replies, clock.now());
        if reads.is_empty() {
            break;
        }
        replies = session.execute(&reads).await?;
        spent += price::of_round(&reads, &replies);
    }
    bound.prices.learn_overview(spent);
    harvest.spent += spent;
    let complaints = bound.layout.complaints();
    harvest.is_layout_incomplete = !complaints.is_empty();
    for refusal in complaints {
        harvest.faults.push(PollFailure {
            kind: refusal.kind.error_kind(),
            message: format!("{}: {}", bound.system.as_str(), refusal.message),
        });
    }
    Ok(())
}

/// Holds one conversation about some queues. What it has cost the broker.
async fn converse(
    (layout, bound): (usize, &mut Bound),
    queues: &[QueueRef],
    session: &mut Session,
    clock: BrokerClock,
    harvest: &mut Harvest,
) -> Result<Duration, BrokerError> {
    let (from, began) = (clock.earliest(), clock::now().uptime_secs());
    let system = bound.system;
    let mut probe = bound.layout.probe(queues, clock.now());
    let mut replies = Vec::new();
    let mut spent = Duration::ZERO;
    for _ in 0..MAX_ROUNDS {
        match probe.step(replies) {
            Step::Read(reads) => {
                replies = session.execute(&reads).await?;
                spent += price::of_round(&reads, &replies);
            }
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
                    harvest.take((layout, system), queue, outcome, (window, span));
                }
                return Ok(spent);
            }
        }
    }
    Err(BrokerError::new(
        ErrorKind::Internal,
        format!("the {} layout did not come to an end", system.as_str()),
    ))
}
