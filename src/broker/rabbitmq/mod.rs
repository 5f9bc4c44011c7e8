//! RabbitMQ: the management HTTP API for everything, AMQP for fresh depths and for brokers without
//! the former.
//!
//! # How old each number may be
//!
//! Measured on 3.10.8 and 4.0.5 with the default `collect_statistics_interval` of 5 s. No part of
//! the API tells that interval; with a longer one all but the first row is older by the difference.
//!
//! | number | classic | quorum | from |
//! |---|---|---|---|
//! | ready, consumers of `declare`d queues | 0.03 s | 0.03 s | `queue.declare passive` |
//! | ready, in progress | 8.8 s | 8.6 s | `/api/queues` |
//! | ready, in progress where the broker collects no statistics | 0.04 s | 3.7 s | `/api/queues?enable_queue_totals` |
//! | consumers, head's time | 5 s | – | `/api/queues` |
//! | counters | 3.7 s | 3.6 s | `/api/queues` |
//! | any count of a new queue | missing for 2 s | missing for 10 s | `/api/queues` |
//! | system of a queue | `discovery_interval` | | `/api/exchanges` |
//!
//! An observation's window therefore starts [`round::STATISTICS_AGE`] before the request, unless
//! all that its latency rests on was read through AMQP.
//!
//! # Waits without timestamps
//!
//! They follow from the counters and their history (`layout::rabbitmq::flow`), which is asked for
//! of single queues: of those whose counters have moved since the last poll (0.5 ms of the broker's
//! processor and 1 to 2 kB each, at most 200 a poll), and once, as far back as it goes, of those
//! that hold messages when they are first seen (14 kB each, at most 30 a poll).
//!
//! # Without the management API
//!
//! Where it was never reached (refused, 404), refuses the user, is switched off in the configuration,
//! or has been gone for some polls while something else still answers, all queues are read through
//! the Prometheus plugin: ready, in progress and consumers, and counters from RabbitMQ 4.0 on. Where
//! that is not there either, the queues that the configuration names (without wildcards) are read
//! through AMQP: ready and consumers, nothing else. Each search for queues then tries the management
//! API again. Where it is there but the broker collects no statistics, the Prometheus plugin adds
//! what it knows.
//!
//! # Many queues
//!
//! A page costs the broker 100 ms of its processor with 10,000 queues before it has told anything,
//! and the statistics of each queue 0.25 ms, whether it has moved or not. More than
//! [`management::FEW_PAGES`] are therefore read in one piece, or, where the Prometheus plugin tells
//! which queues have worked, only those ([`still`]).
//!
//! # Slow answers
//!
//! The lists of all virtual hosts, and the pages of each, are read over a few connections at once.
//! What is not there after five eighths of the poll's time is left out and told as a fault; its
//! queues keep what was known of them until that is stale.

mod amqp;
mod events;
mod flow;
mod http;
mod join;
mod listed;
mod management;
mod named;
mod naming;
mod prometheus;
mod round;
mod still;
mod substitute;
#[cfg(test)]
mod tests;
mod transport;

use super::events::Events;
use super::wire::Meter;
use super::{BrokerError, Lacking, Source};
use crate::clock;
use crate::config::{self, Broker, HostPort, HttpApi, Layouts, Objectives};
use crate::layout::LAYOUTS;
use crate::layout::rabbitmq::QueueRow;
use crate::layout::rabbitmq::flow::Flows;
use crate::model::{Cost, DropReason, ErrorKind, PollFailure, PollSuccess};
use amqp::Amqp;
use globset::GlobSet;
use http::Client;
use management::Management;
use prometheus::Prometheus;
use round::{Roster, Selection};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use still::Watch;
use substitute::Substitute;
use tokio::time::Instant;

