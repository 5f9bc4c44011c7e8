//! What a BullMQ queue's events stream tells, read once from where the last poll ended: how many
//! jobs started and ended, how long each had been ready and how long it ran.
//!
//! A job is ready from the event `waiting` on, which carries the server's time; from its due time on
//! if it was delayed and no worker has looked earlier. The events of one job are joined by its id.
//! That memory is bounded, and emptied where events were lost: what it does not know is asked of the
//! job's hash, and left out if that does not know it exactly.

use super::stream::{Before, Entry, Kind, Page, StreamId};
use crate::layout::redis::{Bytes, Read, Refusal, Reply};
use crate::model::{Measured, Timestamp};
use std::collections::{HashMap, VecDeque};

/// Jobs that are remembered of one queue.
const JOBS: usize = 25_000;

/// Longer ids are not remembered.
const MAX_ID: usize = 256;

/// Entries of the first page of a poll, by which most queues are through.
const FIRST: u32 = 32;

/// Entries of a page at most, and at least where they carry large values.
const PAGE: u32 = Read::MAX_ELEMENTS;
const SMALL_PAGE: u32 = 8;

/// A page that weighs more is followed by a smaller one, and a poll that has brought in so much
/// leaves the rest to the next. A value that was not let in has still cost the broker its sending.
const HEAVY_PAGE: u64 = 512 * 1024;
const HEAVY_POLL: u64 = 4 * 1024 * 1024;
const REFUSED: u64 = 256 * 1024;

/// Pages of one poll at most: more than the 10,000 entries to which BullMQ trims the stream.
const PAGES: u32 = 12;

/// Starts whose ready time is asked of the job, a poll.
const LOOKUPS: usize = 128;

/// Times that are kept for the next poll that succeeds.
const UNTOLD: usize = 64 * 1024;

/// Totals since the first poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Times that a job became ready.
    pub(super) readied: u64,
    pub(super) started: u64,
    pub(super) finished: u64,
    pub(super) failures: u64,
    pub(super) retries: u64,
    pub(super) redelivered: u64,
}

/// What outlives a poll.
#[derive(Debug)]
pub(super) struct Track {
    cursor: Cursor,
    /// Entries of the next page.
    page: u32,
    pub(super) totals: Totals,
    pub(super) jobs: HashMap<Box<[u8]>, Stage>,
    /// The job that has last gone from active to waiting: to be tried again, unless the next event
    /// says that its worker went away.
    put_back: Option<Vec<u8>>,
    /// Changes where events were lost.
    pub(super) epoch: u32,
    /// Nothing has been counted yet.
    pub(super) is_new: bool,
    /// Times of single jobs that have not been passed on yet.
    pub(super) untold: Measured,
    /// Priority levels that have been seen to have jobs, one bit each.
    pub(super) levels: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    /// Where the stream ends is not known yet.
    Unknown,
    /// This entry was the last; while it is still there, none behind it is lost.
    At(StreamId),
    /// All entries are still to come.
    Start,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Delayed {
        due: Timestamp,
    },
    Ready {
        since: Timestamp,
    },
    /// Was delayed until a time that is not known, and was found due at this one.
    Promoted {
        at: Timestamp,
    },
    Active {
        since: Timestamp,
    },
}

/// How one poll gets on.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// All events have been read.
    pub(super) is_through: bool,
    /// Starts of jobs whose ready time is not remembered.
    pub(super) unknown: VecDeque<Start>,
    entries: usize,
    pages: u32,
    bytes: u64,
}

/// A job that started, and when it was found due if it had been delayed.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) job: Vec<u8>,
    pub(super) at: Timestamp,
    pub(super) promoted: Option<Timestamp>,
}

// === impl Track ===

impl Default for Track {
    fn default() -> Self {
        Self {
            cursor: Cursor::Unknown,
            page: FIRST,
            totals: Totals::default(),
            jobs: HashMap::new(),
            put_back: None,
            epoch: 0,
            is_new: true,
            untold: Measured::default(),
            levels: 0,
        }
    }
}

