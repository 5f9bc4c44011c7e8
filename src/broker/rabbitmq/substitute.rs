//! What stands in for a management API that is not there or has no statistics, and how a person is
//! told what is lost with it.

use super::management::{FEW_PAGES, PAGE_SIZE};
use super::{Presence, RabbitMqSource};
use crate::broker::BrokerError;
use crate::model::{Counters, ErrorKind, Head, Observation, PollSuccess, Reason};

/// So many polls in a row without the management API, though it was there before, and something else
/// takes its place. Until then the poll fails: to show less than before would say that the rest is
/// gone.
pub(super) const POLLS_BEFORE_FALLBACK: u32 = 12;

/// By what queues are read in place of the management API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Substitute {
    /// Not read yet.
    None,
    Prometheus,
    Amqp,
}

/// What only counters can tell.
const NO_COUNTERS: &str = "no counters, and so no rates, no waits and no latency";
const HOW_TO_MANAGE: &str = "run rabbitmq-plugins enable rabbitmq_management, let tailback reach it \
     (`management_url`), and give its user the tag `monitoring`";
const HOW_TO_SCRAPE: &str = "run rabbitmq-plugins enable rabbitmq_prometheus on every node and name \
     all of them in `prometheus_urls`";

impl RabbitMqSource {
    /// The management API could not be used: whether something else can take its place.
    pub(super) async fn fall_back(
        &mut self,
        error: BrokerError,
    ) -> Result<PollSuccess, BrokerError> {
        if let Presence::Seen { misses } = &mut self.presence
            && *misses < POLLS_BEFORE_FALLBACK
        {
            *misses += 1;
            return Err(error);
        }
        match self.poll_otherwise().await {
            Ok((mut success, by)) => {
                success.faults.push(error.clone().into());
                self.presence = Presence::Absent(Some(error), by);
                Ok(success)
            }
            // What is wrong with the management API is the better reason to give, unless AMQP
            // got far enough to know more.
            Err(other) if other.kind == ErrorKind::Connect => Err(BrokerError::new(
                error.kind,
                format!("{}; {}", error.message, other.message),
            )),
            Err(other) => Err(other),
        }
    }

    /// All queues through the Prometheus plugin; else those that the configuration names, through
    /// AMQP.
    pub(super) async fn poll_otherwise(
        &mut self,
    ) -> Result<(PollSuccess, Substitute), BrokerError> {
        let scraped = match self.poll_prometheus().await {
            Ok(success) => return Ok((success, Substitute::Prometheus)),
            Err(error) => error,
        };
        match self.poll_amqp().await {
            Ok(success) => Ok((success, Substitute::Amqp)),
            Err(error) if self.prometheus.is_some() => Err(BrokerError::new(
                error.kind,
                format!("{}; {}", scraped.message, error.message),
            )),
            Err(error) => Err(error),
        }
    }

    /// Says of what the broker does not count that it is not known, and why.
    pub(super) fn explain(&self, observations: &mut [Observation]) {
        let is_managed = matches!(self.presence, Presence::Seen { .. });
        if self.counts_messages && is_managed {
            return;
        }
        let management = self.management.as_ref();
        let has_statistics = management.is_some_and(|it| !it.is_without_statistics());
        for seen in observations {
            if is_managed && has_statistics {
                // With `rates_mode = none` totals are missing as they are before the first message.
                seen.counters = Counters::default();
            }
            seen.counts_unknown = Some(Reason::CountsNotKept);
            seen.is_incomplete = true;
            let is_queue = seen.jobs.ready.is_some();
            if is_queue && seen.head == Head::Unknown(Reason::NoTimestamp) {
                seen.head = Head::Unknown(Reason::NotCounted);
            }
        }
    }

    /// Whether there is anything to fall back to.
    pub(super) const fn has_substitute(&self) -> bool {
        self.prometheus.is_some() || !self.literals.is_empty()
    }

    /// By what the queues were read last, what is lost with it, and how to have it.
    pub(super) fn describe(&self) -> Vec<String> {
        let lacks_statistics = self
            .management
            .as_ref()
            .is_some_and(|management| management.is_without_statistics());
        let scrape_refusal = self
            .prometheus
            .as_ref()
            .map(|prometheus| prometheus.absence.as_ref());
        let why_not_scraped = match scrape_refusal {
            Some(Some(error)) => format!(" (the Prometheus plugin: {error})"),
            Some(None) => String::new(),
            None => " (no `prometheus_url` is configured)".to_owned(),
        };
        let text = match &self.presence {
            Presence::Unknown | Presence::Absent(_, Substitute::None) => return Vec::new(),
            Presence::Seen { .. } if lacks_statistics => {
                let consumers = match scrape_refusal {
                    Some(None) => "consumers come from the Prometheus plugin".to_owned(),
                    _ => format!("consumers are not known{why_not_scraped}; {HOW_TO_SCRAPE}"),
                };
                format!(
                    "the broker collects no statistics (management_agent.disable_metrics_collector \
                     or management.disable_stats = true): ready and in progress are asked of the \
                     queues themselves, {consumers}; there are {NO_COUNTERS} but where messages \
                     carry a time: take that line out of rabbitmq.conf"
                )
            }
            Presence::Seen { .. } if !self.counts_messages => format!(
                "read through the management API, which counts no messages \
                 (management.rates_mode = none): {NO_COUNTERS} but where messages carry a time: \
                 set it to basic"
            ),
            Presence::Seen { .. } if self.lacks_marks() => format!(
                "read through the management API. Of more than {} queues in a virtual host the \
                 whole list at every poll, for want of the Prometheus plugin, which makes it cheaper \
                 by telling which have worked: {HOW_TO_SCRAPE}{why_not_scraped}",
                FEW_PAGES * PAGE_SIZE
            ),
            Presence::Seen { .. } => "read through the management API".to_owned(),
            Presence::Absent(_, Substitute::Prometheus) => format!(
                "read through the Prometheus plugin, in place of the management API: ready, in \
                 progress and consumers of all queues; {} Job systems are recognised only by the \
                 configuration. For the rest {HOW_TO_MANAGE}",
                if self.has_scraped_counters {
                    "counters, and no latency."
                } else {
                    "no counters before RabbitMQ 4.0, and so no rates, no waits and no latency."
                }
            ),
            Presence::Absent(_, Substitute::Amqp) => format!(
                "read through AMQP alone: ready and consumers of the {} queues that `declare` or \
                 `include` name, {NO_COUNTERS}. For all queues {HOW_TO_MANAGE}; or else \
                 {HOW_TO_SCRAPE}{why_not_scraped}",
                self.literals.len()
            ),
        };
        vec![text]
    }
}
