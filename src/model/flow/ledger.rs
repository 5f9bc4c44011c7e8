//! What the broker's own counts tell beyond the lists.
//!
//! Arrivals that no poll has seen: a job that is taken within milliseconds leaves no trace in its
//! list. The count of pushes tells how many there were in all; where several lists may have had
//! them, they are shared out by how busy each has been. And jobs that waited and are gone though too
//! few have been delivered: those were removed.
//!
//! Bounds never depend on this: whatever came and went between two polls waited no longer than the
//! time between them.

mod strangers;

use super::order::{Misuses, MisusesAt};
use super::sample::LineSample;
use strangers::{Span, Strangers};

/// How far the numbers of jobs can be trusted, best first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counts {
    #[default]
    Exact,
    /// Exact if no other program pushes in the same way: nothing tells.
    Assumed,
    /// Exact in sum over several lists, shared out by a guess.
    Shared,
    /// Jobs may have come and gone unseen.
    LowerBound,
}

impl Counts {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Assumed => "assumed",
            Self::Shared => "shared",
            Self::LowerBound => "lower_bound",
        }
    }
}

/// What the broker has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Pushes to all lists so far, read before the lists.
    pub pushes: Option<u64>,
    /// Pops of any list so far, those among them that found nothing, read at the same time.
    pub takes: Option<u64>,
    /// Deliveries so far, read before the lists.
    pub deliveries: Option<u64>,
    /// The last two once more, read after the lists; only if one of these has lost all that waited
    /// in it.
    pub takes_after: Option<u64>,
    pub deliveries_after: Option<u64>,
    /// Commands that use lists out of order, as counted before another process read the lists for the
    /// last time.
    pub misuses_earlier: Option<Misuses>,
    /// The same before the lists were read.
    pub misuses: Option<MisusesAt>,
    /// And after; only if the elements of some list do not show its order.
    pub misuses_after: Option<MisusesAt>,
    /// There are queues that were not read and may have had some of all these.
    pub is_partial: bool,
    /// No other job system has queues there.
    pub is_alone: bool,
}

/// The books of one broker.
#[derive(Debug, Default)]
pub struct Ledger {
    tally: Tally,
    /// Pushes that no list has explained yet: negative where lists have shown what was counted only
    /// after the count was read, positive for what came and went in that moment.
    balance: i64,
    /// As long as no list could have had them: how many they can be at most. What is beyond was
    /// pushed to lists that we do not know.
    room: i64,
    /// There were takers at the last poll.
    had_takers: bool,
    /// Some have been shared out by a guess.
    has_guessed: bool,
    /// Some could not be shared out at all.
    has_missed: bool,
    /// Departures without a delivery that no removal explains, less the deliveries since: somebody
    /// takes jobs in another way.
    strays: u64,
    /// Deliveries of late that no departure has explained: of jobs that will show as having come and
    /// gone.
    unclaimed: u64,
    /// Pushes between the last two polls.
    pushed: u64,
    strangers: Strangers,
}

/// One line of one queue at this poll.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Claim {
    /// Tells the lines of one queue from those of others.
    pub queue: usize,
    /// Arrivals that were seen.
    pub seen: u64,
    /// Others may have come and gone.
    pub may_have_more: bool,
    /// Each that leaves is counted among the deliveries.
    pub is_delivered: bool,
    /// How many are to be expected since the last poll.
    pub expected: f64,
    /// Never seen to have a job, but where one would go if there were one.
    pub is_default: bool,
    /// Departures that were seen and should have been deliveries.
    pub left: u64,
    /// Those of them that were waiting at the last poll, if none of these is left.
    pub gone: u64,
}

/// What the counts say of each of the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Arrivals that nobody has seen.
    pub unseen: Vec<u64>,
    /// Departures that were no deliveries.
    pub removed: Vec<u64>,
    pub counts: Counts,
}

impl Settled {
    /// Tells each of the lines its part; they are those of the claims, in their order.
    pub fn hand_out<'a>(&self, lines: impl Iterator<Item = &'a mut LineSample>) {
        let parts = self.unseen.iter().zip(&self.removed);
        for (line, (unseen, removed)) in lines.zip(parts) {
            (line.arrivals.unseen, line.arrivals.removed) = (*unseen, *removed);
        }
    }
}

/// Never-seen lines among which unseen jobs are shared out; more would be mere noise.
const MAX_DEFAULTS: usize = 16;

/// No more jobs have been popped at a moment without their delivery having been counted: pops that
/// found nothing are among the others.
const ON_THE_WAY: u64 = 16;

