//! One loop for one broker: poll, rest, search for queues in between. Polls never overlap.

use super::backoff::{Backoff, jitter};
use super::telemetry::Telemetry;
use crate::broker::{BrokerError, Source};
use crate::clock;
use crate::config;
use crate::metrics::OwnMetrics;
use crate::model::{ErrorKind, PollSuccess, Report};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pauses after failed polls.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// However slow a broker is, it is asked at least this often.
const INTERVAL_MAX: Duration = Duration::from_secs(300);

/// Polls take up no more than this share of the time, whatever makes them slow.
const MAX_BUSY: f64 = 0.25;

/// How long the first poll waits for the first search for queues to end.
const FIRST_SEARCH: Duration = Duration::from_secs(2);

pub struct Poller<S> {
    source: S,
    name: Arc<str>,
    config: config::Poll,
    telemetry: Telemetry,
    reports: mpsc::Sender<Report>,
    backoff: Backoff,
    interval: Duration,
}

impl<S: Source> Poller<S> {
    pub fn new(
        source: S,
        broker: &config::Broker,
        own: OwnMetrics,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        Self {
            source,
            name: Arc::clone(&broker.name),
            telemetry: Telemetry::new(Arc::clone(&broker.name), own),
            config: broker.poll.clone(),
            reports,
            backoff: Backoff::new(broker.poll.interval, RETRY_MAX.max(broker.poll.interval)),
            interval: broker.poll.interval,
        }
    }

    /// Runs until cancelled, also in the middle of a poll, or until nobody takes the reports.
    pub async fn run(mut self, cancelled: CancellationToken) {
        cancelled.run_until_cancelled(self.poll_forever()).await;
    }

    async fn poll_forever(&mut self) {
        let started = clock::now().mono;
        // The first poll waits for the search, but not for ever: a large database takes a while.
        let mut next_poll = started + FIRST_SEARCH.min(self.config.timeout);
        let mut next_search = started;
        loop {
            let searching_first = !self.source.discovered() && clock::now().mono < next_poll;
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next_poll) => {
                    let Some(rest) = self.poll().await else { return };
                    next_poll = clock::now().mono + rest;
                }
                () = tokio::time::sleep_until(next_search) => {
                    next_search = self.search().await;
                    if searching_first && (self.source.discovered() || next_search > next_poll) {
                        next_poll = clock::now().mono;
                    }
                }
            }
        }
    }

    /// One poll and its report. The rest until the next one; `None` when the store is gone.
    async fn poll(&mut self) -> Option<Duration> {
        let started = clock::now();
        let outcome = match tokio::time::timeout(self.config.timeout, self.source.poll()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timed_out("a poll")),
        };
        let ended = clock::now();
        let took = ended.mono.saturating_duration_since(started.mono);
        let jitter = jitter(&self.name, ended.wall.micros());
        let rest = match &outcome {
            Ok(success) => {
                self.backoff.reset();
                self.interval = interval(&self.config, took, success.needed_interval);
                self.tell_success(took, success);
                self.interval.saturating_sub(took)
            }
            Err(error) => {
                self.telemetry.poll_failed(took, error);
                let pause = self.backoff.next(jitter);
                self.interval = pause.max(self.config.interval);
                pause
            }
        };
        let report = Report {
            broker: Arc::clone(&self.name),
            at: ended,
            interval: self.interval,
            cost: self.source.cost(),
            outcome: outcome.map_err(Into::into),
        };
        self.reports.send(report).await.ok()?;
        Some(rest)
    }

    fn tell_success(&mut self, took: Duration, success: &PollSuccess) {
        let queues = success.observations.len() + success.kept.len();
        self.telemetry.poll_succeeded(took, queues, &success.faults);
        self.telemetry
            .interval_is(self.interval, self.config.interval);
        let kept = success.kept_interval.max(self.interval);
        self.telemetry.kept(success.kept.len(), kept);
    }

    /// One slice of the search for queues. When the next is due.
    async fn search(&mut self) -> Instant {
        let outcome = match tokio::time::timeout(self.config.timeout, self.source.discover()).await
        {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timed_out("the search for queues")),
        };
        let pause = outcome.unwrap_or_else(|error| {
            // The next poll meets the same fault and tells it.
            self.telemetry.discovery_failed(&error);
            self.interval
        });
        clock::now().mono + pause
    }

    fn timed_out(&self, what: &str) -> BrokerError {
        BrokerError::new(
            ErrorKind::Timeout,
            format!(
                "{what} took longer than {}; the broker is slow or unreachable, or `timeout` is \
                 too short for it",
                humantime::format_duration(self.config.timeout)
            ),
        )
    }
}

/// The interval after a poll that took `took`: as configured, or longer where the broker is slow or
/// its budget is used up.
fn interval(config: &config::Poll, took: Duration, budget: Duration) -> Duration {
    let needed = took.div_f64(MAX_BUSY).max(budget);
    config.interval.max(needed.min(INTERVAL_MAX))
}
