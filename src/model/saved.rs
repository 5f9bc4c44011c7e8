//! What is remembered of a broker's queues, written down for the next process and taken up by it.
//! Where that goes is not known here.

use super::flow::{FlowMemory, FlowSample, SavedFlow, Shift, age_up};
use super::observation::Window;
use super::{System, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// The broker's clock and ours may disagree by this much on how long nobody has watched.
const DISAGREEMENT_SECS: f64 = 1.0;

/// Knots written down for one broker: about 15 MB. The queues beyond begin anew.
const MAX_KNOTS: usize = 500_000;

/// The flow of all queues of a broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedFlows {
    /// A poll on both clocks: its age in microseconds, and the broker's time.
    clock: Option<(u64, i64)>,
    queues: Vec<SavedNamed>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SavedNamed {
    system: String,
    queue: String,
    flow: SavedFlow,
}

/// What an earlier process has left, until each queue is seen again.
#[derive(Debug)]
pub(super) struct Resumed {
    flows: HashMap<(System, Arc<str>), SavedFlow>,
    shift: Shift,
    /// The same instant on our clock and the broker's, until it has been compared with now.
    clock: Option<(f64, Timestamp)>,
}

// === impl SavedFlows ===

impl SavedFlows {
    /// `clock`: the end of the last poll, on our clock and the broker's.
    pub(super) fn new<'a>(
        now: f64,
        clock: Option<(f64, Timestamp)>,
        flows: impl Iterator<Item = (System, &'a Arc<str>, &'a FlowMemory)>,
    ) -> Self {
        let mut left = MAX_KNOTS;
        let queues = flows.filter_map(|(system, queue, flow)| {
            let flow = flow.save(now)?;
            left = left.checked_sub(flow.knots())?;
            Some(SavedNamed {
                system: system.as_str().to_owned(),
                queue: String::from(&**queue),
                flow,
            })
        });
        Self {
            queues: queues.collect(),
            clock: clock.map(|(ours, theirs)| (age_up(ours, now), theirs.micros())),
        }
    }

    pub fn queues(&self) -> usize {
        self.queues.len()
    }
}

// === impl Resumed ===

impl Resumed {
    /// Counters go on only where they are the last that anyone was shown: going on from older ones
    /// would look like a reset to a large number.
    pub(super) fn new(saved: SavedFlows, shift: Shift, with_counters: bool) -> Self {
        let flows = saved.queues.into_iter().filter_map(|named| {
            let system = System::ALL
                .into_iter()
                .find(|system| system.as_str() == named.system)?;
            let flow = match with_counters {
                true => named.flow,
                false => named.flow.without_counters(),
            };
            Some(((system, Arc::from(named.queue)), flow))
        });
        Self {
            flows: flows.collect(),
            clock: saved
                .clock
                .map(|(age, theirs)| (shift.likely(age), Timestamp::from_micros(theirs))),
            shift,
        }
    }

    /// The flow of a queue that is now seen for the first time.
    pub(super) fn take(
        &mut self,
        key: &(System, Arc<str>),
        sample: &FlowSample,
        window: Window,
        buckets: &Arc<[f64]>,
    ) -> Option<FlowMemory> {
        self.compare_clocks(sample, window);
        let saved = self.flows.remove(key)?;
        Some(FlowMemory::resume(&saved, &self.shift, buckets))
    }

    /// If the broker's clock says that another time has passed, one of the clocks was set meanwhile,
    /// and none of the old times means anything.
    fn compare_clocks(&mut self, sample: &FlowSample, window: Window) {
        let Some((ours, theirs)) = self.clock.take() else {
            return;
        };
        let ours = sample.span.to - ours;
        let theirs = window.to.as_secs_f64() - theirs.as_secs_f64();
        let doubt = (window.to.as_secs_f64() - window.from.as_secs_f64()).max(0.0);
        let is_same = (theirs - ours).abs() <= DISAGREEMENT_SECS + self.shift.doubt + doubt;
        if !is_same {
            self.flows.clear();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::flow::{Arrivals, FlowSample, LineHead, LineSample, Span};
    use super::super::{
        BrokerKind, BrokerState, Cost, Latency, Observation, PollSuccess, QueueSnapshot, Report,
    };
    use super::*;
    use std::time::Duration;

    fn broker() -> BrokerState {
        let second = Duration::from_secs(1);
        BrokerState::new("b".into(), BrokerKind::Redis, second, second)
    }

    /// A poll at `ours` on our clock and `theirs` on the broker's.
    fn poll(
        state: &mut BrokerState,
        ours: f64,
        theirs: i64,
        ready: u64,
        total: u64,
    ) -> QueueSnapshot {
        let at = Timestamp::from_micros(theirs * 1_000_000);
        let window = Window { from: at, to: at };
        let mut seen = Observation::new(System::List, "q".into(), window);
        seen.flow = Some(FlowSample {
            span: Span {
                from: ours,
                to: ours,
            },
            lines: vec![LineSample {
                line: 0,
                ready,
                arrivals: Arrivals {
                    total,
                    epoch: 1,
                    is_first: false,
                    turned_over: false,
                    is_pushed: true,
                    ..Arrivals::default()
                },
                started: None,
                head: LineHead::PLAIN,
            }],
        });
        state.apply(Report {
            broker: "b".into(),
            at: crate::clock::now(),
            interval: Duration::from_secs(1),
            cost: Cost::default(),
            outcome: Ok(PollSuccess {
                observations: vec![seen],
                ..PollSuccess::default()
            }),
        });
        state.snapshot().queues[0].clone()
    }

    /// A queue that 5 jobs came to between 100 and 101, 3 of which are left at 103.
    fn saved() -> SavedFlows {
        let mut state = broker();
        poll(&mut state, 100.0, 5000, 0, 0);
        poll(&mut state, 101.0, 5001, 5, 5);
        poll(&mut state, 103.0, 5003, 3, 5);
        let saved = serde_json::to_string(&state.save(104.0)).unwrap();
        serde_json::from_str(&saved).unwrap()
    }

    fn shift(gap: f64) -> Shift {
        Shift {
            now: 0.0,
            gap,
            doubt: 0.0,
        }
    }

    #[test]
    fn ages_go_on_and_counters_only_after_an_orderly_end() {
        for with_counters in [true, false] {
            let mut state = broker();
            state.resume(saved(), shift(60.0), with_counters);
            // 1 s until it was saved, 60 s nobody there, 2 s until the first poll.
            let queue = poll(&mut state, 2.0, 5066, 4, 6);
            let Latency::Known { age, .. } = queue.latency else {
                panic!("{:?}", queue.latency);
            };
            assert_eq!(age.min.as_secs_f64().round(), 65.0);
            assert_eq!(age.max.unwrap().as_secs_f64().round(), 66.0);
            let counted = (queue.counters.enqueued, queue.counters.started);
            let wanted = match with_counters {
                true => (Some(6), Some(2)),
                false => (Some(1), Some(0)),
            };
            assert_eq!(counted, wanted);
        }
    }

    #[test]
    fn a_gap_that_the_brokers_clock_does_not_confirm_makes_it_cold() {
        for gap in [0.0, 30.0, 90.0, 4000.0] {
            let mut state = broker();
            state.resume(saved(), shift(gap), true);
            let queue = poll(&mut state, 2.0, 5066, 4, 6);
            let is_bounded = match queue.latency {
                Latency::Known { age, .. } => age.max.is_some(),
                _ => false,
            };
            assert!(!is_bounded, "{gap}: {:?}", queue.latency);
        }
    }
}
