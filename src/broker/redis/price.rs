//! What a read costs the server, from a list of prices: asking the server itself needs rights that a
//! watcher should not have, and would count what others cost along with us.
//!
//! Measured on Redis 7.0.15 as CPU time of its process over 100,000 pipelined commands of a kind,
//! with parsing and reply (`LLEN` 0.23–0.40 µs, `LINDEX` of 900 bytes 0.7, `HMGET` of two fields 0.5,
//! a pipeline of one 22, `LPOS` 0.017 an element), then about doubled: a slower server must not cost
//! more than we say.

use super::schedule::Activity;
use crate::layout::redis::{Read, Reply, Side};
use std::time::Duration;

/// What a pipeline costs besides its commands.
pub(super) const ROUND_TRIP: Duration = Duration::from_micros(30);

/// One item of an array, and a byte of payload.
const ITEM: u64 = 150;
const BYTE: u64 = 1;

/// One element that `LPOS` looks at.
const LOOKED_AT: u64 = 50;

/// How much of a new price is believed at once.
const WEIGHT: f64 = 0.2;

/// What a poll has cost of late, for one layout: which reads a queue takes depends on what is in it,
/// so what is read alike is priced alike.
#[derive(Debug, Default)]
pub(super) struct Prices {
    /// What concerns all queues together.
    overview: Option<Duration>,
    active: Option<Duration>,
    quiet: Option<Duration>,
    /// Of queues read for the first time, of either kind.
    mixed: Option<Duration>,
}

impl Prices {
    pub(super) fn overview(&self) -> Duration {
        self.overview.unwrap_or_default()
    }

    /// What one queue costs a poll; nothing as long as nothing is known.
    pub(super) fn of_queue(&self, activity: Activity) -> Duration {
        let known = match activity {
            Activity::Active => self.active,
            Activity::Quiet => self.quiet,
            Activity::Unread => None,
        };
        known.or(self.mixed).unwrap_or_default()
    }

    pub(super) fn learn_overview(&mut self, spent: Duration) {
        blend(&mut self.overview, spent);
    }

    /// Takes in what so many queues have cost together.
    pub(super) fn learn(&mut self, activity: Activity, spent: Duration, queues: usize) {
        let queues = u32::try_from(queues).unwrap_or(u32::MAX);
        let Some(each) = spent.checked_div(queues) else {
            return;
        };
        let price = match activity {
            Activity::Active => &mut self.active,
            Activity::Quiet => &mut self.quiet,
            Activity::Unread => &mut self.mixed,
        };
        blend(price, each);
    }
}

/// Moves a price towards what has just been paid.
fn blend(price: &mut Option<Duration>, paid: Duration) {
    *price = Some(price.map_or(paid, |old| old.mul_f64(1.0 - WEIGHT) + paid.mul_f64(WEIGHT)));
}

/// What one round of reads and its replies have cost.
pub(super) fn of_round(reads: &[Read], replies: &[Reply]) -> Duration {
    let nanos: u64 = reads
        .iter()
        .zip(replies)
        .map(|(read, reply)| of_read(read, reply) + of_reply(reply))
        .sum();
    ROUND_TRIP + Duration::from_nanos(nanos)
}

