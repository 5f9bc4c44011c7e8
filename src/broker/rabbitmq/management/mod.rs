//! What is asked of the management API.

mod pages;
mod refusal;
mod whole;

use super::http::{Answer, Client};
use crate::broker::BrokerError;
use crate::layout::rabbitmq::flow::Samples;
use crate::model::ErrorKind;
use hyper::StatusCode;
pub(super) use pages::{FEW_PAGES, Known, Listing, PAGE_SIZE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

/// A range that has nothing to do with queues: with any, the broker answers from its statistics and
/// not from what it has answered before, which may be older by five times as long as that took.
const UNCACHED: &str = "data_rates_age=5&data_rates_incr=5";

/// The management API of one cluster.
pub(super) struct Management {
    client: Client,
    username: String,
    /// The broker collects no statistics: ask the queues themselves for what they hold.
    without_statistics: bool,
}

/// What `GET /api/overview` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overview {
    pub(super) version: Option<Arc<str>>,
    pub(super) cluster: Option<String>,
    /// Whether the cluster is known to be a single node.
    pub(super) is_single_node: bool,
    /// Whether messages are counted (`rates_mode` is not `none`): if not, totals of zero mean
    /// nothing.
    pub(super) counts_messages: bool,
}

impl Management {
    pub(super) fn new(client: Client, username: String) -> Self {
        Self {
            client,
            username,
            without_statistics: false,
        }
    }

    /// Whether the broker collects no statistics.
    pub(super) const fn is_without_statistics(&self) -> bool {
        self.without_statistics
    }

    /// `None` if there is no management API at this address.
    pub(super) async fn overview(&mut self) -> Result<Option<Overview>, BrokerError> {
        let path = "/api/overview?columns=rabbitmq_version,management_version,disable_stats,\
            rates_mode,cluster_name,listeners.node";
        let answer = self.client.get("http_overview", path).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let overview = self.read(answer, None)?;
        if !overview.is_object() {
            return Err(BrokerError::new(
                ErrorKind::Decode,
                "/api/overview is not what RabbitMQ answers; check the management URL",
            ));
        }
        self.without_statistics = overview
            .get("disable_stats")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let version = ["rabbitmq_version", "management_version"]
            .iter()
            .find_map(|key| overview.get(key).and_then(Value::as_str));
        // Only a user with the tag `monitoring` is told.
        let nodes: HashSet<&str> = overview
            .get("listeners")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|listener| listener.get("node").and_then(Value::as_str))
            .collect();
        Ok(Some(Overview {
            version: version.map(Arc::from),
            cluster: (overview.get("cluster_name").and_then(Value::as_str)).map(str::to_owned),
            is_single_node: nodes.len() == 1,
            counts_messages: overview.get("rates_mode").and_then(Value::as_str) != Some("none")
                && !self.without_statistics,
        }))
    }

    /// Name and type of every exchange.
    pub(super) async fn exchanges(
        &self,
        vhost: &str,
        until: Instant,
    ) -> Result<HashMap<String, String>, BrokerError> {
        let list = pages::List {
            what: "http_exchanges",
            name: "exchanges",
            vhost,
            query: "columns=name,type",
        };
        let pass = self.pass(&list, (1, pages::MAX_PAGES), until).await?;
        // Without some of them, queues would seem to be of another system.
        if let Some(fault) = pass.fault {
            return Err(fault);
        }
        let text = |item: &Value, key| item.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(pass
            .items
            .iter()
            .filter_map(|item| Some((text(item, "name")?, text(item, "type")?)))
            .collect())
    }

    /// The last `age` seconds of a queue's counters; `None` if there is no such queue or nothing
    /// is known of its past.
    pub(super) async fn history(
        &self,
        vhost: &str,
        queue: &str,
        (age, step): (u32, u32),
    ) -> Result<Option<Samples>, BrokerError> {
        let columns = Samples::COLUMNS;
        let query = format!("msg_rates_age={age}&msg_rates_incr={step}&columns={columns}");
        let path = path_of(vhost, queue, &query);
        let answer = self.client.get("http_queue", &path).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let row = self.read(answer, Some(vhost))?;
        Ok(Samples::decode(&row, step).and_then(|(_, samples)| samples))
    }

    /// The JSON of a good answer, or what its status means.
    fn read(&self, answer: Answer, vhost: Option<&str>) -> Result<Value, BrokerError> {
        if answer.status == StatusCode::OK {
            return serde_json::from_slice(&answer.body).map_err(|error| {
                BrokerError::new(
                    ErrorKind::Decode,
                    format!(
                        "{} answered no JSON: {error}; is it RabbitMQ's?",
                        answer.node
                    ),
                )
            });
        }
        Err(self.refusal(&answer, vhost))
    }

    fn refusal(&self, answer: &Answer, vhost: Option<&str>) -> BrokerError {
        refusal::refusal(answer, vhost, &self.username)
    }
}

/// Where a single queue is told of.
fn path_of(vhost: &str, queue: &str, query: &str) -> String {
    let segment = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    format!("/api/queues/{}/{}?{query}", segment(vhost), segment(queue))
}
