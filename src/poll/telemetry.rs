//! What happens to pollers, said once: to the log on transitions, to our own metrics always.

use crate::broker::BrokerError;
use crate::metrics::OwnMetrics;
use crate::model::{ErrorKind, PollFailure};
use std::sync::Arc;
use std::time::Duration;

/// The log and metrics of one broker's poller.
pub(super) struct Telemetry {
    broker: Arc<str>,
    own: OwnMetrics,
    state: State,
    /// The faults of single queues told last, so that a lasting one is told once.
    told: Vec<PollFailure>,
    stretched: bool,
    keeping: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Up,
    Down(ErrorKind),
}

impl Telemetry {
    pub(super) fn new(broker: Arc<str>, own: OwnMetrics) -> Self {
        Self {
            broker,
            own,
            state: State::Unknown,
            told: Vec::new(),
            stretched: false,
            keeping: false,
        }
    }

    pub(super) fn poll_succeeded(&mut self, took: Duration, queues: usize, faults: &[PollFailure]) {
        self.own.poll_took(&self.broker, took);
        for fault in faults {
            self.own.poll_error(&self.broker, fault.kind);
        }
        match self.state {
            State::Up => {}
            State::Unknown => tracing::info!(queues, "broker is up"),
            State::Down(_) => tracing::warn!(queues, "broker is up again"),
        }
        self.state = State::Up;
        if faults != self.told {
            for fault in faults.iter().filter(|fault| !self.told.contains(fault)) {
                tracing::warn!(kind = fault.kind.as_str(), "{}", fault.message);
            }
            if faults.is_empty() {
                tracing::info!("all queues can be read again");
            }
            self.told = faults.to_vec();
        }
        tracing::debug!(queues, duration_ms = took.as_millis() as u64, "polled");
    }

    pub(super) fn poll_failed(&mut self, took: Duration, error: &BrokerError) {
        self.own.poll_took(&self.broker, took);
        self.own.poll_error(&self.broker, error.kind);
        let kind = error.kind.as_str();
        if self.state == State::Down(error.kind) {
            tracing::debug!(kind, %error, "broker is still down");
        } else {
            tracing::error!(kind, %error, "broker cannot be polled; trying again with pauses");
        }
        self.state = State::Down(error.kind);
    }

    pub(super) fn discovery_failed(&self, error: &BrokerError) {
        tracing::debug!(kind = error.kind.as_str(), %error, "the search for queues was cut short");
    }

    pub(super) fn interval_is(&mut self, interval: Duration, configured: Duration) {
        let stretched = interval > configured;
        if stretched && !self.stretched {
            tracing::warn!(
                interval = %humantime::format_duration(interval),
                "polls take long or cost the broker more than its budget; the interval is stretched"
            );
        } else if !stretched && self.stretched {
            tracing::info!("the interval is back to what is configured");
        }
        self.stretched = stretched;
    }

    /// So many queues were not read this time.
    pub(super) fn kept(&mut self, queues: usize, interval: Duration) {
        let keeping = queues > 0;
        if keeping && !self.keeping {
            tracing::info!(
                interval = %humantime::format_duration(interval),
                "reading all queues at every poll would cost the broker more than \
                 `max_broker_cpu_ratio`; quiet ones are read less often"
            );
        } else if !keeping && self.keeping {
            tracing::info!("all queues are read at every poll again");
        }
        self.keeping = keeping;
    }
}
