//! The clocks of other hosts, as far as the times in their events tell.
//!
//! An event arrives after it was made. So the least difference between arrival and the time in the
//! event is how far our clock is ahead, plus the shortest delay. A host that is ahead of us is
//! certain: its events seem to come from the future. One that is behind looks like one whose events
//! are late, and is only believed beyond [`DELAY`] and after [`SETTLED`]: after a standstill of ours
//! everything comes late, and a host of which that is the first would seem to be behind.

use crate::model::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// Workers keep events back for up to a second.
pub(super) const DELAY: Duration = Duration::from_secs(2);

/// For so long is a host listened to before it is believed to be behind.
const SETTLED: Duration = Duration::from_secs(10);

/// A clock may be set: what was seen longer ago does not count.
const WINDOW: Duration = Duration::from_secs(60);

/// Hosts that are told apart; the clocks of further ones are taken as they are.
const MAX_HOSTS: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Clocks {
    hosts: HashMap<u64, HostClock>,
}

/// How much later than its time an event arrives at least, in microseconds.
#[derive(Debug)]
struct HostClock {
    heard: Timestamp,
    since: Timestamp,
    least: i64,
    least_before: i64,
}

impl Clocks {
    /// The correction of times from this host, after an event of the time `at` arrived at `now`; none
    /// as long as nobody can say.
    pub(super) fn correction(&mut self, host: u64, at: Timestamp, now: Timestamp) -> Option<i64> {
        let late = now.micros().saturating_sub(at.micros());
        if !self.hosts.contains_key(&host) && self.hosts.len() >= MAX_HOSTS {
            self.hosts
                .retain(|_, clock| clock.since.age_at(now) <= WINDOW * 2);
            if self.hosts.len() >= MAX_HOSTS {
                return Some(0);
            }
        }
        let clock = self.hosts.entry(host).or_insert(HostClock {
            heard: now,
            since: now,
            least: late,
            least_before: i64::MAX,
        });
        if clock.since.age_at(now) > WINDOW {
            clock.least_before = clock.least;
            (clock.since, clock.least) = (now, late);
        }
        clock.least = clock.least.min(late);
        let least = clock.least.min(clock.least_before);
        let delay = i64::try_from(DELAY.as_micros()).unwrap_or(i64::MAX);
        match least {
            ..0 => Some(least),
            least if least <= delay => Some(0),
            least => (clock.heard.age_at(now) >= SETTLED).then_some(least),
        }
    }
}

/// The host in the name of a process.
pub(super) fn host_of(sender: &str) -> &str {
    sender.rsplit('@').next().unwrap_or(sender)
}

pub(super) fn moved(at: Timestamp, correction: i64) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(correction))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: f64) -> Timestamp {
        Timestamp::from_secs_f64(1_795_000_000.0 + secs).unwrap()
    }

    #[test]
    fn delays_are_no_other_clock_and_the_future_is() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.correction(1, at(10.0), at(10.9)), Some(0));
        // Five seconds ahead, then behind.
        assert_eq!(clocks.correction(2, at(15.0), at(10.0)), Some(-5_000_000));
        assert_eq!(clocks.correction(2, at(15.5), at(11.0)), Some(-5_000_000));
        assert_eq!(clocks.correction(3, at(5.0), at(10.0)), None);
        assert_eq!(clocks.correction(3, at(14.9), at(19.9)), None);
        assert_eq!(clocks.correction(3, at(15.0), at(20.6)), Some(5_000_000));
    }

    #[test]
    fn what_comes_late_because_we_stood_still_is_no_clock_that_is_behind() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.correction(1, at(0.0), at(0.1)), Some(0));
        // We stand still for 90 s. Then all comes at once, also of a host that was not heard before.
        for sent in [5.0, 40.0] {
            assert_eq!(clocks.correction(1, at(sent), at(90.0)), Some(0));
            assert_eq!(clocks.correction(2, at(sent), at(90.1)), None);
        }
        for host in [1, 2] {
            assert_eq!(clocks.correction(host, at(92.0), at(92.1)), Some(0));
            assert_eq!(clocks.correction(host, at(200.0), at(200.1)), Some(0));
        }
    }

    #[test]
    fn a_clock_that_was_set_is_believed_after_a_while() {
        let mut clocks = Clocks::default();
        clocks.correction(1, at(15.0), at(10.0));
        for minute in 1..4 {
            clocks.correction(
                1,
                at(f64::from(minute) * 61.0),
                at(f64::from(minute) * 61.0),
            );
        }
        assert_eq!(clocks.correction(1, at(300.0), at(300.0)), Some(0));
    }

    #[test]
    fn hosts_are_bounded() {
        let mut clocks = Clocks::default();
        for host in 0..5000 {
            clocks.correction(host, at(0.0), at(1.0));
        }
        assert_eq!(clocks.hosts.len(), MAX_HOSTS);
        clocks.correction(9999, at(0.0), at(900.0));
        assert_eq!(clocks.hosts.len(), 1);
    }
}
