//! From the replies to what the poll of a list came to, and what the next one needs to know.

use super::super::MAX_MARKER;
use super::super::memory::{Held, ListMarks, Marker, Memory, Said, fingerprint, signed};
use super::super::order::{Ends, has_twins, order};
use super::super::resolve::{Found, Verdict, resolve};
use super::{Elements, PAUSE, Reading, Sight, Watch};
use crate::layout::redis::{Reply, Side};
use crate::model::flow::{Arrivals, End, Order};

/// For so many polls after the elements of a job system were seen to be taken from the wrong end or to
/// go round, no order is believed in: what little of it shows is little evidence.
const DISORDER: u16 = 300;

/// The same for lists in which elements were seen to be alike.
const ALIKE: u16 = u16::MAX;

impl Watch {
    /// A list that had no elements when its length was read. Nothing where positions may not be read:
    /// then those that it had meanwhile have not been counted.
    pub(crate) fn conclude_empty(self, memory: &mut Memory) -> Option<Sight> {
        let is_counted = memory.refused().is_none();
        is_counted.then(|| self.conclude(Reading::default(), memory))
    }

    /// A list of which only the length is known.
    pub(crate) fn conclude_unread(self, ready: u64, memory: &mut Memory) -> Sight {
        let reading = Reading {
            ready,
            ..Reading::default()
        };
        self.conclude(reading, memory)
    }

    pub(super) fn conclude(&self, reading: Reading, memory: &mut Memory) -> Sight {
        let before = &self.marks;
        let ends = (
            reading.head().map(fingerprint),
            reading.tail.as_deref().map(fingerprint),
        );
        let verdict = resolve(before, reading.ready, ends, &self.found, self.elements);
        let was_found = |(_, found): &(_, Found)| matches!(found, Found::At(_));
        let is_same = !before.is_unproven || self.found.iter().any(was_found);
        // An empty list that nobody can know again may have lost its jobs instead of having them taken.
        let is_known = before.is_known && (is_same || (reading.ready, before.ready) == (0, 0));
        let turned_over = verdict.turned_over && is_known;
        let total = before.total + verdict.arrived;
        let is_first = !is_known && reading.ready.max(before.ready) > 0;
        let epoch = if verdict.lost || is_first {
            memory.next_epoch()
        } else {
            before.epoch
        };
        let size = match &reading.head {
            // Dropped as it came in.
            Some(Reply::Refused(_)) => Some(u32::MAX),
            _ => reading.head().map(|head| size(head).max(reading.largest)),
        };
        let disorder = match verdict.is_disorderly {
            true => DISORDER,
            false => before.disorder.saturating_sub(1),
        };
        let (order, others) = self.order(&reading, &verdict, disorder > 0);
        let newer = verdict.newer;
        let mut said = Said {
            order,
            others,
            newer,
        };
        if before.is_untold {
            said = said.after(before.said, u64::try_from(verdict.arrived).unwrap_or(0));
        }
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
            alike: self.alike(&reading),
            last_head: reading.head().map(fingerprint).or(before.last_head),
            last_tail: reading
                .tail
                .as_deref()
                .map(fingerprint)
                .or(before.last_tail),
            said,
            is_untold: false,
            held: None,
        };
        if reading.ready > 0 {
            marks.held = Some(Box::new(self.held(&reading, &marks)));
        }
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
                gone: if turned_over || is_first {
                    before.ready
                } else {
                    0
                },
                order: said.order,
                others: said.others,
                newer: said.newer,
                ..Arrivals::default()
            },
            marks,
        }
    }

    /// What the poll shows of the order, and how many from the head on may be others if it is not kept.
    fn order(&self, reading: &Reading, verdict: &Verdict, is_disorderly: bool) -> (Order, u64) {
        if self.elements == Elements::Any {
            let end = match self.head {
                Side::Left => End::Left,
                Side::Right => End::Right,
            };
            let ends = Ends {
                ahead: &reading.ahead,
                behind: &reading.behind,
            };
            return order(&self.marks, reading.ready, (end, ends), verdict);
        }
        let order = match verdict.out_of_order || is_disorderly {
            true => Order::Broken,
            false => Order::Kept,
        };
        let others = match verdict.has_others {
            true => verdict.others(&self.marks, reading.ready),
            false => 0,
        };
        (order, others)
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
            Elements::Returning => reading.has_twins(),
            Elements::Any => is_back || reading.has_twins() || self.found.iter().any(is_ambiguous),
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
        Held {
            tail: tail.and_then(|tail| marker(marks.total, tail)),
            near: probes.next().flatten(),
            far: probes.next().flatten(),
            head: reading.head().map(fingerprint),
            ahead: reading.ahead.as_slice().into(),
            pace: pace.max(left.max(0) as f64),
        }
    }
}

// === impl Reading ===

impl Reading {
    fn head(&self) -> Option<&[u8]> {
        match &self.head {
            Some(Reply::Bytes(head)) => Some(head),
            _ => None,
        }
    }

    /// Takes the elements from the head on, or the one at the head.
    pub(super) fn take_head(&mut self, reply: Reply, head: Side) {
        let Reply::Array(elements) = reply else {
            self.head = Some(reply);
            return;
        };
        let elements = from_end(elements, head);
        self.ahead = self.prints(&elements);
        self.head = elements.into_iter().next();
    }

    /// Takes the elements from the tail on.
    pub(super) fn take_behind(&mut self, reply: Reply, head: Side) {
        if let Reply::Array(elements) = reply {
            let tail = match head {
                Side::Left => Side::Right,
                Side::Right => Side::Left,
            };
            self.behind = self.prints(&from_end(elements, tail));
        }
    }

    /// Their fingerprints, up to the first that was not sent.
    fn prints(&mut self, elements: &[Reply]) -> Vec<u64> {
        let sent = elements.iter().map_while(|element| match element {
            Reply::Bytes(element) => Some(element),
            _ => None,
        });
        let largest = elements.iter().map(|element| match element {
            Reply::Bytes(element) => size(element),
            _ => u32::MAX,
        });
        self.largest = largest.max().unwrap_or(0).max(self.largest);
        sent.map(|element| fingerprint(element)).collect()
    }

    /// Whether two of the elements that were read are alike: then finding one of them says nothing.
    fn has_twins(&self) -> bool {
        let ends = [self.head().filter(|_| self.ready > 1), self.tail.as_deref()];
        let probes = self.probes.iter().map(|(_, element)| element.as_slice());
        let all = ends.into_iter().flatten().chain(probes);
        has_twins(&all.map(fingerprint).collect::<Vec<_>>())
    }
}

/// Elements in the order in which they come from that end.
fn from_end(mut elements: Vec<Reply>, end: Side) -> Vec<Reply> {
    if end == Side::Right {
        elements.reverse();
    }
    elements
}

fn size(element: &[u8]) -> u32 {
    u32::try_from(element.len()).unwrap_or(u32::MAX)
}
