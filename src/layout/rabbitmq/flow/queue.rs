//! One queue: from the broker's counters to arrivals and departures.
//!
//! `waiting = publish - (deliver_get - redeliver) + what the counters do not count`. The last part
//! follows from `messages_ready`: purged, expired and dropped messages make it smaller; requeued and
//! dead-lettered ones make it larger. `messages_ready` is up to 10 s old, so it is only compared
//! with all that the counters allow for those 10 s, and only believed the second time.

mod depth;

pub(super) use depth::{Depth, More, Word};

use super::Totals;
use super::passes::{Counter, Passes, RUN_SECS};
use super::samples::{Point, Samples};
use crate::model::flow::{Arrivals, FlowSample, LineHead, LineSample, Span, Starts};
use std::collections::VecDeque;

/// How old `messages_ready` may be.
pub(super) const READY_AGE_SECS: f64 = 11.0;
/// By then every event has been noted.
const NOTED_SECS: f64 = 7.0;
/// The trail reaches this far back.
const TRAIL_SECS: f64 = 40.0;

/// What is remembered of a queue through which messages pass: about 1 kB.
#[derive(Debug)]
pub(super) struct QueueFlow {
    last: Point,
    /// As the counters have it; below zero where arrivals are not counted or counted later.
    waiting: i64,
    /// Of these, requeued ones.
    put_back: u64,
    /// Of these, such as were there before us.
    found: u64,
    /// If these were not put back but came uncounted, it was after this.
    back_since: f64,
    /// It was so, and has not been told yet.
    added_since: Option<f64>,
    /// What is put back is at the head.
    is_stack: bool,
    arrived: u64,
    starts: Starts,
    /// Were delivered again of which no depth had told that they were put back.
    unmatched: u64,
    is_first: bool,
    /// Totals have been taken that no history had yet, since this label.
    caught_up: Option<f64>,
    /// The label of the last change.
    changed: i64,
    trail: VecDeque<Step>,
    /// Depths that cannot be judged yet, and when they were read at the latest.
    depths: VecDeque<(f64, u64)>,
    /// The last one of which all that happened until then has been noted.
    covered: Option<(f64, u64)>,
    doubt: i64,
    /// Messages may have been put back.
    has_held: bool,
    /// Since this time every depth has been zero, and nothing has been counted.
    quiet_since: Option<f64>,
    /// When one was last delivered again of which no depth had told that it was put back.
    returned_at: f64,
    /// What the latest depth says beside the counters.
    word: Word,
    /// When messages were last found to have gone uncounted.
    lost_at: f64,
    /// The latest depth that the counters explain was of this time or later.
    explained: f64,
    told_at: Span,
    /// The depth has not confirmed yet what the counters say.
    is_new: bool,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    at: f64,
    waiting: i64,
    came: i64,
    went: i64,
    /// Had been put back before, when nobody knows.
    back: i64,
}

/// The counters have begun anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Restarted;

// === impl QueueFlow ===

impl QueueFlow {
    /// A queue of which it is known that `waiting` messages were in it when the counters were at
    /// `point`.
    pub(super) fn new(point: Point, waiting: i64) -> Self {
        let arrived = u64::try_from(waiting).unwrap_or(0);
        Self {
            last: point,
            waiting,
            put_back: 0,
            found: 0,
            back_since: f64::NEG_INFINITY,
            added_since: None,
            is_stack: false,
            arrived,
            starts: Starts::default(),
            unmatched: 0,
            is_first: true,
            caught_up: None,
            changed: point.at,
            trail: VecDeque::new(),
            depths: VecDeque::new(),
            covered: None,
            doubt: 0,
            has_held: false,
            quiet_since: None,
            returned_at: f64::NEG_INFINITY,
            word: Word::default(),
            lost_at: f64::NEG_INFINITY,
            explained: f64::NEG_INFINITY,
            told_at: Span {
                from: point.at as f64,
                to: point.at as f64,
            },
            is_new: false,
        }
    }

