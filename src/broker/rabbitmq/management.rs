//! What is asked of the management API, and what its refusals mean.

use super::http::{Answer, Client};
use super::join::join;
use crate::broker::BrokerError;
use crate::layout::rabbitmq::QueueRow;
use crate::layout::rabbitmq::flow::Samples;
use crate::model::ErrorKind;
use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// The largest that RabbitMQ allows.
const PAGE_SIZE: usize = 500;
/// 100,000 queues. What is beyond is not read, and counted.
const MAX_PAGES: usize = 200;

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
    /// Whether the cluster is known to be a single node.
    pub(super) is_single_node: bool,
    /// Whether messages are counted (`rates_mode` is not `none`): if not, totals of zero mean
    /// nothing.
    pub(super) counts_messages: bool,
}

/// The queues of one vhost, by name.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) rows: BTreeMap<String, QueueRow>,
    pub(super) pages: usize,
    /// Why some pages are missing.
    pub(super) fault: Option<BrokerError>,
    /// Rows that are none.
    pub(super) undecodable: u64,
    /// Queues beyond the last page that is read.
    pub(super) unread: u64,
}

/// One reading of all pages of a list.
#[derive(Debug, Default)]
struct Pass {
    items: Vec<Value>,
    /// As many as the list has.
    pages: usize,
    unread: u64,
    /// The list changed its length meanwhile, so that an item may have moved from a page not yet
    /// read to one already read.
    has_shifted: bool,
    /// Why a page is missing.
    fault: Option<BrokerError>,
}

/// A list of one vhost.
struct List<'a> {
    /// As what its requests are counted.
    what: &'static str,
    name: &'static str,
    vhost: &'a str,
    query: &'a str,
}

/// One page of a list.
struct Page {
    items: Vec<Value>,
    /// How many pages and items the list has.
    pages: Option<u64>,
    count: Option<u64>,
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
            rates_mode,listeners.node";
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
        let list = List {
            what: "http_exchanges",
            name: "exchanges",
            vhost,
            query: "columns=name,type",
        };
        let pass = self.pass(&list, 1, until).await?;
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

    /// Every queue of a vhost. `known` are queues that were there the last time, on so many `pages`:
    /// if one of several pages lacks them, or the list has changed its length while it was read, it
    /// is read a second time, since queues that go away move others to pages that have been read
    /// already. What cannot be read `until` then is missing, and so said.
    pub(super) async fn queues(
        &self,
        vhost: &str,
        (known, pages): (&HashMap<String, QueueRow>, usize),
        until: Instant,
    ) -> Result<Listing, BrokerError> {
        let mut query = format!("columns={}", QueueRow::COLUMNS);
        if self.without_statistics {
            query.push_str("&disable_stats=true&enable_queue_totals=true");
        }
        let list = List {
            what: "http_queues",
            name: "queues",
            vhost,
            query: &query,
        };
        let mut listing = Listing {
            pages,
            ..Listing::default()
        };
        for _ in 0..2 {
            let pass = self.pass(&list, listing.pages, until).await?;
            listing.undecodable = 0;
            listing.unread = pass.unread;
            listing.pages = pass.pages;
            listing.fault = pass.fault;
            for item in &pass.items {
                match QueueRow::decode(item) {
                    Some(row) => {
                        listing.rows.insert(row.name.clone(), row);
                    }
                    None => listing.undecodable += 1,
                }
            }
            let lacks_known = || known.keys().any(|name| !listing.rows.contains_key(name));
            let is_doubtful = pass.has_shifted || pass.pages > 1 && lacks_known();
            if listing.fault.is_some() || !is_doubtful {
                break;
            }
        }
        Ok(listing)
    }

    /// The last `age` seconds of a queue's counters; `None` if there is no such queue or nothing
    /// is known of its past.
    pub(super) async fn history(
        &self,
        vhost: &str,
        queue: &str,
        (age, step): (u32, u32),
    ) -> Result<Option<Samples>, BrokerError> {
        let segment = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let path = format!(
            "/api/queues/{}/{}?msg_rates_age={age}&msg_rates_incr={step}&columns={}",
            segment(vhost),
            segment(queue),
            Samples::COLUMNS
        );
        let answer = self.client.get("http_queue", &path).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let row = self.read(answer, Some(vhost))?;
        Ok(Samples::decode(&row, step).and_then(|(_, samples)| samples))
    }

