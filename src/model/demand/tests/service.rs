//! How long a job runs, and the workers that follow from it.

use super::*;
use crate::model::MeasuredView;
use std::collections::BinaryHeap;
use std::sync::Arc;

#[test]
fn recorded_run_times_are_best() {
    let mut watched = Watched::new(|queue| queue.objective = configured(9));
    assert_eq!(watched.service(), Some((9.0, ServiceSource::Configured)));
    let mut runs = Waits::new([1.0].into());
    for _ in 0..5 {
        assert_eq!(watched.service(), Some((9.0, ServiceSource::Configured)));
        runs.record(4 * SECOND);
        watched.poll(SECOND, |queue| {
            queue.measured = Some(Arc::new(MeasuredView {
                runs: Some(runs.clone()),
                ..MeasuredView::default()
            }));
        });
    }
    // The first is the beginning.
    assert_eq!(watched.service(), Some((4.0, ServiceSource::Recorded)));
}

#[test]
fn long_jobs_are_seen_before_they_end() {
    let mut watched = Watched::new(|queue| {
        queue.objective = configured(2);
        queue.counters.started = Some(0);
        queue.jobs.in_progress = Some(0);
        queue.busy_workers = Some(0);
    });
    watched.polls(1, |queue| {
        queue.counters.started = Some(40);
        queue.jobs.in_progress = Some(40);
        queue.busy_workers = Some(40);
    });
    assert_eq!(watched.service(), Some((2.0, ServiceSource::Configured)));
    watched.polls(100, |_| {});
    let (secs, source) = watched.service().unwrap();
    assert!(near(secs, 201.0, 0.01) && source == ServiceSource::Busy);
    // They end after 300 s, all at once.
    watched.polls(199, |_| {});
    watched.polls(1, |queue| {
        (queue.jobs.in_progress, queue.busy_workers) = (Some(0), Some(0));
    });
    let (secs, source) = watched.service().unwrap();
    assert!(near(secs, 300.0, 0.01) && source == ServiceSource::Busy);
}

#[test]
fn prefetched_jobs_are_not_busy_and_not_done() {
    // Two slots, jobs of 4 s, eight more in the worker's hands: one ends every 2 s.
    let mut watched = Watched::new(|queue| {
        queue.jobs.ready = Some(1000);
        queue.jobs.in_progress = Some(0);
        queue.counters.started = Some(0);
        queue.consumers = Some(1);
        queue.objective = Some(Objective {
            slots_per_worker: 2,
            ..OBJECTIVE
        });
    });
    watched.poll(SECOND, |queue| {
        queue.counters.started = Some(10);
        queue.jobs.in_progress = Some(10);
    });
    assert_eq!(watched.service(), None);
    for second in 0..100 {
        watched.poll(SECOND, |queue| {
            *queue.counters.started.as_mut().unwrap() += second % 2;
        });
    }
    let (secs, source) = watched.service().unwrap();
    assert!(near(secs, 4.0, 0.05), "{secs}");
    assert_eq!(source, ServiceSource::Saturated);
    // A pause and an empty queue tell nothing of how long jobs run.
    watched.polls(1000, |queue| queue.paused = Some(true));
    watched.polls(1000, |queue| {
        (queue.paused, queue.jobs.ready) = (None, Some(0));
    });
    assert_eq!(watched.service(), Some((secs, source)));
}

#[test]
fn it_finds_the_workers_that_a_simulated_queue_needs() {
    for (workers, per_second, run_secs) in [(4, 6.0, 0.5), (40, 30.0, 1.2), (20, 0.1, 150.0)] {
        let mut watched = Watched::new(|queue| {
            queue.counters.enqueued = Some(0);
            queue.counters.started = Some(0);
            queue.jobs.in_progress = Some(0);
            queue.busy_workers = Some(0);
        });
        let mut seed = Random(1);
        let mut random = || seed.exponential();
        // Ends of running jobs in microseconds, soonest first.
        let mut running: BinaryHeap<std::cmp::Reverse<u64>> = BinaryHeap::new();
        let (mut next, mut ready, mut enqueued, mut started) = (0.0, 0_u64, 0_u64, 0_u64);
        let mut told = Vec::new();
        for second in 1..=4000_u32 {
            let now = f64::from(second);
            while next < now {
                enqueued += 1;
                ready += 1;
                next += random() / per_second;
            }
            // A job that ends lets the next begin at that moment.
            while let Some(end) = running.peek().map(|end| end.0 as f64 / 1e6) {
                if end > now {
                    break;
                }
                running.pop();
                if ready > 0 {
                    (ready, started) = (ready - 1, started + 1);
                    let end = end + random() * run_secs;
                    running.push(std::cmp::Reverse((end * 1e6) as u64));
                }
            }
            while ready > 0 && running.len() < workers {
                (ready, started) = (ready - 1, started + 1);
                let end = now + random() * run_secs;
                running.push(std::cmp::Reverse((end * 1e6) as u64));
            }
            watched.poll(SECOND, |queue| {
                queue.counters.enqueued = Some(enqueued);
                queue.counters.started = Some(started);
                queue.jobs.ready = Some(ready);
                queue.jobs.in_progress = Some(running.len() as u64);
                queue.busy_workers = Some(running.len() as u64);
            });
            if second > 2000 {
                let backlog = ready as f64 * run_secs / 30.0;
                told.push(watched.required().unwrap() - backlog);
            }
        }
        let mean = told.iter().sum::<f64>() / told.len() as f64;
        let wanted = per_second * run_secs / 0.95;
        assert!(near(mean, wanted, 0.2), "{mean} for {wanted}");
    }
}
