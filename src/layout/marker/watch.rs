//! The conversation about one list: what is asked next, and what came back.

mod conclude;
mod reads;

use super::CHUNKS;
use super::memory::{ListMarks, Memory, signed};
use super::resolve::{Found, Search};
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply, Side};
use crate::model::flow::Arrivals;

/// For so many polls the elements of a list are not fetched again after one was too large.
const PAUSE: u8 = 60;

/// One list during one poll.
#[derive(Debug)]
pub(crate) struct Watch {
    key: Bytes,
    /// The end at which elements are taken.
    head: Side,
    elements: Elements,
    marks: ListMarks,
    asked: Vec<Asked>,
    round: usize,
    /// As it was before the first transaction.
    ready: u64,
    /// Elements are fetched and compared here, since the server does not search for them.
    scans: bool,
    guarded: bool,
    found: Vec<(Search, Found)>,
    /// How many elements are compared at either end.
    window: u64,
}

/// Which elements of a list can be alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elements {
    /// No two ever.
    Unique,
    /// No two at a time, but one that has left may come back.
    Returning,
    /// Any: nobody knows what is pushed.
    Any,
}

/// What one read of the transaction was for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    Length,
    Tail,
    /// So many elements from the head on.
    Head(u64),
    /// So many from the tail on.
    Behind(u64),
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
    /// Fingerprints of the elements from the head on, and from the tail on.
    ahead: Vec<u64>,
    behind: Vec<u64>,
    /// The size of the largest of them.
    largest: u32,
}

// === impl Watch ===

impl Watch {
    pub(crate) fn new(key: Bytes, head: Side, elements: Elements, marks: ListMarks) -> Self {
        Self {
            key,
            head,
            elements,
            marks,
            asked: Vec::new(),
            round: 0,
            ready: 0,
            scans: false,
            guarded: false,
            found: Vec::new(),
            window: 1,
        }
    }

    /// The size of the head when it was last seen.
    pub(crate) fn last_head_size(&self) -> Option<u32> {
        self.marks.head_size
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
                (Asked::Head(_), reply) => reading.take_head(reply, self.head),
                (Asked::Behind(_), reply) => reading.take_behind(reply, self.head),
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
            self.asked = vec![Asked::Length, Asked::Head(self.window)];
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
            false => (2, self.tail_reach()),
        };
        let has_more = self.round + 1 < rounds && ready > reach;
        has_more && !self.found.is_empty() && self.found.iter().all(is_missed)
    }
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
