//! When to poll and how much to take: `[defaults]` and the same keys of each broker.

use super::Poll;
use super::fault::Placed;
use super::reader::Table;
use crate::model::BrokerKind;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const SECOND: Duration = Duration::from_secs(1);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Poll {
    /// What is in force where nothing is written.
    pub fn default_for(kind: BrokerKind) -> Self {
        // RabbitMQ's own statistics change every 5 s, so asking more often shows nothing new.
        let (interval, timeout) = match kind {
            BrokerKind::Redis | BrokerKind::Simulated => (SECOND, 2 * SECOND),
            BrokerKind::RabbitMq => (5 * SECOND, 4 * SECOND),
        };
        Self {
            interval,
            timeout,
            stale_after: stale_after(interval, timeout),
            discovery_interval: 10 * SECOND,
            forget_after: HOUR,
            max_queues: 10_000,
            max_broker_cpu_ratio: 0.02,
            max_payload_bytes: MIB,
        }
    }
}

/// Three polls missed, or one that has used up all of its time.
fn stale_after(interval: Duration, timeout: Duration) -> Duration {
    (3 * interval).max(interval + timeout)
}

/// The keys as they are written, in one table.
#[derive(Default)]
pub(super) struct PollKeys {
    interval: Option<Placed<Duration>>,
    timeout: Option<Placed<Duration>>,
    stale_after: Option<Placed<Duration>>,
    discovery_interval: Option<Placed<Duration>>,
    forget_after: Option<Placed<Duration>>,
    max_queues: Option<Placed<u64>>,
    max_broker_cpu_ratio: Option<Placed<f64>>,
    max_payload_bytes: Option<Placed<u64>>,
}

impl PollKeys {
    /// `kind`: of the broker whose table it is; `None` for `[defaults]`.
    pub(super) fn read(table: &Table<'_>, kind: Option<BrokerKind>) -> Self {
        Self {
            interval: table.duration("interval", Duration::from_millis(100)..=HOUR),
            timeout: table.duration("timeout", Duration::from_millis(10)..=HOUR),
            stale_after: table.duration("stale_after", Duration::from_millis(100)..=DAY),
            discovery_interval: table.duration("discovery_interval", SECOND..=DAY),
            forget_after: table.duration("forget_after", SECOND..=YEAR),
            max_queues: table.integer("max_queues", 1..=1_000_000),
            // What a request costs RabbitMQ is not known.
            max_broker_cpu_ratio: match kind {
                Some(BrokerKind::RabbitMq) => None,
                Some(BrokerKind::Redis | BrokerKind::Simulated) | None => {
                    table.share("max_broker_cpu_ratio")
                }
            },
            max_payload_bytes: table.integer("max_payload_bytes", KIB..=64 * MIB),
        }
    }

    /// What holds for the broker of `table`: its own keys, else those in `[defaults]`, else the
    /// built-in ones.
    pub(super) fn resolve(self, defaults: &Self, kind: BrokerKind, table: &Table<'_>) -> Poll {
        fn pick<T: Copy>(own: Option<&Placed<T>>, shared: Option<&Placed<T>>, built_in: T) -> T {
            own.or(shared).map_or(built_in, |placed| placed.value)
        }
        let built_in = Poll::default_for(kind);
        let interval = pick(
            self.interval.as_ref(),
            defaults.interval.as_ref(),
            built_in.interval,
        );
        let timeout = pick(
            self.timeout.as_ref(),
            defaults.timeout.as_ref(),
            built_in.timeout,
        );
        let stale = self.stale_after.as_ref().or(defaults.stale_after.as_ref());
        if let Some(stale) = stale
            && stale.value < interval
        {
            let interval = humantime::format_duration(interval);
            let whose = if self.stale_after.is_some() {
                String::new()
            } else {
                format!(" of {}", table.at().path)
            };
            table.notes.fault(
                &stale.at,
                format!("must not be shorter than the interval{whose}, {interval}"),
            );
        }
        let max_queues = self.max_queues.as_ref().or(defaults.max_queues.as_ref());
        Poll {
            interval,
            timeout,
            stale_after: stale.map_or_else(|| stale_after(interval, timeout), |stale| stale.value),
            discovery_interval: pick(
                self.discovery_interval.as_ref(),
                defaults.discovery_interval.as_ref(),
                built_in.discovery_interval,
            ),
            forget_after: pick(
                self.forget_after.as_ref(),
                defaults.forget_after.as_ref(),
                built_in.forget_after,
            ),
            max_queues: max_queues
                .and_then(|placed| usize::try_from(placed.value).ok())
                .unwrap_or(built_in.max_queues),
            max_broker_cpu_ratio: pick(
                self.max_broker_cpu_ratio.as_ref(),
                defaults.max_broker_cpu_ratio.as_ref(),
                built_in.max_broker_cpu_ratio,
            ),
            max_payload_bytes: pick(
                self.max_payload_bytes.as_ref(),
                defaults.max_payload_bytes.as_ref(),
                built_in.max_payload_bytes,
            ),
        }
    }
}
