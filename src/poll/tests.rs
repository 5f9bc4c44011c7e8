//! Pollers over a scripted source, on a paused clock.

use super::{Poller, Store};
use crate::broker::{BrokerError, Source};
use crate::clock;
use crate::config::{Config, Environment};
use crate::metrics::OwnMetrics;
use crate::model::{
    Cost, ErrorKind, Head, Observation, PollSuccess, Snapshot, System, Timestamp, Window,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What the source does at each poll; the last one for ever.
#[derive(Debug, Clone)]
enum Act {
    /// Answers after this long with so many ready jobs.
    Answer(Duration, u64),
    Fail(ErrorKind),
    Hang,
}

struct Scripted {
    acts: VecDeque<Act>,
    discovered: bool,
}

impl Source for Scripted {
    async fn poll(&mut self) -> Result<PollSuccess, BrokerError> {
        let act = match self.acts.len() {
            0 | 1 => self.acts.front().cloned(),
            _ => self.acts.pop_front(),
        };
        match act.unwrap() {
            Act::Hang => std::future::pending().await,
            Act::Fail(kind) => Err(BrokerError::new(kind, "as the script says")),
            Act::Answer(after, ready) => {
                tokio::time::sleep(after).await;
                Ok(PollSuccess {
                    observations: vec![observation(ready)],
                    ..PollSuccess::default()
                })
            }
        }
    }

    async fn discover(&mut self) -> Result<Duration, BrokerError> {
        self.discovered = true;
        Ok(Duration::from_secs(30))
    }

    fn discovered(&self) -> bool {
        self.discovered
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

fn observation(ready: u64) -> Observation {
    let at = Timestamp::from_micros(0);
    let mut seen = Observation::new(System::List, "q".into(), Window { from: at, to: at });
    seen.jobs.ready = Some(ready);
    seen.head = Head::Empty;
    seen
}

struct Running {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    cancelled: CancellationToken,
    poller: tokio::task::JoinHandle<()>,
}

impl Running {
    /// A Redis polled every second, with a limit of 2 s, stale after 3 s.
    fn start(acts: &[Act]) -> Self {
        let config =
            Config::from_urls(&["redis://nowhere".into()], &Environment::default()).unwrap();
        let own = OwnMetrics::new("0", "0", ["redis"]).unwrap();
        let (store, snapshot) = Store::new(&config.brokers);
        let (reports, received) = mpsc::channel(4);
        tokio::spawn(store.run(received));
        let source = Scripted {
            acts: acts.iter().cloned().collect(),
            discovered: false,
        };
        let poller = Poller::new(source, &config.brokers[0], own, reports);
        let cancelled = CancellationToken::new();
        Self {
            snapshot,
            poller: tokio::spawn(poller.run(cancelled.clone())),
            cancelled,
        }
    }

    async fn after(&self, secs: f64) -> Seen {
        tokio::time::sleep(Duration::from_secs_f64(secs)).await;
        let snapshot = self.snapshot.borrow();
        let broker = &snapshot.brokers["redis"];
        let now = clock::now();
        Seen {
            polls: broker.polls,
            up: broker.is_up(now),
            fresh: broker.is_fresh(now),
            ready: broker.queues.first().and_then(|queue| queue.jobs.ready),
            error: broker.last_error.as_ref().map(|error| error.kind),
            interval: broker.interval,
        }
    }
}

#[derive(Debug)]
struct Seen {
    polls: u64,
    up: bool,
    fresh: bool,
    ready: Option<u64>,
    error: Option<ErrorKind>,
    interval: Duration,
}

const QUICK: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn a_quick_broker_is_polled_at_its_interval() {
    let running = Running::start(&[Act::Answer(QUICK, 7)]);
    let seen = running.after(10.5).await;
    assert_eq!((seen.polls, seen.ready, seen.up), (11, Some(7), true));
    assert_eq!(seen.interval, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_broker_stretches_the_interval_and_polls_never_pile_up() {
    let running = Running::start(&[Act::Answer(Duration::from_millis(1500), 7)]);
    let seen = running.after(31.0).await;
    // A quarter of the time at most: 1.5 s of every 6 s.
    assert_eq!(seen.interval, Duration::from_secs(6));
    assert_eq!(seen.polls, 5);
    assert!(seen.up, "a stretched interval is not staleness: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_poll_is_cut_off_and_told_as_a_timeout() {
    let running = Running::start(&[Act::Answer(QUICK, 7), Act::Hang]);
    assert!(running.after(1.5).await.up);
    let seen = running.after(2.0).await;
    assert_eq!((seen.up, seen.error), (false, Some(ErrorKind::Timeout)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_poll_is_down_at_once_stale_later_and_comes_back_by_itself() {
    let mut acts = vec![Act::Answer(QUICK, 7)];
    acts.extend(vec![Act::Fail(ErrorKind::Connect); 4]);
    acts.push(Act::Answer(QUICK, 8));
    let running = Running::start(&acts);
    assert!(running.after(0.5).await.up);
    let seen = running.after(1.0).await;
    assert_eq!((seen.up, seen.fresh, seen.ready), (false, true, Some(7)));
    assert!(!running.after(6.0).await.fresh);
    let seen = running.after(60.0).await;
    assert_eq!((seen.up, seen.ready, seen.error), (true, Some(8), None));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stays_down_is_asked_ever_more_rarely() {
    let running = Running::start(&[Act::Fail(ErrorKind::Auth)]);
    let first = running.after(60.0).await.polls;
    let second = running.after(600.0).await;
    assert!(first <= 12, "{first} tries in the first minute");
    assert!(second.polls - first <= 41, "{second:?}");
    assert!(second.interval <= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_told_even_in_the_middle_of_a_poll() {
    let running = Running::start(&[Act::Hang]);
    tokio::time::sleep(QUICK).await;
    running.cancelled.cancel();
    tokio::time::timeout(Duration::from_secs(1), running.poller)
        .await
        .unwrap()
        .unwrap();
}
