//! What RQ records of single jobs, each start and each end once.
//!
//! A running job is in `wip` and its hash tells when it was enqueued and started; one that has ended
//! is in `finished` or `failed`, whose scores are when the *entry expires*: the end plus a time to
//! live that each job may choose. So the new ones are found by number: entries that cannot have
//! expired yet only become more. Where most jobs live equally long they are the last ones; those
//! that cannot be found there are missing, and that is said.

use super::queue::time;
use crate::layout::redis::{Bytes, Read, Refusal, Reply};
use crate::model::{Measured, Observation, Timestamp};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What is read of a job that runs or has ended.
pub(super) const JOB_FIELDS: &[&str] = &["enqueued_at", "started_at", "ended_at", "result_ttl"];

/// Jobs that have ended, looked up in one poll of a queue; the others wait their turn.
const LOOKED_UP: usize = 64;

/// Ended jobs that wait to be looked up, and running ones that are remembered.
const MAX_WAITING: usize = 2048;
const MAX_RUNNING: usize = 1024;

/// Entries read besides the new ones, by which they are told from the old: many can end within the
/// second that scores are rounded to.
const BESIDES: u32 = 64;

/// Entries are counted from this many seconds ahead on, and at least four times as far as the last
/// poll is back. What lives shorter than that is not counted.
const AHEAD: f64 = 30.0;

/// One queue's jobs.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// `finished` and `failed`.
    pub(super) registries: [Registry; 2],
    /// Running jobs whose start is counted, and the poll that last saw them.
    running: HashMap<u64, u32>,
    /// Starts that were recorded.
    started: u64,
    /// Some jobs leave no record of their end.
    is_sample: bool,
    polls: u32,
    /// The layout's poll that last read it.
    read_at: u32,
    polled: Option<Timestamp>,
    measured: Measured,
}

/// `finished` or `failed`.
#[derive(Debug)]
pub(super) struct Registry {
    /// Entries behind `.0`, of which there were `.1`.
    beyond: Option<(f64, u64)>,
    /// From where on entries are counted at the next poll, if that changes now.
    next: Option<f64>,
    /// How often counting began anew.
    pub(super) beginnings: u32,
    /// Jobs that have ended so far, by number and as found.
    pub(super) ended: u64,
    found: u64,
    /// Fingerprints of the last entries, and the lowest score among them if there were more.
    known: HashSet<u64>,
    floor: f64,
    unread: VecDeque<Vec<u8>>,
}

/// Times of one job, as its hash tells them.
struct Times {
    /// The same for one stay in a queue: a retry has another time of enqueueing.
    fingerprint: u64,
    wait: Option<Duration>,
    run: Option<Duration>,
    started: Option<Timestamp>,
    is_kept: bool,
}

// === impl Records ===

impl Records {
    /// Begins a poll: how far ahead entries are counted from now on.
    pub(super) fn begin(&mut self, now: Timestamp, poll: u32) {
        let pause = self.polled.map_or(0.0, |at| at.age_at(now).as_secs_f64());
        let ahead = now.as_secs_f64() + AHEAD.max(4.0 * pause);
        for registry in &mut self.registries {
            self.measured.has_gap |= registry.look_ahead(now.as_secs_f64(), ahead);
        }
        self.polls = self.polls.wrapping_add(1);
        (self.polled, self.read_at) = (Some(now), poll);
    }

    pub(super) fn was_read_since(&self, poll: u32) -> bool {
        self.read_at >= poll
    }

    /// Whether this is the first poll: what is there has begun before we looked.
    fn is_first(&self) -> bool {
        self.polls == 1
    }

    /// A running job; when it was started.
    pub(super) fn running(
        &mut self,
        id: &[u8],
        reply: Reply,
    ) -> Result<Option<Timestamp>, Refusal> {
        let Some(times) = Times::decode(id, reply)? else {
            return Ok(None);
        };
        self.is_sample |= !times.is_kept;
        if let Some(seen) = self.running.get_mut(&times.fingerprint) {
            *seen = self.polls;
        } else if self.running.len() < MAX_RUNNING {
            // What ran before we looked is known and not counted. Others are in `wip` a moment
            // before their start is written down.
            if !self.is_first() {
                let Some(wait) = times.wait else {
                    return Ok(times.started);
                };
                self.started += 1;
                self.measured.waits.push(wait);
            }
            self.running.insert(times.fingerprint, self.polls);
        }
        Ok(times.started)
    }

