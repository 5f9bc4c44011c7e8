//! Arrivals that no poll has seen: a job that is taken within milliseconds leaves no trace in its
//! list. The broker's count of pushes tells how many there were in all; where several lists may have
//! had them, they are shared out by how busy each has been.
//!
//! Bounds never depend on this: whatever came and went between two polls waited no longer than the
//! time between them.

/// How far the numbers of jobs can be trusted, best first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counts {
    #[default]
    Exact,
    /// Exact in sum over several lists, shared out by a guess.
    Shared,
    /// Jobs may have come and gone unseen.
    LowerBound,
}

impl Counts {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Shared => "shared",
            Self::LowerBound => "lower_bound",
        }
    }
}

/// The books of one broker.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Pushes as of the last poll.
    pushes: Option<u64>,
    /// What lists have shown and the count of pushes had not, since it was read a moment earlier.
    owed: i64,
}

/// One line of one queue at this poll.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Claim {
    /// Arrivals that were seen.
    pub seen: u64,
    /// Others may have come and gone.
    pub may_have_more: bool,
    /// How many are to be expected since the last poll.
    pub expected: f64,
    /// Never seen to have a job, but where one would go if there were one.
    pub is_default: bool,
}

/// Never-seen lines among which unseen jobs are shared out; more would be mere noise.
const MAX_DEFAULTS: usize = 16;

impl Ledger {
    /// What each of the claims gets, and how good the numbers are; `None` if nothing is known of
    /// pushes.
    pub fn settle(&mut self, pushes: Option<u64>, claims: &[Claim]) -> Option<(Vec<u64>, Counts)> {
        let before = std::mem::replace(&mut self.pushes, pushes);
        let (now, before) = (pushes?, before?);
        // A count that has fallen was reset: what it shows has happened since, but not when.
        let pushed = now.checked_sub(before)?;
        let seen: u64 = claims.iter().map(|claim| claim.seen).sum();
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let rest = self
            .owed
            .saturating_add(signed(pushed))
            .saturating_sub(signed(seen));
        self.owed = rest.min(0);
        let mut unseen = u64::try_from(rest).unwrap_or(0);
        let weights = weights(claims);
        let takers = weights.iter().filter(|weight| **weight > 0.0).count();
        let mut left: f64 = weights.iter().sum();
        let mut shares = vec![0; claims.len()];
        for (share, weight) in shares.iter_mut().zip(&weights) {
            if *weight > 0.0 && left > 0.0 {
                *share = ((unseen as f64 * weight / left).round() as u64).min(unseen);
                unseen -= *share;
                left -= weight;
            }
        }
        let counts = match takers {
            0 | 1 => Counts::Exact,
            _ => Counts::Shared,
        };
        Some((shares, counts))
    }
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(seen: u64, may_have_more: bool, expected: f64) -> Claim {
        Claim {
            seen,
            may_have_more,
            expected,
            is_default: false,
        }
    }

    #[test]
    fn one_line_gets_all_that_was_pushed_and_not_seen() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.settle(Some(100), &[claim(0, true, 0.0)]), None);
        let settled = ledger.settle(Some(150), &[claim(7, false, 0.0), claim(3, true, 1.0)]);
        assert_eq!(settled, Some((vec![0, 40], Counts::Exact)));
    }

    #[test]
    fn what_the_lists_showed_before_the_count_did_is_not_counted_twice() {
        let mut ledger = Ledger::default();
        ledger.settle(Some(100), &[]);
        let lines = [claim(5, true, 1.0)];
        assert_eq!(ledger.settle(Some(103), &lines).unwrap().0, [0]);
        assert_eq!(ledger.settle(Some(110), &lines).unwrap().0, [0]);
        assert_eq!(ledger.settle(Some(120), &lines).unwrap().0, [5]);
    }

    #[test]
    fn a_line_never_seen_busy_gets_them_only_if_no_other_was() {
        let quiet = Claim {
            may_have_more: true,
            is_default: true,
            ..Claim::default()
        };
        let mut ledger = Ledger::default();
        ledger.settle(Some(0), &[]);
        let settled = ledger.settle(Some(10), &[quiet, quiet]);
        assert_eq!(settled, Some((vec![5, 5], Counts::Shared)));
        let settled = ledger.settle(Some(20), &[quiet, claim(0, true, 2.0)]);
        assert_eq!(settled, Some((vec![0, 10], Counts::Exact)));
        let settled = ledger.settle(Some(30), &[quiet; 40]).unwrap().0;
        assert_eq!(settled.iter().sum::<u64>(), 0);
    }

    proptest! {
        #[test]
        fn no_more_is_given_out_than_was_pushed(
            polls in prop::collection::vec((0u64..500, prop::collection::vec((0u64..50, any::<bool>(), 0.0..9.0f64, any::<bool>()), 0..6)), 1..40),
        ) {
            let (mut ledger, mut pushed, mut given, mut seen) = (Ledger::default(), 0, 0, 0);
            ledger.settle(Some(0), &[]);
            for (more, claims) in polls {
                let claims: Vec<Claim> = claims
                    .into_iter()
                    .map(|(seen, may_have_more, expected, is_default)| Claim { seen, may_have_more, expected, is_default })
                    .collect();
                pushed += more;
                seen += claims.iter().map(|claim| claim.seen).sum::<u64>();
                let (shares, _) = ledger.settle(Some(pushed), &claims).unwrap();
                given += shares.iter().sum::<u64>();
                prop_assert!(given <= pushed);
                for (claim, share) in claims.iter().zip(shares) {
                    prop_assert!(share == 0 || claim.may_have_more);
                }
            }
            prop_assert!(given + seen >= given);
        }
    }
}
