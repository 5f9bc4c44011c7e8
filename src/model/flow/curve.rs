//! The cumulative arrival curve of one line: when did message number N arrive, and how long has the
//! head been waiting?
//!
//! Messages are numbered by arrival. After `A` arrivals with `n` waiting, `D = A - n` have left, and
//! if they leave in order the head is number `D + 1`. A [`Knot`] brackets arrivals in time; every
//! answer is read off the brackets, so it comes with bounds that hold whatever happened in between.
//!
//! Time is in seconds on the observer's own monotonic axis: no clock of a producer or worker enters.
//! At most [`WaitCurve::MAX_KNOTS`] knots of 24 bytes are held, 12 KB a line. While there are fewer,
//! nothing is lost; beyond, the knot is dropped whose merged bracket is narrowest for its age, so
//! that old brackets widen in proportion to their age (measured: 1.8 % after 10 h at 1 s).

mod age;
mod doubt;
mod saved;
mod stamp;

/// Message number `count` had arrived by `by`; message `count + 1` had not arrived at `not_before`.
/// Both are minus infinity for what was there before the first poll.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Knot {
    count: i64,
    by: f64,
    not_before: f64,
}

/// One poll of a line, executed by the broker somewhere between `from` and `to`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Poll {
    pub from: f64,
    pub to: f64,
    /// When within them it was likeliest.
    pub at: f64,
    /// Messages waiting now.
    pub ready: u64,
    /// Arrivals since the poll before.
    pub arrived: u64,
    /// Messages handed out since the poll before for the first time, where the broker counts them;
    /// what left beyond that, and beyond those below, was removed.
    pub started: Option<u64>,
    /// Those at the head that had been handed out before, came back and were handed out once more:
    /// their waits are in no segment.
    pub again: u64,
}

/// Waits of consecutive messages that left between two polls, linear from `first` to `last`. Each of
/// them is certainly within `min..=max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    pub count: u64,
    pub first: f64,
    pub last: f64,
    pub min: f64,
    pub max: f64,
}

/// What happened between two polls, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moved {
    pub started: u64,
    pub again: u64,
    pub removed: u64,
    /// Net messages that came back to the head.
    pub put_back: u64,
    /// Those of `started` that had been waiting since before the first poll: their waits are not
    /// known and are in no segment.
    pub censored: u64,
    /// Each of these waited at least so long.
    pub censored_min: f64,
}

/// Where a message arrived in time. `not_before` is `None` for what was there before the first poll.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Arrival {
    not_before: Option<f64>,
    estimate: f64,
    by: f64,
}

/// Age of a message. Without `max` it is only known to be at least `min`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadAge {
    pub min: f64,
    pub estimate: f64,
    pub max: Option<f64>,
    pub basis: Basis,
}

/// What the age of a head rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// Arrivals seen, order kept.
    Curve,
    /// It was there before the first poll.
    Cold,
    /// Messages have come back to the head, in an order that cannot be seen.
    PutBack,
    /// Messages were taken out of order.
    Unordered,
}

/// Numbers stay where `f64` holds them exactly.
const MAX_COUNT: u64 = 1 << 52;

/// Far above what any queue sees, and far below where sums would overflow.
const MAX_TOTAL: i64 = 1 << 60;

/// Consumed knots that are kept for messages that come back.
const KEPT: usize = 32;

#[derive(Debug, Clone)]
pub struct WaitCurve {
    knots: Vec<Knot>,
    max_knots: usize,
    arrived: i64,
    departed: i64,
    /// The most that had ever departed.
    furthest: i64,
    /// Until so many have departed, numbers are not trusted to name the messages in their order.
    unordered_until: i64,
    ready: i64,
    from: f64,
    to: f64,
    /// When within them the last poll was likeliest.
    at: f64,
}

// === impl WaitCurve ===

impl WaitCurve {
    pub const MAX_KNOTS: usize = 512;

