//! Lists that are read in pages, several at a time.

use super::{Management, UNCACHED};
use crate::broker::BrokerError;
use crate::broker::rabbitmq::join::join;
use crate::layout::rabbitmq::QueueRow;
use crate::model::ErrorKind;
use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use tokio::time::{Instant, timeout_at};

/// The largest that RabbitMQ allows.
pub(in crate::broker::rabbitmq) const PAGE_SIZE: usize = 500;
/// A longer list of queues is read in one piece.
pub(in crate::broker::rabbitmq) const FEW_PAGES: usize = 2;
/// 100,000 queues. What is beyond is not read, and counted.
pub(super) const MAX_PAGES: usize = 200;

/// The queues of one vhost, by name.
#[derive(Debug, Default)]
pub(in crate::broker::rabbitmq) struct Listing {
    pub(in crate::broker::rabbitmq) rows: BTreeMap<String, QueueRow>,
    pub(in crate::broker::rabbitmq) pages: usize,
    /// Why some pages are missing.
    pub(in crate::broker::rabbitmq) fault: Option<BrokerError>,
    /// Rows that are none.
    pub(in crate::broker::rabbitmq) undecodable: u64,
    /// Queues beyond the last page that is read.
    pub(in crate::broker::rabbitmq) unread: u64,
    /// Of the rows those that have not been read, since nothing has changed in them.
    pub(in crate::broker::rabbitmq) still: HashSet<String>,
    /// The list did not come in time in one piece.
    pub(in crate::broker::rabbitmq) is_slow: bool,
}

/// What was known of the queues of a vhost before.
pub(in crate::broker::rabbitmq) struct Known<'a> {
    /// Those that were there the last time.
    pub(in crate::broker::rabbitmq) rows: &'a HashMap<String, QueueRow>,
    pub(in crate::broker::rabbitmq) pages: usize,
    /// Their list is read in pages, however many.
    pub(in crate::broker::rabbitmq) in_pages: bool,
}

/// One reading of all pages of a list.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) items: Vec<Value>,
    /// As many as the list has.
    pages: usize,
    unread: u64,
    /// The list changed its length meanwhile, so that an item may have moved from a page not yet
    /// read to one already read.
    has_shifted: bool,
    /// Why a page is missing.
    pub(super) fault: Option<BrokerError>,
}

/// A list of one vhost.
pub(super) struct List<'a> {
    /// As what its requests are counted.
    pub(super) what: &'static str,
    pub(super) name: &'static str,
    pub(super) vhost: &'a str,
    pub(super) query: &'a str,
}

/// One page of a list.
struct Page {
    items: Vec<Value>,
    /// How many pages and items the list has.
    pages: Option<u64>,
    count: Option<u64>,
}

impl Management {
    /// Every queue of a vhost. If one of several pages lacks those that are `known`, or the list has
    /// changed its length while it was read, it is read a second time, since queues that go away move
    /// others to pages that have been read already. What cannot be read `until` then is missing, and
    /// so said.
    pub(in crate::broker::rabbitmq) async fn queues(
        &self,
        vhost: &str,
        known: &Known<'_>,
        until: Instant,
    ) -> Result<Listing, BrokerError> {
        let source = match self.without_statistics {
            true => "disable_stats=true&enable_queue_totals=true",
            false => UNCACHED,
        };
        let query = format!("columns={}&{source}", QueueRow::COLUMNS);
        let list = List {
            what: "http_queues",
            name: "queues",
            vhost,
            query: &query,
        };
        let mut listing = Listing {
            pages: known.pages,
            is_slow: known.in_pages,
            ..Listing::default()
        };
        for _ in 0..2 {
            if listing.pages > FEW_PAGES && !listing.is_slow {
                match self.at_once(&list, until).await? {
                    Some(listing) => return Ok(listing),
                    None => listing.is_slow = true,
                }
            }
            let most = match listing.is_slow {
                true => MAX_PAGES,
                false => FEW_PAGES,
            };
            let pass = self.pass(&list, (listing.pages, most), until).await?;
            listing.undecodable = 0;
            listing.unread = pass.unread;
            listing.pages = pass.pages;
            listing.fault = pass.fault;
            if pass.pages > most && most < MAX_PAGES {
                continue;
            }
            for item in &pass.items {
                match QueueRow::decode(item) {
                    Some(row) => {
                        listing.rows.insert(row.name.clone(), row);
                    }
                    None => listing.undecodable += 1,
                }
            }
            let lacks_known = || {
                known
                    .rows
                    .keys()
                    .any(|name| !listing.rows.contains_key(name))
            };
            let is_doubtful = pass.has_shifted || pass.pages > 1 && lacks_known();
            if listing.fault.is_some() || !is_doubtful {
                break;
            }
        }
        Ok(listing)
    }

    /// Reads all pages up to the `most`, several at a time; `expected` are as many as there were the
    /// last time.
    pub(super) async fn pass(
        &self,
        list: &List<'_>,
        (expected, most): (usize, usize),
        until: Instant,
    ) -> Result<Pass, BrokerError> {
        let mut pass = Pass::default();
        let mut length = None;
        let (mut wanted, mut asked, mut read) = (expected.clamp(1, most), 0, 0);
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
            wanted = pass.pages.min(most);
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
}

fn is_out_of_range(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body)
        .is_ok_and(|body| body.get("error").and_then(Value::as_str) == Some("page_out_of_range"))
}