    /// A queue with a history. `empty`: it was known to be empty when its counters were at these.
    /// Otherwise `ready` were waiting lately, on which the counters may have a different opinion.
    /// Either way nothing waited at the time of `explained`.
    pub(super) fn from_history(
        samples: &Samples,
        (empty, explained): (Option<Totals>, f64),
        ready: u64,
        passes: &Passes,
        out: &mut Vec<FlowSample>,
    ) -> Option<Self> {
        let points = since_restart(&samples.points);
        let (first, last) = (*points.first()?, *points.last()?);
        let uncounted = empty.map_or(0, |empty| empty.net().saturating_neg());
        let mut flow = Self {
            explained,
            ..Self::new(first, first.totals.net().saturating_add(uncounted))
        };
        let mut told = Vec::new();
        let from = not_before(passes, None, first, samples.step);
        flow.tell(from, until(first), &mut told);
        flow.follow(points, samples.step, passes, &mut told).ok()?;
        if empty.is_none() {
            flow.is_new = true;
            let (low, high) = flow.range(last.at as f64 - READY_AGE_SECS, f64::MAX)?;
            let off = signed(ready) - signed(ready).clamp(low.min(high), high);
            // The depth may know what has not been noted yet, or what never will be.
            flow.doubt = off;
        }
        out.append(&mut told);
        Some(flow)
    }

    /// A queue that was empty at this time.
    pub(super) fn emptied(point: Point, at: f64) -> Self {
        Self {
            explained: at,
            ..Self::new(point, 0)
        }
    }

    /// A queue of which nothing is known but that `waiting` messages are in it. They may have been
    /// handed out before: after a restart the broker takes that for granted.
    pub(super) fn unknown(point: Point, waiting: u64) -> Self {
        Self {
            put_back: waiting,
            found: waiting,
            is_new: true,
            ..Self::new(point, signed(waiting))
        }
    }

    pub(super) const fn totals(&self) -> Totals {
        self.last.totals
    }

    /// The label up to which the counters have been followed.
    pub(super) const fn seen(&self) -> i64 {
        self.last.at
    }

    /// Whether nothing waits and nothing has happened for `secs`.
    pub(super) fn is_idle(&self, secs: i64) -> bool {
        self.waiting <= 0 && self.doubt == 0 && self.last.at - self.changed > secs
    }

    /// What the depth says that the counters do not.
    pub(super) fn take_word(&mut self) -> Word {
        std::mem::take(&mut self.word)
    }

    /// Takes what is new in a history.
    pub(super) fn follow(
        &mut self,
        points: &[Point],
        step: u32,
        passes: &Passes,
        out: &mut Vec<FlowSample>,
    ) -> Result<(), Restarted> {
        for point in points {
            if point.at <= self.last.at {
                continue;
            }
            let before = self.last;
            let from = not_before(passes, Some(before), *point, step);
            if before.totals != point.totals {
                self.tell_still(passes, step, out);
            }
            if self.count(*point)? {
                // The change may show at a later label than its own.
                let from = self.caught_up.take().map_or(from, |at| from.min(at));
                self.tell(from, until(*point), out);
            }
        }
        Ok(())
    }

    /// Nothing came or went until the last label. From when on that was noted at the latest.
    fn tell_still(&mut self, passes: &Passes, step: u32, out: &mut Vec<FlowSample>) -> f64 {
        let before = self.last;
        let from = not_before(passes, None, before, step);
        if before.at as f64 > self.told_at.to + NOTED_SECS {
            self.tell(from, until(before), out);
        }
        from
    }

    /// Takes totals that were noted between `from` and `to`, without a history.
    pub(super) fn jump(
        &mut self,
        totals: Totals,
        (from, to): (f64, f64),
        out: &mut Vec<FlowSample>,
    ) -> Result<(), Restarted> {
        let before = self.last.at;
        let at = (to.floor() as i64).max(before);
        self.caught_up = Some(before as f64);
        self.count(Point { at, totals })?;
        self.tell(from, to, out);
        Ok(())
    }

    /// Takes totals that were noted after the last label of a history, by `to`.
    pub(super) fn catch_up(
        &mut self,
        totals: Totals,
        (passes, step): (&Passes, u32),
        to: f64,
        out: &mut Vec<FlowSample>,
    ) {
        let before = self.last;
        // Until then a history may show less.
        let at = (to.floor() as i64).max(before.at);
        if before.totals != totals && totals.since(before.totals).is_some() {
            let from = self.tell_still(passes, step, out);
            if self.count(Point { at, totals }).is_ok() {
                self.caught_up = Some(before.at as f64);
                self.tell(from, to, out);
            }
        }
    }

    /// Nothing has changed in what was noted between `from` and `to`.
    pub(super) fn stay(&mut self, from: f64, to: f64, out: &mut Vec<FlowSample>) {
        // A change after `from` may still show up under a label since then.
        self.last.at = self.last.at.max(from.floor() as i64);
        self.tell(from, to, out);
    }

