//! Lists that are read in one piece, and single queues in place of a list.
//!
//! For each page the broker gathers and sorts the whole list (100 ms of its processor with 10,000
//! queues), so that many pages cost twice as much as the list at once.

use super::pages::{Known, List, Listing, PAGE_SIZE};
use super::{Management, path_of};
use crate::broker::BrokerError;
use crate::broker::rabbitmq::http::Sink;
use crate::broker::rabbitmq::join::each;
use crate::broker::rabbitmq::still::{Marks, Watch};
use crate::clock;
use crate::layout::rabbitmq::{QueueRow, Rows};
use crate::model::ErrorKind;
use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

impl Sink for Rows {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.take(bytes)
    }
}

impl Management {
    /// Every queue of a vhost that has many, of which only those are read that may have changed.
    pub(in crate::broker::rabbitmq) async fn changed(
        &self,
        vhost: &str,
        known: &Known<'_>,
        (watch, marks): (&Watch, &Marks),
        until: Instant,
    ) -> Result<Listing, BrokerError> {
        // Names alone are told without statistics.
        let names = self.whole(vhost, "columns=name", until).await?;
        let count = names.rows.len();
        let Some(plan) = watch.plan(names.rows.into_keys(), vhost, marks) else {
            return self.queues(vhost, known, until).await;
        };
        let mut listing = Listing {
            still: plan.still.keys().cloned().collect(),
            rows: plan.still,
            pages: count.div_ceil(PAGE_SIZE),
            undecodable: names.undecodable,
            unread: names.unread,
            ..Listing::default()
        };
        let reading = each(plan.wanted, async |name: String| {
            let row = timeout_at(until, self.queue(vhost, &name)).await;
            row.unwrap_or_else(|_| {
                Err(BrokerError::new(
                    ErrorKind::Timeout,
                    format!("queue `{name}` and others of vhost `{vhost}` were not read in time"),
                ))
            })
        });
        for row in reading.await {
            match row {
                Ok(row) => listing.rows.extend(row.map(|row| (row.name.clone(), row))),
                Err(error) => listing.fault = listing.fault.or(Some(error)),
            }
        }
        Ok(listing)
    }

    /// The whole list of a vhost's queues. `None` if it did not come in time, but pages may.
    pub(super) async fn at_once(
        &self,
        list: &List<'_>,
        until: Instant,
    ) -> Result<Option<Listing>, BrokerError> {
        let now = clock::now().mono;
        let enough = until.saturating_duration_since(now) * 3 / 4;
        match self.whole(list.vhost, list.query, now + enough).await {
            Ok(read) => Ok(Some(Listing {
                pages: read.rows.len().div_ceil(PAGE_SIZE),
                rows: read.rows,
                undecodable: read.undecodable,
                unread: read.unread,
                ..Listing::default()
            })),
            Err(error) if error.kind == ErrorKind::Timeout => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn whole(&self, vhost: &str, query: &str, until: Instant) -> Result<Rows, BrokerError> {
        let segment = utf8_percent_encode(vhost, NON_ALPHANUMERIC);
        let path = format!("/api/queues/{segment}?{query}");
        let mut rows = Rows::default();
        let limit = until.saturating_duration_since(clock::now().mono);
        let asking = self
            .client
            .stream_within(limit, "http_queues", &path, &mut rows);
        let answer = timeout_at(until, asking).await.map_err(|_| {
            BrokerError::new(
                ErrorKind::Timeout,
                format!("the queues of vhost `{vhost}` were not listed in time"),
            )
        })??;
        if answer.status != StatusCode::OK {
            return Err(self.refusal(&answer, Some(vhost)));
        }
        if !rows.is_whole() {
            return Err(BrokerError::new(
                ErrorKind::Decode,
                format!("{} answered {path} with no whole list", answer.node),
            ));
        }
        Ok(rows)
    }

    /// One queue, as in the list; `None` if it is gone.
    async fn queue(&self, vhost: &str, name: &str) -> Result<Option<QueueRow>, BrokerError> {
        let path = path_of(vhost, name, &format!("columns={}", QueueRow::COLUMNS));
        let answer = self.client.get("http_queue", &path).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(QueueRow::decode(&self.read(answer, Some(vhost))?))
    }
}
