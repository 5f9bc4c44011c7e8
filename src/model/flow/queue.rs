//! The flow of one queue: a curve for each of its lines, and what they tell together.

use super::curve::{Basis, Moved, Poll, WaitCurve};
use super::rate::Rate;
use super::sample::{FlowSample, HeadState, LineSample, Span};
use super::waits::Waits;
use crate::model::latency::{Age, Latency, LatencySource, Reason};
use crate::model::{Timestamp, Window};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The broker's clock may gain this much on ours between two polls before it is taken for a sign
/// that one of them has stopped or jumped: then old times mean nothing.
const CLOCK_JUMP_SECS: f64 = 1.0;

/// What is remembered of a queue's flow. A queue that has been empty all the time costs 16 bytes.
#[derive(Debug, Default)]
pub enum FlowMemory {
    #[default]
    Unseen,
    /// Empty at every poll; this was the last.
    Quiet(Span),
    Active(Box<QueueFlow>),
}

#[derive(Debug)]
pub struct QueueFlow {
    lines: Vec<Line>,
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
    started: Option<u64>,
    curve: WaitCurve,
}

/// Counted since the first poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowTotals {
    pub enqueued: u64,
    pub started: u64,
    /// Left without having been handed out, where the broker tells the two apart.
    pub removed: u64,
    /// Came back to the head.
    pub put_back: u64,
    /// Started, but older than our first poll: not in the histogram.
    pub censored: u64,
    /// Whether messages may have come and gone between two polls, so that the others are lower
    /// bounds.
    pub may_have_missed: bool,
}

/// What the flow of a queue tells. Immutable and shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowView {
    pub totals: FlowTotals,
    /// Absent until a job whose arrival was seen has started.
    pub waits: Option<Waits>,
    pub drain: Option<Duration>,
    pub basis: FlowBasis,
}

/// What the latency of a queue rests on. Closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FlowBasis {
    #[default]
    Empty,
    /// The head carries its own time.
    Timestamp,
    /// Arrivals and departures seen, order kept: hard bounds.
    Curve,
    /// The head was there before our first poll: a lower bound.
    Cold,
    /// Jobs were put back at the head: a lower bound.
    PutBack,
    /// Jobs were taken out of order: a lower bound.
    Unordered,
    /// Nothing that tells it.
    Unknown,
}

impl FlowBasis {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Timestamp => "timestamp",
            Self::Curve => "curve",
            Self::Cold => "cold",
            Self::PutBack => "put_back",
            Self::Unordered => "unordered",
            Self::Unknown => "unknown",
        }
    }

    /// Why there is no upper bound.
    pub const fn without_max(self) -> Option<&'static str> {
        match self {
            Self::Empty | Self::Timestamp | Self::Curve => None,
            Self::Cold => Some("the oldest job was there before tailback's first poll"),
            Self::PutBack => {
                Some("jobs were put back at the head, in an order that is not visible")
            }
            Self::Unordered => Some("jobs were taken out of the order of their arrival"),
            Self::Unknown => Some("nothing tells how old the oldest job is"),
        }
    }
}

impl From<Basis> for FlowBasis {
    fn from(basis: Basis) -> Self {
        match basis {
            Basis::Curve => Self::Curve,
            Basis::Cold => Self::Cold,
            Basis::PutBack => Self::PutBack,
            Basis::Unordered => Self::Unordered,
        }
    }
}

/// The age of the head of one line.
#[derive(Debug, Clone, Copy)]
struct LineAge {
    min: f64,
    estimate: f64,
    max: Option<f64>,
    source: LatencySource,
    basis: FlowBasis,
    /// Why nothing is known of it, if so.
    unknown: Option<Reason>,
}

// === impl FlowMemory ===

impl FlowMemory {
    /// Takes the next poll of the queue. `window` is the same poll on the broker's clock.
    pub fn apply(&mut self, sample: &FlowSample, window: Window, buckets: &Arc<[f64]>) -> Latency {
        let is_empty = sample
            .lines
            .iter()
            .all(|line| line.ready == 0 && line.arrivals.total == 0);
        if is_empty && !matches!(self, Self::Active(_)) {
            *self = Self::Quiet(sample.span);
            return Latency::Empty;
        }
        if let Self::Unseen | Self::Quiet(_) = self {
            let quiet = match self {
                Self::Quiet(span) => Some(*span),
                _ => None,
            };
            *self = Self::Active(Box::new(QueueFlow::new(sample, window, quiet)));
        }
        match self {
            Self::Active(flow) => flow.apply(sample, window, buckets),
            _ => Latency::Empty,
        }
    }

    /// What is known now. All queues that have always been empty share one view.
    pub fn view(&self) -> Option<Arc<FlowView>> {
        static QUIET: LazyLock<Arc<FlowView>> = LazyLock::new(Arc::default);
        match self {
            Self::Unseen => None,
            Self::Quiet(_) => Some(Arc::clone(&QUIET)),
            Self::Active(flow) => Some(Arc::new(flow.view())),
        }
    }
}

// === impl QueueFlow ===

impl QueueFlow {
    /// A queue that has just shown its first jobs. `quiet`: it was empty then.
    fn new(sample: &FlowSample, window: Window, quiet: Option<Span>) -> Self {
        let lines = quiet.map_or_else(Vec::new, |span| {
            let line = |line: &LineSample| Line {
                id: line.line,
                epoch: line.arrivals.epoch,
                arrived: 0,
                // Like the arrivals: nothing had come, so nothing had gone.
                started: line.started.map(|_| 0),
                curve: WaitCurve::new(span.from, span.to, 0),
            };
            sample.lines.iter().map(line).collect()
        });
        Self {
            lines,
            totals: FlowTotals::default(),
            waits: None,
            departures: Rate::default(),
            span: quiet.unwrap_or(sample.span),
            broker_time: window.to,
            basis: FlowBasis::Unknown,
        }
    }

