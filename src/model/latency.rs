//! How old the oldest waiting job is, with hard bounds, or why nobody can tell.

use super::Timestamp;
use super::observation::{Head, Window};
use std::time::Duration;

/// Where a latency comes from. The `source` label of `tailback_queue_source_info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LatencySource {
    /// A time that the job itself carries.
    Message,
    /// A time that the broker keeps for the job.
    Broker,
    /// Inferred from how many jobs arrive and leave.
    Flow,
    /// Nothing that tells it.
    None,
}

impl LatencySource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Broker => "broker",
            Self::Flow => "flow",
            Self::None => "none",
        }
    }
}

/// An age with its bounds. `max` is absent where only a lower bound is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Age {
    pub estimate: Duration,
    pub min: Duration,
    pub max: Option<Duration>,
}

/// The age of the oldest job that could be taken now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Nothing waits: zero, exactly.
    Empty,
    Known {
        age: Age,
        since: Timestamp,
        source: LatencySource,
    },
    Unknown(Reason),
}

/// Why a latency is not known. Closed, so that the JSON API can explain every `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Neither the job nor the broker keeps a time for it.
    NoTimestamp,
    /// The oldest job was there before anything was known of the queue.
    NotWatchedYet,
    /// Jobs were put back at the head, in an order that cannot be seen.
    PutBack,
    /// Jobs were taken from elsewhere than the head.
    TakenOutOfOrder,
    /// The ids at the head name jobs that no longer exist.
    HeadMissing,
    /// The broker refused to show the head.
    NotPermitted,
    /// The broker refused to show what workers do.
    WorkNotPermitted,
    /// The head is larger than `max_payload_bytes`, so it was not fetched.
    PayloadTooLarge,
    /// What workers write of themselves is not what the job system writes.
    WorkUndecodable,
    /// The head is not what the job system writes.
    Undecodable,
    /// More messages are unacknowledged than are attributed to their queues.
    TooManyUnacknowledged,
    /// An unacknowledged message could not be attributed to its queue.
    UnacknowledgedUnreadable,
    /// All jobs looked at are due later; there may be waiting ones behind them.
    OnlyScheduledSeen,
    /// The broker has not reported the number of waiting jobs yet.
    NotReported,
    /// Neither time nor position of the head can be read.
    PositionsNotReadable,
    /// Jobs are counted by their positions, which cannot be read.
    CountsNotReadable,
    /// Jobs carry no time, and the broker's counts of them, from which it could be inferred, are not
    /// to be had.
    NotCounted,
    /// The broker's counts are not to be had.
    CountsNotKept,
    /// Redis does not know how many entries a group was given.
    ReadUnknown,
    /// Redis does not know how far a group is behind, and too many entries wait to be counted.
    LagUnknown,
    /// The broker's time for the head also covers jobs that are being worked on.
    IncludesUnacknowledged,
    /// More workers, jobs at work or groups than are looked at.
    TooMany,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoTimestamp => "neither the job nor the broker keeps an enqueue time",
            Self::NotWatchedYet => {
                "the oldest job was there before tailback had seen the queue, and has no time of its own"
            }
            Self::PutBack => {
                "jobs without a time of their own were put back at the head, in an order that is not visible"
            }
            Self::TakenOutOfOrder => {
                "jobs without a time of their own are taken out of the order of their arrival, or may be"
            }
            Self::HeadMissing => "the ids at the head of the queue name jobs that no longer exist",
            Self::NotPermitted => {
                "the broker does not let tailback read the oldest job: a right is missing, which \
                 `tailback check` names"
            }
            Self::WorkNotPermitted => {
                "the broker does not let tailback read what workers do: a right is missing, which \
                 `tailback check` names"
            }
            Self::PayloadTooLarge => "the oldest job is larger than max_payload_bytes",
            Self::Undecodable => "the oldest job is not in the job system's format",
            Self::WorkUndecodable => "what workers write is not in the job system's format",
            Self::TooManyUnacknowledged => {
                "more messages are unacknowledged than celery.unacked_limit"
            }
            Self::UnacknowledgedUnreadable => {
                "an unacknowledged message could not be attributed to its queue"
            }
            Self::OnlyScheduledSeen => "all jobs at the head of the queue are due later",
            Self::NotReported => "the broker has not reported the queue's depth yet",
            Self::PositionsNotReadable => {
                "the oldest job shows no time, and positions in the list cannot be read: that needs \
                 the rights llen, lindex, and lpos or lrange"
            }
            Self::CountsNotReadable => {
                "jobs are counted by their positions in the list, which cannot be read: that needs \
                 the rights llen, lindex, and lpos or lrange"
            }
            Self::TooMany => {
                "there are more workers, jobs at work or groups than tailback looks at"
            }
            Self::NotCounted => {
                "jobs carry no time, and the broker does not count them for tailback: \
                 management.rates_mode is none, statistics are switched off, or there is no \
                 management API"
            }
            Self::CountsNotKept => {
                "the broker does not count messages for tailback: management.rates_mode is none, \
                 statistics are switched off, or there is no management API"
            }
            Self::ReadUnknown => {
                "Redis does not know how many entries the group was given: entries were deleted, its \
                 position was set, or Redis is older than 7"
            }
            Self::LagUnknown => {
                "Redis does not know the lag of the group (entries were deleted, its position was \
                 set, or Redis is older than 7), and more wait than tailback counts one by one"
            }
            Self::IncludesUnacknowledged => {
                "the broker's head time includes jobs that are being worked on"
            }
        }
    }
}

