//! The flow of one queue: a curve for each of its lines, and what they tell together.

use super::curve::{Moved, Poll, WaitCurve};
use super::head::{line_age, oldest};
use super::ledger::{Claim, Counts};
use super::order::{Misuse, Order, Witness};
use super::rate::Rate;
use super::sample::{FlowSample, LineSample, Span, Starts};
use super::view::{FlowBasis, FlowTotals, FlowView};
use super::waits::Waits;
use crate::model::latency::Latency;
use crate::model::{Timestamp, Window};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use turnover::{Look, Turnover};

mod doubt;
mod saved;
mod turnover;

/// The broker's clock may gain this much on ours between two polls before it is taken for a sign
/// that one of them has stopped or jumped: then old times mean nothing.
const CLOCK_JUMP_SECS: f64 = 1.0;

/// What is remembered of a queue's flow. A queue that has been empty all the time costs 24 bytes.
#[derive(Debug, Default)]
pub enum FlowMemory {
    #[default]
    Unseen,
    /// Empty at every poll; this was the last, and so good it is that no job came.
    Quiet(Span, Counts),
    Active(Box<QueueFlow>),
}

#[derive(Debug)]
pub struct QueueFlow {
    lines: Vec<Line>,
    /// There was a poll before: a line that is not among `lines` was empty then.
    was_seen: bool,
    totals: FlowTotals,
    waits: Option<Waits>,
    /// Departures a second while there is something to take.
    departures: Rate,
    span: Span,
    /// The broker's time at the end of the last poll.
    broker_time: Timestamp,
    basis: FlowBasis,
}

#[derive(Debug)]
struct Line {
    id: u8,
    epoch: u32,
    arrived: u64,
    turnover: Turnover,
    started: Option<Starts>,
    curve: WaitCurve,
}

/// What holds for a queue at one poll.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Upper bounds of the buckets of waits.
    pub buckets: &'a Arc<[f64]>,
    /// A longer wait is late.
    pub objective: Option<Duration>,
    /// The broker has counted no more starts than this since the poll before.
    pub starts: u64,
    /// Who knows whether lists are used out of order.
    pub witness: &'a Witness,
}

// === impl FlowMemory ===

impl FlowMemory {
    /// Takes the next poll of the queue. `window` is the same poll on the broker's clock.
    pub fn apply(
        &mut self,
        sample: &FlowSample,
        window: Window,
        settings: &Settings<'_>,
    ) -> Latency {
        let is_empty = sample
            .lines
            .iter()
            .all(|line| line.ready == 0 && line.arrivals.total + line.arrivals.unseen == 0);
        if is_empty && !matches!(self, Self::Active(_)) {
            let parts = sample.lines.iter().map(LineSample::counts);
            let counts = parts.fold(self.counts(), Counts::and);
            *self = Self::Quiet(sample.span, counts);
            return Latency::Empty;
        }
        if let Self::Unseen | Self::Quiet(..) = self {
            let quiet = match self {
                Self::Quiet(span, counts) => Some((*span, *counts)),
                _ => None,
            };
            *self = Self::Active(Box::new(QueueFlow::new(sample, window, quiet)));
        }
        match self {
            Self::Active(flow) => flow.apply(sample, window, settings),
            _ => Latency::Empty,
        }
    }

    /// What the lines of the queue claim of what the broker has counted. `queue` tells it from
    /// others.
    pub fn claims<'a>(
        &'a self,
        queue: usize,
        sample: &'a FlowSample,
    ) -> impl Iterator<Item = Claim> + 'a {
        let known = match self {
            Self::Active(flow) => flow.lines.as_slice(),
            _ => &[],
        };
        let is_first_seen = matches!(self, Self::Unseen);
        sample.lines.iter().map(move |line| {
            let arrivals = line.arrivals;
            let before = known.iter().find(|known| known.id == line.line);
            let seen = match before {
                _ if arrivals.is_first || !arrivals.is_pushed => 0,
                Some(before) => arrivals.total.saturating_sub(before.arrived),
                None if is_first_seen => 0,
                None => arrivals.total,
            };
            let turnover = before.map(|before| &before.turnover);
            let measured = before.map_or(0.0, |before| {
                let secs = sample.span.to - before.curve.seen_at();
                before.turnover.measured(secs)
            });
            let delivered = before.filter(|_| arrivals.is_delivered && !arrivals.is_first);
            let left = delivered.map_or(0, |before| {
                (before.curve.ready() + seen).saturating_sub(line.ready)
            });
            Claim {
                queue,
                seen,
                is_delivered: arrivals.is_delivered,
                may_have_more: arrivals.turned_over && arrivals.is_pushed && !is_first_seen,
                is_used: arrivals.total > 0,
                is_default: line.line == 0,
                is_quick: turnover.is_some_and(Turnover::is_quick),
                measured,
                caught: turnover.map_or(0.0, Turnover::caught),
                had_jobs: before.is_some_and(|before| before.curve.ready() > 0),
                left,
                gone: arrivals.gone.min(left),
            }
        })
    }

    /// What is known now. All queues that have always been empty share a few views.
    pub fn view(&self) -> Option<Arc<FlowView>> {
        static QUIET: LazyLock<[Arc<FlowView>; Counts::ALL.len()]> =
            LazyLock::new(|| Counts::ALL.map(FlowView::quiet).map(Arc::new));
        match self {
            Self::Unseen => None,
            Self::Quiet(_, counts) => {
                let is_it = |view: &&Arc<FlowView>| view.totals.counts == *counts;
                QUIET.iter().find(is_it).map(Arc::clone)
            }
            Self::Active(flow) => Some(Arc::new(flow.view())),
        }
    }
}