    pub(super) const fn finished(&self) -> &Registry {
        let [finished, _] = &self.registries;
        finished
    }

    pub(super) fn counted(&mut self, which: usize, reply: Reply) -> Result<(), Refusal> {
        let registry = self.registries.get_mut(which);
        registry.map_or(Ok(()), |registry| registry.counted(reply))
    }

    pub(super) fn listed(&mut self, which: usize, reply: Reply) -> Result<(), Refusal> {
        if let Some(registry) = self.registries.get_mut(which) {
            let is_missing = registry.listed(reply)?;
            self.measured.has_gap |= is_missing;
        }
        Ok(())
    }

    /// At the end of a poll that saw every running job: forgets those that no longer run. Not at
    /// once, since a job can be on its way from one registry to the other or wait to be looked up.
    pub(super) fn forget_ended(&mut self) {
        let polls = self.polls;
        if self.lookups().next().is_none() {
            self.running
                .retain(|_, seen| polls.wrapping_sub(*seen) <= 1);
        }
    }

    /// The next jobs to look up.
    pub(super) fn lookups(&self) -> impl Iterator<Item = &Vec<u8>> {
        let unread = self.registries.iter().flat_map(|registry| &registry.unread);
        unread.take(LOOKED_UP)
    }

    /// A job that has ended: the next of the lookups.
    pub(super) fn ended(&mut self, reply: Reply) -> Result<(), Refusal> {
        let mut registries = self.registries.iter_mut();
        let Some(id) = registries.find_map(|registry| registry.unread.pop_front()) else {
            return Ok(());
        };
        let Some(times) = Times::decode(&id, reply)? else {
            self.measured.has_gap = true;
            return Ok(());
        };
        if self.running.remove(&times.fingerprint).is_none()
            && let Some(wait) = times.wait
        {
            self.started += 1;
            self.measured.waits.push(wait);
        }
        self.measured.runs.extend(times.run);
        Ok(())
    }

    /// A job that is known to leave no record.
    pub(super) fn sees_ttl(&mut self, result_ttl: &Reply) {
        self.is_sample |= leaves_no_record(result_ttl);
    }

    /// What has become known since this was last asked for. Where some jobs leave no record, what
    /// is recorded cannot be counted up.
    pub(super) fn tell(&mut self, observation: &mut Observation, is_complete: bool) {
        let is_sample = self.is_sample || !is_complete;
        let [finished, failed] = &self.registries;
        if !is_sample {
            observation.counters.started = Some(self.started);
            observation.counters.finished = Some(finished.ended);
        }
        observation.counters.failures = Some(failed.ended);
        observation.measured = Some(Measured {
            is_sample,
            ..std::mem::take(&mut self.measured)
        });
    }
}

// === impl Registry ===

impl Default for Registry {
    fn default() -> Self {
        Self {
            beyond: None,
            next: None,
            beginnings: 0,
            ended: 0,
            found: 0,
            known: HashSet::new(),
            floor: f64::NEG_INFINITY,
            unread: VecDeque::new(),
        }
    }
}

impl Registry {
    /// Chooses from where on entries are counted; whether the last poll is too long ago, so that
    /// what was counted may have expired.
    fn look_ahead(&mut self, now: f64, ahead: f64) -> bool {
        let is_lost = self.beyond.is_some_and(|(from, _)| from <= now);
        if is_lost {
            self.beyond = None;
            self.found = self.ended;
        }
        let is_far = |(from, _): (f64, u64)| from - now >= (ahead - now) / 2.0;
        self.next = (!self.beyond.is_some_and(is_far)).then_some(ahead);
        is_lost
    }