impl Latency {
    /// "At least zero" is no knowledge: then it is unknown, for the reason that `head` gives, or
    /// `otherwise`.
    #[must_use]
    pub fn or_unknown(self, head: Head, otherwise: Reason) -> Self {
        match self {
            Self::Known { age, .. } if age.max.is_none() && age.estimate.is_zero() => {
                Self::Unknown(match head {
                    Head::Unknown(reason) if reason != Reason::NoTimestamp => reason,
                    _ => otherwise,
                })
            }
            known => known,
        }
    }

    /// The latency as of a read that happened somewhere inside `window`, on the same clock as the
    /// head's times.
    pub fn from_head(head: Head, window: Window) -> Self {
        match head {
            Head::Empty => Self::Empty,
            Head::Unknown(reason) => Self::Unknown(reason),
            Head::Since {
                earliest,
                latest,
                upper_is_hard,
                source,
            } => {
                // A job cannot have become claimable after it was seen waiting: a later time is
                // clock skew, and its age is zero.
                let since = latest.min(window.to);
                let max = earliest.age_at(window.to);
                let min = latest.age_at(window.from);
                let estimate = since.age_at(window.to).clamp(min, max.max(min));
                let max = upper_is_hard.then_some(max.max(estimate));
                Self::Known {
                    age: Age { estimate, min, max },
                    since,
                    source,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    /// The age, and since when, as of a poll in this window.
    fn seen(head: Head, from: Timestamp, to: Timestamp) -> (Age, Timestamp) {
        match Latency::from_head(head, Window { from, to }) {
            Latency::Known { age, since, .. } => (age, since),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_whole_second_timestamp_leaves_a_second_of_doubt() {
        let head = Head::Since {
            earliest: at(100),
            latest: at(101),
            upper_is_hard: true,
            source: LatencySource::Broker,
        };
        let (age, _) = seen(head, at(110), at(112));
        assert_eq!(age.min, Duration::from_secs(9));
        assert_eq!(age.max, Some(Duration::from_secs(12)));
    }

    #[test]
    fn a_producer_whose_clock_is_ahead_gives_zero_and_not_a_negative_age() {
        let head = Head::exactly(at(500), LatencySource::Message);
        let (age, since) = seen(head, at(110), at(112));
        assert_eq!((age.estimate, age.min), (Duration::ZERO, Duration::ZERO));
        assert_eq!(since, at(112));
    }

    #[test]
    fn at_least_zero_is_unknown_and_not_zero() {
        let known = |estimate: u64, max: Option<u64>| Latency::Known {
            age: Age {
                estimate: Duration::from_secs(estimate),
                min: Duration::from_secs(estimate),
                max: max.map(Duration::from_secs),
            },
            since: at(0),
            source: LatencySource::None,
        };
        let head = Head::Unknown(Reason::PayloadTooLarge);
        assert_eq!(
            known(0, None).or_unknown(head, Reason::NotWatchedYet),
            Latency::Unknown(Reason::PayloadTooLarge)
        );
        assert_eq!(
            known(0, Some(0)).or_unknown(head, Reason::PutBack),
            known(0, Some(0))
        );
        assert_eq!(
            known(5, None).or_unknown(head, Reason::PutBack),
            known(5, None)
        );
    }

    proptest! {
        #[test]
        fn the_bounds_are_in_order(a in 0i64..1000, b in 0i64..1000, c in 0i64..1000, d in 0i64..1000) {
            let head = Head::Since {
                earliest: at(a.min(b)),
                latest: at(a.max(b)),
                upper_is_hard: true,
                source: LatencySource::Message,
            };
            let (age, _) = seen(head, at(c.min(d)), at(c.max(d)));
            prop_assert!(age.min <= age.estimate);
            prop_assert!(age.estimate <= age.max.unwrap());
        }
    }
}