    fn apply(&mut self, sample: &FlowSample, window: Window, buckets: &Arc<[f64]>) -> Latency {
        let span = sample.span;
        self.watch_clocks(span, window);
        let had_jobs = self.lines.iter().any(|line| line.curve.ready() > 0);
        let started_before = self.totals.started;
        let mut heads = Vec::with_capacity(sample.lines.len());
        for each in &sample.lines {
            self.follow(each, span, buckets);
            if let Some(line) = self.lines.iter().find(|line| line.id == each.line)
                && let Some(head) = line_age(&line.curve, each, window)
            {
                heads.push(head);
            }
        }
        let has_jobs = sample.lines.iter().any(|line| line.ready > 0);
        if had_jobs && has_jobs {
            // Only while there is something to take do departures show what workers can do.
            let departed = self.totals.started - started_before;
            let secs = span.to - self.span.to;
            self.departures.add(span.to, secs, departed as f64);
        }
        self.span = span;
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
        }
    }

    /// Brings one line up to date.
    fn follow(&mut self, sample: &LineSample, span: Span, buckets: &Arc<[f64]>) {
        let arrivals = sample.arrivals;
        let known = self.lines.iter_mut().find(|line| line.id == sample.line);
        let Some(line) = known.filter(|_| !arrivals.is_first) else {
            self.lines.retain(|line| line.id != sample.line);
            self.lines.push(Line {
                id: sample.line,
                epoch: arrivals.epoch,
                arrived: arrivals.total,
                started: sample.started,
                curve: WaitCurve::new(span.from, span.to, sample.ready),
            });
            return;
        };
        let arrived = arrivals.total.saturating_sub(line.arrived);
        // A total that has fallen is a restart: what it shows has happened since.
        let started = sample.started.map(|now| match line.started {
            Some(before) if before <= now => now - before,
            _ => now,
        });
        let waits = &mut self.waits;
        let poll = Poll {
            from: span.from,
            to: span.to,
            ready: sample.ready,
            arrived,
            started,
        };
        let Moved {
            started: taken,
            removed,
            put_back,
            censored,
        } = line.curve.update(poll, |segment| {
            waits
                .get_or_insert_with(|| Waits::new(Arc::clone(buckets)))
                .add(&segment);
        });
        let lost = arrivals.epoch != line.epoch;
        if lost {
            line.curve.lose_sight();
        }
        if arrivals.out_of_order {
            line.curve.distrust_order();
        }
        (line.epoch, line.arrived, line.started) = (arrivals.epoch, arrivals.total, sample.started);
        let totals = &mut self.totals;
        totals.enqueued = totals.enqueued.saturating_add(arrived);
        totals.started = totals.started.saturating_add(taken);
        totals.removed = totals.removed.saturating_add(removed);
        totals.put_back = totals.put_back.saturating_add(put_back);
        totals.censored = totals.censored.saturating_add(censored);
        totals.may_have_missed |= lost || arrivals.turned_over;
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
            basis: self.basis,
        }
    }
}

fn line_age(curve: &WaitCurve, sample: &LineSample, window: Window) -> Option<LineAge> {
    let head = sample.head;
    match head.state {
        _ if sample.ready == 0 => None,
        HeadState::AllDueLater => None,
        HeadState::Unknown(reason) => Some(LineAge {
            min: 0.0,
            estimate: 0.0,
            max: None,
            source: LatencySource::None,
            basis: FlowBasis::Unknown,
            unknown: Some(reason),
        }),
        HeadState::Stamped {
            earliest,
            latest,
            upper_is_hard,
            source,
        } => {
            let at = crate::model::Head::Since {
                earliest,
                latest,
                upper_is_hard,
                source,
            };
            let Latency::Known { age, .. } = Latency::from_head(at, window) else {
                return None;
            };
            Some(LineAge {
                min: age.min.as_secs_f64(),
                estimate: age.estimate.as_secs_f64(),
                max: age.max.map(|max| max.as_secs_f64()),
                source,
                basis: FlowBasis::Timestamp,
                unknown: None,
            })
        }
        HeadState::Waiting => curve.head(head.skip, head.put_back).map(|age| LineAge {
            min: age.min,
            estimate: age.estimate,
            max: age.max,
            source: LatencySource::Flow,
            basis: age.basis.into(),
            unknown: None,
        }),
    }
}

/// The oldest of the heads: each bound is the largest, and where one has no upper bound there is
/// none; then the basis tells which was to blame.
fn oldest(heads: &[LineAge], window: Window) -> (Latency, FlowBasis) {
    let Some(first) = heads.iter().find(|head| head.unknown.is_none()) else {
        return match heads.first().and_then(|head| head.unknown) {
            None => (Latency::Empty, FlowBasis::Empty),
            Some(reason) => (Latency::Unknown(reason), FlowBasis::Unknown),
        };
    };
    let mut all = *first;
    for head in heads {
        if head.estimate > all.estimate {
            (all.source, all.basis, all.estimate) = (head.source, head.basis, head.estimate);
        }
        all.min = all.min.max(head.min);
        all.max = all.max.zip(head.max).map(|(a, b)| a.max(b));
    }
    if let Some(unbounded) = heads.iter().find(|head| head.max.is_none()) {
        all.basis = unbounded.basis;
    }
    let secs = |secs: f64| Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or_default();
    let estimate = secs(all.estimate.max(all.min));
    let latency = Latency::Known {
        age: Age {
            estimate,
            min: secs(all.min),
            max: all.max.map(|max| secs(max).max(estimate)),
        },
        since: window.to.minus(estimate),
        source: all.source,
    };
    (latency, all.basis)
}
