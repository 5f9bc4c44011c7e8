//! A broker that exists only in this process, for `tailback demo`: its queues are simulated, and what it tells of
//! them is what real ones tell, so that everything behind a [`Source`] is the real thing.

mod shop;

use super::{BrokerError, Source};
use crate::clock::{self, Now};
use crate::model::flow::{Arrivals, FlowSample, LineHead, LineSample, Span, Starts};
use crate::model::{
    Cost, Counters, Head, Jobs, LatencySource, Measured, Observation, PollSuccess, Reason, System,
    Window,
};
use shop::{Campaign, Kind, Queue};
use std::time::Duration;

/// A queue as a job system would have it.
struct Shown {
    system: System,
    name: &'static str,
    /// Jobs carry times, as RQ's do; else the flow tells.
    has_times: bool,
    kind: Kind,
}

const SHOWN: [Shown; 5] = [
    // More at once than the workers can do, and not more than they can do until the next time.
    Shown {
        system: System::Celery,
        name: "emails",
        has_times: false,
        kind: Kind {
            workers: 4,
            rate: 4.0,
            campaign: Some(Campaign {
                jobs: 700,
                first: 25.0,
                every: 45.0,
            }),
            run: 0.12,
            failures: 0.0,
            hang: None,
        },
    },
    // As it should be.
    Shown {
        system: System::Rq,
        name: "invoices",
        has_times: true,
        kind: Kind {
            workers: 4,
            rate: 5.0,
            campaign: None,
            run: 0.5,
            failures: 0.01,
            hang: None,
        },
    },
    // Workers that hang, a third of the time.
    Shown {
        system: System::Rq,
        name: "webhooks",
        has_times: true,
        kind: Kind {
            workers: 2,
            rate: 2.0,
            campaign: None,
            run: 0.3,
            failures: 0.05,
            hang: Some((80.0, 240.0)),
        },
    },
    // Too few workers while many come.
    Shown {
        system: System::Bullmq,
        name: "thumbnails",
        has_times: true,
        kind: Kind {
            workers: 6,
            rate: 2.0,
            campaign: Some(Campaign {
                jobs: 900,
                first: 120.0,
                every: 300.0,
            }),
            run: 1.0,
            failures: 0.002,
            hang: None,
        },
    },
    // Few and long.
    Shown {
        system: System::Celery,
        name: "reports",
        has_times: false,
        kind: Kind {
            workers: 1,
            rate: 1.0 / 40.0,
            campaign: None,
            run: 25.0,
            failures: 0.0,
            hang: None,
        },
    },
];

/// So much has happened before the first poll that there is something to see: campaigns have just come,
/// and workers hang.
const EARLIER: Duration = Duration::from_secs(750);

/// All simulated queues.
pub struct SimulatedSource {
    started: Now,
    queues: Vec<Queue>,
    has_searched: bool,
    is_first: bool,
}

impl Default for SimulatedSource {
    fn default() -> Self {
        let mut queues: Vec<_> = (1..)
            .zip(&SHOWN)
            .map(|(seed, shown)| Queue::new(shown.kind, seed))
            .collect();
        for queue in &mut queues {
            queue.advance(EARLIER.as_secs_f64());
            queue.take_times();
        }
        Self {
            started: clock::now(),
            queues,
            has_searched: false,
            is_first: true,
        }
    }
}

impl Source for SimulatedSource {
    async fn poll(&mut self) -> Result<PollSuccess, BrokerError> {
        let now = clock::now();
        let is_first = std::mem::take(&mut self.is_first);
        let passed = now.mono.saturating_duration_since(self.started.mono);
        let at = (EARLIER + passed).as_secs_f64();
        let observations = self.queues.iter_mut().zip(&SHOWN).map(|(queue, shown)| {
            queue.advance(at);
            observe(shown, queue, at, now, is_first)
        });
        Ok(PollSuccess {
            observations: observations.collect(),
            ..PollSuccess::default()
        })
    }

    /// There is nothing to search, and the first poll need not wait for it.
    async fn discover(&mut self) -> Result<Duration, BrokerError> {
        self.has_searched = true;
        Ok(Duration::from_secs(3600))
    }

    fn discovered(&self) -> bool {
        self.has_searched
    }

    /// Nobody is asked.
    fn cost(&self) -> Cost {
        Cost::default()
    }
}

fn observe(shown: &Shown, queue: &mut Queue, at: f64, now: Now, is_first: bool) -> Observation {
    let wall = |secs: f64| now.wall.minus(seconds(at - secs));
    let window = Window {
        from: now.wall,
        to: now.wall,
    };
    let mut seen = Observation::new(shown.system, shown.name.into(), window);
    let ready = queue.waiting.len() as u64;
    let totals = queue.totals;
    seen.jobs = Jobs {
        ready: Some(ready),
        in_progress: Some(queue.running.len() as u64),
        ..Jobs::default()
    };
    let (waits, runs) = queue.take_times();
    if shown.has_times {
        seen.head = match queue.waiting.front() {
            None => Head::Empty,
            Some(came) => Head::exactly(wall(*came), LatencySource::Message),
        };
        seen.jobs.failed = Some(totals.failed);
        seen.consumers = Some(shown.kind.workers as u64);
        seen.busy_workers = seen.jobs.in_progress;
        let since = queue.running.iter().map(|job| job.since);
        seen.oldest_in_progress = since.reduce(f64::min).map(wall);
        seen.counters = Counters {
            enqueued: Some(totals.enqueued),
            started: Some(totals.started),
            finished: Some(totals.finished),
            failures: Some(totals.failed),
            ..Counters::default()
        };
        seen.measured = Some(Measured {
            waits: waits.into_iter().map(seconds).collect(),
            runs: runs.into_iter().map(seconds).collect(),
            ..Measured::default()
        });
    } else {
        seen.head = match ready {
            0 => Head::Empty,
            _ => Head::Unknown(Reason::NoTimestamp),
        };
        seen.flow = Some(FlowSample {
            span: Span { from: at, to: at },
            lines: vec![LineSample {
                line: 0,
                ready,
                arrivals: Arrivals {
                    is_first,
                    ..Arrivals::counted(totals.enqueued, 0)
                },
                started: Some(Starts::of(totals.started)),
                head: LineHead::PLAIN,
            }],
        });
    }
    seen
}

fn seconds(secs: f64) -> Duration {
    Duration::from_secs_f64(secs.max(0.0))
}
