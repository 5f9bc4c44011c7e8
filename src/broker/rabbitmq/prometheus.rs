//! The queues as the broker's Prometheus plugin tells them, where the management API cannot.
//!
//! Each node tells of its own queues, so all are asked. While one does not answer, the queues that
//! were its own the last time keep what was known of them, and the totals, which are sums over all
//! nodes, are not told.

use super::RabbitMqSource;
use super::http::{Client, Sink};
use super::join::join;
use super::management::FEW_PAGES;
use super::round::{self, Read, Roster};
use super::still::Marks;
use crate::broker::BrokerError;
use crate::clock;
use crate::layout::rabbitmq::detailed::{Detailed, FAMILIES, PROCESSES};
use crate::layout::rabbitmq::{QueueRow, Vhost, is_internal};
use crate::model::{DropReason, ErrorKind, PollFailure, PollSuccess};
use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A plugin that does not tell what queues have worked is not asked for it for so long.
const NO_MARKS: Duration = Duration::from_secs(300);

/// The Prometheus plugin of every node.
pub(super) struct Prometheus {
    nodes: Vec<Client>,
    path: String,
    /// Where the processes of the queues are told of, and nothing else.
    processes: String,
    /// Why it was not to be had; it is not asked again before the next search.
    pub(super) absence: Option<BrokerError>,
}

/// What the nodes together tell.
pub(super) struct Scrape {
    pub(super) told: Detailed,
    pub(super) faults: Vec<BrokerError>,
}

impl Sink for Detailed {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.take(bytes)
    }
}

impl Prometheus {
    /// `nodes` are clients of one node each.
    pub(super) fn new(nodes: Vec<Client>, vhosts: &[String]) -> Self {
        let path = |families: &str| {
            let mut path = format!("/metrics/detailed?family={families}");
            for vhost in vhosts {
                let vhost = utf8_percent_encode(vhost, NON_ALPHANUMERIC);
                // Writing to a string cannot fail.
                write!(path, "&vhost={vhost}").ok();
            }
            path
        };
        Self {
            nodes,
            path: path(&FAMILIES.join("&family=")),
            processes: path(PROCESSES),
            absence: None,
        }
    }

    /// Asks all nodes at once; an error if none answers.
    pub(super) async fn read(&mut self) -> Result<Scrape, BrokerError> {
        if let Some(absence) = &self.absence {
            return Err(absence.clone());
        }
        let outcome = self.ask(&self.path).await;
        self.absence = outcome.as_ref().err().cloned();
        outcome
    }

    async fn ask(&self, path: &str) -> Result<Scrape, BrokerError> {
        let reading = self.nodes.iter().map(async |node| {
            let mut told = Detailed::default();
            let answer = node.stream("http_detailed", path, &mut told).await?;
            match answer.status {
                StatusCode::OK => {
                    told.finish();
                    Ok(told)
                }
                status => Err(BrokerError::new(
                    ErrorKind::Connect,
                    format!(
                        "{} answered {status} to /metrics/detailed; it needs the plugin \
                         rabbitmq_prometheus of RabbitMQ 3.10 or later, and `prometheus_url` its \
                         address",
                        answer.node
                    ),
                )),
            }
        });
        let mut told: Option<Detailed> = None;
        let mut faults = Vec::new();
        for outcome in join(reading.collect()).await {
            match outcome {
                Ok(node) => match &mut told {
                    Some(all) => all.merge(node),
                    None => told = Some(node),
                },
                Err(fault) => faults.push(fault),
            }
        }
        match (told, faults.first()) {
            (Some(told), _) => Ok(Scrape { told, faults }),
            (None, Some(first)) => Err(first.clone()),
            (None, None) => Err(BrokerError::new(ErrorKind::Internal, "no node to ask")),
        }
    }
}

