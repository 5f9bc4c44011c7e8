//! Whether a list that anybody may use was used in order, by the elements at both its ends.

use super::memory::{ListMarks, signed};
use super::resolve::Verdict;
use crate::model::flow::{End, Misuse, Order};

/// Fingerprints of the elements at the ends of a list, as it is now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends<'a> {
    /// From the head on.
    pub(super) ahead: &'a [u64],
    /// From the tail on.
    pub(super) behind: &'a [u64],
}

/// What the elements say of the order since the last poll, and how many of them, from the head on, may
/// be others than their numbers say if it was not kept.
pub(super) fn order(
    before: &ListMarks,
    ready: u64,
    (end, ends): (End, Ends<'_>),
    verdict: &Verdict,
) -> (Order, u64) {
    if ready == 0 {
        return (Order::Kept, 0);
    }
    let left = verdict.arrived + signed(before.ready) - signed(ready);
    let seen = match verdict.out_of_order {
        true => Order::Broken,
        false => shown(before, (ready, left), (end, ends), verdict),
    };
    let place = ends.ahead.first().and_then(|head| place(before, *head));
    let is_head_known = !verdict.lost && place.is_some_and(|place| signed(place as u64) <= left);
    match is_head_known {
        true => (seen, 0),
        false => (seen, verdict.others(before, ready)),
    }
}

fn shown(
    before: &ListMarks,
    (ready, left): (u64, i64),
    (head, ends): (End, Ends<'_>),
    verdict: &Verdict,
) -> Order {
    let unless = |takes| Order::Unless(Misuse { head, takes });
    if before.ready == 0 {
        // All that is there has come; nothing says that it is for the first time.
        return unless(false);
    }
    let known = before.ahead();
    let (Some(first), false) = (ends.ahead.first(), verdict.lost) else {
        return unless(true);
    };
    if left < 0 {
        // More are there than have come.
        return Order::Broken;
    }
    if has_twins(known) || has_twins(ends.ahead) {
        return unless(true);
    }
    let is_known = |element: &u64| known.contains(element);
    let is_whole = known.len() as u64 == before.ready;
    let Some(at) = place(before, *first) else {
        let mut seen = ends.ahead.iter().chain(ends.behind);
        let all = ends.ahead.len() + ends.behind.len();
        return match is_whole {
            // None of those that were there is at the head any more.
            true if seen.any(is_known) => Order::Broken,
            true => unless((all as u64) < ready),
            false => unless(true),
        };
    };
    let (gone, stayed) = known.split_at(at);
    let is_as_counted = signed(at as u64) == left;
    if !is_as_counted || stayed.iter().zip(ends.ahead).any(|(was, is)| was != is) {
        return Order::Broken;
    }
    // It may only have gone round.
    let came = usize::try_from(verdict.arrived).unwrap_or(0);
    let came = match ends.ahead.len() as u64 == ready {
        true => ends.ahead.get(ends.ahead.len().saturating_sub(came)..),
        false => ends.behind.get(..came),
    };
    match came {
        _ if verdict.newer > 0 => unless(true),
        Some([]) => Order::Kept,
        Some(came) if came.iter().any(|element| gone.contains(element)) => Order::Broken,
        None if !gone.is_empty() => unless(true),
        // All may have been out for a moment, so that what was put back lies at the tail.
        _ if is_whole => unless(false),
        _ => Order::Kept,
    }
}

/// Where an element stood at the last poll, from the head on.
fn place(before: &ListMarks, wanted: u64) -> Option<usize> {
    before.ahead().iter().position(|element| *element == wanted)
}

/// Whether two of them are alike: then finding one of them says nothing.
pub(super) fn has_twins(elements: &[u64]) -> bool {
    let mut sorted = elements.to_vec();
    sorted.sort_unstable();
    sorted
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a == b))
}
