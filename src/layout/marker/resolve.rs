//! From what was found to how many have arrived.

use super::memory::{ListMarks, signed};
use super::watch::Elements;

/// A search for one of the remembered elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    Tail,
    Near,
    Far,
    /// The old tail, from the other end: what is left of a list that was short.
    TailFromHead,
}

impl Search {
    pub(super) const fn begins_at_head(self) -> bool {
        !matches!(self, Self::Tail)
    }
}

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Not among so many from where it began.
    Nowhere(u64),
    /// So far from the tail.
    At(i64),
    /// More than one element is like it.
    Ambiguous,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Arrivals since the last poll; at least so many where `lost`.
    pub(super) arrived: i64,
    pub(super) turned_over: bool,
    pub(super) lost: bool,
    pub(super) out_of_order: bool,
    /// The list is not used in order: it will happen again.
    pub(super) is_disorderly: bool,
    /// So many of the newest may have come later than their numbers say, if the order was not kept.
    pub(super) newer: u64,
    /// The number of the first that is certainly what it was: others may have been put before it.
    pub(super) first_found: Option<i64>,
    /// Others were put at the head.
    pub(super) has_others: bool,
}

// === impl Verdict ===

impl Verdict {
    /// How many, from the head on, may be others than their numbers say.
    pub(super) fn others(&self, before: &ListMarks, ready: u64) -> u64 {
        let first = before.total + self.arrived - signed(ready) + 1;
        self.first_found.map_or(ready, |found| {
            u64::try_from(found - first).unwrap_or(0).min(ready)
        })
    }
}

/// `head` and `tail` are the fingerprints of the elements there now.
pub(super) fn resolve(
    before: &ListMarks,
    ready: u64,
    (head, tail): (Option<u64>, Option<u64>),
    found: &[(Search, Found)],
    elements: Elements,
) -> Verdict {
    let now = signed(ready);
    let then = signed(before.ready);
    if ready == 0 || before.ready == 0 {
        // Everything that was there has left, everything that is there has come; unless it was
        // there before all had left.
        let is_back = [head, tail]
            .into_iter()
            .flatten()
            .any(|end| [before.last_head, before.last_tail].contains(&Some(end)));
        return Verdict {
            arrived: now,
            turned_over: true,
            has_others: is_back && elements == Elements::Unique,
            ..Verdict::default()
        };
    }
    let old_head = before.held.as_ref().and_then(|held| held.head);
    let same_head = head.is_some() && head == old_head;
    let mut verdict = by_markers(before, ready, found, elements).unwrap_or_else(|is_complete| {
        if is_complete {
            // Not one of the old ones is left.
            Verdict {
                arrived: now,
                turned_over: true,
                ..Verdict::default()
            }
        } else if same_head && elements == Elements::Unique && found.is_empty() && now >= then {
            // Elements too large to be searched for; but none has left.
            Verdict {
                arrived: now - then,
                ..Verdict::default()
            }
        } else {
            let least = sought(found, Search::Tail).map_or(0, signed);
            Verdict {
                arrived: least.max(now - then),
                lost: true,
                ..Verdict::default()
            }
        }
    });
    if !verdict.lost {
        let left = verdict.arrived + then - now;
        // The head stayed though the numbers say it left: one was removed behind it, or they are taken
        // from the tail.
        let has_tail = found.iter().any(|(search, found)| {
            matches!(search, Search::Tail | Search::TailFromHead) && matches!(found, Found::At(_))
        });
        verdict.out_of_order |= same_head && left > 0;
        verdict.is_disorderly |= same_head && left > 0 && !has_tail;
        // It went to the tail.
        verdict.is_disorderly |= tail.is_some() && tail == old_head && !same_head && then > 1;
        // Another one stands there though none has left: what job systems put there was handed out before.
        verdict.has_others = head.is_some() && old_head.is_some() && !same_head && left == 0;
        verdict.first_found = first_found(before, found);
    }
    verdict.out_of_order |= verdict.is_disorderly;
    // A job that is tried again comes in its turn.
    verdict.is_disorderly &= elements == Elements::Unique;
    verdict
}

/// The number of the remembered element nearest to the head that was found.
fn first_found(before: &ListMarks, found: &[(Search, Found)]) -> Option<i64> {
    let held = before.held.as_deref()?;
    let was_found = |search: &Search| {
        let is_it =
            |(each, found): &(Search, Found)| each == search && matches!(found, Found::At(_));
        found.iter().any(is_it)
    };
    let in_order = [
        Search::Near,
        Search::Far,
        Search::Tail,
        Search::TailFromHead,
    ];
    let search = in_order.into_iter().find(was_found)?;
    held.marker(search).map(|marker| marker.number)
}

/// Among how many elements something was sought in vain.
fn sought(found: &[(Search, Found)], wanted: Search) -> Option<u64> {
    found.iter().find_map(|(search, found)| match found {
        Found::Nowhere(reach) if *search == wanted => Some(*reach),
        _ => None,
    })
}

/// What the markers that were found say; otherwise whether the search was complete, so that not
/// finding them means that all are gone.
fn by_markers(
    before: &ListMarks,
    ready: u64,
    found: &[(Search, Found)],
    elements: Elements,
) -> Result<Verdict, bool> {
    if found.iter().any(|(_, found)| *found == Found::Ambiguous) {
        return Err(false);
    }
    let held = before.held.as_deref();
    let number = |search: Search| held?.marker(search).map(|marker| marker.number);
    let place = |wanted: Search| {
        found.iter().find_map(|(search, found)| match found {
            Found::At(at) if *search == wanted => Some(*at),
            _ => None,
        })
    };
    let tail = place(Search::Tail).or_else(|| place(Search::TailFromHead));
    let near = [Search::Near, Search::Far].into_iter().find_map(|search| {
        let at = place(search)?;
        Some((at, at + number(search)? - before.total))
    });
    let mut verdict = Verdict::default();
    (verdict.arrived, verdict.out_of_order) = match (tail, near) {
        // Both say the same, or something in between is missing or has changed places.
        (Some(tail), Some((near, arrived))) => (tail, arrived != tail || near < tail),
        (Some(tail), None) => {
            let departed = before.total + tail - signed(ready);
            let is_missing = sought(found, Search::Near).zip(number(Search::Near));
            let is_missing = is_missing
                .is_some_and(|(reach, near)| (1..=signed(reach)).contains(&(near - departed)));
            (tail, is_missing)
        }
        (None, Some((near, arrived))) => {
            // Who takes from the tail will do so again, and what comes next gets the numbers of those.
            verdict.is_disorderly =
                sought(found, Search::Tail).is_some_and(|reach| arrived < signed(reach));
            if verdict.is_disorderly || elements == Elements::Any {
                verdict.newer = u64::try_from(near).unwrap_or(0);
            }
            (arrived.max(0), arrived < 0)
        }
        (None, None) => {
            let from_tail = sought(found, Search::Tail).is_some_and(|reach| ready <= reach);
            let from_head =
                sought(found, Search::TailFromHead).is_some_and(|reach| before.ready <= reach);
            return Err(from_tail || from_head);
        }
    };
    Ok(verdict)
}
