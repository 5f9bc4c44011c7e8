//! Arrivals, backlog and what is missing.

mod service;

use super::*;
use crate::clock;
use crate::model::System;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

const OBJECTIVE: Objective = Objective {
    wait: Duration::from_secs(30),
    ratio: 0.99,
    utilization: 0.95,
    slots_per_worker: 1,
    service_time: None,
};

fn queue() -> QueueSnapshot {
    let mut queue = QueueSnapshot::new(System::Rq, "q".into(), clock::now(), SECOND);
    queue.jobs.ready = Some(0);
    queue.objective = Some(OBJECTIVE);
    queue
}

/// A queue that is polled, by default every second.
struct Watched {
    memory: DemandMemory,
    now: QueueSnapshot,
}

impl Watched {
    fn new(first: impl FnOnce(&mut QueueSnapshot)) -> Self {
        let mut watched = Self {
            memory: DemandMemory::default(),
            now: queue(),
        };
        first(&mut watched.now);
        watched.fold();
        watched
    }

    fn poll(&mut self, after: Duration, change: impl FnOnce(&mut QueueSnapshot)) {
        self.now.observed.mono += after;
        change(&mut self.now);
        self.fold();
    }

    fn polls(&mut self, times: u32, mut change: impl FnMut(&mut QueueSnapshot)) {
        (0..times).for_each(|_| self.poll(SECOND, &mut change));
    }

    fn fold(&mut self) {
        self.now.demand = self.memory.fold(&self.now);
    }

    fn required(&self) -> Result<f64, DemandUnknown> {
        self.now.required_slots(None)
    }

    fn service(&self) -> Option<(f64, ServiceSource)> {
        let time = self.now.demand.service_time?;
        Some((time.secs, time.source))
    }
}

fn configured(secs: u64) -> Option<Objective> {
    Some(Objective {
        service_time: Some(Duration::from_secs(secs)),
        ..OBJECTIVE
    })
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    /// Exponential with the mean 1.
    fn exponential(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1);
        -(1.0 - (self.0 >> 33) as f64 / (1_u64 << 31) as f64).ln()
    }
}

fn near(found: f64, wanted: f64, share: f64) -> bool {
    (found - wanted).abs() <= wanted * share
}

#[test]
fn both_terms_add_up_and_a_deadline_may_be_given() {
    let mut watched = Watched::new(|queue| {
        queue.objective = configured(3);
        queue.counters.enqueued = Some(1000);
    });
    watched.polls(100, |queue| {
        *queue.counters.enqueued.as_mut().unwrap() += 2;
        queue.jobs.ready = Some(60);
    });
    let steady = 2.0 * 3.0 / 0.95;
    assert!(near(watched.required().unwrap(), steady + 6.0, 1e-9));
    let sooner = watched.now.required_slots(Some(10 * SECOND));
    assert!(near(sooner.unwrap(), steady + 18.0, 1e-9));
    watched.now.jobs.ready = Some(0);
    assert!(near(watched.required().unwrap(), steady, 1e-9));
}

#[test]
fn what_is_missing_is_said() {
    let mut watched = Watched::new(|queue| queue.objective = None);
    assert_eq!(watched.required(), Err(DemandUnknown::NoObjective));
    watched.poll(SECOND, |queue| queue.objective = Some(OBJECTIVE));
    assert_eq!(watched.required(), Err(DemandUnknown::NotCounted));
    watched.poll(SECOND, |queue| queue.counters.enqueued = Some(7));
    // What was there before the first poll has not come since.
    assert_eq!(watched.now.demand.arrivals, Some(0.0));
    assert_eq!(watched.required(), Err(DemandUnknown::NotWarm));
    // One more than a minute has: their spans add up to it but for rounding.
    watched.polls(61, |_| {});
    assert_eq!(watched.required(), Err(DemandUnknown::NoServiceTime));
    watched.poll(SECOND, |queue| queue.objective = configured(3));
    assert_eq!(watched.required(), Ok(0.0));
    watched.poll(SECOND, |queue| queue.jobs.ready = None);
    assert_eq!(watched.required(), Err(DemandUnknown::DepthUnknown));
}

