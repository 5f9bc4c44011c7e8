//! The conversation about one list: which reads make up the next transaction, and what came back.

use super::memory::{Held, ListMarks, Marker, Memory, fingerprint, signed};
use super::resolve::{Found, Search, resolve};
use super::{CHUNK_BYTES, CHUNKS, MAX_MARKER, REACH};
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply, Side};
use crate::model::flow::Arrivals;
use std::num::NonZeroU32;

/// For so many polls the elements of a list are not fetched again after one was too large.
const PAUSE: u8 = 60;

/// One list during one poll.
#[derive(Debug)]
pub(crate) struct Watch {
    key: Bytes,
    /// The end at which elements are taken.
    head: Side,
    /// Whether no two elements can be alike.
    unique: bool,
    marks: ListMarks,
    asked: Vec<Asked>,
    round: usize,
    /// As it was before the first transaction.
    ready: u64,
    /// Elements are fetched and compared here, since the server does not search for them.
    scans: bool,
    guarded: bool,
    found: Vec<(Search, Found)>,
}

/// What one read of the transaction was for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    Length,
    Tail,
    Head,
    /// The element so far from the head.
    Probe(u64),
    Position(Search),
}

/// What a poll of the list came to.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) ready: u64,
    /// The reply with the element at the head; none if it was not asked for.
    pub(crate) head: Option<Reply>,
    /// Elements near the head with their distance from it.
    pub(crate) probes: Vec<(u64, Vec<u8>)>,
    pub(crate) arrivals: Arrivals,
    pub(crate) marks: ListMarks,
}

#[derive(Debug)]
pub(crate) enum Next {
    /// Not enough was found: read this too.
    Ask(Read),
    Seen(Box<Sight>),
    /// The list changed while it was read without a transaction.
    Torn,
    Refused(Refusal),
}

/// The parts of one consistent reading.
#[derive(Debug, Default)]
struct Reading {
    ready: u64,
    tail: Option<Vec<u8>>,
    head: Option<Reply>,
    probes: Vec<(u64, Vec<u8>)>,
}

// === impl Watch ===

impl Watch {
    pub(crate) fn new(key: Bytes, head: Side, unique: bool, marks: ListMarks) -> Self {
        Self {
            key,
            head,
            unique,
            marks,
            asked: Vec::new(),
            round: 0,
            ready: 0,
            scans: false,
            guarded: false,
            found: Vec::new(),
        }
    }

    /// The size of the head when it was last seen.
    pub(crate) fn last_head_size(&self) -> Option<u32> {
        self.marks.head_size
    }

    /// The first transaction, of a list that had `ready` elements a moment ago. Without `markers`
    /// only the length and the head are read.
    pub(crate) fn ask(&mut self, ready: u64, markers: bool, memory: &Memory) -> Read {
        (self.ready, self.scans) = (ready, memory.scans());
        self.asked = vec![Asked::Length];
        let pauses = !self.unique && self.marks.pause > 0;
        if !pauses {
            self.asked.push(Asked::Head);
        }
        if markers && !pauses {
            self.add_markers(ready);
            if let Some(held) = &self.marks.held {
                let searches = [
                    held.tail.is_some().then_some(Search::Tail),
                    held.near.is_some().then_some(Search::Near),
                ];
                self.asked
                    .extend(searches.into_iter().flatten().map(Asked::Position));
            }
        }
        self.read(memory)
    }

    fn add_markers(&mut self, ready: u64) {
        self.asked.push(Asked::Tail);
        let (near, far) = self.marks.probes(ready, self.reach());
        self.asked
            .extend([near, far].into_iter().flatten().map(Asked::Probe));
    }

    fn read(&mut self, memory: &Memory) -> Read {
        self.guarded = memory.loose;
        if self.guarded {
            // What stands at both ends of an unprotected reading stood there all the while.
            self.asked.insert(1, Asked::Tail);
            self.asked.extend([Asked::Length, Asked::Tail]);
        }
        let reads = self.asked.iter().filter_map(|asked| self.one(*asked));
        Read::Atomic(Bytes::clone(&self.key), reads.collect())
    }

