//! Jobs that waited and are gone though too few have been delivered: those were removed.
//!
//! Other uses of the commands by which pops and deliveries are counted only hide removals. A real
//! start is taken for one if it was a consumer's that delivers in another way, which shows sooner or
//! later.

use super::shares::{are_several_queues, share};
use super::{Claim, Tally};

#[derive(Debug, Default)]
pub(super) struct Removals {
    /// Departures without a delivery that no removal explains, less the deliveries since: somebody
    /// takes jobs in another way.
    strays: u64,
    /// Deliveries of late that no departure has explained: of jobs that will show as having come and
    /// gone.
    unclaimed: u64,
}

/// What nobody has seen, as it was shared out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unseen<'a> {
    /// Of each line.
    pub(super) parts: &'a [u64],
    /// Those among them that nobody got.
    pub(super) missed: u64,
    /// Pushes since the poll before.
    pub(super) pushed: u64,
}

/// No more jobs have been popped at a moment without their delivery having been counted: pops that
/// found nothing are among the others.
const ON_THE_WAY: u64 = 16;

// === impl Removals ===

impl Removals {
    /// How many were removed from each line, and whether from another one perhaps.
    pub(super) fn settle(
        &mut self,
        [before, now]: [Tally; 2],
        claims: &[Claim],
        unseen: Unseen<'_>,
    ) -> (Vec<u64>, bool) {
        let nothing = (vec![0; claims.len()], false);
        if before.is_partial {
            // Jobs of lists that were not read then may have been delivered before.
            return nothing;
        }
        let delivered = now.deliveries_after.or(now.deliveries);
        let delivered = delivered.zip(before.deliveries);
        let Some(delivered) = delivered.and_then(|(now, before)| now.checked_sub(before)) else {
            return nothing;
        };
        // From an emptied list those may be missing too that nobody has seen in it. What was pushed
        // or delivered earlier and shows only now was not removed.
        let seen: u64 = claims.iter().map(|claim| claim.seen).sum();
        let all_unseen = unseen.parts.iter().sum::<u64>() + unseen.missed;
        let recent = unseen.pushed.saturating_sub(seen).min(all_unseen);
        let recent = recent.saturating_sub(self.unclaimed);
        let weights: Vec<f64> = unseen.parts.iter().map(|count| *count as f64).collect();
        let lost: Vec<Loss> = claims
            .iter()
            .zip(share(recent, &weights))
            .map(|(claim, recent)| Loss {
                gone: claim.gone,
                recent: if claim.gone > 0 { recent } else { 0 },
            })
            .collect();
        let gone: u64 = claims.iter().map(|claim| claim.gone).sum();
        let left: u64 = claims.iter().map(|claim| claim.left).sum();
        let at_most: u64 = lost.iter().map(|loss| loss.gone + loss.recent).sum();
        let strays = left.saturating_sub(delivered).saturating_sub(gone);
        self.strays = self.strays.saturating_add(strays).saturating_sub(delivered);
        // Popped, and about to be counted: between the two a consumer may be put to sleep.
        let taken = now.takes_after.zip(before.takes);
        let taken = taken.and_then(|(now, before)| now.checked_sub(before));
        let on_the_way = taken.map_or(delivered, |taken| taken.saturating_sub(delivered));
        let removed = (left.saturating_sub(gone) + at_most)
            .saturating_sub(delivered)
            .saturating_sub(on_the_way.min(ON_THE_WAY))
            .min(at_most);
        let counted = now.deliveries.zip(before.deliveries);
        let counted = counted.map_or(0, |(now, before)| now.saturating_sub(before));
        self.unclaimed = (self.unclaimed / 2 + counted)
            .saturating_sub((left + all_unseen).saturating_sub(removed));
        if removed == 0 || self.strays > ON_THE_WAY || now.deliveries_after.is_none() {
            return nothing;
        }
        let is_guess = removed < at_most && are_several_queues(claims, |claim| claim.gone > 0);
        (allot(removed, &lost), is_guess)
    }
}

/// What an emptied line has lost.
#[derive(Debug, Clone, Copy)]
struct Loss {
    /// Those that waited at the last poll.
    gone: u64,
    /// Those that have come since and that nobody has seen.
    recent: u64,
}

/// Puts removals down to as few lines as can be: one that is purged loses all that it had, one that
/// is worked off is emptied beside it by chance.
fn allot(removed: u64, lost: &[Loss]) -> Vec<u64> {
    let mut parts = vec![0; lost.len()];
    let recent: u64 = lost.iter().map(|loss| loss.recent).sum();
    let mut rest = removed;
    while rest > 0 {
        let open = lost.iter().zip(&parts).enumerate();
        let open = open.filter(|(_, (loss, part))| **part == 0 && loss.gone > 0);
        // The one that it fits best, or else the largest.
        let next = open.min_by_key(|(_, (loss, _))| match loss.gone.checked_sub(rest) {
            Some(over) => (false, over),
            None => (true, rest - loss.gone),
        });
        let Some((index, (loss, _))) = next else {
            break;
        };
        let part = rest.min(loss.gone + loss.recent);
        if let Some(slot) = parts.get_mut(index) {
            *slot = part;
        }
        rest -= part;
        // What came to it since the last poll may count as another's.
        if rest <= recent {
            break;
        }
    }
    parts
}
