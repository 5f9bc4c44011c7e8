//! Since when the oldest job of a list waits, by the times that the first few jobs carry.

use crate::model::{Head, LatencySource, Reason, Timestamp};
use std::time::Duration;

/// Several producers stamp a job before they push it, each by its own clock, so neighbours may be
/// out of order by a little. A job that was put back in front is out of order by more.
const JITTER: Duration = Duration::from_secs(1);

/// The first jobs of a list, next to run first: between which times each became claimable, or `None`
/// where it does not tell. If they are in the order of their times, those behind them are not older;
/// else `latest` of the oldest seen is all that is certain.
pub(crate) fn oldest(jobs: &[Option<(Timestamp, Timestamp)>], source: LatencySource) -> Head {
    let known = || jobs.iter().flatten().copied();
    let Some((earliest, latest)) = known().min_by_key(|(_, latest)| *latest) else {
        return Head::Unknown(Reason::NoTimestamp);
    };
    let mut youngest = earliest;
    let mut disorder = Duration::ZERO;
    for (from, _) in known() {
        disorder = disorder.max(from.age_at(youngest));
        youngest = youngest.max(from);
    }
    Head::Since {
        earliest: earliest.minus(disorder.min(JITTER)),
        latest,
        upper_is_hard: disorder <= JITTER && jobs.iter().all(Option::is_some),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(millis: &[Option<i64>]) -> (i64, i64, bool) {
        let at = |millis| Timestamp::from_micros(millis * 1000);
        let jobs: Vec<_> = millis.iter().map(|m| m.map(|m| (at(m), at(m)))).collect();
        let Head::Since {
            earliest,
            latest,
            upper_is_hard,
            ..
        } = oldest(&jobs, LatencySource::Message)
        else {
            panic!("known");
        };
        (
            earliest.micros() / 1000,
            latest.micros() / 1000,
            upper_is_hard,
        )
    }

    #[test]
    fn jobs_in_order_bound_the_oldest_from_both_sides() {
        assert_eq!(
            head(&[Some(5000), Some(5000), Some(9000)]),
            (5000, 5000, true)
        );
        assert_eq!(head(&[Some(5000)]), (5000, 5000, true));
    }

    #[test]
    fn two_producers_clocks_widen_the_bounds_by_what_they_differ() {
        assert_eq!(head(&[Some(5300), Some(5000)]), (4700, 5000, true));
    }

    #[test]
    fn behind_jobs_in_no_order_an_older_one_may_be_anywhere() {
        assert_eq!(head(&[Some(9000), Some(5000)]), (4000, 5000, false));
        assert_eq!(head(&[None, Some(5000)]), (5000, 5000, false));
        assert_eq!(
            oldest(&[None, None], LatencySource::Message),
            Head::Unknown(Reason::NoTimestamp)
        );
    }

    proptest! {
        #[test]
        fn the_oldest_seen_is_within_the_bounds(
            times in prop::collection::vec(prop::option::of(0i64..1_000_000), 1..8)
        ) {
            prop_assume!(times.iter().any(Option::is_some));
            let (earliest, latest, _) = head(&times);
            let oldest = times.iter().flatten().min().copied().unwrap();
            prop_assert!(earliest <= oldest && latest == oldest);
        }
    }
}
