//! One of Bull's queues during one poll.

use super::job::Job;
use super::track::{Seen, Track};
use crate::layout::marker::Follow;
use crate::layout::redis::{QueueRef, Refusal, Reply};
use crate::model::Timestamp;
use std::collections::VecDeque;

/// To how many entries BullMQ trims the events where nothing else is said.
const MAX_EVENTS: u64 = 10_000;

/// Fields of `meta`.
pub(super) const META: &[&str] = &["version", "opts.maxLenEvents", "paused"];

pub(super) struct QueueState<'a> {
    pub(super) queue: &'a QueueRef,
    pub(super) counts: Result<Counts, Refusal>,
    pub(super) track: Track,
    pub(super) seen: Seen,
    /// The events may be read.
    pub(super) can_follow: bool,
    /// Jobs that are asked about.
    pub(super) ids: VecDeque<Wanted>,
    /// Between which times the jobs at the heads became ready; nothing where a job is there and
    /// does not tell.
    pub(super) heads: Vec<Option<(Timestamp, Timestamp)>>,
    pub(super) running: Vec<(Vec<u8>, Job)>,
    pub(super) levels: Vec<(u8, u64)>,
    /// The list of waiting jobs, where there are no events.
    pub(super) list: Option<Follow>,
    pub(super) refused: Option<Refusal>,
}

pub(super) struct Wanted {
    pub(super) id: Vec<u8>,
    is_running: bool,
}

/// A list of waiting jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Wait,
    Paused,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) wait: u64,
    pub(super) paused: u64,
    pub(super) prioritized: u64,
    /// Those in `wait` that have a priority (Bull 4).
    priority: u64,
    pub(super) active: u64,
    pub(super) delayed: u64,
    pub(super) failed: u64,
    pub(super) children: u64,
    pub(super) next_due: Option<Timestamp>,
    pub(super) added: Option<u64>,
    pub(super) is_paused: bool,
    /// It is BullMQ's: it writes events.
    pub(super) has_events: bool,
    pub(super) events: u64,
    pub(super) max_events: u64,
}

// === impl QueueState ===

impl<'a> QueueState<'a> {
    pub(super) fn new(queue: &'a QueueRef, track: Track) -> Self {
        Self {
            queue,
            counts: Ok(Counts::default()),
            track,
            seen: Seen::default(),
            can_follow: false,
            ids: VecDeque::new(),
            heads: Vec::new(),
            running: Vec::new(),
            levels: Vec::new(),
            list: None,
            refused: None,
        }
    }

    /// The outcome, or `None` where it was refused, which is remembered.
    pub(super) fn kept<T>(&mut self, outcome: Result<T, Refusal>) -> Option<T> {
        outcome.map_err(|refusal| self.refused = Some(refusal)).ok()
    }

