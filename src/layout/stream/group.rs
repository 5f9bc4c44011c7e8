//! What is known of one group, and what follows from it.

use crate::layout::redis::{Bytes, Outcome, QueueRef, Refusal, RefusalKind, Reply, UNSTAMPED};
use crate::model::flow::{Arrivals, FlowSample, LineHead, LineSample, Span, Starts};
use crate::model::{Head, LatencySource, Observation, Reason, System, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Pending entries that are looked at.
pub(super) const PENDING: u32 = 32;

/// An id may be ahead of the server's clock by so much: clocks are set back.
const AHEAD: Duration = Duration::from_secs(60);

/// One queue: a group and its stream.
pub(crate) struct GroupRef<'a> {
    pub(crate) queue: &'a QueueRef,
    pub(crate) stream: Bytes,
    pub(crate) group: Bytes,
}

/// What `XINFO GROUPS` tells of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) consumers: u64,
    pub(super) pending: u64,
    /// The last entry that was given to a consumer.
    pub(super) last_id: Vec<u8>,
    pub(super) entries_read: Option<u64>,
    pub(super) lag: Option<u64>,
    /// Redis itself has told `entries_read`.
    pub(super) is_told: bool,
}

/// What one poll has shown of a group.
#[derive(Default)]
pub(super) struct Sight {
    pub(super) info: Info,
    /// Entries behind the last one that was delivered.
    pub(super) ready: Option<u64>,
    pub(super) ready_at_least: Option<u64>,
    pub(super) head: Found,
    /// The first entry of the whole stream, where it was asked.
    pub(super) first: Found,
    /// Bytes of one entry, about.
    pub(super) entry_size: u64,
    pub(super) oldest_start: Option<Timestamp>,
    pub(super) refused: Option<Refusal>,
    /// The group was behind, and yet there was nothing to give it: it moved between two reads.
    pub(super) has_moved: bool,
}

/// The first entry of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Found {
    #[default]
    NotAsked,
    Nothing,
    Id(Vec<u8>),
    /// It was refused.
    Hidden(RefusalKind),
}

/// What is remembered of groups whose counters Redis does not always know.
#[derive(Default)]
pub(crate) struct Memory {
    /// How often the counters have been lost: a change means that entries may have come and gone
    /// uncounted.
    losses: HashMap<Bytes, u32>,
    /// Their `entries-read` is null, but follows from what was added to the stream and the lag.
    untold: HashSet<Bytes>,
}

// === impl Memory ===

impl Memory {
    /// Begins the next poll: what nobody else holds the name of is no longer polled.
    pub(crate) fn begin(&mut self) {
        let is_polled = |queue: &Bytes, names: usize| Arc::strong_count(queue) > names;
        self.losses.retain(|queue, _| {
            let names = 1 + usize::from(self.untold.contains(queue));
            is_polled(queue, names)
        });
        self.untold.retain(|queue| {
            let names = 1 + usize::from(self.losses.contains_key(queue));
            is_polled(queue, names)
        });
    }

    /// Whether the entries that were ever added to the stream must be asked for.
    pub(super) fn needs_total(&self, queue: &Bytes) -> bool {
        self.untold.contains(queue)
    }

    fn note(&mut self, queue: &Bytes, info: &Info) {
        match (info.lag, info.is_told) {
            (Some(_), false) => self.untold.insert(Bytes::clone(queue)),
            _ => self.untold.remove(queue),
        };
        if info.lag.is_none() || info.entries_read.is_none() {
            let losses = self.losses.entry(Bytes::clone(queue)).or_default();
            *losses = losses.wrapping_add(1);
        }
    }

    fn losses(&self, queue: &Bytes) -> u32 {
        self.losses.get(queue).copied().unwrap_or(0)
    }
}

// === impl Info ===

impl Info {
    /// All groups of a stream, by name.
    pub(super) fn decode(reply: Reply) -> Result<HashMap<Vec<u8>, Self>, Refusal> {
        let groups = reply.array()?.into_iter();
        Ok(groups.filter_map(Self::of_one).collect())
    }

    fn of_one(reply: Reply) -> Option<(Vec<u8>, Self)> {
        let (mut name, mut info) = (None, Self::default());
        let mut fields = reply.array().ok()?.into_iter();
        while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
            // A lag below zero follows from a position that was set wrong: it tells nothing.
            let number = |value: &Reply| match value {
                Reply::Int(number) => u64::try_from(*number).ok(),
                _ => None,
            };
            match field.bytes().ok()??.as_slice() {
                b"name" => name = value.bytes().ok()?,
                b"consumers" => info.consumers = number(&value)?,
                b"pending" => info.pending = number(&value)?,
                b"last-delivered-id" => info.last_id = value.bytes().ok()??,
                b"entries-read" => {
                    info.entries_read = number(&value);
                    info.is_told = info.entries_read.is_some();
                }
                b"lag" => info.lag = number(&value),
                _ => {}
            }
        }
        Some((name?, info))
    }
}