    /// Reads all pages, several at a time; `expected` are as many as there were the last time.
    async fn pass(
        &self,
        list: &List<'_>,
        expected: usize,
        until: Instant,
    ) -> Result<Pass, BrokerError> {
        let mut pass = Pass::default();
        let mut length = None;
        let (mut wanted, mut asked, mut read) = (expected.clamp(1, MAX_PAGES), 0, 0);
        while asked < wanted {
            let pages = asked + 1..=wanted;
            asked = wanted;
            let reading = pages.map(|page| self.page(list, page, until)).collect();
            for page in join(reading).await {
                match page {
                    Ok(Some(page)) => {
                        read += 1;
                        pass.has_shifted |= *length.get_or_insert(page.count) != page.count;
                        let last = page.pages.and_then(|last| usize::try_from(last).ok());
                        pass.pages = pass.pages.max(last.unwrap_or(1));
                        pass.items.extend(page.items);
                    }
                    // Beyond the end of a list that has become shorter.
                    Ok(None) => pass.has_shifted = true,
                    Err(error) => pass.fault = pass.fault.or(Some(error)),
                }
            }
            wanted = pass.pages.min(MAX_PAGES);
        }
        if pass.pages > MAX_PAGES {
            let count = length.flatten().unwrap_or(0);
            pass.unread = count.saturating_sub((MAX_PAGES * PAGE_SIZE) as u64);
        }
        // How long the list is may be what the missing page would have told.
        pass.pages = pass
            .pages
            .max(if pass.fault.is_some() { expected } else { 0 });
        match pass.fault {
            Some(error) if read == 0 => Err(error),
            fault => Ok(Pass { fault, ..pass }),
        }
    }

    /// One page; `None` if the list does not reach so far.
    async fn page(
        &self,
        list: &List<'_>,
        page: usize,
        until: Instant,
    ) -> Result<Option<Page>, BrokerError> {
        let List {
            what,
            name,
            vhost,
            query,
        } = list;
        let segment = utf8_percent_encode(vhost, NON_ALPHANUMERIC);
        let path = format!("/api/{name}/{segment}?page={page}&page_size={PAGE_SIZE}&{query}");
        let answer = timeout_at(until, self.client.get(what, &path))
            .await
            .map_err(|_| {
                BrokerError::new(
                    ErrorKind::Timeout,
                    format!("page {page} of /api/{name} for vhost `{vhost}` was not read in time"),
                )
            })??;
        if answer.status == StatusCode::BAD_REQUEST && is_out_of_range(&answer.body) {
            return Ok(None);
        }
        let mut reply = self.read(answer, Some(vhost))?;
        let number = |key| reply.get(key).and_then(Value::as_u64);
        let (pages, count) = (number("page_count"), number("filtered_count"));
        match reply.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(Some(Page {
                items,
                pages,
                count,
            })),
            _ => Err(BrokerError::new(
                ErrorKind::Decode,
                format!("a page of /api/{name} for vhost `{vhost}` holds no items"),
            )),
        }
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
        Err(refusal(&answer, vhost, &self.username))
    }
}

fn is_out_of_range(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body)
        .is_ok_and(|body| body.get("error").and_then(Value::as_str) == Some("page_out_of_range"))
}

/// What a status other than 200 means, and what to do about it.
fn refusal(answer: &Answer, vhost: Option<&str>, user: &str) -> BrokerError {
    let node = &answer.node;
    let reason = reason(&answer.body);
    let mut message = format!("the management API at {node} ");
    let kind = match (answer.status, vhost) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _)
            if reason.contains("management user") =>
        {
            write!(
                message,
                "refuses the user `{user}`, who lacks a tag for it; run: rabbitmqctl \
                 set_user_tags {user} monitoring"
            )
            .ok();
            ErrorKind::Permission
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(vhost))
            if reason.contains("virtual host") =>
        {
            write!(
                message,
                "lets the user `{user}` see nothing of vhost `{vhost}`; any permission in it will \
                 do, also one to touch nothing: rabbitmqctl set_permissions -p {vhost} {user} \
                 '^$' '^$' '^$'"
            )
            .ok();
            ErrorKind::Permission
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            write!(
                message,
                "refuses the name or password of the user `{user}` ({reason})"
            )
            .ok();
            ErrorKind::Auth
        }
        (StatusCode::NOT_FOUND, Some(vhost)) => {
            write!(
                message,
                "knows no vhost `{vhost}`; check `vhosts` and the path of the URL"
            )
            .ok();
            ErrorKind::Permission
        }
        (status, _) => {
            write!(message, "answered {status} ({reason})").ok();
            ErrorKind::Protocol
        }
    };
    BrokerError::new(kind, message)
}

/// The broker's own words, kept short.
fn reason(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = body
        .get("reason")
        .and_then(Value::as_str)
        .unwrap_or("no reason given");
    reason
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}