// === impl Ledger ===

impl Ledger {
    pub fn settle(&mut self, tally: Tally, claims: &[Claim]) -> Settled {
        let before = std::mem::replace(&mut self.tally, tally);
        let (unseen, counts) = self.arrivals(before, claims);
        let (removed, removed_counts) = self.removals(before, claims, &unseen);
        Settled {
            unseen,
            removed,
            counts: counts.max(removed_counts),
        }
    }

    fn arrivals(&mut self, before: Tally, claims: &[Claim]) -> (Vec<u64>, Counts) {
        let nothing = vec![0; claims.len()];
        // A count that has fallen was reset: what it shows has happened since, but not when.
        let pushed = self.tally.pushes.zip(before.pushes);
        let Some(pushed) = pushed.and_then(|(now, before)| now.checked_sub(before)) else {
            // What nobody could miss needs no count of pushes to be exact.
            return match claims.iter().any(|claim| claim.may_have_more) {
                true => (nothing, Counts::LowerBound),
                false => (nothing, Counts::Exact),
            };
        };
        let seen: u64 = claims.iter().map(|claim| claim.seen).sum();
        let balance = self.balance.saturating_add(signed(pushed));
        let balance = balance.saturating_sub(signed(seen));
        let weights = weights(claims);
        let has_takers = weights.iter().any(|weight| *weight > 0.0);
        let wanted = match has_takers {
            true => Some(u64::try_from(balance).unwrap_or(0)),
            false => None,
        };
        // What was pushed since the poll before the last may yet be delivered.
        let recent = std::mem::replace(&mut self.pushed, pushed).saturating_add(pushed);
        let span = self.span(before, claims);
        let unseen = self.strangers.admit(wanted, recent, span);
        let had_takers = std::mem::replace(&mut self.had_takers, has_takers);
        if !has_takers {
            self.has_missed |= balance > 0 && claims.iter().any(Claim::is_likely);
            if had_takers {
                // What came and went while the last poll was under way has been pushed since.
                self.room = signed(pushed).saturating_add(self.balance.max(0));
            }
            self.balance = balance.min(self.room);
            return (nothing, self.counts());
        }
        self.balance = match wanted {
            Some(wanted) if wanted > 0 => signed((wanted - unseen).min(recent)),
            _ => balance,
        };
        let guess =
            unseen > 0 && (self.tally.is_partial || are_several_queues(claims, Claim::is_likely));
        self.has_guessed |= guess;
        let mut counts = self.counts();
        if self.strangers.are_pushing() {
            counts = Counts::LowerBound;
        } else if guess {
            counts = counts.max(Counts::Shared);
        } else if !claims
            .iter()
            .all(|claim| claim.is_delivered || !claim.may_have_more)
        {
            counts = counts.max(Counts::Assumed);
        }
        (share(unseen, &weights), counts)
    }

    /// What was counted since the poll before besides the pushes.
    fn span(&self, before: Tally, claims: &[Claim]) -> Span {
        let since = |now: Option<u64>, before: Option<u64>| {
            let (now, before) = now.zip(before)?;
            now.checked_sub(before)
        };
        let are_delivered = claims.iter().any(|claim| claim.is_delivered);
        let gone: u64 = claims.iter().map(|claim| claim.gone).sum();
        let delivered = since(self.tally.deliveries_after, before.deliveries);
        Span {
            takes: since(self.tally.takes, before.takes),
            deliveries: since(self.tally.deliveries, before.deliveries).filter(|_| are_delivered),
            left: claims.iter().map(|claim| claim.left).sum(),
            is_whole: !self.tally.is_partial && !before.is_partial,
            is_alone: self.tally.is_alone,
            is_purge: delivered.is_some_and(|delivered| delivered < gone),
        }
    }

    /// How good the numbers are of which nothing else is known: a wrong guess earlier on is made
    /// good by taking from whoever is next.
    fn counts(&self) -> Counts {
        match self {
            Self {
                has_missed: true, ..
            } => Counts::LowerBound,
            Self {
                has_guessed: true,
                balance: ..0,
                ..
            } => Counts::Shared,
            _ => Counts::Exact,
        }
    }

