//! Which queues are read at a poll, so that all polls together cost the broker no more than its
//! budget. Pure: it is told the time and the prices.
//!
//! All that waits or moves is read at every poll. What has been empty and still for some polls is
//! read at every `k`-th, the longest unread first, in even parts; `k` is as small as the budget
//! allows, and such that none goes unread for longer than the bound. Only if that is not enough do
//! all polls move apart.

use std::time::Duration;
use tokio::time::Instant;

/// A quiet queue goes unread for no longer than so many intervals, and no longer than so long.
const MAX_STRETCH: u32 = 10;
const MAX_UNREAD: Duration = Duration::from_secs(15);

/// What has eased is believed only once the budget would leave this much unused, so that costs at
/// the border do not make intervals flap.
const EASE: f64 = 0.85;

/// So many polls without change make an empty queue quiet.
const STILL: u8 = 5;

/// By how much polls move apart at a time.
const STEP: f64 = 1.1;

/// What is remembered of one queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// When it was last read.
    read_at: Option<Instant>,
    /// Polls since it last had jobs or changed.
    still: u8,
    /// A fingerprint of what was seen.
    seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// Never read yet.
    Unread,
    /// Jobs wait, or something has changed of late.
    Active,
    Quiet,
}

/// One queue, as the schedule sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) pace: Pace,
    pub(super) price: Duration,
}

/// What is read now.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// For each queue, whether it is read at this poll.
    pub(super) due: Vec<bool>,
    /// The time to the next poll, at least.
    pub(super) interval: Duration,
    /// The time between two reads of a quiet queue.
    pub(super) quiet_interval: Duration,
}

pub(super) struct Schedule {
    /// The share of a core that polls may take.
    ratio: f64,
    /// As configured.
    base: Duration,
    bound: Duration,
    /// In force.
    interval: Duration,
    /// Quiet queues are read at every so many polls.
    every: u32,
}

/// What one poll of each kind of queue costs, in seconds.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Whatever is read.
    active: f64,
    quiet: f64,
    /// One queue more than planned.
    grain: f64,
}

// === impl Pace ===

impl Pace {
    pub(super) const UNREAD: Self = Self {
        read_at: None,
        still: STILL,
        seen: 0,
    };

    pub(super) fn activity(&self) -> Activity {
        match self.read_at {
            None => Activity::Unread,
            Some(_) if self.still < STILL => Activity::Active,
            Some(_) => Activity::Quiet,
        }
    }

    fn is_quiet(&self) -> bool {
        self.activity() == Activity::Quiet
    }

    /// Notes what a read has shown: whether that is a reason to go on reading it, and a fingerprint
    /// of all of it.
    pub(super) fn note(&mut self, at: Instant, is_awake: bool, seen: u64) {
        let is_first = self.read_at.is_none();
        if is_awake || (!is_first && seen != self.seen) {
            self.still = 0;
        } else {
            self.still = self.still.saturating_add(1);
        }
        self.read_at = Some(at);
        self.seen = seen;
    }
}

// === impl Schedule ===

impl Schedule {
    pub(super) fn new(ratio: f64, base: Duration) -> Self {
        Self {
            ratio,
            base,
            bound: (base * MAX_STRETCH).min(MAX_UNREAD).max(base),
            interval: base,
            every: 1,
        }
    }

    /// Chooses what to read now. `overhead` is what a poll costs besides its queues.
    pub(super) fn plan(&mut self, queues: &[Candidate], overhead: Duration, now: Instant) -> Plan {
        let load = Load::of(queues, overhead);
        self.adapt(load);
        let age = |queue: &Candidate| {
            let read_at = queue.pace.read_at?;
            Some(now.saturating_duration_since(read_at))
        };
        // At the next poll it would be too late.
        let overdue = self.bound.saturating_sub(self.interval);
        let is_must = |queue: &Candidate| {
            self.every == 1 || !queue.pace.is_quiet() || age(queue).is_none_or(|age| age > overdue)
        };
        let mut due: Vec<bool> = queues.iter().map(is_must).collect();
        let mut waiting: Vec<(Option<Instant>, usize)> = queues
            .iter()
            .enumerate()
            .filter(|(index, _)| due.get(*index) == Some(&false))
            .map(|(index, queue)| (queue.pace.read_at, index))
            .collect();
        waiting.sort_unstable();
        let read = |due: &[bool]| {
            let read = queues
                .iter()
                .zip(due)
                .filter(|(queue, due)| **due && queue.pace.is_quiet());
            read.map(|(queue, _)| queue.price.as_secs_f64())
                .sum::<f64>()
        };
        // What must be read for its age is part of the even part.
        let mut left = load.quiet / f64::from(self.every) - read(&due);
        for (_, index) in waiting {
            if left <= 0.0 {
                break;
            }
            if let (Some(due), Some(queue)) = (due.get_mut(index), queues.get(index)) {
                *due = true;
                left -= queue.price.as_secs_f64();
            }
        }
        Plan {
            due,
            interval: self.interval,
            quiet_interval: self.interval * self.every,
        }
    }

    /// Brings the intervals to what the load needs: at once where it has grown, late where it has
    /// eased.
    fn adapt(&mut self, load: Load) {
        let eased = self.least(load, EASE);
        match self.every_within(self.interval, load, 1.0) {
            None => (self.interval, self.every) = self.least(load, 1.0),
            Some(_) if eased.0 < self.interval => (self.interval, self.every) = eased,
            Some(needed) if needed > self.every => self.every = needed,
            Some(_) => {
                let eased = self.every_within(self.interval, load, EASE);
                self.every = eased.map_or(self.every, |eased| self.every.min(eased));
            }
        }
    }

    /// The shortest interval that keeps to a part of the budget, and how often quiet queues are
    /// read then.
    fn least(&self, load: Load, part: f64) -> (Duration, u32) {
        let mut interval = self.base;
        while interval < self.bound {
            if let Some(every) = self.every_within(interval, load, part) {
                return (interval, every);
            }
            interval = interval.mul_f64(STEP);
        }
        let all = (load.active + load.quiet) / (self.ratio * part);
        let all = Duration::try_from_secs_f64(all).unwrap_or(Duration::MAX);
        (all.max(self.bound), 1)
    }

    /// How often quiet queues can be read at an interval within a part of the budget, if at all.
    fn every_within(&self, interval: Duration, load: Load, part: f64) -> Option<u32> {
        let budget = self.ratio * part * interval.as_secs_f64();
        if load.active + load.quiet <= budget {
            return Some(1);
        }
        let left = budget - load.active - load.grain;
        let every = (left > 0.0).then(|| (load.quiet / left).ceil())?;
        // Less one in part, since polls come a little early or late.
        let most = (self.bound.as_secs_f64() / interval.as_secs_f64() - 0.5).floor();
        (every <= most).then_some(every as u32)
    }
}

// === impl Load ===

impl Load {
    fn of(queues: &[Candidate], overhead: Duration) -> Self {
        let mut load = Self {
            active: overhead.as_secs_f64(),
            quiet: 0.0,
            grain: 0.0,
        };
        for queue in queues {
            let price = queue.price.as_secs_f64();
            match queue.pace.activity() {
                Activity::Active => load.active += price,
                Activity::Quiet => {
                    load.quiet += price;
                    load.grain = load.grain.max(price);
                }
                // Paid once, whatever it is.
                Activity::Unread => {}
            }
        }
        load
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
