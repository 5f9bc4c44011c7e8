//! The conversation about Bull's queues: counts and the first events, then all other events and how
//! the lists have moved, then the jobs at the heads, the running ones and those whose start was seen and not their readiness.

use super::job::{self, Job};
use super::state::{Counts, Line, META, QueueState};
use super::{BullLayout, DIGITS, JOBS, observe};
use crate::layout::marker::{Budget, Elements, Follow};
use crate::layout::redis::{Outcome, Probe, QueueRef, Read, Reply, Side, Step};
use crate::model::Timestamp;
use std::sync::Arc;

/// Ids next to be taken of a list that are looked at.
const HEADS: i64 = 3;

/// Running jobs that are looked at: those that have run longest, and in Bull 4 those that started
/// last too.
const RUNNING: i64 = 3;
const SAMPLED: i64 = 32;

/// So many priority jobs at the head of a list are passed over to look behind them.
const AFTER: i64 = 500;

/// Priority levels 1 to this are told apart.
const LEVELS: u8 = 10;

/// Events that all queues of one conversation may bring in, a round.
const EVENTS: u32 = 4096;

/// Rounds for events and lists: what is not read then is left to the next poll.
const ROUNDS: usize = 11;

/// Jobs about which all queues of one conversation may ask.
const LOOKUPS: usize = 1024;

/// See the module.
pub(super) struct BullProbe<'a> {
    layout: &'a mut BullLayout,
    now: Timestamp,
    queues: Vec<QueueState<'a>>,
    stage: Stage,
    /// What was asked in the last round, and of which queue.
    asked: Vec<(usize, Asked)>,
    /// Jobs that may still be remembered.
    room: usize,
    lookups: usize,
    /// Rounds in which events have been asked.
    rounds: usize,
    budget: Budget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Counts,
    Events,
    Ids,
    Jobs,
    Done,
}

/// What a reply is, or several that belong together.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Counts,
    /// A page of so many events.
    Events(u32),
    Heads(Line),
    Running,
    /// Number and head of a priority level.
    Level(u8),
    /// The job of an id, in their order.
    Job,
    /// The job whose start was seen, in their order.
    Start,
    List,
}

/// Reads of the first round for each queue, the first of the events among them.
const COUNTS: usize = 14;

impl Probe for BullProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        self.take(replies);
        loop {
            let reads = match self.stage {
                Stage::Counts => self.ask_counts(),
                Stage::Events => self.ask_events(),
                Stage::Ids => self.ask_ids(),
                Stage::Jobs => self.ask_jobs(),
                Stage::Done => return Step::Done(self.conclude()),
            };
            if !reads.is_empty() {
                return Step::Read(reads);
            }
        }
    }
}

impl<'a> BullProbe<'a> {
    pub(super) fn new(layout: &'a mut BullLayout, queues: &'a [QueueRef], now: Timestamp) -> Self {
        let states: Vec<QueueState<'a>> = queues
            .iter()
            .map(|queue| QueueState::new(queue, layout.tracks.take(&queue.raw)))
            .collect();
        let own: usize = states.iter().map(|state| state.track.jobs.len()).sum();
        Self {
            now,
            queues: states,
            stage: Stage::Counts,
            asked: Vec::new(),
            room: JOBS.saturating_sub(layout.tracks.held + own),
            lookups: LOOKUPS,
            rounds: 0,
            budget: Budget::default(),
            layout,
        }
    }