    fn one(&self, asked: Asked) -> Option<Read> {
        let key = Bytes::clone(&self.key);
        Some(match asked {
            Asked::Length => Read::Llen(key),
            Asked::Tail => Read::Lindex(key, self.index(0, false)),
            Asked::Head => Read::Lindex(key, self.index(0, true)),
            Asked::Probe(at) => Read::Lindex(key, self.index(signed(at), true)),
            Asked::Position(search) => {
                let (marker, limit) = self.marker(search)?;
                let from = self.side(search);
                if self.scans {
                    let count = i64::from(limit.get());
                    return Some(match from {
                        Side::Left => Read::Lrange(key, 0, count - 1),
                        Side::Right => Read::Lrange(key, -count, -1),
                    });
                }
                Read::Lpos {
                    key,
                    element: Bytes::clone(&marker.element),
                    from,
                    matches: NonZeroU32::new(if self.unique { 1 } else { 2 })?,
                    limit,
                }
            }
        })
    }

    /// The end at which a search begins.
    fn side(&self, search: Search) -> Side {
        match (self.head, search.begins_at_head()) {
            (side, true) => side,
            (Side::Left, false) => Side::Right,
            (Side::Right, false) => Side::Left,
        }
    }

    /// How many elements are fetched from one end in this round, if they are compared here.
    fn chunk(&self) -> u64 {
        let size = self.marks.head_size.unwrap_or(1024).clamp(1, MAX_MARKER);
        let chunk = CHUNKS.get(self.round).or(CHUNKS.last());
        chunk.map_or(1, |chunk| (*chunk).min(CHUNK_BYTES / u64::from(size)))
    }

    /// How far from either end an element is found, at most.
    fn reach(&self) -> u64 {
        match (self.scans, CHUNKS) {
            (true, [.., last]) => last,
            (false, _) => REACH,
        }
    }

    /// The index of the place that is `at` away from the head or the tail.
    fn index(&self, at: i64, from_head: bool) -> i64 {
        match (self.head, from_head) {
            (Side::Right, true) | (Side::Left, false) => -1 - at,
            (Side::Right, false) | (Side::Left, true) => at,
        }
    }

    /// The element that a search is for, and how far it goes.
    fn marker(&self, search: Search) -> Option<(&Marker, NonZeroU32)> {
        let held = self.marks.held.as_ref()?;
        let marker = match search {
            Search::Tail | Search::TailFromHead => held.tail.as_ref(),
            Search::Near => held.near.as_ref(),
            Search::Far => held.far.as_ref(),
        }?;
        let reach = if search.begins_at_head() {
            // It can only have moved towards the head, but for what was put back there.
            let distance = marker.number - self.marks.departed() + 64;
            u64::try_from(distance).unwrap_or(1).min(REACH + 64)
        } else {
            REACH
        };
        let reach = match self.scans {
            true => reach.min(self.chunk()),
            false => reach,
        };
        let limit = u32::try_from(reach).ok().and_then(NonZeroU32::new);
        Some((marker, limit.unwrap_or(NonZeroU32::MIN)))
    }