    /// Tells the same time again: nothing has been noted since, or a correction changes what was.
    pub(super) fn repeat(&mut self, out: &mut Vec<FlowSample>) {
        let Span { from, to } = self.told_at;
        self.tell(from, to, out);
    }

    /// The time that was told last.
    pub(super) const fn told_at(&self) -> Span {
        self.told_at
    }

    /// Adds what the counters have gained; whether they have.
    fn count(&mut self, point: Point) -> Result<bool, Restarted> {
        let gained = point.totals.since(self.last.totals).ok_or(Restarted)?;
        self.last = point;
        if gained == Totals::default() {
            return Ok(false);
        }
        self.changed = point.at;
        self.quiet_since = None;
        self.has_held |= gained.deliver_get > 0;
        let again = gained.redeliver.min(self.put_back);
        let unseen = gained.redeliver - again;
        if unseen > 0 {
            self.returned_at = point.at as f64;
        }
        self.put_back -= again;
        let came = signed(gained.publish);
        let first = gained.deliver_get.saturating_sub(gained.redeliver);
        let went = signed(first.saturating_add(again));
        if self.is_stack && first > 0 && self.put_back > 0 {
            // Ahead of those there was nobody who had been handed out before: dead-lettered to here.
            let found = std::mem::take(&mut self.found).min(self.put_back);
            let came = std::mem::take(&mut self.put_back) - found;
            self.arrived = self.arrived.saturating_add(came);
            self.starts.again = self.starts.again.saturating_add(came);
            self.added_since = Some(self.back_since);
        }
        self.waiting = self.waiting.saturating_add(came).saturating_sub(went);
        self.arrived = self.arrived.saturating_add(gained.publish);
        self.starts = self.starts.plus(first, again, unseen);
        self.unmatched = self.unmatched.saturating_add(unseen);
        self.trail.push_back(Step {
            at: point.at as f64,
            waiting: self.waiting,
            came,
            went,
            back: signed(unseen),
        });
        let horizon = point.at as f64 - TRAIL_SECS;
        while self.trail.get(1).is_some_and(|next| next.at < horizon) {
            self.trail.pop_front();
        }
        Ok(true)
    }

    /// How many have been delivered that nobody has counted as arrived.
    fn owed(&self) -> u64 {
        u64::try_from(self.waiting.saturating_neg()).unwrap_or(0)
    }

    fn tell(&mut self, from: f64, to: f64, out: &mut Vec<FlowSample>) {
        if self.trail.is_empty() {
            self.trail.push_back(Step {
                at: self.last.at as f64,
                waiting: self.waiting,
                came: 0,
                went: 0,
                back: 0,
            });
        }
        // What has been delivered had arrived, counted or not.
        let ready = u64::try_from(self.waiting).unwrap_or(0);
        // Seen once; if they are there, the oldest is of unknown age.
        let doubted = match self.has_held {
            true => u64::try_from(self.doubt).unwrap_or(0),
            false => 0,
        };
        self.told_at = Span { from, to };
        out.push(FlowSample {
            span: self.told_at,
            lines: vec![LineSample {
                line: 0,
                ready,
                arrivals: Arrivals {
                    total: self.arrived.saturating_add(self.owed()),
                    is_pushed: false,
                    epoch: 0,
                    is_first: std::mem::take(&mut self.is_first),
                    turned_over: false,
                    ..Arrivals::default()
                },
                started: Some(self.starts),
                head: LineHead {
                    put_back: self.put_back.saturating_add(doubted),
                    ..LineHead::PLAIN
                },
            }],
        });
    }
}

/// The points since the counters last began anew.
fn since_restart(points: &[Point]) -> &[Point] {
    let at = points
        .windows(2)
        .rposition(|pair| matches!(pair, [a, b] if b.totals.since(a.totals).is_none()))
        .map_or(0, |at| at + 1);
    points.get(at..).unwrap_or(&[])
}

fn not_before(passes: &Passes, before: Option<Point>, point: Point, step: u32) -> f64 {
    [Counter::Publish, Counter::Deliver]
        .map(|counter| passes.not_before(before, point, step, counter))
        .into_iter()
        .fold(f64::MAX, f64::min)
}

fn until(point: Point) -> f64 {
    point.at as f64 + RUN_SECS
}

/// Counts far beyond any queue's are cut, so that sums and differences of them fit.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count.min(1 << 52)).unwrap_or(0)
}
