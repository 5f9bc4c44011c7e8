//! From what was found to how many have arrived.

use super::memory::{ListMarks, signed};

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
}

/// `head` and `tail` are the fingerprints of the elements there now.
pub(super) fn resolve(
    before: &ListMarks,
    ready: u64,
    (head, tail): (Option<u64>, Option<u64>),
    found: &[(Search, Found)],
    unique: bool,
) -> Verdict {
    let now = signed(ready);
    let then = signed(before.ready);
    if ready == 0 || before.ready == 0 {
        // Everything that was there has left, everything that is there has come.
        return Verdict {
            arrived: now,
            turned_over: true,
            ..Verdict::default()
        };
    }
    let old_head = before.held.as_ref().and_then(|held| held.head);
    let same_head = head.is_some() && head == old_head;
    let mut verdict = by_markers(before, ready, found).unwrap_or_else(|is_complete| {
        if is_complete {
            // Not one of the old ones is left.
            Verdict {
                arrived: now,
                turned_over: true,
                ..Verdict::default()
            }
        } else if same_head && unique && found.is_empty() && now >= then {
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
        // The head stayed though the numbers say it left; or it went to the tail.
        verdict.out_of_order |= same_head && left > 0;
        verdict.out_of_order |= tail.is_some() && tail == old_head && !same_head && then > 1;
    }
    verdict
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
fn by_markers(before: &ListMarks, ready: u64, found: &[(Search, Found)]) -> Result<Verdict, bool> {
    if found.iter().any(|(_, found)| *found == Found::Ambiguous) {
        return Err(false);
    }
    let held = before.held.as_deref();
    let number = |search: Search| {
        let marker = match search {
            Search::Tail | Search::TailFromHead => held?.tail.as_ref(),
            Search::Near => held?.near.as_ref(),
            Search::Far => held?.far.as_ref(),
        };
        marker.map(|marker| marker.number)
    };
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
    let (arrived, out_of_order) = match (tail, near) {
        // Both say the same, or something in between is missing or has changed places.
        (Some(tail), Some((near, arrived))) => (tail, arrived != tail || near < tail),
        (Some(tail), None) => {
            let departed = before.total + tail - signed(ready);
            let is_missing = sought(found, Search::Near).zip(number(Search::Near));
            let is_missing = is_missing
                .is_some_and(|(reach, near)| (1..=signed(reach)).contains(&(near - departed)));
            (tail, is_missing)
        }
        (None, Some((_, arrived))) => {
            let is_missing =
                sought(found, Search::Tail).is_some_and(|reach| arrived < signed(reach));
            (arrived.max(0), arrived < 0 || is_missing)
        }
        (None, None) => {
            let from_tail = sought(found, Search::Tail).is_some_and(|reach| ready <= reach);
            let from_head =
                sought(found, Search::TailFromHead).is_some_and(|reach| before.ready <= reach);
            return Err(from_tail || from_head);
        }
    };
    Ok(Verdict {
        arrived,
        out_of_order,
        ..Verdict::default()
    })
}