    /// Makes sense of the replies to the last transaction.
    pub(crate) fn take(&mut self, reply: Reply, memory: &mut Memory) -> Next {
        let replies = match reply {
            Reply::Array(replies) => replies,
            Reply::Loose(replies) => {
                memory.loosen();
                if !self.guarded {
                    return Next::Torn;
                }
                replies
            }
            Reply::Refused(refusal) => return self.refused(refusal, memory),
            _ => return Next::Torn,
        };
        if self.guarded && !stands_still(&replies) {
            return Next::Torn;
        }
        let mut reading = Reading::default();
        for (asked, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            match (asked, reply) {
                (Asked::Length, reply) => match reply.count() {
                    Ok(ready) => reading.ready = ready,
                    Err(refusal) => return Next::Refused(refusal),
                },
                (Asked::Head, reply) => reading.head = Some(reply),
                (Asked::Tail, Reply::Bytes(element)) => reading.tail = Some(element),
                (Asked::Probe(at), Reply::Bytes(element)) => reading.probes.push((at, element)),
                (Asked::Position(search), reply) => {
                    match self.positions(search, reply, reading.ready) {
                        Ok(places) => self.note(search, &places, reading.ready),
                        Err(refusal) => return self.refused(refusal, memory),
                    }
                }
                _ => {}
            }
        }
        if reading.ready > 0 && self.needs_more(reading.ready) {
            self.round += 1;
            self.found.clear();
            self.asked = vec![Asked::Length, Asked::Head];
            self.add_markers(reading.ready);
            let near = if self.scans {
                Search::Near
            } else {
                Search::Far
            };
            for search in [Search::Tail, near, Search::TailFromHead] {
                let is_useful = search != Search::TailFromHead || !self.scans;
                if is_useful && self.marker(search).is_some() {
                    self.asked.push(Asked::Position(search));
                }
            }
            return Next::Ask(self.read(memory));
        }
        Next::Seen(Box::new(self.conclude(reading, memory)))
    }

    /// Something of a transaction is not allowed to us, or not known to the server: if that may be
    /// the search, what it would search in is fetched instead.
    fn refused(&mut self, refusal: Refusal, memory: &mut Memory) -> Next {
        let is_command = matches!(refusal.kind, RefusalKind::NotPermitted | RefusalKind::Other);
        if self.scans || !is_command || self.marks.held.is_none() {
            return Next::Refused(refusal);
        }
        memory.scan();
        self.found.clear();
        self.round = 0;
        Next::Ask(self.ask(self.ready, true, memory))
    }

    /// The indexes from the left at which the element of a search is.
    fn positions(&self, search: Search, reply: Reply, ready: u64) -> Result<Vec<u64>, Refusal> {
        let replies = reply.array()?;
        if !self.scans {
            return replies.into_iter().map(Reply::count).collect();
        }
        let Some((marker, limit)) = self.marker(search) else {
            return Ok(Vec::new());
        };
        let first = match self.side(search) {
            Side::Left => 0,
            Side::Right => ready.saturating_sub(limit.get().into()),
        };
        let is_it =
            |reply: &Reply| matches!(reply, Reply::Bytes(bytes) if **bytes == *marker.element);
        let places = replies.iter().zip(first..);
        let places = places.filter(|(reply, _)| is_it(reply));
        Ok(places.map(|(_, place)| place).take(2).collect())
    }

    fn note(&mut self, search: Search, places: &[u64], ready: u64) {
        let found = match places {
            [] => {
                let reach = self
                    .marker(search)
                    .map_or(0, |(_, limit)| limit.get().into());
                Found::Nowhere(reach)
            }
            [index] => match self.head {
                Side::Right => Found::At(signed(*index)),
                // Counted from the tail, which is at the other end.
                Side::Left => Found::At(signed(ready) - 1 - signed(*index)),
            },
            _ => Found::Ambiguous,
        };
        self.found.push((search, found));
    }

    /// Whether the first searches missed while other ones could still hit.
    fn needs_more(&self, ready: u64) -> bool {
        let is_missed = |(_, found): &(_, Found)| matches!(found, Found::Nowhere(_));
        let (rounds, reach) = match self.scans {
            true => (CHUNKS.len(), self.chunk()),
            false => (2, REACH),
        };
        let has_more = self.round + 1 < rounds && ready > reach;
        has_more && !self.found.is_empty() && self.found.iter().all(is_missed)
    }

    /// A list that had no elements when its length was read.
    pub(crate) fn conclude_empty(self, memory: &mut Memory) -> Sight {
        self.conclude(Reading::default(), memory)
    }

