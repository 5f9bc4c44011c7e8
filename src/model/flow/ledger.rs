//! What the broker's own counts tell beyond the lists.
//!
//! Arrivals that no poll has seen: a job that is taken within milliseconds leaves no trace in its
//! list. The count of pushes tells how many there were in all; where several lists may have had
//! them, they are shared out among those that have shown that jobs come and go in them, and nobody
//! gets them where none has. And jobs that waited and are gone though too few have been delivered:
//! those were removed.
//!
//! Bounds never depend on this: whatever came and went between two polls waited no longer than the
//! time between them.

mod counts;
mod removals;
mod shares;
mod strangers;

use super::order::{Misuses, MisusesAt};
use super::sample::LineSample;
pub use counts::Counts;
use removals::{Removals, Unseen};
use shares::{are_several_queues, share, weights};
use strangers::{Span, Strangers};

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
    /// The broker was started anew since the poll before, or is another.
    pub is_new_run: bool,
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
    /// Some list may have had what nobody saw at the last poll.
    had_takers: bool,
    /// How good the numbers are while that is negative: it may be so because others got too many by a
    /// guess, or because lists that were not read had what was not counted as theirs.
    debt: Counts,
    /// How good the numbers are of lists that have not been read lately: what nobody has seen meanwhile
    /// may have been theirs.
    doubt: Counts,
    /// Pushes between the last two polls.
    pushed: u64,
    strangers: Strangers,
    removals: Removals,
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
    /// It has had jobs.
    pub is_used: bool,
    /// Where a job would go if there were one.
    pub is_default: bool,
    /// Jobs have been seen to leave it within an interval.
    pub is_quick: bool,
    /// Arrivals to be expected since the last poll, by their rate while every one was counted; 0
    /// where that is not known.
    pub measured: f64,
    /// Jobs found in it on average when it could be looked at, and gone at the next poll.
    pub caught: f64,
    /// Jobs waited in it at the last poll.
    pub had_jobs: bool,
    /// Departures that were seen and should have been deliveries.
    pub left: u64,
    /// Those of them that were waiting at the last poll, if none of these is left.
    pub gone: u64,
}

/// What the counts say of one of the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Arrivals that nobody has seen.
    pub unseen: u64,
    /// Departures that were no deliveries.
    pub removed: u64,
    /// How good these are.
    pub counts: Counts,
}

/// What the counts say of each of the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled(pub Vec<Part>);

impl Settled {
    /// Tells each of the lines its part; they are those of the claims, in their order.
    pub fn hand_out<'a>(&self, lines: impl Iterator<Item = &'a mut LineSample>) {
        for (line, part) in lines.zip(&self.0) {
            line.arrivals.unseen = part.unseen;
            line.arrivals.removed = part.removed;
            line.arrivals.counts = part.counts;
        }
    }
}

/// What nobody has seen, shared out.
struct Shared {
    parts: Vec<Part>,
    /// So many nobody gets.
    missed: u64,
    /// How good that is for lists that may have had some.
    doubt: Counts,
}

// === impl Ledger ===

impl Ledger {
    pub fn settle(&mut self, tally: Tally, claims: &[Claim]) -> Settled {
        let mut before = std::mem::replace(&mut self.tally, tally);
        if tally.is_new_run {
            // What another run has counted cannot be compared with it.
            (before, self.balance) = (Tally::default(), 0);
        }
        let Shared {
            mut parts,
            missed,
            doubt,
        } = self.arrivals(before, claims);
        for (part, claim) in parts.iter_mut().zip(claims) {
            if claim.is_likely() {
                part.counts = part.counts.and(self.doubt);
            }
        }
        self.doubt = match tally.is_partial {
            true => self.doubt.and(doubt),
            false => Counts::Exact,
        };
        if tally.is_partial {
            self.debt = self.debt.and(doubt);
        }
        let unseen: Vec<u64> = parts.iter().map(|part| part.unseen).collect();
        let unseen = Unseen {
            parts: &unseen,
            missed,
            pushed: self.pushed,
        };
        let (removed, is_guess) = self.removals.settle([before, tally], claims, unseen);
        for ((part, removed), claim) in parts.iter_mut().zip(removed).zip(claims) {
            part.removed = removed;
            if is_guess && claim.gone > 0 {
                part.counts = part.counts.and(Counts::Shared);
            }
        }
        Settled(parts)
    }