// === impl QueueFlow ===

impl QueueFlow {
    /// A queue that has just shown its first jobs. `quiet`: it was empty then.
    fn new(sample: &FlowSample, window: Window, quiet: Option<(Span, Counts)>) -> Self {
        let (span, counts) = quiet.unwrap_or((sample.span, Counts::Exact));
        Self {
            lines: Vec::new(),
            was_seen: quiet.is_some(),
            totals: FlowTotals {
                counts,
                ..FlowTotals::default()
            },
            waits: None,
            departures: Rate::default(),
            span,
            broker_time: window.to,
            basis: FlowBasis::Unknown,
        }
    }

    fn apply(&mut self, sample: &FlowSample, window: Window, settings: &Settings<'_>) -> Latency {
        let span = sample.span;
        self.watch_clocks(span, window);
        let had_jobs = self.lines.iter().any(|line| line.curve.ready() > 0);
        let mut departed = 0;
        let mut heads = Vec::with_capacity(sample.lines.len());
        for each in &sample.lines {
            departed += self.follow(each, span, settings);
            if let Some(line) = self.lines.iter_mut().find(|line| line.id == each.line)
                && let Some(head) = line_age(&mut line.curve, each, span, window)
            {
                heads.push(head);
            }
        }
        let has_jobs = sample.lines.iter().any(|line| line.ready > 0);
        if had_jobs && has_jobs {
            // Only while there is something to take do departures show what workers can do.
            let secs = span.to - self.span.to;
            self.departures.add(span.to, secs, departed as f64);
        }
        (self.span, self.was_seen) = (span, true);
        self.broker_time = window.to;
        let (latency, basis) = oldest(&heads, window);
        self.basis = basis;
        latency
    }

    /// Our clock does not run while the machine sleeps, and the broker's may be set. Either way
    /// times from before are worth nothing.
    fn watch_clocks(&mut self, span: Span, window: Window) {
        let ours = span.to - self.span.to;
        let theirs = window.to.as_secs_f64() - self.broker_time.as_secs_f64();
        let doubt = window.to.as_secs_f64() - window.from.as_secs_f64();
        if !self.lines.is_empty() && theirs - ours > CLOCK_JUMP_SECS + doubt.max(0.0) {
            self.lines.clear();
            self.was_seen = false;
        }
    }