    /// A list of which only the length is known.
    pub(crate) fn conclude_unread(self, ready: u64, memory: &mut Memory) -> Sight {
        let reading = Reading {
            ready,
            ..Reading::default()
        };
        self.conclude(reading, memory)
    }

    fn conclude(&self, reading: Reading, memory: &mut Memory) -> Sight {
        let (head, size) = match &reading.head {
            Some(Reply::Bytes(bytes)) => (
                Some(fingerprint(bytes)),
                Some(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
            ),
            // Dropped as it came in.
            Some(Reply::Refused(_)) => (None, Some(u32::MAX)),
            _ => (None, None),
        };
        let tail_print = reading.tail.as_deref().map(fingerprint);
        let before = &self.marks;
        let ends = (head, tail_print);
        let mut verdict = resolve(before, reading.ready, ends, &self.found, self.unique);
        let was_found = |(_, found): &(_, Found)| matches!(found, Found::At(_));
        let is_same = !before.is_unproven || self.found.iter().any(was_found);
        let is_known = before.is_known && (is_same || reading.ready == 0);
        if !is_known {
            verdict.turned_over = false;
        }
        let total = before.total + verdict.arrived;
        let left = total - signed(reading.ready) - before.departed();
        let is_first = !is_known && reading.ready > 0;
        let epoch = if verdict.lost || is_first {
            memory.next_epoch()
        } else {
            before.epoch
        };
        let mut marks = ListMarks {
            is_known: true,
            total,
            ready: reading.ready,
            epoch,
            head_size: size.or(before.head_size),
            pause: match size {
                Some(size) if size > MAX_MARKER => PAUSE,
                Some(_) => 0,
                None => before.pause.saturating_sub(1),
            },
            is_unproven: false,
            held: None,
        };
        if reading.ready > 0 {
            let keep = self.unique || !has_twins(&reading);
            let held = before.held.as_deref();
            let pace = held.map_or(0.0, |held| held.pace) * 0.9;
            let departed = marks.departed();
            let marker = |number: i64, element: &[u8]| {
                (keep && element.len() <= MAX_MARKER as usize).then(|| Marker {
                    element: element.into(),
                    number,
                })
            };
            let mut probes = reading
                .probes
                .iter()
                .map(|(at, element)| marker(departed + 1 + signed(*at), element));
            marks.held = Some(Box::new(Held {
                tail: reading.tail.as_deref().and_then(|tail| marker(total, tail)),
                near: probes.next().flatten(),
                far: probes.next().flatten(),
                head,
                pace: pace.max(left.max(0) as f64),
            }));
        }
        Sight {
            ready: reading.ready,
            head: reading.head,
            probes: reading.probes,
            arrivals: Arrivals {
                total: u64::try_from(total).unwrap_or(0),
                epoch,
                is_first,
                turned_over: verdict.turned_over,
                is_pushed: true,
                gone: if verdict.turned_over { before.ready } else { 0 },
                out_of_order: verdict.out_of_order,
                ..Arrivals::default()
            },
            marks,
        }
    }
}

/// Whether two of the elements that were read are alike: then finding one of them says nothing.
fn has_twins(reading: &Reading) -> bool {
    let head = match &reading.head {
        Some(Reply::Bytes(head)) if reading.ready > 1 => Some(head),
        _ => None,
    };
    let mut prints: Vec<u64> = [head, reading.tail.as_ref()]
        .into_iter()
        .flatten()
        .chain(reading.probes.iter().map(|(_, element)| element))
        .map(|element| fingerprint(element))
        .collect();
    prints.sort_unstable();
    let all = prints.len();
    prints.dedup();
    prints.len() < all
}

/// Whether the length and the tail were the same before and after.
fn stands_still(replies: &[Reply]) -> bool {
    match replies {
        [length, tail, .., length_after, tail_after] => {
            length == length_after && tail == tail_after
        }
        _ => false,
    }
}
