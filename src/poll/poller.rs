//! One loop for one broker: poll, rest, search for queues in between. Polls never overlap.

use super::backoff::{Backoff, jitter};
use super::store::Message;
use super::telemetry::Telemetry;
use crate::broker::{BrokerError, Source, SourceMemory};
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

/// How long a poll under way may take to end when it is known for what the next process remembers.
const LAST_POLL: Duration = Duration::from_secs(1);

pub struct Poller<S> {
    source: S,
    name: Arc<str>,
    config: config::Poll,
    telemetry: Telemetry,
    reports: mpsc::Sender<Message>,
    /// How often what the source remembers is sent too, if at all.
    memory_interval: Option<Duration>,
    memory_due: Option<Instant>,
    /// In the middle of a poll, where what the source remembers is no whole.
    is_polling: bool,
    backoff: Backoff,
    interval: Duration,
}

impl<S: Source> Poller<S> {
    pub fn new(
        source: S,
        broker: &config::Broker,
        own: OwnMetrics,
        reports: mpsc::Sender<Message>,
    ) -> Self {
        Self {
            source,
            name: Arc::clone(&broker.name),
            telemetry: Telemetry::new(Arc::clone(&broker.name), own),
            config: broker.poll.clone(),
            reports,
            memory_interval: None,
            memory_due: None,
            is_polling: false,
            backoff: Backoff::new(broker.poll.interval, RETRY_MAX.max(broker.poll.interval)),
            interval: broker.poll.interval,
        }
    }

    /// Also sends what the source remembers, after the first poll, then about once in an interval, and
    /// at the end.
    #[must_use]
    pub fn sending_memory(mut self, interval: Duration, earlier: Option<SourceMemory>) -> Self {
        self.memory_interval = Some(interval);
        self.source.remember(earlier);
        self
    }

    /// Runs until cancelled, also in the middle of a poll, or until nobody takes the reports.
    pub async fn run(mut self, cancelled: CancellationToken) {
        let patience = match self.memory_interval {
            Some(_) => LAST_POLL,
            None => Duration::ZERO,
        };
        let overdue = async {
            cancelled.cancelled().await;
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            biased;
            () = overdue => {}
            () = self.poll_until(&cancelled) => {}
        }
        if !self.is_polling {
            self.send_memory(true).await;
        }
    }

    /// Sends what the source remembers, if that is wanted. `None` when the store is gone.
    async fn send_memory(&mut self, is_last: bool) -> Option<()> {
        let Some(interval) = self.memory_interval else {
            return Some(());
        };
        let now = clock::now().mono;
        if !is_last && self.memory_due.is_some_and(|due| now < due) {
            return Some(());
        }
        let Some(memory) = self.source.memory() else {
            return Some(());
        };
        self.memory_due = Some(now + interval);
        let message = Message::Memory {
            broker: Arc::clone(&self.name),
            memory: Box::new(memory),
            is_last,
        };
        self.reports.send(message).await.ok()
    }

    async fn poll_until(&mut self, cancelled: &CancellationToken) {
        let started = clock::now().mono;
        // The first poll waits for the search, but not for ever: a large database takes a while.
        let mut next_poll = started + FIRST_SEARCH.min(self.config.timeout);
        let mut next_search = started;
        loop {
            let searching_first = !self.source.discovered() && clock::now().mono < next_poll;
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
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
        self.is_polling = true;
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
        let has_succeeded = report.outcome.is_ok();
        self.reports.send(Message::from(report)).await.ok()?;
        self.is_polling = false;
        if has_succeeded {
            self.send_memory(false).await?;
        }
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
        if self.source.is_shaking_hands() {
            return BrokerError::new(
                ErrorKind::Tls,
                format!(
                    "nobody answers the TLS handshake within {}: the port speaks no TLS, or the broker \
                     hangs",
                    humantime::format_duration(self.config.timeout)
                ),
            );
        }
        BrokerError::new(
            ErrorKind::Timeout,
            format!(
                "{what} took longer than {}: the broker is slow or does not answer, speaks TLS where \
                 the URL says it does not, or `timeout` is too short for it",
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