impl Track {
    /// The first read of a poll, and how many entries it asks for.
    pub(super) fn first(&self, stream: Bytes) -> (Read, u32) {
        match self.cursor {
            Cursor::Unknown => (Read::XrevrangeLast(stream), 1),
            _ => self.read(stream, self.page.min(FIRST)),
        }
    }

    /// The next page, of at most so many entries; none if this poll has read enough.
    pub(super) fn next(&self, stream: Bytes, most: u32, seen: &Seen) -> Option<(Read, u32)> {
        let goes_on = !seen.is_through && seen.pages < PAGES && seen.bytes < HEAVY_POLL;
        let count = self.page.min(most);
        (goes_on && count >= SMALL_PAGE).then(|| self.read(stream, count))
    }

    /// Begins with the last entry that is known: if it is still the first there, none was lost.
    fn read(&self, stream: Bytes, count: u32) -> (Read, u32) {
        let from = match self.cursor {
            Cursor::At(id) => id,
            _ => StreamId::default(),
        };
        (Read::XrangeFrom(stream, from.text(), count), count)
    }

    /// Takes what was read. `len` is that of the stream before and `max_len` to what it is trimmed;
    /// `room` is what may still be remembered of all queues.
    pub(super) fn take(
        &mut self,
        (reply, asked): (Reply, u32),
        (len, max_len): (u64, u64),
        seen: &mut Seen,
        room: &mut usize,
    ) -> Result<(), Refusal> {
        let page = Page::decode(reply)?;
        let mut entries = page.entries.as_slice();
        match (self.cursor, entries) {
            (Cursor::Unknown, [.., last]) => {
                self.cursor = Cursor::At(last.id);
                self.untold.has_gap |= !self.is_new;
                seen.is_through = true;
                return Ok(());
            }
            (Cursor::Unknown, []) => {
                self.cursor = Cursor::Start;
                self.untold.has_gap |= !self.is_new;
            }
            (Cursor::At(known), [first, rest @ ..]) if first.id == known => entries = rest,
            (Cursor::At(_), []) => {
                self.lose(room);
                self.cursor = if len == 0 {
                    Cursor::Start
                } else {
                    // A server that never had it: nothing tells what of its events is new.
                    Cursor::Unknown
                };
            }
            (Cursor::At(_), _) => self.lose(room),
            (Cursor::Start, []) => {}
            // Shorter than that it has never been trimmed.
            (Cursor::Start, _) if len >= max_len => self.lose(room),
            (Cursor::Start, _) => {}
        }
        for entry in entries {
            self.feed(entry, seen, room);
            self.cursor = Cursor::At(entry.id);
        }
        seen.is_through = (page.entries.len() as u64) < u64::from(asked);
        if seen.is_through {
            // What belongs together is written at once.
            self.settle();
        }
        let bytes = page.bytes + page.refused * REFUSED;
        self.bound();
        seen.entries += entries.len();
        seen.pages += 1;
        seen.bytes += bytes;
        self.page = if bytes > HEAVY_PAGE {
            (asked / 4).max(SMALL_PAGE)
        } else {
            self.page.saturating_mul(2).min(PAGE)
        };
        Ok(())
    }