    /// Other uses of the commands by which pops and deliveries are counted only hide removals. A real
    /// start is taken for one if it was a consumer's that delivers in another way, which shows sooner
    /// or later.
    fn removals(&mut self, before: Tally, claims: &[Claim], unseen: &[u64]) -> (Vec<u64>, Counts) {
        let nothing = vec![0; claims.len()];
        let now = self.tally.deliveries_after.or(self.tally.deliveries);
        let delivered = now.zip(before.deliveries);
        let Some(delivered) = delivered.and_then(|(now, before)| now.checked_sub(before)) else {
            return (nothing, Counts::Exact);
        };
        // From an emptied list those may be missing too that nobody has seen in it. What was pushed
        // or delivered earlier and shows only now was not removed.
        let seen: u64 = claims.iter().map(|claim| claim.seen).sum();
        let all_unseen: u64 = unseen.iter().sum();
        let recent = self.pushed.saturating_sub(seen).min(all_unseen);
        let recent = recent.saturating_sub(self.unclaimed);
        let weights: Vec<f64> = unseen.iter().map(|count| *count as f64).collect();
        let recent = share(recent, &weights);
        let may_be_removed = claims
            .iter()
            .zip(&recent)
            .map(|(claim, recent)| match claim.gone {
                0 => 0,
                gone => gone + recent,
            });
        let may_be_removed: Vec<u64> = may_be_removed.collect();
        let gone: u64 = claims.iter().map(|claim| claim.gone).sum();
        let left: u64 = claims.iter().map(|claim| claim.left).sum();
        let at_most: u64 = may_be_removed.iter().sum();
        let strays = left.saturating_sub(delivered).saturating_sub(gone);
        self.strays = self.strays.saturating_add(strays).saturating_sub(delivered);
        // Popped, and about to be counted: between the two a consumer may be put to sleep.
        let taken = self.tally.takes_after.zip(before.takes);
        let taken = taken.and_then(|(now, before)| now.checked_sub(before));
        let on_the_way = taken.map_or(delivered, |taken| taken.saturating_sub(delivered));
        let removed = (left.saturating_sub(gone) + at_most)
            .saturating_sub(delivered)
            .saturating_sub(on_the_way.min(ON_THE_WAY))
            .min(at_most);
        let counted = self.tally.deliveries.zip(before.deliveries);
        let counted = counted.map_or(0, |(now, before)| now.saturating_sub(before));
        self.unclaimed = (self.unclaimed / 2 + counted).saturating_sub(left + all_unseen - removed);
        if removed == 0 || self.strays > ON_THE_WAY || self.tally.deliveries_after.is_none() {
            return (nothing, Counts::Exact);
        }
        let is_guess = removed < at_most && are_several_queues(claims, |claim| claim.gone > 0);
        let weights: Vec<f64> = may_be_removed.iter().map(|count| *count as f64).collect();
        let counts = match is_guess {
            true => Counts::Shared,
            false => Counts::Exact,
        };
        (share(removed, &weights), counts)
    }
}

impl Claim {
    /// It may have had what nobody has seen, and is not a priority that was never used.
    fn is_likely(&self) -> bool {
        self.may_have_more && (self.is_default || self.expected > 0.0 || self.seen > 0)
    }
}

fn are_several_queues(claims: &[Claim], is_one: impl Fn(&Claim) -> bool) -> bool {
    let mut queues = claims.iter().filter(|claim| is_one(claim));
    let first = queues.next().map(|claim| claim.queue);
    queues.any(|claim| Some(claim.queue) != first)
}

/// Shares so many out by weight, in whole numbers.
fn share(mut all: u64, weights: &[f64]) -> Vec<u64> {
    let mut left: f64 = weights.iter().sum();
    let mut shares = vec![0; weights.len()];
    for (share, weight) in shares.iter_mut().zip(weights) {
        if *weight > 0.0 && left > 0.0 {
            *share = ((all as f64 * weight / left).round() as u64).min(all);
            all -= *share;
            left -= weight;
        }
    }
    shares
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// By what was to be expected; if that is nothing anywhere, evenly over the lines of first choice.
fn weights(claims: &[Claim]) -> Vec<f64> {
    let expected: Vec<f64> = claims
        .iter()
        .map(|claim| match claim.may_have_more {
            true => claim.expected.max(claim.seen as f64),
            false => 0.0,
        })
        .collect();
    if expected.iter().any(|weight| *weight > 0.0) {
        return expected;
    }
    let is_taker = |claim: &Claim| claim.may_have_more && claim.is_default;
    let takers = claims.iter().filter(|claim| is_taker(claim)).count();
    claims
        .iter()
        .map(|claim| f64::from(u8::from(is_taker(claim) && takers <= MAX_DEFAULTS)))
        .collect()
}

#[cfg(test)]
mod tests;