/// One configured RabbitMQ. Made without I/O.
pub struct RabbitMqSource {
    management: Option<Management>,
    prometheus: Option<Prometheus>,
    amqp: Amqp,
    meter: Arc<Meter>,
    selection: Selection,
    vhosts: Vec<String>,
    states: Vec<VhostState>,
    declare: GlobSet,
    /// Declared are also the queues that these name, in a broker of this name.
    declare_objectives: Option<Objectives>,
    name: Arc<str>,
    declare_limit: usize,
    /// Displayed names that can be read without a list of queues.
    literals: Vec<String>,
    discovery_interval: Duration,
    version: Option<Arc<str>>,
    /// The name that the broker's nodes have together.
    cluster: Option<String>,
    /// Whether the broker counts messages.
    counts_messages: bool,
    /// Whether it is known to be one node, whose counters are no sums.
    is_single_node: bool,
    /// Whether the Prometheus plugin has.
    has_scraped_counters: bool,
    /// Until when the Prometheus plugin is not asked what queues have worked.
    no_marks_until: Option<Instant>,
    /// How long a poll may spend on the lists of queues.
    listing_time: Duration,
    /// How long a poll may spend on asking for the pasts of queues.
    history_time: Duration,
    /// What times are counted from.
    started: Instant,
    presence: Presence,
    discovered: bool,
    /// What is needed to listen to Celery's events, if that is wanted.
    events_config: Option<(config::RabbitMq, config::CeleryEvents)>,
    max_payload: u64,
    events: Events,
}

/// What is remembered of a vhost.
#[derive(Debug, Default)]
struct VhostState {
    /// `None` until they have been read.
    exchanges: Option<HashMap<String, String>>,
    /// The queues of the last poll, internal ones left out.
    known: HashMap<String, QueueRow>,
    /// So many pages their list had, or would have had.
    pages: usize,
    /// For so many polls their list is read in pages, however many: in one piece it was too slow.
    in_pages: u32,
    /// What was read of them, if they are many.
    watch: Watch,
    /// The queues that the Prometheus plugin has told of, internal ones left out.
    told: HashMap<String, QueueRow>,
    /// Queues named in the configuration that were not there at the last look through AMQP.
    missing: HashSet<String>,
    flows: Flows,
}

/// Whether the management API is there.
#[derive(Debug)]
enum Presence {
    /// Not asked yet.
    Unknown,
    /// It has answered; since then so many polls in a row have not reached it.
    Seen { misses: u32 },
    /// Queues are read by other means; why, unless the configuration wants it so.
    Absent(Option<BrokerError>, Substitute),
}

impl RabbitMqSource {
    /// `config` is the endpoint of `broker`.
    pub fn new(broker: &Broker, config: &config::RabbitMq) -> Self {
        let meter = Arc::new(Meter::default());
        let timeout = broker.poll.timeout;
        // Clients of so many nodes each; none of an API that is switched off.
        let clients = |api: &HttpApi, together: usize| -> Vec<Client> {
            let HttpApi::Nodes {
                nodes,
                tls,
                path_prefix,
            } = api
            else {
                return Vec::new();
            };
            let client = |nodes: &[HostPort]| {
                Client::new(
                    nodes.to_vec(),
                    tls.then(|| config.tls.clone()),
                    path_prefix,
                    (&config.username, &config.password),
                    timeout,
                    Arc::clone(&meter),
                )
            };
            nodes.chunks(together).map(client).collect()
        };
        let management = clients(&config.management, usize::MAX).pop();
        let management = management.map(|client| Management::new(client, config.username.clone()));
        let prometheus = Some(clients(&config.prometheus, 1))
            .filter(|nodes| !nodes.is_empty())
            .map(|nodes| Prometheus::new(nodes, &config.vhosts));
        let named = config.declare.iter().chain(broker.queues.written().0);
        Self {
            presence: match management {
                Some(_) => Presence::Unknown,
                None => Presence::Absent(None, Substitute::None),
            },
            management,
            prometheus,
            amqp: Amqp::new(config, timeout, Arc::clone(&meter)),
            meter,
            selection: Selection {
                layouts: LAYOUTS
                    .iter()
                    .filter(|row| match &broker.layouts {
                        Layouts::Auto => true,
                        Layouts::Only(systems) => systems.contains(&row.system),
                    })
                    .filter_map(|row| Some((row.system, row.rabbitmq?(config))))
                    .collect(),
                filter: broker.queues.clone(),
                with_internal: config.internal_queues,
                max_queues: broker.poll.max_queues,
            },
            states: config
                .vhosts
                .iter()
                .map(|_| VhostState::default())
                .collect(),
            vhosts: config.vhosts.clone(),
            declare: naming::matcher(&config.declare),
            declare_objectives: config.declare_objectives.clone(),
            name: Arc::clone(&broker.name),
            declare_limit: usize::try_from(config.declare_limit).unwrap_or(usize::MAX),
            literals: naming::literals(named),
            discovery_interval: broker.poll.discovery_interval,
            version: None,
            cluster: None,
            no_marks_until: None,
            counts_messages: false,
            is_single_node: false,
            has_scraped_counters: false,
            listing_time: timeout * 5 / 8,
            history_time: timeout / 4,
            started: clock::now().mono,
            discovered: false,
            events_config: config
                .celery
                .events
                .clone()
                .map(|events| (config.clone(), events)),
            max_payload: broker.poll.max_payload_bytes,
            events: Events::default(),
        }
    }

