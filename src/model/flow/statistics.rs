//! Flow that comes from statistics which the broker keeps, and not from a look at the queue itself:
//! several samples may come at once, and the latest of them is older than the poll.

use super::queue::{FlowMemory, Settings};
use super::sample::{FlowSample, Span};
use super::view::FlowBasis;
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
    /// So many jobs at the head may have gone without having been counted.
    pub gone: u64,
    /// So many of these have gone most likely.
    pub likely_gone: u64,
    /// No job waits for longer.
    pub time_to_live: Option<Duration>,
    /// More jobs wait than the counts know of.
    pub uncounted: Option<Uncounted>,
    /// Among the arrivals of the latest sample are some that have come at any time since then, in
    /// seconds on the clock of the spans.
    pub added_since: Option<f64>,
    /// The queue itself has just said that nothing waits, whatever the older counts say.
    pub is_empty: bool,
    /// All of it has happened before the first poll: it tells how old jobs are, and is not counted.
    pub is_past: bool,
}

/// Jobs that wait and have not been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncounted {
    /// They may have been put back at the head, however old they are.
    PutBack,
    /// At the end of the poll none of them has waited for longer, where that is known.
    NoOlderThan(Option<Duration>),
}

impl FlowStatistics {
    /// The lower bound and the estimate, if what may be gone is.
    fn without_gone(&self, memory: &FlowMemory, age: Age) -> (Duration, Duration) {
        let longest = self.time_to_live.unwrap_or(Duration::MAX);
        let expired = match self.time_to_live {
            // Whatever may be older than that may have gone.
            Some(longest) if age.max.is_none_or(|max| max > longest) => memory.older_than(longest),
            _ => 0,
        };
        let gone = self.gone.max(expired);
        if gone == 0 {
            return (age.min, age.estimate);
        }
        let behind = |gone| memory.age_behind(gone);
        let min = behind(gone).map_or(Duration::ZERO, |age| age.min);
        let likely = behind(self.likely_gone.min(gone));
        let estimate = likely.map_or(Duration::ZERO, |age| age.estimate);
        (min.min(longest), estimate.min(longest))
    }

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
        let counts = self.is_past.then(|| memory.take_counts());
        let before = memory.started();
        // Of the starts that the broker has counted, those that no sample has shown yet.
        let left = |memory: &FlowMemory| Settings {
            starts: settings.starts.saturating_sub(memory.started() - before),
            ..*settings
        };
        for sample in &self.earlier {
            let settings = left(memory);
            memory.apply(sample, sample.span.on_brokers_clock(), &settings);
        }
        if let Some(since) = self.added_since {
            memory.distrust_arrivals_since(since);
        }
        let settings = left(memory);
        let counted = memory.apply(latest, window, &settings);
        if *self == Self::default() {
            return counted;
        }
        if let Some(counts) = counts {
            memory.set_counts(counts);
        }
        let latency = self.doubted(counted, latest, window, ready, memory);
        if let Latency::Known { age, .. } = latency
            && let Some(basis) = self.basis(age, counted == Latency::Empty)
        {
            memory.set_basis(basis, latest, window);
        }
        latency
    }

    /// What that age rests on, if not on what the counts alone tell.
    fn basis(&self, age: Age, is_uncounted: bool) -> Option<FlowBasis> {
        match (age.max, is_uncounted) {
            (None, _) => {
                let told = self.uncounted.and_then(Uncounted::basis);
                told.or(is_uncounted.then_some(FlowBasis::PutBack))
            }
            (Some(_), true) => Some(FlowBasis::Curve),
            (Some(_), false) => None,
        }
    }

    /// What is left of it with all that the counts do not tell.
    fn doubted(
        &self,
        latency: Latency,
        latest: &FlowSample,
        window: Window,
        ready: Option<u64>,
        memory: &FlowMemory,
    ) -> Latency {
        match latency {
            _ if self.is_empty => Latency::Empty,
            Latency::Known {
                age,
                since,
                source: LatencySource::Flow,
            } => {
                let (min, estimate) = self.without_gone(memory, age);
                let max = age.max.map(|max| max.saturating_add(self.age));
                let max = match self.uncounted {
                    None => max,
                    Some(Uncounted::PutBack) => None,
                    Some(Uncounted::NoOlderThan(most)) => max.zip(most).map(|(a, b)| a.max(b)),
                };
                // The model dates a sample by its end; its middle is likelier.
                let span = latest.span;
                let half = Duration::try_from_secs_f64((span.to - span.from) / 2.0);
                let estimate = estimate.saturating_sub(half.unwrap_or_default());
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
                let max = width.saturating_add(self.age);
                let max = match self.uncounted {
                    None => is_new.then_some(max),
                    Some(Uncounted::PutBack) => None,
                    Some(Uncounted::NoOlderThan(most)) => most.map(|most| most.max(max)),
                };
                Latency::Known {
                    age: Age {
                        estimate,
                        min: Duration::ZERO,
                        max,
                    },
                    since: window.to.minus(estimate),
                    source: LatencySource::Flow,
                }
            }
            other => other,
        }
    }
}

impl Uncounted {
    /// What they make of the age of the oldest job, if that has no upper bound any more.
    const fn basis(self) -> Option<FlowBasis> {
        match self {
            Self::PutBack => Some(FlowBasis::PutBack),
            Self::NoOlderThan(None) => Some(FlowBasis::Unknown),
            Self::NoOlderThan(Some(_)) => None,
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
