//! What is remembered of lists between two polls.

use super::resolve::Search;
use crate::layout::redis::{Bytes, Refusal, RefusalKind};
use crate::model::flow::Order;
use crate::model::{Head, Observation, Reason};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The lists of all queues of one layout. A queue whose lists have always been empty costs one entry
/// of 40 bytes.
#[derive(Debug, Default)]
pub struct Memory {
    queues: HashMap<Bytes, Box<[ListMarks]>>,
    /// Transactions are not allowed to us.
    pub(super) loose: bool,
    /// Since that poll: the server does not search for us.
    scans_since: Option<u32>,
    /// Positions cannot be told at all: a right is missing.
    refused: Option<Refused>,
    /// What the last poll came to has not been passed on.
    is_untold: bool,
    epoch: u32,
    polls: u32,
}

#[derive(Debug)]
struct Refused {
    by: Refusal,
    at_poll: u32,
}

/// After so many polls what was refused is tried again, and forgotten queues are dropped.
const HOUSEKEEPING: u32 = 256;

/// One list as of the last poll.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListMarks {
    pub(super) is_known: bool,
    /// Elements that have arrived, counted from an arbitrary start.
    pub(super) total: i64,
    pub(super) ready: u64,
    pub(super) epoch: u32,
    /// The size of the element last seen at the head.
    pub(super) head_size: Option<u32>,
    /// Polls for which elements too large to be remembered are not fetched.
    pub(super) pause: u8,
    /// It was seen on what may have been another server: only one of its elements, found
    /// again, shows that it is the same list.
    pub(super) is_unproven: bool,
    /// Polls for which no order is believed in.
    pub(super) disorder: u16,
    /// Polls for which elements that look the same are not taken for the same.
    pub(super) alike: u16,
    /// Fingerprints of the last elements that were seen at the head and at the tail.
    pub(super) last_head: Option<u64>,
    pub(super) last_tail: Option<u64>,
    /// What the last poll showed of the order, and whether nobody has been told of it.
    pub(super) said: Said,
    pub(super) is_untold: bool,
    pub(super) held: Option<Box<Held>>,
}

/// What a poll shows of the order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Said {
    pub(super) order: Order,
    /// So many from the head on may be others than their numbers say, if it was not kept.
    pub(super) others: u64,
    /// So many of the newest may have come later than their numbers say, likewise.
    pub(super) newer: u64,
}

/// What is remembered of a list that has elements.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) tail: Option<Marker>,
    pub(super) near: Option<Marker>,
    pub(super) far: Option<Marker>,
    /// Fingerprints of the elements from the head on, where anybody may use the list.
    pub(super) ahead: Box<[u64]>,
    /// A fingerprint of the element at the head.
    pub(super) head: Option<u64>,
    /// The most that have left between two polls, fading.
    pub(super) pace: f64,
}

/// A remembered element and its number among the arrivals.
#[derive(Debug, Clone)]
pub(super) struct Marker {
    pub(super) element: Bytes,
    pub(super) number: i64,
}

// === impl Memory ===

impl Memory {
    /// Begins the next poll of all queues.
    pub(crate) fn begin(&mut self) {
        if std::mem::replace(&mut self.is_untold, true) {
            for marks in self.queues.values_mut().flatten() {
                marks.is_untold = true;
            }
        }
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(HOUSEKEEPING) {
            // Only we still hold the name: the queue is no longer polled.
            self.queues.retain(|queue, _| Arc::strong_count(queue) > 1);
        }
        let is_due = |since: u32| self.polls.wrapping_sub(since) >= HOUSEKEEPING;
        if self.scans_since.is_some_and(is_due) {
            self.scans_since = None;
        }
        if self
            .refused
            .as_ref()
            .is_some_and(|refused| self.polls.wrapping_sub(refused.at_poll) >= HOUSEKEEPING)
        {
            self.refused = None;
        }
    }

    /// What the poll came to has been passed on.
    pub(crate) fn told(&mut self) {
        self.is_untold = false;
    }

    /// Whether elements have to be fetched to be found.
    pub(super) fn scans(&self) -> bool {
        self.scans_since.is_some()
    }

    pub(super) fn scan(&mut self) {
        self.scans_since = Some(self.polls);
    }

    /// Why positions cannot be told, if so.
    pub(crate) fn refused(&self) -> Option<&Refusal> {
        self.refused.as_ref().map(|refused| &refused.by)
    }

    /// What is not known of a queue because positions cannot be read is so for that reason.
    pub(crate) fn explain(&self, seen: &mut Observation) {
        if self.refused.is_none() || seen.flow.is_some() {
            return;
        }
        seen.counts_unknown = Some(Reason::CountsNotReadable);
        if let Head::Unknown(Reason::NoTimestamp | Reason::Undecodable) = seen.head {
            seen.head = Head::Unknown(Reason::PositionsNotReadable);
        }
    }