#[test]
fn workers_are_needed_while_anything_waits_or_runs() {
    let with = |ready, at_least, in_progress, busy| {
        let mut queue = queue();
        (queue.jobs.ready, queue.ready_at_least) = (ready, at_least);
        (queue.jobs.in_progress, queue.busy_workers) = (in_progress, busy);
        queue.unfinished_jobs()
    };
    assert_eq!(with(Some(3), None, Some(2), None), Some(5));
    assert_eq!(with(Some(0), None, Some(0), None), Some(0));
    // A worker at work whose job is not counted, or the other way round.
    assert_eq!(with(Some(0), None, Some(0), Some(2)), Some(2));
    assert_eq!(with(Some(0), None, Some(3), Some(2)), Some(3));
    // Something is seen though not all of it.
    assert_eq!(with(None, Some(7), None, None), Some(7));
    assert_eq!(with(Some(1), None, None, None), Some(1));
    assert_eq!(with(None, None, Some(1), None), Some(1));
    // Nothing is seen, and there may be something.
    assert_eq!(with(Some(0), None, None, None), None);
    assert_eq!(with(None, Some(0), Some(0), None), None);
    assert_eq!(with(None, None, None, None), None);
}

#[test]
fn an_outage_is_no_lull() {
    let mut watched = Watched::new(|queue| queue.counters.enqueued = Some(0));
    let busy = |queue: &mut QueueSnapshot| *queue.counters.enqueued.as_mut().unwrap() += 10;
    watched.polls(300, busy);
    watched.poll(600 * SECOND, |_| {});
    watched.poll(SECOND, busy);
    assert!(near(watched.now.demand.arrivals.unwrap(), 10.0, 1e-9));
    // Long intervals are no outage.
    let mut slow = Watched::new(|queue| {
        queue.counters.enqueued = Some(0);
        queue.interval = 300 * SECOND;
    });
    slow.poll(300 * SECOND, |queue| queue.counters.enqueued = Some(600));
    assert!(slow.now.demand.is_warm);
    assert!(near(slow.now.demand.arrivals.unwrap(), 2.0, 1e-9));
}

#[test]
fn arrivals_are_those_of_some_five_minutes() {
    let mut watched = Watched::new(|queue| queue.counters.enqueued = Some(0));
    watched.polls(3600, |_| {});
    watched.poll(SECOND, |queue| queue.counters.enqueued = Some(3000));
    assert!(near(watched.now.demand.arrivals.unwrap(), 10.0, 0.01));
    // A fan-out does not keep coming.
    watched.polls(60, |_| {});
    assert!(watched.now.demand.arrivals.unwrap() > 8.0);
    watched.polls(240, |_| {});
    assert!(watched.now.demand.arrivals.unwrap() < 0.8);
    watched.polls(1800, |_| {});
    assert!(watched.now.demand.arrivals.unwrap() < 0.02);
}

#[test]
fn chance_does_not_make_arrivals_fewer() {
    for per_second in [0.05, 1.0, 50.0] {
        let (mut random, mut told) = (Random(3), Vec::new());
        let mut watched = Watched::new(|queue| queue.counters.enqueued = Some(0));
        let mut next = 0.0;
        for second in 1..=20_000_u32 {
            watched.poll(SECOND, |queue| {
                while next < f64::from(second) {
                    *queue.counters.enqueued.as_mut().unwrap() += 1;
                    next += random.exponential() / per_second;
                }
            });
            if second > 2000 {
                told.push(watched.now.demand.arrivals.unwrap());
            }
        }
        let mean = told.iter().sum::<f64>() / told.len() as f64;
        assert!(near(mean, per_second, 0.06), "{mean} for {per_second}");
    }
}

fn any_count() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        (0_u64..100).prop_map(Some),
        any::<u64>().prop_map(Some)
    ]
}

proptest! {
    #[test]
    fn it_is_never_negative_nor_no_number(
        polls in prop::collection::vec((0_u64..200, prop::array::uniform6(any_count())), 1..100),
        service in prop::option::of(1_u64..1_000_000),
        wait in 0_u64..100,
    ) {
        let mut watched = Watched::new(|queue| {
            queue.objective.as_mut().unwrap().service_time = service.map(Duration::from_millis);
        });
        for (after, [ready, held, busy, enqueued, started, consumers]) in polls {
            watched.poll(Duration::from_secs(after), |queue| {
                queue.jobs.ready = ready;
                queue.jobs.in_progress = held;
                queue.busy_workers = busy;
                queue.consumers = consumers;
                queue.counters.enqueued = enqueued;
                queue.counters.started = started;
            });
            if let Ok(slots) = watched.now.required_slots(Some(Duration::from_secs(wait))) {
                prop_assert!(slots.is_finite() && slots >= 0.0, "{slots}");
                // More that wait never need less.
                watched.now.jobs.ready = ready.map(|ready| ready.saturating_add(1));
                let more = watched.now.required_slots(Some(Duration::from_secs(wait)));
                prop_assert!(more.unwrap() >= slots);
                watched.now.jobs.ready = ready;
            }
        }
    }
}
