//! The fold of the polls of one queue.

use crate::clock::Now;
use crate::model::counter::MonotoneCounter;
use crate::model::demand::{Demand, DemandMemory};
use crate::model::flow::{FlowBasis, FlowMemory, FlowView, Settings, Waits};
use crate::model::history::{History, HistoryMemory};
use crate::model::latency::{Latency, LatencySource, Reason};
use crate::model::measured::MeasuredView;
use crate::model::objective::{Objective, Objectives};
use crate::model::snapshot::QueueSnapshot;
use crate::model::{Observation, System};
use std::sync::Arc;
use std::time::Duration;

/// Where in [`Counters::zip_with`](crate::model::Counters::zip_with) the starts are.
const STARTED: usize = 1;

/// What outlives a poll of one queue.
#[derive(Debug, Default)]
pub(super) struct QueueMemory {
    counters: [MonotoneCounter; 6],
    source: Option<LatencySource>,
    /// Which of the counters that a flow can tell whoever is watched has told itself.
    is_counted: [bool; 3],
    /// It counts the starts of which the flow tells the waits.
    counts_starts: bool,
    objective: Option<Objective>,
    /// The poll that last named it, and the one that last read it.
    pub(super) seen: u64,
    pub(super) read: u64,
    pub(super) flow: FlowMemory,
    measured: Option<Arc<MeasuredView>>,
    demand: DemandMemory,
    pub(super) history: HistoryMemory,
}

impl QueueMemory {
    pub(super) fn new(
        objectives: Option<&dyn Objectives>,
        broker: &str,
        system: System,
        queue: &str,
    ) -> Self {
        Self {
            objective: objectives.and_then(|all| all.of(broker, system, queue)),
            ..Self::default()
        }
    }

    /// Where the broker itself counts the starts of which the flow tells the waits: how many more
    /// there are than at the poll before, and how many in all.
    fn counted_starts(&mut self, observation: &Observation) -> Option<(u64, u64)> {
        let mut counter = self.counters[STARTED];
        let before = counter.total();
        if let Some(raw) = observation.counters.started {
            let lines = observation.flow.iter().flat_map(|flow| &flow.lines);
            self.counts_starts |= lines.into_iter().any(|line| line.started.is_some());
            counter.observe_any(raw, observation.counters_are_sums);
        }
        let total = counter.total();
        self.counts_starts.then_some((total - before, total))
    }

    pub(super) fn fold(
        &mut self,
        mut observation: Observation,
        (observed, interval): (Now, Duration),
        settings: &Settings<'_>,
    ) -> QueueSnapshot {
        let starts = self.counted_starts(&observation);
        let settings = &Settings {
            objective: self.objective.map(|objective| objective.wait),
            starts: starts.map_or(settings.starts, |(gained, _)| gained),
            ..*settings
        };
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
        // Totals stop where jobs come and go that nobody may count.
        let is_counted = observation.counts_unknown != Some(Reason::CountsNotReadable);
        if !is_counted {
            self.flow.lose_sight();
        }
        let flow = self.flow.view().filter(|_| is_counted);
        let flow = flow.map(|flow| match observation.flow {
            Some(_) => flow,
            // The totals stand; what was true at the last sight may no longer be.
            None => Arc::new(FlowView {
                drain: None,
                basis: FlowBasis::Unknown,
                ..FlowView::clone(&flow)
            }),
        });
        let flow = flow.map(|mut flow| {
            if let Some((_, total)) = starts {
                // Each start either has a known wait or has not.
                let known = flow.waits.as_ref().map_or(0, Waits::count);
                Arc::make_mut(&mut flow).totals.censored = total.saturating_sub(known);
            }
            flow
        });
        let latency = match flow.as_ref().filter(|_| observation.flow.is_some()) {
            Some(flow) => latency.or_unknown(observation.head, flow.basis.unknown()),
            None => latency,
        };
        // Two ways of counting are never mixed: going from one to the other would be a jump.
        let totals = flow.as_ref().map(|flow| flow.totals);
        let counters = &mut observation.counters;
        let inferred = [
            (&mut counters.enqueued, totals.map(|totals| totals.enqueued)),
            (&mut counters.started, totals.map(|totals| totals.started)),
            (
                &mut counters.redelivered,
                totals.map(|totals| totals.put_back),
            ),
        ];
        for (is_counted, (told, inferred)) in self.is_counted.iter_mut().zip(inferred) {
            *is_counted |= told.is_some();
            if !*is_counted {
                *told = inferred;
            }
        }
        if let Some(seen) = &observation.measured {
            let view = MeasuredView::after(self.measured.take(), seen, settings);
            self.measured = Some(view);
        }
        let late_starts = match (&self.measured, &flow) {
            (Some(measured), _) if !measured.is_sample => Some(measured.late),
            (_, Some(flow)) => Some(flow.totals.late),
            (_, None) => None,
        };
        match latency {
            Latency::Known { source, .. } => self.source = Some(source),
            // An empty queue says nothing of where its times come from.
            Latency::Empty => {}
            Latency::Unknown(_) => self.source = Some(LatencySource::None),
        }
        let counters = observation
            .counters
            .zip_with(&mut self.counters, |raw, counter| {
                raw.map(|raw| counter.observe_any(raw, observation.counters_are_sums))
            });
        let mut snapshot = QueueSnapshot {
            system: observation.system,
            queue: observation.queue,
            observed,
            interval: observation.interval.unwrap_or_default().max(interval),
            jobs: observation.jobs,
            ready_age: observation.ready_age,
            jobs_unknown: observation.jobs_unknown,
            ready_at_least: observation.ready_at_least,
            priorities: observation.priorities,
            latency,
            source: self.source.unwrap_or(LatencySource::None),
            oldest_in_progress: observation.oldest_in_progress,
            next_due: observation.next_due,
            prefetched: observation.prefetched,
            consumers: observation.consumers,
            consumer_capacity: observation.consumer_capacity,
            busy_workers: observation.busy_workers,
            paused: observation.paused,
            counters,
            counts_unknown: observation.counts_unknown,
            is_incomplete: observation.is_incomplete,
            objective: self.objective,
            late_starts: self.objective.and(late_starts),
            flow,
            measured: self.measured.clone(),
            history: History::default(),
            demand: Demand::NONE,
        };
        snapshot.demand = self.demand.fold(&snapshot);
        snapshot
    }
}