/// In nanoseconds, but for what is sent back.
fn of_read(read: &Read, reply: &Reply) -> u64 {
    match read {
        Read::Llen(_)
        | Read::Hlen(_)
        | Read::Scard(_)
        | Read::Zcard(_)
        | Read::Exists(_)
        | Read::Type(_)
        | Read::Pttl(_)
        | Read::Xlen(_) => 500,
        Read::MemoryUsage(_) | Read::Hstrlen(..) | Read::Hget(..) | Read::Getrange(..) => 600,
        Read::Lindex(..) | Read::Zrange(..) | Read::ZrangeLast(..) | Read::Zcount(..) => 800,
        Read::Hmget(..)
        | Read::Smembers(_)
        | Read::Hgetall(_)
        | Read::ZrangeByScore { .. }
        | Read::XinfoGroups(_) => 1000,
        Read::XinfoStream(_)
        | Read::XpendingFirst(..)
        | Read::XrangeAfter(..)
        | Read::XrangeFrom(..)
        | Read::XrevrangeLast(_) => 2000,
        // It reads what it sends, so its elements are counted there; each is a walk in the list.
        Read::Lrange(..) => 2000,
        Read::Lpos { from, limit, .. } => {
            let limit = u64::from(limit.get());
            let looked_at = match (from, reply) {
                (Side::Left, Reply::Array(found)) => match found.as_slice() {
                    [Reply::Int(at)] => u64::try_from(*at).unwrap_or(0).min(limit),
                    _ => limit,
                },
                // Where the list ends is not known here.
                _ => limit,
            };
            1000 + LOOKED_AT * looked_at
        }
        Read::Atomic(_, within) => {
            let replies: &[Reply] = match reply {
                Reply::Array(replies) | Reply::Loose(replies) => replies,
                _ => &[],
            };
            let each = within.iter().enumerate().map(|(index, read)| {
                // Queued first, so it is answered twice.
                300 + of_read(read, replies.get(index).unwrap_or(&Reply::Nil))
            });
            1000 + each.sum::<u64>()
        }
    }
}

fn of_reply(reply: &Reply) -> u64 {
    match reply {
        Reply::Nil | Reply::Int(_) | Reply::Refused(_) => 0,
        Reply::Bytes(bytes) => bytes.len() as u64 * BYTE,
        Reply::Array(items) | Reply::Loose(items) => {
            items.iter().map(|item| ITEM + of_reply(item)).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::redis::Bytes;
    use std::num::NonZeroU32;

    fn key() -> Bytes {
        b"q".as_slice().into()
    }

    #[test]
    fn ten_thousand_empty_celery_queues_cost_a_fiftieth_of_a_second() {
        // 20 chunks of 500 queues with four lists.
        let reads = vec![Read::Llen(key()); 2000];
        let replies = vec![Reply::Int(0); 2000];
        let all = of_round(&reads, &replies) * 20;
        assert_eq!(all, Duration::from_micros(20 * 1030));
    }

    #[test]
    fn a_search_costs_what_it_has_looked_at() {
        let search = |from| Read::Lpos {
            key: key(),
            element: key(),
            from,
            matches: NonZeroU32::MIN,
            limit: NonZeroU32::new(2112).unwrap(),
        };
        let price = |read: &Read, reply| of_read(read, &reply);
        let at = |index| Reply::Array(vec![Reply::Int(index)]);
        assert_eq!(price(&search(Side::Left), at(10)), 1500);
        assert_eq!(price(&search(Side::Left), at(99_999)), 106_600);
        assert_eq!(price(&search(Side::Left), Reply::Array(vec![])), 106_600);
        assert_eq!(price(&search(Side::Right), at(10)), 106_600);
        let both = Read::Atomic(key(), vec![Read::Llen(key()), search(Side::Left)]);
        let reply = Reply::Array(vec![Reply::Int(99), at(10)]);
        assert_eq!(price(&both, reply), 1000 + 800 + 1800);
    }

    #[test]
    fn prices_follow_what_is_paid() {
        let micros = Duration::from_micros;
        let mut prices = Prices::default();
        assert_eq!(prices.of_queue(Activity::Quiet), Duration::ZERO);
        prices.learn(Activity::Unread, micros(4000), 1000);
        assert_eq!(prices.of_queue(Activity::Quiet), micros(4));
        assert_eq!(prices.of_queue(Activity::Active), micros(4));
        prices.learn(Activity::Quiet, micros(2000), 1000);
        prices.learn(Activity::Active, micros(0), 0);
        assert_eq!(prices.of_queue(Activity::Quiet), micros(2));
        assert_eq!(prices.of_queue(Activity::Active), micros(4));
        prices.learn(Activity::Quiet, micros(3000), 1000);
        assert_eq!(prices.of_queue(Activity::Quiet), Duration::from_nanos(2200));
    }

    #[test]
    fn what_is_sent_back_is_paid_by_the_byte() {
        let large = Reply::Array(vec![Reply::Bytes(vec![0; 1000]), Reply::Nil]);
        assert_eq!(of_reply(&large), 2 * ITEM + 1000);
    }
}