    pub(super) fn count_read(&self, key: &Bytes) -> Read {
        let count = |from: f64| Read::Zcount(Bytes::clone(key), from, f64::INFINITY);
        let together = |reads: Vec<Read>| Read::Atomic(Bytes::clone(key), reads);
        match (self.beyond, self.next) {
            (Some((from, _)), Some(next)) => together(vec![count(from), count(next)]),
            (Some((from, _)), None) => count(from),
            (None, next) => {
                let window = Read::ZrangeLast(Bytes::clone(key), BESIDES);
                together(vec![window, count(next.unwrap_or(f64::INFINITY))])
            }
        }
    }

    pub(super) fn counted(&mut self, reply: Reply) -> Result<(), Refusal> {
        let next = self.next.take();
        let mut replies = match reply {
            Reply::Array(replies) | Reply::Loose(replies) => replies.into_iter(),
            reply => vec![reply].into_iter(),
        };
        let mut reply = || replies.next().unwrap_or(Reply::Nil);
        self.beyond = Some(match self.beyond {
            Some((from, before)) => {
                let count = reply().count()?;
                self.ended += count.saturating_sub(before);
                match next {
                    Some(next) => (next, reply().count()?),
                    None => (from, count),
                }
            }
            None => {
                let entries = reply().scored()?;
                let count = reply().count()?;
                self.remember(&entries, BESIDES);
                self.beginnings += 1;
                (next.unwrap_or(f64::INFINITY), count)
            }
        });
        Ok(())
    }

    /// The last entries, if there are new ones among them.
    pub(super) fn window_read(&self, key: &Bytes) -> Option<Read> {
        let missing = self.ended.saturating_sub(self.found);
        (missing > 0).then(|| Read::ZrangeLast(Bytes::clone(key), window(missing)))
    }

    /// Finds the new ones; whether some are missing.
    pub(super) fn listed(&mut self, reply: Reply) -> Result<bool, Refusal> {
        let asked = window(self.ended.saturating_sub(self.found));
        let entries = reply.scored()?;
        for (id, score) in &entries {
            if *score > self.floor && !self.known.contains(&fingerprint(&[id])) {
                self.found += 1;
                self.unread.push_back(id.clone());
            }
        }
        self.remember(&entries, asked);
        let excess = self.unread.len().saturating_sub(MAX_WAITING);
        self.unread.drain(..excess);
        let is_missing = self.found < self.ended || excess > 0;
        self.found = self.found.max(self.ended);
        Ok(is_missing)
    }

    fn remember(&mut self, entries: &[(Vec<u8>, f64)], asked: u32) {
        self.known = entries.iter().map(|(id, _)| fingerprint(&[id])).collect();
        let is_all = (entries.len() as u64) < u64::from(asked);
        let lowest = entries
            .first()
            .map_or(f64::NEG_INFINITY, |(_, score)| *score);
        self.floor = if is_all { f64::NEG_INFINITY } else { lowest };
    }
}

/// How many entries are read when so many are new.
fn window(missing: u64) -> u32 {
    let missing = u32::try_from(missing).unwrap_or(u32::MAX);
    missing.saturating_add(BESIDES).min(Read::MAX_ELEMENTS)
}

// === impl Times ===

impl Times {
    /// `None` where the hash is gone.
    fn decode(id: &[u8], reply: Reply) -> Result<Option<Self>, Refusal> {
        let fields = reply.array()?;
        if fields.iter().all(|field| *field == Reply::Nil) {
            return Ok(None);
        }
        let [enqueued, started, ended, result_ttl] = fields.as_slice() else {
            return Ok(None);
        };
        let stay = match enqueued {
            Reply::Bytes(at) => at.as_slice(),
            _ => b"",
        };
        let (enqueued, started, ended) = (time(enqueued), time(started), time(ended));
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(from?.age_at(to?));
        Ok(Some(Self {
            fingerprint: fingerprint(&[id, stay]),
            wait: between(enqueued, started),
            run: between(started, ended),
            started,
            is_kept: !leaves_no_record(result_ttl),
        }))
    }
}

/// With a `result_ttl` of 0 a job is deleted as it ends.
fn leaves_no_record(result_ttl: &Reply) -> bool {
    *result_ttl == Reply::Bytes(b"0".to_vec())
}

fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
