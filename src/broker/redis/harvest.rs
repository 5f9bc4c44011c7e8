//! What one poll has gathered, and what it makes of it in the end.

use super::catalogue::Sighting;
use super::session::Session;
use crate::broker::BrokerError;
use crate::layout::redis::{Outcome, QueueRef, Refusal};
use crate::model::flow::{Arrivals, Order, Span};
use crate::model::{
    DropReason, JobState, Observation, PollFailure, PollSuccess, System, SystemTotals, Window,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// Faults of single queues that are told one by one.
const MAX_FAULTS: usize = 10;

#[derive(Default)]
pub(super) struct Harvest {
    pub(super) observations: Vec<Observation>,
    pub(super) systems: Vec<SystemTotals>,
    pub(super) sightings: Vec<Sighting>,
    /// Queues that were not due.
    pub(super) kept: Vec<(System, Arc<str>)>,
    pub(super) faults: Vec<PollFailure>,
    /// What the poll has cost the broker, as far as prices tell.
    pub(super) spent: Duration,
    unreadable: u64,
    /// Something that belongs to all queues of the present layout could not be read.
    pub(super) is_layout_incomplete: bool,
}

impl Harvest {
    /// Begins with what is known to be missing.
    pub(super) fn with_faults(faults: &[PollFailure]) -> Self {
        Self {
            faults: faults.to_vec(),
            ..Self::default()
        }
    }

    pub(super) fn take(
        &mut self,
        (layout, system): (usize, System),
        queue: &QueueRef,
        outcome: Outcome,
        (window, span): (Window, Span),
    ) {
        let raw = Arc::clone(&queue.raw);
        let (observation, refusal) = match outcome {
            Outcome::Observed(observation) => (Some(observation), None),
            Outcome::Partly(observation, refusal) => (Some(observation), Some(refusal)),
            Outcome::Unreadable(refusal) => {
                self.unreadable += 1;
                (None, Some(refusal))
            }
            Outcome::Foreign => (None, None),
        };
        let is_refused = refusal.is_some();
        if let Some(refusal) = refusal
            && self.faults.len() < MAX_FAULTS
        {
            self.faults.push(explain(system, queue, &refusal));
        }
        let Some(mut observation) = observation else {
            // Of what is refused there is nothing that could be kept, so it is tried every time.
            self.sightings.push(Sighting {
                layout,
                raw,
                observation: None,
                has_jobs: false,
                is_awake: is_refused,
                fingerprint: 0,
            });
            return;
        };
        observation.window = window;
        observation.is_incomplete = is_refused || self.is_layout_incomplete;
        if let Some(flow) = &mut observation.flow {
            flow.span = span;
        }
        let ready = observation.jobs.ready.or(observation.ready_at_least);
        let has_jobs = ready.is_some_and(|ready| ready > 0);
        self.sightings.push(Sighting {
            layout,
            raw,
            observation: Some(self.observations.len()),
            has_jobs,
            is_awake: has_jobs || is_refused,
            fingerprint: fingerprint(&observation),
        });
        self.observations.push(*observation);
    }

    /// Whether jobs that waited in some list have all left it, as if delivered or as if removed.
    pub(super) fn is_any_emptied(&self) -> bool {
        let mut arrivals = self.arrivals();
        arrivals.any(|arrivals| arrivals.is_delivered && arrivals.gone > 0)
    }

    /// Whether the elements of some list do not show that it was used in order.
    pub(super) fn is_any_order_open(&self) -> bool {
        self.arrivals()
            .any(|arrivals| matches!(arrivals.order, Order::Unless(_)))
    }

    fn arrivals(&self) -> impl Iterator<Item = Arrivals> {
        let flows = self
            .observations
            .iter()
            .filter_map(|seen| seen.flow.as_ref());
        flows.flat_map(|flow| &flow.lines).map(|line| line.arrivals)
    }

    pub(super) fn finish(
        mut self,
        session: &Session,
        over_limit: u64,
    ) -> Result<PollSuccess, BrokerError> {
        if self.observations.is_empty()
            && self.kept.is_empty()
            && let Some(first) = self.faults.first()
        {
            // Nothing at all could be read: that is a failed poll, not one with gaps.
            return Err(BrokerError::new(
                first.kind,
                format!("{}: {}", session.place(), first.message),
            ));
        }
        self.faults.extend(session.missing().fault());
        let mut success = PollSuccess {
            version: session.version().map(Into::into),
            observations: std::mem::take(&mut self.observations),
            systems: self.systems,
            kept: self.kept,
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

/// The same for two observations between which nothing has moved.
fn fingerprint(observation: &Observation) -> u64 {
    let mut hasher = DefaultHasher::new();
    JobState::ALL
        .map(|state| observation.jobs.get(state))
        .hash(&mut hasher);
    observation.counters.hash(&mut hasher);
    for line in observation.flow.iter().flat_map(|flow| &flow.lines) {
        (line.arrivals.total, line.arrivals.epoch, line.started).hash(&mut hasher);
    }
    hasher.finish()
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