    /// Shares out what nobody has seen.
    fn arrivals(&mut self, before: Tally, claims: &[Claim]) -> Shared {
        // A count that has fallen was reset: what it shows has happened since, but not when.
        let pushed = self.tally.pushes.zip(before.pushes);
        let Some(pushed) = pushed.and_then(|(now, before)| now.checked_sub(before)) else {
            // What nobody could miss needs no count of pushes to be exact.
            return Shared::nothing(claims, Counts::LowerBound);
        };
        let seen: u64 = claims.iter().map(|claim| claim.seen).sum();
        // What is still open came before, when other queues may have been able to have had it.
        let open = self.balance;
        let is_late = open > 0 && are_several_queues(claims, |_| true);
        let balance = open.saturating_add(signed(pushed));
        let balance = balance.saturating_sub(signed(seen));
        let has_takers = claims.iter().any(Claim::is_likely);
        let wanted = has_takers.then(|| u64::try_from(balance).unwrap_or(0));
        // What was pushed since the poll before the last may yet be delivered.
        let recent = std::mem::replace(&mut self.pushed, pushed).saturating_add(pushed);
        let span = self.span(before, claims);
        let unseen = self.strangers.admit(wanted, recent, span);
        let had_takers = std::mem::replace(&mut self.had_takers, has_takers);
        let Some(wanted) = wanted else {
            if had_takers {
                // What came and went while the last poll was under way has been pushed since.
                self.room = signed(pushed).saturating_add(self.balance.max(0));
            }
            self.balance = balance.min(self.room);
            return Shared {
                doubt: match balance > 0 {
                    true => Counts::LowerBound,
                    false => Counts::Exact,
                },
                ..Shared::nothing(claims, Counts::Exact)
            };
        };
        self.balance = match wanted {
            0 => balance,
            _ => signed((wanted - unseen).min(recent)),
        };
        let is_only_one = !self.tally.is_partial && !are_several_queues(claims, Claim::is_likely);
        let weights = weights(claims, is_only_one);
        let mut doubt = self.strangers.counts();
        if unseen > 0 && weights.iter().all(|weight| *weight <= 0.0) {
            return Shared {
                missed: unseen,
                ..Shared::nothing(claims, doubt.and(Counts::LowerBound))
            };
        }
        let is_guess = unseen > 0 && (is_late || !is_only_one);
        if is_guess {
            doubt = doubt.and(Counts::Shared);
            self.debt = self.debt.and(Counts::Shared);
        }
        // It is made good by taking from whoever is next.
        if open < 0 || self.balance < 0 {
            doubt = doubt.and(self.debt);
        }
        let mut shared = Shared::nothing(claims, doubt);
        let shares = share(unseen, &weights);
        for ((part, unseen), claim) in shared.parts.iter_mut().zip(shares).zip(claims) {
            part.unseen = unseen;
            if unseen > 0 && !claim.is_delivered {
                part.counts = part.counts.and(Counts::Assumed);
            }
        }
        shared
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
}

// === impl Claim ===

impl Claim {
    /// It may have had what nobody has seen, and is not a priority that was never used.
    fn is_likely(&self) -> bool {
        self.may_have_more && (self.is_default || self.is_used || self.seen > 0)
    }

    /// For which part of the time something may have come and gone: not before all have left that
    /// waited, nor after the first of those has come that wait now.
    fn free(&self) -> f64 {
        let half = |is_it: bool| if is_it { 0.5 } else { 1.0 };
        half(self.had_jobs) * half(self.seen > 0)
    }
}

// === impl Shared ===

impl Shared {
    /// Nothing for any of them, and how good that is for those that may have had something.
    fn nothing(claims: &[Claim], doubt: Counts) -> Self {
        let part = |claim: &Claim| Part {
            counts: match claim.is_likely() {
                true => doubt,
                false => Counts::Exact,
            },
            ..Part::default()
        };
        Self {
            parts: claims.iter().map(part).collect(),
            missed: 0,
            doubt,
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