    pub(crate) fn refuse(&mut self, by: Refusal) {
        // A key of the wrong type or too large an element is that list's own affair.
        if matches!(by.kind, RefusalKind::NotPermitted | RefusalKind::Other) {
            let at_poll = self.polls;
            self.refused = Some(Refused { by, at_poll });
            // What moves from now on is not followed.
            self.queues.clear();
        }
    }

    pub(crate) fn loosen(&mut self) {
        self.loose = true;
    }

    /// The `line`-th list of a queue.
    pub(crate) fn get(&self, queue: &Bytes, line: usize) -> ListMarks {
        match self.queues.get(queue) {
            None => ListMarks::default(),
            Some(lines) => lines.get(line).cloned().unwrap_or(ListMarks {
                is_known: true,
                ..ListMarks::default()
            }),
        }
    }

    /// Keeps what the next poll needs to know of the lists of a queue.
    pub(crate) fn put(&mut self, queue: &Bytes, lines: Vec<ListMarks>) {
        let is_quiet = lines
            .iter()
            .all(|marks| marks.total == 0 && marks.epoch == 0);
        let lines = if is_quiet {
            Box::default()
        } else {
            lines.into_boxed_slice()
        };
        // The name is held by its present owner, so that housekeeping sees who still polls it.
        let is_same = |held: &Bytes| Arc::ptr_eq(held, queue);
        match self.queues.get_key_value(queue) {
            Some((held, old)) if is_same(held) && old.is_empty() && lines.is_empty() => return,
            Some((held, _)) if !is_same(held) => drop(self.queues.remove(queue)),
            _ => {}
        }
        self.queues.insert(Bytes::clone(queue), lines);
    }

    /// A list counts as the one it was only if one of its elements is found again.
    pub(crate) fn distrust(&mut self) {
        // Nothing can show that a list that was empty is still the same.
        self.queues.retain(|_, lists| !lists.is_empty());
        for marks in self.queues.values_mut().flatten() {
            marks.is_unproven = true;
        }
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (&Bytes, &[ListMarks])> {
        self.queues.iter().map(|(name, lists)| (name, &**lists))
    }

    pub(super) fn last_epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) fn begin_epochs_after(&mut self, epoch: u32) {
        self.epoch = self.epoch.max(epoch);
    }

    /// A number that no list has had.
    pub(super) fn next_epoch(&mut self) -> u32 {
        self.epoch = self.epoch.wrapping_add(1).max(1);
        self.epoch
    }
}

// === impl ListMarks ===

impl ListMarks {
    /// Where to take the markers near the head, counted from it, so that a search that goes so far
    /// finds them again.
    pub(super) fn probes(&self, ready: u64, reach: u64) -> (Option<u64>, Option<u64>) {
        let pace = self.held.as_ref().map_or(0.0, |held| held.pace);
        let last = ready.saturating_sub(1);
        let far = last.min(reach - reach / 32);
        let near = match (1.5 * pace).ceil() as u64 + 8 {
            // All may be gone by the next poll, and not all are in most.
            near if near >= last && last > 8 => last / 2,
            near => far.min(near),
        };
        // The last one is the tail, which is remembered anyway.
        let distinct = |at: u64| (at < last).then_some(at);
        (distinct(near), distinct(far).filter(|far| *far > near))
    }

    /// Fingerprints of the first elements, as far as they are remembered.
    pub(super) fn ahead(&self) -> &[u64] {
        self.held.as_ref().map_or(&[], |held| &held.ahead)
    }

    pub(super) fn departed(&self) -> i64 {
        self.total - signed(self.ready)
    }
}

// === impl Said ===

impl Said {
    /// The same with what is still to be told of the poll before, since which so many have arrived.
    pub(super) fn after(self, before: Self, arrived: u64) -> Self {
        Self {
            order: before.order.and(self.order),
            others: self.others.max(before.others),
            newer: match before.newer {
                0 => self.newer,
                newer => self.newer.max(newer.saturating_add(arrived)),
            },
        }
    }
}

// === impl Held ===

impl Held {
    /// What a search is for.
    pub(super) fn marker(&self, search: Search) -> Option<&Marker> {
        match search {
            Search::Tail | Search::TailFromHead => self.tail.as_ref(),
            Search::Near => self.near.as_ref(),
            Search::Far => self.far.as_ref(),
        }
    }
}

pub(super) fn fingerprint(element: &[u8]) -> u64 {
    // Its keys are fixed, and it only has to tell one head from the next.
    let mut hasher = DefaultHasher::new();
    element.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count.min(1 << 52)).unwrap_or(0)
}