/// The names of a stream's groups, from the reply to `XINFO GROUPS`.
pub(crate) fn names_of_groups(replies: Vec<Reply>) -> impl Iterator<Item = Vec<u8>> {
    let reply = replies.into_iter().next().unwrap_or(Reply::Nil);
    Info::decode(reply).unwrap_or_default().into_keys()
}

// === impl Found ===

impl Found {
    /// The first entry of a reply to `XRANGE`. An entry of which a field was too large still has its
    /// id.
    pub(super) fn first(reply: Reply) -> Self {
        let entries = match reply.array() {
            Ok(entries) => entries,
            Err(refusal) => return Self::Hidden(refusal.kind),
        };
        let Some(entry) = entries.into_iter().next() else {
            return Self::Nothing;
        };
        let id = entry.array().ok().and_then(|e| e.into_iter().next());
        match id.map(Reply::bytes) {
            Some(Ok(Some(id))) => Self::Id(id),
            _ => Self::Hidden(RefusalKind::Other),
        }
    }
}

// === impl Sight ===

impl Sight {
    /// Takes the pending entries with the lowest ids. Entries are first delivered in the order of
    /// their ids, so one that was delivered once has been in progress longest.
    pub(super) fn pending(&mut self, reply: Reply, now: Timestamp) {
        let entries = match reply.array() {
            Ok(entries) => entries,
            Err(refusal) => {
                self.refused = Some(refusal);
                return;
            }
        };
        let all = entries.len() < PENDING as usize;
        let times: Option<Vec<(u64, u64)>> = entries.into_iter().map(delivery).collect();
        let times = times.unwrap_or_default();
        let idle = match times.first() {
            Some((idle, 1)) => Some(*idle),
            _ if all => times.iter().map(|(idle, _)| *idle).max(),
            _ => None,
        };
        self.oldest_start = idle.map(|idle| now.minus(Duration::from_millis(idle)));
    }

    pub(super) fn observe(
        self,
        system: System,
        group: &GroupRef<'_>,
        now: Timestamp,
        memory: &mut Memory,
    ) -> Outcome {
        let queue = group.queue;
        let mut seen = Observation::new(system, Arc::clone(&queue.shown), UNSTAMPED);
        seen.jobs.ready = self.ready;
        seen.jobs.in_progress = Some(self.info.pending);
        if self.ready.is_none() {
            seen.ready_at_least = self.ready_at_least;
            seen.jobs_unknown = Some(Reason::LagUnknown);
        }
        seen.consumers = Some(self.info.consumers);
        seen.oldest_in_progress = self.oldest_start;
        seen.head = self.head(now);
        memory.note(&queue.raw, &self.info);
        seen.flow = self.flow(seen.head, memory.losses(&queue.raw));
        if self.info.entries_read.is_none() || self.info.lag.is_none() {
            seen.counts_unknown = Some(Reason::ReadUnknown);
        }
        Outcome::of(seen, self.refused)
    }

    fn head(&self, now: Timestamp) -> Head {
        match &self.head {
            _ if self.ready == Some(0) => Head::Empty,
            Found::Id(id) => match time_of(id, now) {
                Some(added) => Head::Since {
                    earliest: added,
                    latest: added.plus(Duration::from_micros(999)),
                    upper_is_hard: true,
                    source: LatencySource::Broker,
                },
                None => Head::Unknown(Reason::NoTimestamp),
            },
            Found::Hidden(RefusalKind::TooLarge) => Head::Unknown(Reason::PayloadTooLarge),
            Found::Hidden(RefusalKind::NotPermitted) => Head::Unknown(Reason::NotPermitted),
            _ => Head::Unknown(Reason::HeadMissing),
        }
    }

    /// Both counters tell where in the stream the group is, from the same instant.
    fn flow(&self, head: Head, losses: u32) -> Option<FlowSample> {
        let (read, lag) = (self.info.entries_read?, self.info.lag?);
        let ready = self.ready.filter(|_| !self.has_moved)?;
        let line = LineSample {
            line: 0,
            ready,
            arrivals: Arrivals::counted(read.saturating_add(lag), losses),
            started: Some(Starts::of(read)),
            head: LineHead::of(head),
        };
        Some(FlowSample {
            span: Span::default(),
            lines: vec![line],
        })
    }
}

/// When the entry with this id was added. None if the id is the producer's own invention.
fn time_of(id: &[u8], now: Timestamp) -> Option<Timestamp> {
    const YEAR_2001_MS: i64 = 1_000_000_000_000;
    let ms = id.split(|byte| *byte == b'-').next()?;
    let ms: i64 = std::str::from_utf8(ms).ok()?.parse().ok()?;
    let at = Timestamp::from_micros(ms.checked_mul(1000)?);
    (ms >= YEAR_2001_MS && at <= now.plus(AHEAD)).then_some(at)
}

/// Milliseconds since the last delivery of a pending entry, and how often it was delivered.
fn delivery(entry: Reply) -> Option<(u64, u64)> {
    let mut fields = entry.array().ok()?.into_iter().skip(2);
    let idle = fields.next()?.count().ok()?;
    Some((idle, fields.next()?.count().ok()?))
}