    fn ask_counts(&mut self) -> Vec<Read> {
        self.stage = Stage::Events;
        let mut reads = Vec::with_capacity(self.queues.len() * COUNTS);
        for (index, state) in self.queues.iter().enumerate() {
            let key = |suffix: &[u8]| self.layout.key(&state.queue.raw, suffix);
            let (events, count) = state.track.first(key(b"events"));
            reads.extend([
                Read::Llen(key(b"wait")),
                Read::Llen(key(b"paused")),
                Read::Zcard(key(b"prioritized")),
                Read::Zcard(key(b"priority")),
                Read::Llen(key(b"active")),
                Read::Zcard(key(b"delayed")),
                Read::Zcard(key(b"failed")),
                Read::Zcard(key(b"waiting-children")),
                Read::Zrange(key(b"delayed"), 0, 0),
                Read::Getrange(key(b"id"), DIGITS + 1),
                Read::Hmget(key(b"meta"), META),
                Read::Exists(key(b"meta-paused")),
                Read::Xlen(key(b"events")),
                events,
            ]);
            self.asked
                .extend([(index, Asked::Counts), (index, Asked::Events(count))]);
        }
        reads
    }

    /// The next pages of events of queues that have more, as long as there is room in this round,
    /// and the next question about lists.
    fn ask_events(&mut self) -> Vec<Read> {
        let mut left = EVENTS;
        let mut reads = self.ask_lists();
        let count = self.queues.len();
        // Another one first at each poll, so that none is left out for ever.
        let first = self.layout.tracks.polls as usize % count.max(1);
        for index in (first..count).chain(0..first) {
            let Some(state) = self.queues.get(index).filter(|state| state.can_follow) else {
                continue;
            };
            let stream = self.layout.key(&state.queue.raw, b"events");
            if let Some((read, count)) = state.track.next(stream, left, &state.seen) {
                left -= count;
                reads.push(read);
                self.asked.push((index, Asked::Events(count)));
            }
        }
        self.rounds += 1;
        if reads.is_empty() || self.rounds == ROUNDS {
            self.stage = Stage::Ids;
        }
        reads
    }

    fn ask_ids(&mut self) -> Vec<Read> {
        self.stage = Stage::Jobs;
        let mut reads = Vec::new();
        for (index, state) in self.queues.iter().enumerate() {
            let Ok(counts) = &state.counts else { continue };
            let key = |suffix: &[u8]| self.layout.key(&state.queue.raw, suffix);
            let mut ask = |asked, read: &[Read]| {
                reads.extend_from_slice(read);
                self.asked.push((index, asked));
            };
            for (len, suffix, line) in [
                (counts.wait, b"wait".as_slice(), Line::Wait),
                (counts.paused, b"paused", Line::Paused),
            ] {
                if len > 0 {
                    ask(Asked::Heads(line), &[Read::Lrange(key(suffix), -HEADS, -1)]);
                }
            }
            if counts.active > 0 {
                let many = if counts.has_events { RUNNING } else { SAMPLED };
                ask(Asked::Running, &[Read::Lrange(key(b"active"), -many, -1)]);
            }
            if let Some(after @ 1..=AFTER) = counts.put_in_front() {
                // Behind them is the oldest of those that have no priority.
                let (from, to) = (-after - HEADS, -after - 1);
                let behind = Read::Lrange(key(b"wait"), from, to);
                ask(Asked::Heads(Line::Wait), &[behind]);
            }
            if counts.leveled() > 0 {
                for level in 1..=LEVELS {
                    let (key, min, max) = match counts.has_events {
                        true => {
                            let min = f64::from(level) * 4_294_967_296.0;
                            (key(b"prioritized"), min, min + 4_294_967_295.0)
                        }
                        false => (key(b"priority"), level.into(), level.into()),
                    };
                    let number = Read::Zcount(Arc::clone(&key), min, max);
                    let limit = 1;
                    ask(
                        Asked::Level(level),
                        &[
                            number,
                            Read::ZrangeByScore {
                                key,
                                min,
                                max,
                                limit,
                            },
                        ],
                    );
                }
            }
        }
        reads
    }