    /// A line first seen with `ready` messages, of which it is only known that they are there.
    pub fn new(from: f64, to: f64, ready: u64) -> Self {
        Self::with_max_knots(from, to, ready, Self::MAX_KNOTS)
    }

    pub(super) fn with_max_knots(from: f64, to: f64, ready: u64, max_knots: usize) -> Self {
        let ready = number(ready);
        let cold = Knot {
            count: 0,
            by: f64::NEG_INFINITY,
            not_before: f64::NEG_INFINITY,
        };
        let now = Knot {
            count: ready,
            by: to,
            not_before: from,
        };
        Self {
            knots: if ready > 0 {
                vec![cold, now]
            } else {
                vec![now]
            },
            max_knots: max_knots.max(4),
            arrived: ready,
            departed: 0,
            furthest: 0,
            unordered_until: i64::MIN,
            ready,
            from,
            to,
            at: to,
        }
    }

    pub fn knots(&self) -> usize {
        self.knots.len()
    }

    pub fn ready(&self) -> u64 {
        u64::try_from(self.ready).unwrap_or(0)
    }

    /// The beginning of the last poll.
    pub fn seen_from(&self) -> f64 {
        self.from
    }

    /// The end of the last poll.
    pub fn seen_at(&self) -> f64 {
        self.to
    }

    /// Takes the next poll; `emit` gets the waits of the messages that have left.
    pub fn update(&mut self, poll: Poll, mut emit: impl FnMut(Segment)) -> Moved {
        // A poll cannot have ended before the last one, nor before it began.
        let to = finite(poll.to, self.to).max(self.to);
        let from = finite(poll.from, self.from).clamp(self.from, to);
        let (ready, arrived) = (number(poll.ready), number(poll.arrived));
        self.arrived = self.arrived.saturating_add(arrived).min(MAX_TOTAL);
        let last = self.knots.last_mut();
        match last {
            Some(last) if arrived == 0 => last.not_before = from,
            _ => self.knots.push(Knot {
                count: self.arrived,
                by: to,
                not_before: from,
            }),
        }
        let departed = self.arrived - ready;
        let left = departed - self.departed;
        let again = number(poll.again).min(left.max(0));
        let first = left.max(0) - again;
        let started = poll.started.map_or(first, |it| first.min(number(it)));
        let at = finite(poll.at, to).clamp(from, to).max(self.at);
        let (censored, censored_min) = self.segments((again, started), left, (at, to), &mut emit);
        self.departed = departed;
        self.furthest = self.furthest.max(departed);
        (self.ready, self.from, self.to, self.at) = (ready, from, to, at);
        self.compact();
        Moved {
            started: count(started),
            again: count(again),
            removed: count(first - started),
            put_back: count(-left),
            censored,
            censored_min,
        }
    }

    /// Cuts the messages that started into pieces of one bracket each. How many were older than we,
    /// and how long these have waited at least.
    fn segments(
        &self,
        (again, started): (i64, i64),
        left: i64,
        (at, to): (f64, f64),
        emit: &mut impl FnMut(Segment),
    ) -> (u64, f64) {
        let (mut censored, mut latest) = (0, f64::NEG_INFINITY);
        let mut next = self.departed + again + 1;
        let last = self.departed + again + started;
        let step = (at - self.at) / (left + 1) as f64;
        while next <= last {
            let (before, knot) = self.bracket(next);
            let end = last.min(knot.count).max(next);
            let size = count(end - next + 1);
            if before.not_before == f64::NEG_INFINITY {
                censored += size;
                latest = latest.max(knot.by);
            } else {
                let wait = |message: i64| {
                    let taken = self.at + (message - self.departed) as f64 * step;
                    (taken - arrival(before, knot, message).estimate).max(0.0)
                };
                emit(Segment {
                    count: size,
                    first: wait(next),
                    last: wait(end),
                    min: (self.from - knot.by).max(0.0),
                    max: to - before.not_before,
                });
            }
            next = end + 1;
        }
        let censored_min = match censored {
            0 => 0.0,
            _ => (self.from - latest).max(0.0),
        };
        (censored, censored_min)
    }