    /// Brings one line up to date. How many of those that waited were handed out.
    fn follow(&mut self, sample: &LineSample, span: Span, settings: &Settings<'_>) -> u64 {
        let arrivals = sample.arrivals;
        let known = self.lines.iter().position(|line| line.id == sample.line);
        let index = known.unwrap_or(self.lines.len());
        if known.is_none() || arrivals.is_first {
            // What is there at the first sight of a line was there before us.
            let is_new = arrivals.is_first || !self.was_seen;
            let (seen_at, ready, arrived, started) = match is_new {
                true => (span, sample.ready, arrivals.total, sample.started),
                // It was empty: nothing had come, so nothing had gone.
                false => (self.span, 0, 0, sample.started.map(|_| Starts::default())),
            };
            let line = Line {
                id: sample.line,
                epoch: arrivals.epoch,
                arrived,
                turnover: Turnover::default(),
                started,
                curve: WaitCurve::new(seen_at.from, seen_at.to, ready),
            };
            match self.lines.get_mut(index) {
                Some(known) => {
                    // What waited and cannot be found again has not started, as far as we know.
                    let gone = arrivals.gone.min(known.curve.ready());
                    self.totals.removed = self.totals.removed.saturating_add(gone);
                    self.totals.counts = self.totals.counts.and(Counts::LowerBound);
                    *known = line;
                }
                None => self.lines.push(line),
            }
            if is_new {
                return 0;
            }
        }
        let Some(line) = self.lines.get_mut(index) else {
            return 0;
        };
        let arrived = arrivals
            .total
            .saturating_sub(line.arrived)
            .saturating_add(arrivals.unseen);
        let since = line.curve.seen_from();
        let doubtful = line.curve.doubtful();
        let lost = arrivals.epoch != line.epoch;
        let counts = sample.counts();
        line.turnover.note(&Look {
            at: span.to,
            secs: span.to - line.curve.seen_at(),
            before: line.curve.ready(),
            ready: sample.ready,
            arrived,
            unseen: arrivals.unseen,
            removed: arrivals.removed,
            turned_over: arrivals.turned_over,
            is_complete: !lost && counts.is_complete(),
        });
        let starts = sample.started.map(|now| now.since(line.started));
        let Starts {
            first,
            mut again,
            unseen,
        } = starts.unwrap_or_default();
        let started = match starts {
            // More than were counted have been counted before.
            Some(_) => {
                let started = first.min(settings.starts);
                again = again.saturating_add(first - started);
                Some(started)
            }
            None if arrivals.removed > 0 => {
                let left = (line.curve.ready() + arrived).saturating_sub(sample.ready);
                Some(left.saturating_sub(arrivals.removed))
            }
            None => None,
        };
        let waits = &mut self.waits;
        let objective = settings.objective.map(|objective| objective.as_secs_f64());
        let mut late = 0;
        let poll = Poll {
            from: span.from,
            to: span.to,
            // The span of a statistic is seconds wide, and nothing says where in it the count was.
            at: f64::midpoint(span.from, span.to),
            ready: sample.ready,
            arrived,
            started,
            again,
        };
        let Moved {
            started: taken,
            again,
            removed,
            put_back,
            censored,
            censored_min,
        } = line.curve.update(poll, |segment| {
            late += objective.map_or(0, |wait| segment.count - segment.within(wait));
            waits
                .get_or_insert_with(|| Waits::new(Arc::clone(settings.buckets)))
                .add(&segment);
        });
        if objective.is_some_and(|wait| censored_min > wait) {
            late += censored;
        }
        if lost {
            line.curve.lose_sight(u64::MAX);
        }
        let is_denied = |misuse| settings.witness.denies(misuse, since);
        if !matches!(arrivals.order, Order::Unless(misuse) if is_denied(misuse)) {
            line.curve.lose_sight(arrivals.newer);
            if arrivals.order != Order::Kept {
                line.curve.distrust_order();
                if sample.started.is_none() {
                    // Whether it was these that have left is not known then.
                    line.curve.distrust_numbers(doubtful);
                }
            }
        }
        let puts = |misuse| Misuse {
            takes: false,
            ..misuse
        };
        if !matches!(arrivals.order, Order::Unless(misuse) if is_denied(puts(misuse))) {
            line.curve.distrust_numbers(arrivals.others);
        }
        (line.epoch, line.arrived, line.started) = (arrivals.epoch, arrivals.total, sample.started);
        let totals = &mut self.totals;
        totals.enqueued = totals.enqueued.saturating_add(arrived);
        totals.started = totals.started.saturating_add(taken);
        totals.removed = totals.removed.saturating_add(removed);
        totals.again = totals.again.saturating_add(again).saturating_add(unseen);
        totals.put_back = totals.put_back.saturating_add(put_back);
        totals.put_back = totals.put_back.saturating_add(unseen);
        totals.censored = totals.censored.saturating_add(censored);
        totals.late = totals.late.saturating_add(late);
        totals.counts = totals.counts.and(counts);
        if lost {
            totals.counts = totals.counts.and(Counts::LowerBound);
        }
        taken + again
    }

    fn view(&self) -> FlowView {
        let ready: u64 = self.lines.iter().map(|line| line.curve.ready()).sum();
        let rate = self.departures.per_second();
        let drain = match ready {
            _ if self.totals.started == 0 => None,
            0 => Some(0.0),
            _ if rate > 0.0 => Some(ready as f64 / rate),
            _ => None,
        };
        FlowView {
            totals: self.totals,
            waits: self.waits.clone(),
            drain: drain.and_then(|secs| Duration::try_from_secs_f64(secs).ok()),
            departures_per_second: rate,
            basis: self.basis,
        }
    }
}
