//! What `messages_ready` says beside the counters: what left or came without being counted.
//!
//! A depth is compared twice. At once it widens the bounds: it may be right. Seconds later, when the
//! counters of its time are known for sure, it is judged, and the second of two that agree corrects
//! the counts.

use super::{NOTED_SECS, QueueFlow, READY_AGE_SECS, Starts, signed};

/// After messages have gone uncounted, others may for so long.
const WARY_SECS: f64 = 600.0;
/// A queue that has dropped messages so lately is dropping them now.
const DROPPING_SECS: f64 = 60.0;
/// Depths that wait to be judged.
const MOST: usize = 16;

/// What is known of a queue beside its counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::layout::rabbitmq::flow) struct Depth {
    pub(in crate::layout::rabbitmq::flow) ready: u64,
    /// Consumers hold messages, which they may put back.
    pub(in crate::layout::rabbitmq::flow) holds: bool,
    /// Messages that are put back are the next to be handed out.
    pub(in crate::layout::rabbitmq::flow) is_stack: bool,
    /// Messages expire or are dropped by the queue's own rules.
    pub(in crate::layout::rabbitmq::flow) drops: bool,
}

/// What a depth says that the counters do not.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::layout::rabbitmq::flow) struct Word {
    /// So many of those at the head may have gone.
    pub(in crate::layout::rabbitmq::flow) gone: u64,
    /// So many of them have, most likely.
    pub(in crate::layout::rabbitmq::flow) likely_gone: u64,
    pub(in crate::layout::rabbitmq::flow) more: Option<More>,
    /// Arrivals that nobody counted have just been added to the others. They came after this.
    pub(in crate::layout::rabbitmq::flow) added_since: Option<f64>,
}

/// More wait than the counters know of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::layout::rabbitmq::flow) enum More {
    /// Put back, from whenever.
    Back,
    /// They have come since then without being counted.
    Since(f64),
}

impl QueueFlow {
    /// Takes the depth that was read at `now` at the latest. True if the counters were corrected.
    pub(in crate::layout::rabbitmq::flow) fn compare(&mut self, now: f64, depth: Depth) -> bool {
        let Depth {
            ready,
            holds,
            is_stack,
            drops,
        } = depth;
        self.has_held |= holds;
        self.is_stack = is_stack;
        if self.depths.len() < MOST {
            self.depths.push_back((now, ready));
        }
        if self.is_surely_empty(now, depth) {
            return self.empty(now, depth);
        }
        let mut corrected = false;
        let mut word = Word::default();
        while let Some((read, ready)) = self.depths.front().copied()
            && self.last.at as f64 >= read + NOTED_SECS
        {
            self.covered = self.depths.pop_front();
            corrected |= self.judge(read, ready);
        }
        word.added_since = self.added_since.take();
        let seen = now - READY_AGE_SECS;
        if let Some((low, high)) = self.range(seen, f64::MAX) {
            let ready = signed(ready);
            let since_loss = self.last.at as f64 - self.lost_at;
            if ready < low || drops || since_loss < WARY_SECS {
                word.gone = self.most_gone(now, depth.ready);
            }
            if ready < low || since_loss < DROPPING_SECS {
                // As many have gone since as have come.
                word.likely_gone = u64::try_from(self.waiting - ready).unwrap_or(0);
            }
            if ready <= high {
                self.explained = seen;
            } else if !self.has_held {
                word.more = Some(More::Since(self.explained));
            }
            // Where some are put back and taken again within the age of a depth, others may be.
            let since_return = self.last.at as f64 - self.returned_at;
            if self.has_held && (ready > high || since_return < READY_AGE_SECS + NOTED_SECS) {
                word.more = Some(More::Back);
            }
        }
        if depth.ready == 0 {
            // So lately nothing at all was waiting.
            word.gone = u64::MAX;
        }
        self.word = word;
        corrected
    }