    fn feed(&mut self, entry: &Entry, seen: &mut Seen, room: &mut usize) {
        let Some((job, kind)) = &entry.event else {
            return self.settle();
        };
        let at = entry.id.time();
        if *kind == Kind::Stalled {
            if self.put_back.take_if(|put_back| put_back == job).is_some() {
                self.totals.redelivered += 1;
            }
            return self.settle();
        }
        self.settle();
        let before = self.jobs.get(job.as_slice()).copied();
        match kind {
            Kind::Waiting(from) => {
                self.totals.readied += 1;
                if *from == Before::Active {
                    self.put_back = Some(job.clone());
                }
                let stage = match (from, before) {
                    (Before::Delayed, Some(Stage::Delayed { due })) => {
                        Stage::Ready { since: due.min(at) }
                    }
                    (Before::Delayed, _) => Stage::Promoted { at },
                    _ => Stage::Ready { since: at },
                };
                self.remember(job, stage, room);
            }
            Kind::Delayed(due) => {
                if let Some(Stage::Active { .. }) = before {
                    self.totals.retries += 1;
                }
                match due {
                    Some(due) => _ = self.remember(job, Stage::Delayed { due: *due }, room),
                    None => self.forget(job, room),
                }
            }
            Kind::Active => {
                self.totals.started += 1;
                match before {
                    Some(Stage::Ready { since }) => self.untold.waits.push(since.age_at(at)),
                    _ if seen.unknown.len() < LOOKUPS => seen.unknown.push_back(Start {
                        job: job.clone(),
                        at,
                        promoted: match before {
                            Some(Stage::Promoted { at }) => Some(at),
                            _ => None,
                        },
                    }),
                    _ => self.untold.has_gap = true,
                }
                // Its run time will be missing.
                let is_kept = self.remember(job, Stage::Active { since: at }, room);
                self.untold.has_gap |= !is_kept;
            }
            Kind::Completed | Kind::Failed => {
                match kind {
                    Kind::Completed => self.totals.finished += 1,
                    _ => self.totals.failures += 1,
                }
                if let Some(Stage::Active { since }) = before {
                    self.untold.runs.push(since.age_at(at));
                }
                self.forget(job, room);
            }
            Kind::Stalled | Kind::Gone => self.forget(job, room),
        }
    }

    /// Polls that fail one after the other do not pile up times for ever.
    fn bound(&mut self) {
        for times in [&mut self.untold.waits, &mut self.untold.runs] {
            if times.len() > UNTOLD {
                times.clear();
                self.untold.has_gap = true;
            }
        }
    }

    /// What was put back was to be tried again.
    fn settle(&mut self) {
        if self.put_back.take().is_some() {
            self.totals.retries += 1;
        }
    }

    /// Events are missing: of no job is it known where it is.
    fn lose(&mut self, room: &mut usize) {
        self.untold.has_gap = true;
        self.epoch = self.epoch.wrapping_add(1);
        self.settle();
        self.forget_all(room);
    }

    /// Whether there was room for it.
    pub(super) fn remember(&mut self, job: &[u8], stage: Stage, room: &mut usize) -> bool {
        if let Some(known) = self.jobs.get_mut(job) {
            *known = stage;
            return true;
        }
        if *room == 0 || self.jobs.len() >= JOBS || job.len() > MAX_ID {
            return false;
        }
        *room -= 1;
        self.jobs.insert(job.into(), stage);
        true
    }

    fn forget(&mut self, job: &[u8], room: &mut usize) {
        *room += usize::from(self.jobs.remove(job).is_some());
    }

    fn forget_all(&mut self, room: &mut usize) {
        *room += self.jobs.len();
        self.jobs = HashMap::new();
    }

    /// Drops what can only be left over, where `present` jobs wait, are delayed or run: jobs that
    /// are drained or cleaned leave no event of their own.
    pub(super) fn tidy(&mut self, present: u64, seen: &Seen, room: &mut usize) {
        let held = self.jobs.len() as u64;
        let is_idle = present == 0 && seen.entries == 0;
        if held > 0 && (is_idle || held / 2 > present.saturating_add(64)) {
            self.forget_all(room);
        }
    }

    /// Since when a job has been ready, if it is.
    pub(super) fn ready_since(&self, job: &[u8]) -> Option<Timestamp> {
        match self.jobs.get(job)? {
            Stage::Ready { since } => Some(*since),
            _ => None,
        }
    }

    /// Since when the longest waiting of so many jobs has been ready; `None` unless each of them is
    /// remembered.
    pub(super) fn oldest_ready(&self, ready: u64) -> Option<Timestamp> {
        let mut oldest = None;
        let mut count = 0;
        for stage in self.jobs.values() {
            match stage {
                Stage::Ready { since } => {
                    count += 1;
                    oldest = Some(oldest.map_or(*since, |oldest: Timestamp| oldest.min(*since)));
                }
                Stage::Promoted { .. } => return None,
                Stage::Delayed { .. } | Stage::Active { .. } => {}
            }
        }
        oldest.filter(|_| count == ready)
    }
}