    fn ask_jobs(&mut self) -> Vec<Read> {
        self.stage = Stage::Done;
        let mut reads = Vec::new();
        for (index, state) in self.queues.iter_mut().enumerate() {
            state.plan(&mut self.lookups);
            let ids = state.ids.iter().map(|wanted| (Asked::Job, &wanted.id));
            let starts = state.seen.unknown.iter();
            for (asked, id) in ids.chain(starts.map(|start| (Asked::Start, &start.job))) {
                reads.extend(job::reads(self.layout, &state.queue.raw, id));
                self.asked.push((index, asked));
            }
        }
        reads
    }

    /// Follows the lists of queues that have no events.
    fn ask_lists(&mut self) -> Vec<Read> {
        let mut reads = Vec::new();
        for (index, state) in self.queues.iter_mut().enumerate() {
            let Ok(counts) = &state.counts else { continue };
            if counts.has_events {
                continue;
            }
            let list = state.list.get_or_insert_with(|| {
                // Pausing renames the list, which stays the one it was.
                let is_renamed = counts.paused > 0 || (counts.is_paused && counts.wait == 0);
                let suffix: &[u8] = if is_renamed { b"paused" } else { b"wait" };
                let key = self.layout.key(&state.queue.raw, suffix);
                let marks = self.layout.memory.get(&state.queue.raw, 0);
                Follow::new(key, Side::Right, Elements::Unique, marks)
            });
            if let Some(read) = list.ask() {
                reads.push(read);
                self.asked.push((index, Asked::List));
            }
        }
        reads
    }

    fn take(&mut self, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        for (index, asked) in std::mem::take(&mut self.asked) {
            let own: Vec<Reply> = replies.by_ref().take(asked.width()).collect();
            let Some(state) = self.queues.get_mut(index) else {
                continue;
            };
            let mut own = own.into_iter();
            let mut next = || own.next().unwrap_or(Reply::Nil);
            match asked {
                Asked::Counts => state.counts = Counts::decode(next),
                Asked::Events(count) => {
                    let Ok(counts) = &state.counts else { continue };
                    let trim = (counts.events, counts.max_events);
                    let page = (next(), count);
                    let taken = state
                        .track
                        .take(page, trim, &mut state.seen, &mut self.room);
                    state.can_follow = state.kept(taken).is_some();
                }
                Asked::Heads(line) => state.take_ids(next(), Some(line)),
                Asked::Running => state.take_ids(next(), None),
                Asked::Level(level) => state.take_level(level, next(), next()),
                Asked::Job => state.take_job(Job::decode(own), self.now),
                Asked::Start => state.take_start(Job::decode(own)),
                Asked::List => {
                    if let Some(list) = &mut state.list {
                        list.take(next(), &mut self.layout.memory, &mut self.budget);
                    }
                }
            }
        }
    }

    fn conclude(&mut self) -> Vec<Outcome> {
        let queues = std::mem::take(&mut self.queues);
        queues
            .into_iter()
            .map(|mut state| {
                if let Ok(counts) = &state.counts {
                    let present = counts.present();
                    state.track.tidy(present, &state.seen, &mut self.room);
                }
                let outcome = observe::outcome(&mut state, &mut self.layout.memory, &mut self.room);
                state.track.is_new = false;
                self.layout.tracks.shown.push(Arc::clone(&state.queue.raw));
                self.layout.tracks.put(&state.queue.raw, state.track);
                outcome
            })
            .collect()
    }
}

impl Drop for BullProbe<'_> {
    /// A conversation that was broken off has read events which nobody will read again.
    fn drop(&mut self) {
        for mut state in std::mem::take(&mut self.queues) {
            state.track.untold.has_gap |= !state.seen.unknown.is_empty();
            self.layout.tracks.put(&state.queue.raw, state.track);
        }
    }
}

// === impl Asked ===

impl Asked {
    /// How many replies belong to it.
    const fn width(self) -> usize {
        match self {
            Self::Counts => COUNTS - 1,
            Self::Level(_) => 2,
            Self::Job | Self::Start => job::READS,
            Self::Events(_) | Self::Heads(_) | Self::Running | Self::List => 1,
        }
    }
}