    /// Whether each depth of so long was zero, while nothing was counted, that the last of them is
    /// younger than the first counts of the time.
    fn is_surely_empty(&mut self, now: f64, depth: Depth) -> bool {
        if depth.ready > 0 {
            self.quiet_since = None;
            return false;
        }
        now - *self.quiet_since.get_or_insert(now) > READY_AGE_SECS
    }

    /// Nothing waits, whatever the counters say. True if they said something else.
    fn empty(&mut self, now: f64, depth: Depth) -> bool {
        let off = self.waiting.saturating_neg();
        if off != 0 {
            self.correct(off);
        }
        (self.put_back, self.found, self.doubt, self.is_new) = (0, 0, 0, false);
        self.depths.clear();
        // What nobody holds nobody can put back.
        self.has_held = depth.holds;
        self.explained = now - READY_AGE_SECS;
        self.word = Word::default();
        off != 0
    }

    /// How many may have gone that the counters still have. The latest depth alone does not tell:
    /// it may be younger than the counters, and arrivals that these have not noted yet hide as many
    /// that have gone. The last one that is surely older than the counters has no such doubt.
    fn most_gone(&self, now: f64, ready: u64) -> u64 {
        let covered = self.covered.map(|(read, ready)| (read, ready, NOTED_SECS));
        let others = self.depths.iter();
        let others = others.map(|(read, ready)| (*read, *ready, f64::MAX));
        let all = others.chain(covered).chain([(now, ready, f64::MAX)]);
        let gone = all.filter_map(|(read, ready, after)| {
            let (_, high) = self.range(read - READY_AGE_SECS, read + after)?;
            u64::try_from(high - signed(ready)).ok()
        });
        gone.max().unwrap_or(0)
    }

    /// Whether the counters were corrected.
    fn judge(&mut self, read: f64, ready: u64) -> bool {
        let range = self.range(read - READY_AGE_SECS, read + NOTED_SECS);
        let Some((low, high)) = range else {
            return false;
        };
        // More have left than ever came: arrivals that nobody counted.
        let unheard = high.min(0);
        self.arrive(unheard.unsigned_abs());
        let (low, high) = (low - unheard, high - unheard);
        let ready = signed(ready);
        let off = ready - ready.clamp(low.min(high), high);
        if off == 0 || off.signum() != self.doubt.signum() {
            self.doubt = off;
            self.is_new &= off != 0;
            return false;
        }
        // The less of two readings: while messages come and go, both are too much.
        let off = if off.abs() < self.doubt.abs() {
            off
        } else {
            self.doubt
        };
        self.correct(off);
        self.doubt = 0;
        self.depths.clear();
        true
    }

    fn correct(&mut self, off: i64) {
        if off > 0 && std::mem::take(&mut self.is_new) {
            // They were there before us.
            self.shift(off);
            self.is_first = true;
            self.arrived = u64::try_from(self.waiting).unwrap_or(0);
            self.starts = Starts::default();
        } else if off > 0 {
            // What has been delivered without having come must have come.
            let owed = off.unsigned_abs().min(self.owed());
            self.arrive(owed);
            let more = off.unsigned_abs() - owed;
            if more > 0 && self.has_held {
                if self.put_back == 0 {
                    self.back_since = self.explained;
                }
                self.put_back = self.put_back.saturating_add(more);
                self.shift(signed(more));
            } else if more > 0 {
                // Nobody could have put them back: dead-lettered to here.
                self.added_since = Some(self.explained);
                self.arrive(more);
            }
        } else {
            self.shift(off);
            let back = off.unsigned_abs().min(self.put_back);
            self.put_back -= back;
            // A depth told of these when they had been delivered again.
            let told_late = back.min(self.unmatched);
            self.unmatched -= told_late;
            // Or, in the beginning, before they were counted, which then counted them a second time.
            let twice = match std::mem::take(&mut self.is_new) {
                true => back.min(self.found),
                false => told_late,
            };
            self.found = self.found.min(self.put_back);
            self.starts.again = self.starts.again.saturating_add(twice);
            self.lost_at = self.last.at as f64;
        }
    }

