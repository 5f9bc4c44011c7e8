//! Writing the flow of a queue down and taking it up.

use super::turnover::Turnover;
use super::{FlowMemory, Line, QueueFlow};
use crate::model::Timestamp;
use crate::model::flow::curve::WaitCurve;
use crate::model::flow::rate::Rate;
use crate::model::flow::sample::{Span, Starts};
use crate::model::flow::saved::{
    SavedFlow, SavedLine, SavedQueue, SavedQuiet, SavedSpan, SavedTotals, Shift, age_down, age_up,
};
use crate::model::flow::view::{FlowBasis, FlowTotals};
use crate::model::flow::waits::Waits;
use std::sync::Arc;

impl FlowMemory {
    /// `None` where nothing is known yet.
    pub(crate) fn save(&self, now: f64) -> Option<SavedFlow> {
        match self {
            Self::Unseen => None,
            Self::Quiet(span, counts) => Some(SavedFlow::Quiet(SavedQuiet {
                span: save_span(*span, now),
                counts: (*counts).into(),
            })),
            Self::Active(flow) if flow.was_seen => {
                Some(SavedFlow::Active(Box::new(flow.save(now))))
            }
            Self::Active(_) => None,
        }
    }

    /// Takes up what another process has written down; [`FlowMemory::Unseen`] where it makes no
    /// sense.
    pub(crate) fn resume(saved: &SavedFlow, shift: &Shift, buckets: &Arc<[f64]>) -> Self {
        match saved {
            SavedFlow::Quiet(quiet) => {
                Self::Quiet(resume_span(quiet.span, shift), quiet.counts.into())
            }
            SavedFlow::Active(queue) => QueueFlow::resume(queue, shift, buckets)
                .map_or(Self::Unseen, |flow| Self::Active(Box::new(flow))),
        }
    }
}

impl QueueFlow {
    fn save(&self, now: f64) -> SavedQueue {
        let line = |line: &Line| SavedLine {
            id: line.id,
            epoch: line.epoch,
            arrived: line.arrived,
            turnover: line.turnover.save(now),
            started: line.started.map(|starts| starts.first),
            curve: line.curve.save(now),
        };
        let totals = self.totals;
        SavedQueue {
            span: save_span(self.span, now),
            broker_time: self.broker_time.micros(),
            lines: self.lines.iter().map(line).collect(),
            totals: SavedTotals {
                enqueued: totals.enqueued,
                started: totals.started,
                again: totals.again,
                removed: totals.removed,
                put_back: totals.put_back,
                censored: totals.censored,
                late: totals.late,
                counts: totals.counts.into(),
            },
            waits: self.waits.as_ref().map(Waits::save),
            departures: self.departures.save(now),
        }
    }

    fn resume(saved: &SavedQueue, shift: &Shift, buckets: &Arc<[f64]>) -> Option<Self> {
        let line = |line: &SavedLine| {
            Some(Line {
                id: line.id,
                epoch: line.epoch,
                arrived: line.arrived,
                turnover: Turnover::resume(&line.turnover, shift),
                started: line.started.map(Starts::of),
                curve: WaitCurve::resume(&line.curve, shift)?,
            })
        };
        // All or none: a line that is missing would be taken for one that was empty.
        let lines = saved.lines.iter().map(line).collect::<Option<Vec<_>>>()?;
        let totals = saved.totals;
        Some(Self {
            lines,
            was_seen: true,
            totals: FlowTotals {
                enqueued: totals.enqueued,
                started: totals.started,
                again: totals.again,
                removed: totals.removed,
                put_back: totals.put_back,
                censored: totals.censored,
                late: totals.late,
                counts: totals.counts.into(),
            },
            waits: saved
                .waits
                .as_ref()
                .and_then(|waits| Waits::resume(waits, buckets)),
            departures: Rate::resume(&saved.departures, shift),
            span: resume_span(saved.span, shift),
            broker_time: Timestamp::from_micros(saved.broker_time),
            basis: FlowBasis::Unknown,
        })
    }
}

fn save_span(span: Span, now: f64) -> SavedSpan {
    SavedSpan {
        from: age_up(span.from, now),
        to: age_down(span.to, now),
    }
}

/// Its beginning is what bounds rest on; its end is compared with the broker's clock.
fn resume_span(saved: SavedSpan, shift: &Shift) -> Span {
    Span {
        from: shift.earliest(saved.from),
        to: shift.likely(saved.to),
    }
}
