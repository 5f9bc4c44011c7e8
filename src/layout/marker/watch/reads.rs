//! Which reads make up a transaction.

use super::super::memory::{Marker, Memory, signed};
use super::super::resolve::Search;
use super::super::{CHUNK_BYTES, CHUNKS, MAX_MARKER, REACH, WINDOW, WINDOW_BYTES};
use super::{Asked, Elements, Watch};
use crate::layout::redis::{Bytes, Read, Side};
use std::num::NonZeroU32;

/// So many elements may always have come.
const LIKELY: u64 = 128;

impl Watch {
    /// The first transaction, of a list that had `ready` elements a moment ago. Without `markers`
    /// only the length and the head are read.
    pub(crate) fn ask(&mut self, ready: u64, markers: bool, memory: &Memory) -> Read {
        (self.ready, self.scans) = (ready, memory.scans());
        self.asked = vec![Asked::Length];
        let pauses = self.elements != Elements::Unique && self.marks.pause > 0;
        if !pauses {
            self.asked.push(Asked::Head(self.window));
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

    pub(super) fn add_markers(&mut self, ready: u64) {
        self.asked.push(Asked::Tail);
        if self.window > 1 && ready > self.window {
            self.asked.push(Asked::Behind(self.window));
        }
        let (near, far) = self.marks.probes(ready, self.reach());
        self.asked
            .extend([near, far].into_iter().flatten().map(Asked::Probe));
    }

    pub(super) fn read(&mut self, memory: &Memory) -> Read {
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
            Asked::Head(1) => Read::Lindex(key, self.index(0, true)),
            Asked::Head(count) => first(key, self.head, count),
            Asked::Behind(count) => first(key, self.tail(), count),
            Asked::Probe(at) => Read::Lindex(key, self.index(signed(at), true)),
            Asked::Position(search) => {
                let (marker, limit) = self.marker(search)?;
                let from = self.side(search);
                if self.scans {
                    return Some(first(key, from, limit.get().into()));
                }
                Read::Lpos {
                    key,
                    element: Bytes::clone(&marker.element),
                    from,
                    matches: NonZeroU32::new(match self.elements {
                        Elements::Unique => 1,
                        _ => 2,
                    })?,
                    limit,
                }
            }
        })
    }

    /// The end at which a search begins.
    pub(super) fn side(&self, search: Search) -> Side {
        match search.begins_at_head() {
            true => self.head,
            false => self.tail(),
        }
    }

    fn tail(&self) -> Side {
        match self.head {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }

    /// Compares elements at both ends, if anybody may use the list and they take no more bytes than
    /// this.
    pub(crate) fn widen(&mut self, size: u64, max_bytes: u64) -> u64 {
        let bytes = WINDOW_BYTES.min(max_bytes / 2);
        let fits = (bytes / size.max(1)).min(WINDOW);
        if self.elements != Elements::Any || fits < 2 {
            return 0;
        }
        self.window = fits;
        2 * fits * size
    }

    /// How many elements are fetched from one end in this round, if they are compared here.
    pub(super) fn chunk(&self) -> u64 {
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

    /// How far from the tail is searched. Where elements may be alike the server looks at all of these,
    /// since one found is not enough: so first at no more than are likely to have come.
    pub(super) fn tail_reach(&self) -> u64 {
        let pace = self.marks.held.as_ref().map_or(0.0, |held| held.pace);
        match (self.elements, self.round) {
            (Elements::Unique, _) | (_, 1..) => REACH,
            _ => (LIKELY + (4.0 * pace) as u64).min(REACH),
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
    pub(super) fn marker(&self, search: Search) -> Option<(&Marker, NonZeroU32)> {
        let marker = self.marks.held.as_ref()?.marker(search)?;
        let reach = if search.begins_at_head() {
            // It can only have moved towards the head, but for what was put back there.
            let distance = marker.number - self.marks.departed() + 64;
            u64::try_from(distance).unwrap_or(1).min(REACH + 64)
        } else {
            self.tail_reach()
        };
        let reach = match self.scans {
            true => reach.min(self.chunk()),
            false => reach,
        };
        let limit = u32::try_from(reach).ok().and_then(NonZeroU32::new);
        Some((marker, limit.unwrap_or(NonZeroU32::MIN)))
    }
}

/// So many elements from an end on.
fn first(key: Bytes, end: Side, count: u64) -> Read {
    match end {
        Side::Left => Read::Lrange(key, 0, signed(count) - 1),
        Side::Right => Read::Lrange(key, -signed(count), -1),
    }
}