    /// So many have come that nobody counted.
    fn arrive(&mut self, count: u64) {
        self.shift(signed(count));
        self.arrived = self.arrived.saturating_add(count);
    }

    fn shift(&mut self, by: i64) {
        self.waiting = self.waiting.saturating_add(by);
        for step in &mut self.trail {
            step.waiting = step.waiting.saturating_add(by);
        }
    }

    /// The fewest and the most that can have been waiting between two times, as the counters have
    /// it; `None` if they were not followed that early.
    pub(super) fn range(&self, from: f64, to: f64) -> Option<(i64, i64)> {
        let start = self.trail.partition_point(|step| step.at <= from);
        let before = start.checked_sub(1)?;
        let mut steps = self.trail.iter().skip(before).peekable();
        let mut waiting = steps.next()?.waiting;
        let (mut low, mut high) = (waiting, waiting);
        while let Some(step) = steps.next() {
            // The two counters are not noted at the same time.
            let next = steps.peek().filter(|next| next.at - step.at < NOTED_SECS);
            let went = step.went + next.map_or(0, |next| next.went);
            let came = step.came + next.map_or(0, |next| next.came);
            low = low.min(waiting - went).min(step.waiting);
            high = high.max(waiting + came).max(step.waiting);
            waiting = step.waiting;
            if step.at >= to {
                break;
            }
        }
        // Those may have waited at any time before they were delivered again.
        let after = self.trail.iter().skip(before + 1);
        let back = after.fold(0, |sum: i64, step| sum.saturating_add(step.back));
        Some((low, high.saturating_add(back)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::rabbitmq::flow::{Passes, Point, Totals};

    #[test]
    fn arrivals_that_are_not_noted_yet_hide_nothing_that_has_gone() {
        let totals = |publish| Totals {
            publish,
            ..Totals::default()
        };
        let point = |at, publish| Point {
            at,
            totals: totals(publish),
        };
        let mut flow = QueueFlow::new(point(80, 4), 4);
        let mut out = Vec::new();
        flow.stay(80.0, 80.0, &mut out);
        let mut poll = |until: i64, ready| {
            let quiet: Vec<Point> = (flow.seen()..=until).map(|at| point(at, 4)).collect();
            flow.follow(&quiet, 1, &Passes::default(), &mut out)
                .unwrap();
            let depth = Depth {
                ready,
                holds: false,
                is_stack: true,
                drops: true,
            };
            flow.compare(until as f64, depth);
            flow.take_word().gone
        };
        assert_eq!(poll(97, 4), 0);
        // Three are dropped; then as many come, of which the counters do not know yet.
        assert_eq!(poll(102, 1), 3);
        assert_eq!(poll(107, 4), 3);
    }

    #[test]
    fn one_that_is_delivered_again_unannounced_takes_the_upper_bound_for_a_while() {
        let totals = |deliver_get, redeliver| Totals {
            publish: 9,
            deliver_get,
            redeliver,
        };
        let point = |at, totals| Point { at, totals };
        let mut flow = QueueFlow::new(point(80, totals(1, 0)), 8);
        let mut out = Vec::new();
        flow.stay(80.0, 80.0, &mut out);
        let mut poll = |until: i64, totals| {
            flow.follow(&[point(until, totals)], 1, &Passes::default(), &mut out)
                .unwrap();
            let depth = Depth {
                ready: 8,
                holds: true,
                is_stack: true,
                drops: false,
            };
            flow.compare(until as f64, depth);
            flow.take_word().more
        };
        assert_eq!(poll(97, totals(1, 0)), None);
        assert_eq!(poll(102, totals(3, 2)), Some(More::Back));
        assert_eq!(poll(112, totals(3, 2)), Some(More::Back));
        assert_eq!(poll(121, totals(3, 2)), None);
    }
}
