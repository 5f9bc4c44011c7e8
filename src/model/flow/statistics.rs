//! Flow that comes from statistics which the broker keeps, and not from a look at the queue itself:
//! several samples may come at once, and the latest of them is older than the poll.

use super::queue::{FlowMemory, Settings};
use super::sample::{FlowSample, Span};
use crate::model::latency::{Age, Latency, LatencySource};
use crate::model::{Timestamp, Window};
use std::time::Duration;

/// What goes with the latest sample of an observation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowStatistics {
    /// Samples since the last observation but for the latest, oldest first. Their spans are on the
    /// broker's clock.
    pub earlier: Vec<FlowSample>,
    /// How long before the end of the poll the latest sample may have been taken.
    pub age: Duration,
    /// The depth denies what the sample says: fewer jobs may be waiting than it thinks.
    pub may_hold_fewer: bool,
}

impl FlowStatistics {
    /// Takes all samples in turn. What comes out holds for the time of the latest; its upper bound
    /// also until the end of the poll, since a head can only be followed by a younger one.
    pub fn fold(
        &self,
        memory: &mut FlowMemory,
        latest: &FlowSample,
        window: Window,
        ready: Option<u64>,
        settings: &Settings<'_>,
    ) -> Latency {
        for sample in &self.earlier {
            memory.apply(sample, sample.span.on_brokers_clock(), settings);
        }
        let latency = memory.apply(latest, window, settings);
        if *self == Self::default() {
            return latency;
        }
        match latency {
            Latency::Known {
                age,
                since,
                source: LatencySource::Flow,
            } => {
                let min = if self.may_hold_fewer {
                    Duration::ZERO
                } else {
                    age.min
                };
                let max = age.max.map(|max| max.saturating_add(self.age));
                // The model dates a sample by its end; its middle is likelier.
                let span = latest.span;
                let half = Duration::try_from_secs_f64((span.to - span.from) / 2.0);
                let estimate = age.estimate.saturating_sub(half.unwrap_or_default());
                Latency::Known {
                    age: Age {
                        estimate: estimate.max(min),
                        min,
                        max,
                    },
                    since,
                    source: LatencySource::Flow,
                }
            }
            // What waits has come after the arrivals were counted.
            Latency::Empty if ready.is_some_and(|ready| ready > 0) => {
                let span = latest.span;
                let width = Duration::try_from_secs_f64(span.to - span.from).unwrap_or_default();
                let estimate = width / 2;
                // Unless it was there before and has been put back.
                let is_new = latest.lines.iter().all(|line| line.head.put_back == 0);
                Latency::Known {
                    age: Age {
                        estimate,
                        min: Duration::ZERO,
                        max: is_new.then_some(width.saturating_add(self.age)),
                    },
                    since: window.to.minus(estimate),
                    source: LatencySource::Flow,
                }
            }
            other => other,
        }
    }
}

impl Span {
    /// The same as a window, for a span that counts in seconds of the broker's clock.
    pub fn on_brokers_clock(self) -> Window {
        let at = |secs| Timestamp::from_secs_f64(secs).unwrap_or(Timestamp::from_micros(0));
        Window {
            from: at(self.from),
            to: at(self.to),
        }
    }
}