    /// Listens to Celery's events, if that is wanted and not done yet.
    fn start_events(&mut self) {
        let Some((config, events)) = &self.events_config else {
            return;
        };
        if self.events.is_started() {
            return;
        }
        for (at, vhost) in self.vhosts.iter().enumerate() {
            let meter = Arc::clone(&self.meter);
            let amqp = Amqp::new(config, super::events::OPENING, Arc::clone(&meter));
            let subscription = self::events::Subscription {
                amqp: amqp.named("tailback (Celery events)"),
                vhost: vhost.clone(),
                exchange: events.exchange.clone(),
                max_payload: self.max_payload,
                meter,
            };
            let prefix = naming::display(at, vhost, "");
            self.events.start(prefix.to_string(), events, subscription);
        }
    }

    fn finish(&self, mut success: PollSuccess, roster: Roster) -> PollSuccess {
        success.version.clone_from(&self.version);
        success.observations = roster
            .members
            .iter()
            .filter_map(|member| self.selection.observe(member))
            .collect();
        for seen in &mut success.observations {
            seen.counters_are_sums = !self.is_single_node;
        }
        self.explain(&mut success.observations);
        success.kept = roster.kept;
        if roster.over_limit > 0 {
            success.dropped.insert(DropReason::Limit, roster.over_limit);
        }
        self.events.fill(&mut success);
        success
    }
}

impl Source for RabbitMqSource {
    async fn poll(&mut self) -> Result<PollSuccess, BrokerError> {
        self.start_events();
        if let Presence::Absent(why, _) = &self.presence {
            let why = why.clone();
            let (mut success, by) = self.poll_otherwise().await?;
            success.faults.extend(why.clone().map(PollFailure::from));
            self.presence = Presence::Absent(why, by);
            return Ok(success);
        }
        match self.poll_management().await {
            Err(error) if self.is_unusable(&error) => self.fall_back(error).await,
            outcome => {
                if let (Ok(_), Presence::Seen { misses }) = (&outcome, &mut self.presence) {
                    *misses = 0;
                }
                outcome
            }
        }
    }

    async fn discover(&mut self) -> Result<Duration, BrokerError> {
        self.search().await?;
        self.discovered = true;
        Ok(self.discovery_interval)
    }

    fn discovered(&self) -> bool {
        self.discovered
    }

    fn is_shaking_hands(&self) -> bool {
        self.meter.is_shaking_hands()
    }

    async fn lacking(&mut self) -> Result<Lacking, BrokerError> {
        // No right is asked for; whether the plugin tells of many queues shows only at the next poll.
        self.read_marks(self.listing_ends()).await;
        Ok(Lacking::default())
    }

    fn describe(&self) -> Vec<String> {
        self.describe()
    }

    fn cost(&self) -> Cost {
        self.meter.cost()
    }
}

impl RabbitMqSource {
    /// Looks for the management API and for what tells the vhosts' job systems.
    async fn search(&mut self) -> Result<(), BrokerError> {
        for state in &mut self.states {
            state.missing.clear();
        }
        if let Some(prometheus) = &mut self.prometheus {
            prometheus.absence = None;
        }
        let is_absent = matches!(self.presence, Presence::Absent(..));
        match self.reach_management().await {
            // Known, and told at every poll.
            Err(_) if is_absent => return Ok(()),
            // The poll decides what stands in.
            Err(error) if self.is_unusable(&error) && self.has_substitute() => return Ok(()),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        for at in 0..self.vhosts.len() {
            match self.read_exchanges(at).await {
                // The poll tells of it, and of the other vhosts.
                Err(error) if error.kind == ErrorKind::Permission => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Whether an error says that there is no management API for us. That its user lacks a right of
    /// a vhost is another matter: that would hold for all ways.
    fn is_unusable(&self, error: &BrokerError) -> bool {
        let is_unknown = matches!(self.presence, Presence::Unknown);
        is_out_of_reach(error) || is_unknown && error.kind == ErrorKind::Permission
    }
}

/// Refused, or silent as behind a firewall.
fn is_out_of_reach(error: &BrokerError) -> bool {
    matches!(error.kind, ErrorKind::Connect | ErrorKind::Timeout)
}
