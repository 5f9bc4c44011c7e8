//! The conversation about groups: what Redis knows of them, then their first undelivered and their
//! oldest pending entry, and a count of what waits where Redis has none.

use super::group::{Found, GroupRef, Info, Memory, PENDING, Sight};
use crate::layout::redis::{Bytes, Outcome, Probe, Read, Refusal, Reply, Step};
use crate::model::{System, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// Where Redis does not know the lag, entries are fetched and counted: so many at most, and of no
/// more than so many bytes together.
const COUNTED: u64 = 128;
const COUNTED_BYTES: u64 = 64 * 1024;

/// The id before all others.
const START: &[u8] = b"0-0";

pub(crate) struct Groups<'a> {
    system: System,
    now: Timestamp,
    groups: Vec<GroupRef<'a>>,
    sights: Vec<Result<Sight, Refusal>>,
    /// Each stream once: several groups may read it. In the order of their keys.
    streams: Vec<Stream>,
    memory: &'a mut Memory,
    asked: Vec<About>,
    round: usize,
}

struct Stream {
    key: Bytes,
    groups: Result<HashMap<Vec<u8>, Info>, Refusal>,
    length: u64,
    /// Entries ever added; asked for where a group's counters follow from it.
    added: Option<u64>,
    needs_added: bool,
}

/// What a read is about: a stream or a group, by its index.
#[derive(Clone, Copy)]
enum About {
    Groups(usize),
    Length(usize),
    Head(usize),
    First(usize),
    Size(usize),
    Pending(usize),
    Count(usize, u64),
}

impl<'a> Groups<'a> {
    pub(crate) fn new(
        system: System,
        groups: Vec<GroupRef<'a>>,
        now: Timestamp,
        memory: &'a mut Memory,
    ) -> Self {
        Self {
            system,
            now,
            sights: Vec::new(),
            streams: distinct(&groups, memory),
            groups,
            memory,
            asked: Vec::new(),
            round: 0,
        }
    }

    fn ask_about_streams(&mut self) -> Vec<Read> {
        let mut reads = Vec::new();
        for (index, stream) in self.streams.iter().enumerate() {
            // In this order: what is added in between makes the length larger, not the lag.
            let groups = Read::XinfoGroups(Bytes::clone(&stream.key));
            reads.push(match stream.needs_added {
                false => groups,
                true => {
                    // The two mean nothing together unless they are of one instant.
                    let added = Read::XinfoStream(Bytes::clone(&stream.key));
                    Read::Atomic(Bytes::clone(&stream.key), vec![groups, added])
                }
            });
            self.asked.push(About::Groups(index));
            reads.push(Read::Xlen(Bytes::clone(&stream.key)));
            self.asked.push(About::Length(index));
        }
        reads
    }

    /// Finds each group among those of its stream.
    fn find_groups(&mut self) {
        let find = |group: &GroupRef<'_>| {
            let mut sight = Sight {
                ready: Some(0),
                ..Sight::default()
            };
            let Some(stream) = stream_of(&self.streams, group) else {
                return Ok(sight);
            };
            let groups = stream.groups.as_ref().map_err(Refusal::clone)?;
            // A group or stream that is gone is an empty queue.
            if let Some(info) = groups.get(&*group.group) {
                sight.info = info.clone();
                let read = stream.added.zip(info.lag);
                let read = read.and_then(|(added, lag)| added.checked_sub(lag));
                sight.info.entries_read = info.entries_read.or(read);
                sight.ready = match (stream.length, info.lag) {
                    (0, _) => Some(0),
                    // What was trimmed away still counts as lag before Redis 8.
                    (length, lag) => lag.map(|lag| lag.min(length)),
                };
            }
            Ok(sight)
        };
        self.sights = self.groups.iter().map(find).collect();
    }

    fn ask_about_groups(&mut self) -> Vec<Read> {
        let mut reads = Vec::new();
        for (index, (group, sight)) in self.groups.iter().zip(&self.sights).enumerate() {
            let Ok(sight) = sight else { continue };
            let stream = || Bytes::clone(&group.stream);
            let mut ask = |about, read| {
                reads.push(read);
                self.asked.push(about);
            };
            if sight.ready != Some(0) {
                let last = sight.info.last_id.as_slice().into();
                ask(About::Head(index), Read::XrangeAfter(stream(), last, 1));
            }
            if sight.ready.is_none() {
                let first = Read::XrangeAfter(stream(), START.into(), 1);
                ask(About::First(index), first);
                ask(About::Size(index), Read::MemoryUsage(stream()));
            }
            if sight.info.pending > 0 {
                let read = Read::XpendingFirst(stream(), Bytes::clone(&group.group), PENDING);
                ask(About::Pending(index), read);
            }
        }
        reads
    }

    /// Draws conclusions from the heads, and asks for entries to count where nothing else tells how
    /// many wait.
    fn ask_for_counts(&mut self) -> Vec<Read> {
        let mut reads = Vec::new();
        for (index, (group, sight)) in self.groups.iter().zip(&mut self.sights).enumerate() {
            let Ok(sight) = sight else { continue };
            if sight.head == Found::Nothing {
                sight.has_moved = sight.ready.is_some();
                sight.ready = Some(0);
            }
            let Found::Id(head) = &sight.head else {
                continue;
            };
            if sight.ready.is_some() {
                continue;
            }
            if sight.first == Found::Id(head.clone()) {
                // Nothing that was delivered is left.
                sight.ready = stream_of(&self.streams, group).map(|stream| stream.length);
                continue;
            }
            let most = (COUNTED_BYTES / sight.entry_size.max(1)).clamp(1, COUNTED);
            let last = sight.info.last_id.as_slice().into();
            let count = u32::try_from(most).unwrap_or(1);
            reads.push(Read::XrangeAfter(Bytes::clone(&group.stream), last, count));
            self.asked.push(About::Count(index, most));
        }
        reads
    }

    fn take(&mut self, about: About, reply: Reply) {
        match about {
            About::Groups(index) => {
                if let Some(stream) = self.streams.get_mut(index) {
                    stream.take(reply);
                }
            }
            About::Length(index) => {
                if let Some(stream) = self.streams.get_mut(index) {
                    match reply.count() {
                        Ok(length) => stream.length = length,
                        Err(refusal) => stream.groups = Err(refusal),
                    }
                }
            }
            About::Head(index)
            | About::First(index)
            | About::Size(index)
            | About::Pending(index)
            | About::Count(index, _) => {
                let length = self.length_of(index);
                if let Some(Ok(sight)) = self.sights.get_mut(index) {
                    take_of_group(sight, about, reply, length, self.now);
                }
            }
        }
    }

    /// The length of a group's stream.
    fn length_of(&self, index: usize) -> u64 {
        let group = self.groups.get(index);
        let stream = group.and_then(|group| stream_of(&self.streams, group));
        stream.map_or(0, |stream| stream.length)
    }
}

