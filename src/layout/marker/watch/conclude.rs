//! From the replies to what the poll of a list came to, and what the next one needs to know.

use super::super::MAX_MARKER;
use super::super::memory::{Held, ListMarks, Marker, Memory, fingerprint, signed};
use super::super::resolve::{Found, Verdict, resolve};
use super::{Elements, PAUSE, Reading, Sight, Watch};
use crate::layout::redis::Reply;
use crate::model::flow::Arrivals;

/// For so many polls after elements were seen to be taken from the wrong end or to go round, no order
/// is believed in: what little of it shows is little evidence.
const DISORDER: u16 = 300;

/// The same for lists in which elements were seen to be alike.
const ALIKE: u16 = u16::MAX;

impl Watch {
    /// A list that had no elements when its length was read.
    pub(crate) fn conclude_empty(self, memory: &mut Memory) -> Sight {
        self.conclude_from(Reading::default(), memory)
    }

    /// A list of which only the length is known.
    pub(crate) fn conclude_unread(self, ready: u64, memory: &mut Memory) -> Sight {
        let reading = Reading {
            ready,
            ..Reading::default()
        };
        self.conclude_from(reading, memory)
    }

    fn conclude_from(&self, reading: Reading, memory: &mut Memory) -> Sight {
        let verdict = self.resolve(&reading);
        self.conclude(reading, &verdict, memory)
    }

    pub(super) fn resolve(&self, reading: &Reading) -> Verdict {
        let ends = (
            reading.head().map(fingerprint),
            reading.tail.as_deref().map(fingerprint),
        );
        resolve(&self.marks, reading.ready, ends, &self.found, self.elements)
    }

    /// Elements that are taken at the head and put at the tail look like arrivals and departures. So
    /// where anybody may do that, the old head is sought among what has come.
    pub(super) fn may_have_gone_round(&mut self, verdict: &Verdict, ready: u64) -> bool {
        let left = verdict.arrived + signed(self.marks.ready) - signed(ready);
        let is_open = !verdict.lost && !verdict.is_disorderly && ready > 0;
        let is_due = self.marks.disorder < DISORDER / 2;
        let front = self.marks.held.as_ref().and_then(|h| h.front.as_ref());
        self.came = u64::try_from(verdict.arrived).unwrap_or(0);
        is_open && is_due && left > 0 && self.came > 0 && front.is_some()
    }

    pub(super) fn conclude(
        &self,
        reading: Reading,
        verdict: &Verdict,
        memory: &mut Memory,
    ) -> Sight {
        let before = &self.marks;
        let was_found = |(_, found): &(_, Found)| matches!(found, Found::At(_));
        let is_same = !before.is_unproven || self.found.iter().any(was_found);
        let is_known = before.is_known && (is_same || reading.ready == 0);
        let turned_over = verdict.turned_over && is_known;
        let total = before.total + verdict.arrived;
        let is_first = !is_known && reading.ready > 0;
        let epoch = if verdict.lost || is_first {
            memory.next_epoch()
        } else {
            before.epoch
        };
        let size = match &reading.head {
            // Dropped as it came in.
            Some(Reply::Refused(_)) => Some(u32::MAX),
            _ => reading
                .head()
                .map(|head| u32::try_from(head.len()).unwrap_or(u32::MAX)),
        };
        let lasting = |seen, before: u16| match seen {
            true => DISORDER,
            false => before.saturating_sub(1),
        };
        let disorder = lasting(verdict.is_disorderly, before.disorder);
        let put_there = lasting(verdict.is_put_there, before.put_there);
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
            disorder,
            put_there,
            alike: self.alike(&reading),
            last_head: reading.head().map(fingerprint).or(before.last_head),
            last_tail: reading
                .tail
                .as_deref()
                .map(fingerprint)
                .or(before.last_tail),
            sound_from: before.sound_from.max(verdict.sound_from.unwrap_or(0)),
            held: None,
        };
        if reading.ready > 0 {
            marks.held = Some(Box::new(self.held(&reading, &marks)));
        }
        let doubtful = marks.sound_from - (marks.departed() + 1);
        let doubtful = u64::try_from(doubtful).unwrap_or(0).min(reading.ready);
        Sight {
            ready: reading.ready,
            head: reading.head,
            probes: reading.probes,
            arrivals: Arrivals {
                total: u64::try_from(total).unwrap_or(0),
                epoch,
                is_first,
                turned_over,
                is_pushed: true,
                gone: if turned_over { before.ready } else { 0 },
                out_of_order: verdict.out_of_order || disorder.max(put_there) > 0,
                newer: verdict.newer,
                ..Arrivals::default()
            },
            doubtful,
            marks,
        }
    }

    /// For how many polls elements that look the same are not taken for the same.
    fn alike(&self, reading: &Reading) -> u16 {
        let before = &self.marks;
        let is_ambiguous = |(_, found): &(_, Found)| *found == Found::Ambiguous;
        let head = reading.head().map(fingerprint);
        // All had left, and there it is again.
        let is_back = before.ready == 0 && head.is_some() && head == before.last_head;
        let seen = match self.elements {
            Elements::Unique => false,
            Elements::Returning => has_twins(reading),
            Elements::Any => is_back || has_twins(reading) || self.found.iter().any(is_ambiguous),
        };
        match (seen, self.elements) {
            (true, Elements::Any) => ALIKE,
            (true, _) => 1,
            (false, _) => before.alike.saturating_sub(1),
        }
    }

    fn held(&self, reading: &Reading, marks: &ListMarks) -> Held {
        let before = &self.marks;
        let left = marks.departed() - before.departed();
        let pace = before.held.as_ref().map_or(0.0, |held| held.pace) * 0.9;
        let first = marks.departed() + 1;
        let marker = |number: i64, element: &[u8]| {
            (marks.alike == 0 && element.len() <= MAX_MARKER as usize).then(|| Marker {
                element: element.into(),
                number,
            })
        };
        let mut probes = reading
            .probes
            .iter()
            .map(|(at, element)| marker(first + signed(*at), element));
        let tail = reading.tail.as_deref();
        let front = reading
            .head()
            .filter(|_| tail.is_some() && self.elements == Elements::Any);
        Held {
            tail: tail.and_then(|tail| marker(marks.total, tail)),
            near: probes.next().flatten(),
            far: probes.next().flatten(),
            front: front.and_then(|head| marker(first, head)),
            head: reading.head().map(fingerprint),
            pace: pace.max(left.max(0) as f64),
        }
    }
}

impl Reading {
    fn head(&self) -> Option<&[u8]> {
        match &self.head {
            Some(Reply::Bytes(head)) => Some(head),
            _ => None,
        }
    }
}

/// Whether two of the elements that were read are alike: then finding one of them says nothing.
fn has_twins(reading: &Reading) -> bool {
    let ends = [
        reading.head().filter(|_| reading.ready > 1),
        reading.tail.as_deref(),
    ];
    let probes = reading.probes.iter().map(|(_, element)| element.as_slice());
    let all = ends.into_iter().flatten().chain(probes);
    let mut prints: Vec<u64> = all.map(fingerprint).collect();
    prints.sort_unstable();
    let all = prints.len();
    prints.dedup();
    prints.len() < all
}