impl RabbitMqSource {
    /// Reads the queues of all vhosts through the Prometheus plugin alone.
    pub(super) async fn poll_prometheus(&mut self) -> Result<PollSuccess, BrokerError> {
        let Some(prometheus) = &mut self.prometheus else {
            let message = "no `prometheus_url` of the broker's Prometheus plugin is configured";
            return Err(BrokerError::new(ErrorKind::Connect, message));
        };
        let asked = clock::now().wall;
        let Scrape { told, faults } = prometheus.read().await?;
        let window = round::of_statistics(asked, clock::now().wall);
        let mut success = PollSuccess::default();
        let mut roster = Roster::default();
        let is_whole = faults.is_empty();
        for (at, vhost) in self.vhosts.iter().enumerate() {
            let Some(state) = self.states.get_mut(at) else {
                continue;
            };
            let mut rows = told.rows(vhost, is_whole);
            let mut unread = HashSet::new();
            if !is_whole {
                for (name, row) in &state.told {
                    if !rows.contains_key(name) {
                        unread.insert(name.clone());
                        rows.insert(name.clone(), row.clone());
                    }
                }
            }
            let others = rows.values().filter(|row| !is_internal(row));
            state.told = others.map(|row| (row.name.clone(), row.unread())).collect();
            // Whose a queue is, as far as that was known.
            let exchanges = state.exchanges.clone().unwrap_or_default();
            let facts = Vhost::of(exchanges, rows.values());
            let read = Read {
                rows,
                unread,
                window,
            };
            self.selection.add(&mut roster, (at, vhost), read, &facts);
        }
        roster.over_limit += told.unread;
        if told.unreadable > 0 {
            let unreadable = told.unreadable;
            success.dropped.insert(DropReason::Unreadable, unreadable);
            success.faults.push(PollFailure {
                kind: ErrorKind::Decode,
                message: format!(
                    "the Prometheus plugin tells of {unreadable} queues whose names cannot be read: \
                     only the management API has them"
                ),
            });
        }
        self.has_scraped_counters = is_whole && told.counts_messages();
        self.version = told.version.map(Into::into).or(self.version.take());
        let faults = faults.into_iter().map(PollFailure::from);
        success.faults.extend(faults);
        if let Err(error) = self.refresh(&mut roster).await {
            success.faults.push(error.into());
        }
        Ok(self.finish(success, roster))
    }

    /// Whether there are so many queues that it is worth to ask what they have worked.
    fn has_many(&self) -> bool {
        self.states.iter().any(|state| state.pages > FEW_PAGES)
    }

    /// Whether that would make polls cheaper, and the plugin does not tell.
    pub(super) fn lacks_marks(&self) -> bool {
        self.has_many() && (self.prometheus.is_none() || self.no_marks_until.is_some())
    }

    /// What the queues have worked, if there are so many that it is worth to ask and the nodes of the
    /// management API's own cluster tell it.
    pub(super) async fn read_marks(&mut self, until: Instant) -> Option<Marks> {
        let has_statistics = !self.management.as_ref()?.is_without_statistics();
        let asked = clock::now();
        if !self.has_many()
            || !has_statistics
            || self.no_marks_until.is_some_and(|at| asked.mono < at)
        {
            return None;
        }
        let prometheus = self.prometheus.as_ref()?;
        let enough = until.saturating_duration_since(asked.mono) / 4;
        let asking = timeout_at(asked.mono + enough, prometheus.ask(&prometheus.processes));
        let scrape = asking.await.ok().and_then(Result::ok);
        let told = scrape
            .map(|scrape| scrape.told)
            .filter(|told| self.cluster.as_ref().is_some_and(|name| told.is_of(name)));
        self.no_marks_until = told.is_none().then(|| asked.mono + NO_MARKS);
        Some(Marks { told: told?, asked })
    }

    /// Where the management API has no statistics, the Prometheus plugin may: consumers and, from
    /// 4.0 on, counters. It is no fault if it is not there.
    pub(super) async fn read_supplement(&mut self) -> Option<Scrape> {
        let is_wanted = self.management.as_ref()?.is_without_statistics();
        let prometheus = self.prometheus.as_mut().filter(|_| is_wanted)?;
        prometheus.read().await.ok()
    }
}

/// Adds to rows of the management API what it does not tell.
pub(super) fn supplement(
    rows: &mut BTreeMap<String, QueueRow>,
    told: &Detailed,
    (vhost, is_whole): (&str, bool),
) {
    let told = told.rows(vhost, is_whole);
    for (name, row) in rows {
        if let Some(told) = told.get(name) {
            row.ready = row.ready.or(told.ready);
            row.unacknowledged = row.unacknowledged.or(told.unacknowledged);
            row.consumers = row.consumers.or(told.consumers);
            row.stats = row.stats.or(told.stats);
        }
    }
}