impl Stream {
    fn take(&mut self, reply: Reply) {
        let groups = match reply {
            Reply::Array(both) if self.needs_added => {
                let mut both = both.into_iter();
                let groups = both.next().unwrap_or(Reply::Nil);
                self.added = both.next().and_then(entries_added);
                groups
            }
            Reply::Loose(both) => both.into_iter().next().unwrap_or(Reply::Nil),
            groups => groups,
        };
        self.groups =
            Info::decode(groups).or_else(|refusal| match refusal.message.contains("no such key") {
                true => Ok(HashMap::new()),
                false => Err(refusal),
            });
    }
}

impl Probe for Groups<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        for (about, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            self.take(about, reply);
        }
        loop {
            self.round += 1;
            let reads = match self.round {
                1 => self.ask_about_streams(),
                2 => {
                    self.find_groups();
                    self.ask_about_groups()
                }
                3 => self.ask_for_counts(),
                _ => break,
            };
            if !reads.is_empty() {
                return Step::Read(reads);
            }
        }
        let sights = std::mem::take(&mut self.sights).into_iter();
        let outcomes = self
            .groups
            .iter()
            .zip(sights)
            .map(|(group, sight)| match sight {
                Ok(sight) => sight.observe(self.system, group, self.now, self.memory),
                Err(refusal) => Outcome::Unreadable(refusal),
            });
        Step::Done(outcomes.collect())
    }
}

fn take_of_group(sight: &mut Sight, about: About, reply: Reply, length: u64, now: Timestamp) {
    match about {
        About::Head(_) => {
            if let Reply::Refused(refusal) = &reply {
                sight.refused = Some(refusal.clone());
            }
            sight.head = Found::first(reply);
        }
        About::First(_) => sight.first = Found::first(reply),
        // Without the right to ask, entries are taken to be large.
        About::Size(_) => {
            sight.entry_size = match reply.count() {
                Ok(bytes) => bytes / length.max(1),
                Err(_) => COUNTED_BYTES,
            }
        }
        About::Pending(_) => sight.pending(reply, now),
        About::Count(_, most) => {
            let counted = reply.array().map_or(1, |entries| entries.len() as u64);
            match counted < most {
                true => sight.ready = Some(counted),
                false => sight.ready_at_least = Some(counted),
            }
        }
        About::Groups(_) | About::Length(_) => {}
    }
}

fn stream_of<'s>(streams: &'s [Stream], group: &GroupRef<'_>) -> Option<&'s Stream> {
    let index = streams.binary_search_by(|stream| stream.key.cmp(&group.stream));
    streams.get(index.ok()?)
}

fn distinct(groups: &[GroupRef<'_>], memory: &Memory) -> Vec<Stream> {
    let mut needs_added: BTreeMap<&Bytes, bool> = BTreeMap::new();
    for group in groups {
        *needs_added.entry(&group.stream).or_default() |= memory.needs_total(&group.queue.raw);
    }
    let stream = |(key, needs_added): (&Bytes, bool)| Stream {
        key: Bytes::clone(key),
        groups: Ok(HashMap::new()),
        length: 0,
        added: None,
        needs_added,
    };
    needs_added.into_iter().map(stream).collect()
}

/// `entries-added` of `XINFO STREAM`, since Redis 7.0.
fn entries_added(reply: Reply) -> Option<u64> {
    let mut fields = reply.array().ok()?.into_iter();
    while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
        if field == Reply::Bytes(b"entries-added".to_vec()) {
            return value.count().ok();
        }
    }
    None
}