    /// Since when the oldest job has been ready, where that is remembered of all of them.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let ready = self.counts.as_ref().ok()?.ready();
        let is_known = self.can_follow && self.seen.is_through && ready > 0;
        self.track.oldest_ready(ready).filter(|_| is_known)
    }

    /// Settles which jobs are asked about: heads are not where all that wait are remembered, and
    /// of the starts no more than `lookups`.
    pub(super) fn plan(&mut self, lookups: &mut usize) {
        if self.oldest().is_some() {
            self.ids.retain(|wanted| wanted.is_running);
        }
        let starts = &mut self.seen.unknown;
        let asked = starts.len().min(*lookups);
        *lookups -= asked;
        self.track.untold.has_gap |= asked < starts.len();
        starts.truncate(asked);
    }

    /// The end of a list: ids of jobs about which to ask. A list of waiting jobs may end in a
    /// marker, which is no job.
    pub(super) fn take_ids(&mut self, reply: Reply, line: Option<Line>) {
        for id in self.kept(reply.array()).unwrap_or_default() {
            let Some(id) = self.kept(id.bytes()).flatten() else {
                continue;
            };
            if !id.starts_with(b"0:") {
                let is_running = line.is_none();
                self.ids.push_back(Wanted { id, is_running });
                continue;
            }
            let Ok(counts) = &mut self.counts else {
                continue;
            };
            let len = match line {
                Some(Line::Wait) => &mut counts.wait,
                Some(Line::Paused) => &mut counts.paused,
                None => &mut counts.active,
            };
            *len = len.saturating_sub(1);
        }
    }

    /// The number of jobs of a priority level, and the first of them.
    pub(super) fn take_level(&mut self, level: u8, number: Reply, first: Reply) {
        let number = self.kept(number.count()).unwrap_or(0);
        self.levels.push((level, number));
        let first = self.kept(first.scored()).unwrap_or_default();
        let first = first.into_iter().next().map(|(id, _)| Wanted {
            id,
            is_running: false,
        });
        self.ids.extend(first);
    }

    /// The job of the next id that was asked.
    pub(super) fn take_job(&mut self, job: Result<Option<Job>, Refusal>, now: Timestamp) {
        let Some(wanted) = self.ids.pop_front() else {
            return;
        };
        let job = match self.kept(job) {
            // It was taken or removed meanwhile.
            Some(None) => return,
            told => told.flatten(),
        };
        if wanted.is_running {
            self.running.extend(job.map(|job| (wanted.id, job)));
        } else {
            let remembered = self.track.ready_since(&wanted.id).map(|at| (at, at));
            let told = job.and_then(|job| job.ready(now));
            self.heads.push(remembered.or(told));
        }
    }

    /// The job of the next start of which only the start is remembered.
    pub(super) fn take_start(&mut self, job: Result<Option<Job>, Refusal>) {
        let Some(start) = self.seen.unknown.pop_front() else {
            return;
        };
        let job = job.ok().flatten();
        match job.and_then(|job| job.ready_once(start.at, start.promoted)) {
            Some(ready) => self.track.untold.waits.push(ready.age_at(start.at)),
            None => self.track.untold.has_gap = true,
        }
    }
}

// === impl Counts ===

impl Counts {
    pub(super) fn decode(mut next: impl FnMut() -> Reply) -> Result<Self, Refusal> {
        let mut counts = Self {
            wait: next().count()?,
            paused: next().count()?,
            prioritized: next().count()?,
            priority: next().count()?,
            active: next().count()?,
            delayed: next().count()?,
            failed: next().count()?,
            children: next().count()?,
            next_due: due(&next().scored()?),
            added: next().bytes()?.as_deref().and_then(number),
            ..Self::default()
        };
        let meta = next().array()?;
        let text = |at: usize| match meta.get(at) {
            Some(Reply::Bytes(text)) => Some(text.as_slice()),
            _ => None,
        };
        counts.is_paused = next() == Reply::Int(1) || text(2).is_some();
        counts.events = next().count().unwrap_or(0);
        counts.max_events = text(1).and_then(number).unwrap_or(MAX_EVENTS);
        counts.has_events = text(0).is_some() || text(1).is_some() || counts.events > 0;
        Ok(counts)
    }

    pub(super) fn ready(&self) -> u64 {
        self.wait
            .saturating_add(self.paused)
            .saturating_add(self.prioritized)
    }

    /// Ready jobs that have a priority.
    pub(super) fn leveled(&self) -> u64 {
        match self.has_events {
            true => self.prioritized,
            false => self.priority,
        }
    }

    /// How many jobs stand in front of those in `wait` that have no priority.
    pub(super) fn put_in_front(&self) -> Option<i64> {
        let is_there = !self.has_events && self.wait > self.priority;
        i64::try_from(self.priority).ok().filter(|_| is_there)
    }

    /// Jobs that wait, are delayed or run.
    pub(super) fn present(&self) -> u64 {
        let held = self.active.saturating_add(self.delayed);
        self.ready().saturating_add(held)
    }
}

/// `due in ms · 4096 + n`.
fn due(first: &[(Vec<u8>, f64)]) -> Option<Timestamp> {
    let (_, score) = first.first()?;
    Timestamp::from_secs_f64((score / 4096.0).floor() / 1e3)
}

/// A whole number in decimal digits.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