    /// Arrivals have been lost sight of: at least so many have come as were said, maybe more. Then
    /// the `newest` have higher numbers than is thought, and so came no earlier than is thought; but
    /// they may have come as late as now.
    pub fn lose_sight(&mut self, newest: u64) {
        let sure = self.departed.max(self.arrived - number(newest));
        let to = self.to;
        for knot in &mut self.knots {
            if knot.count > sure {
                knot.by = to;
            }
        }
    }

    /// Messages were taken from elsewhere than the head: until all that are here now have left, only
    /// lower bounds hold.
    pub fn distrust_order(&mut self) {
        self.unordered_until = self.arrived;
    }

    /// So many of the first messages may be others than their numbers say.
    pub fn doubtful(&self) -> u64 {
        count(self.furthest - self.departed)
    }

    /// The first messages may be others than their numbers say: put at the head, or back there.
    pub fn distrust_numbers(&mut self, first: u64) {
        let last = self.departed.saturating_add(number(first));
        self.furthest = self.furthest.max(last.min(self.arrived));
    }

    /// The knots around a message: the last one before it and the first that covers it.
    fn bracket(&self, message: i64) -> (Knot, Knot) {
        let at = self.knots.partition_point(|knot| knot.count < message);
        let unknown = Knot {
            count: message - 1,
            by: f64::NEG_INFINITY,
            not_before: f64::NEG_INFINITY,
        };
        let before = at
            .checked_sub(1)
            .and_then(|before| self.knots.get(before))
            .copied()
            .unwrap_or(unknown);
        let knot = self.knots.get(at).copied().unwrap_or(Knot {
            count: message,
            by: self.to,
            not_before: self.from,
        });
        (before, knot)
    }

    fn arrival(&self, message: i64) -> Arrival {
        let (before, knot) = self.bracket(message);
        arrival(before, knot, message)
    }

    /// Forgets consumed knots and keeps the number of the others bounded.
    fn compact(&mut self) {
        let consumed = self
            .knots
            .partition_point(|knot| knot.count <= self.departed)
            .saturating_sub(1 + KEPT);
        if consumed > 0 {
            self.knots.drain(..consumed);
            if self.knots.capacity() > 128 && self.knots.len() < self.knots.capacity() / 4 {
                self.knots.shrink_to(64);
            }
        }
        while self.knots.len() > self.max_knots {
            let narrowest = self
                .knots
                .windows(3)
                .enumerate()
                .filter_map(|(at, knots)| match knots {
                    [before, _, after] if before.not_before > f64::NEG_INFINITY => {
                        let width = after.by - before.not_before;
                        Some((width / (self.to - after.by).max(1e-9), at + 1))
                    }
                    _ => None,
                })
                .min_by(|a, b| a.0.total_cmp(&b.0));
            // Only the first knot can be open below, so there is one.
            self.knots.remove(narrowest.map_or(1, |(_, at)| at));
        }
    }
}

/// Where among the arrivals of its bracket a message is likely to be: `i / (m + 1)` is the mean of
/// the i-th of m instants drawn evenly.
fn arrival(before: Knot, knot: Knot, message: i64) -> Arrival {
    if before.not_before == f64::NEG_INFINITY {
        return Arrival {
            not_before: None,
            estimate: knot.by,
            by: knot.by,
        };
    }
    let share = (message - before.count) as f64 / (knot.count - before.count + 1) as f64;
    let width = (knot.by - before.not_before).max(0.0);
    Arrival {
        not_before: Some(before.not_before),
        estimate: before.not_before + share * width,
        by: knot.by.max(before.not_before),
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count.min(MAX_COUNT)).unwrap_or(0)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn finite(at: f64, otherwise: f64) -> f64 {
    if at.is_finite() { at } else { otherwise }
}
