//! The JSON API. Numbers are plain numbers at fixed paths; what is not known is `null`, with the
//! reason beside it.

use super::AppState;
use super::body::{BrokerBody, BrokersBody, QueueBody, QueuesBody, Unavailable};
use super::history::HistoryBody;
use super::listing::{Filter, Order, Sort};
use super::problem::Problem;
use crate::clock::{self, Now};
use crate::model::{BrokerSnapshot, QueueSnapshot, Snapshot};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

/// What of the list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Globs.
    broker: Option<String>,
    system: Option<String>,
    queue: Option<String>,
    /// Words that must be in the names.
    #[serde(default)]
    search: String,
    #[serde(default)]
    sort: Sort,
    order: Option<Order>,
    #[serde(default)]
    offset: u32,
    limit: Option<u32>,
    /// Has been looked at when the request came in.
    #[serde(rename = "api_key")]
    _api_key: Option<String>,
}

fn bad_query(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "Bad query", detail)
}

pub(super) async fn queues(
    State(state): State<AppState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<QueuesBody>, Problem> {
    let Query(query) = query.map_err(|rejection| {
        bad_query(format!(
            "{}; the list takes broker, system, queue (globs), search, sort, order, offset and limit",
            rejection.body_text()
        ))
    })?;
    let filter = Filter::globs(
        query.broker.as_deref(),
        query.system.as_deref(),
        query.queue.as_deref(),
    );
    let filter = filter.map_err(bad_query)?.with_search(&query.search);
    let now = clock::now();
    let snapshot = state.snapshot();
    let mut rows = filter.rows(&snapshot, now);
    rows.retain(|row| row.is_fresh);
    let order = query.order.unwrap_or(Order::usual(query.sort));
    query.sort.sort(&mut rows, order);
    let page = rows.iter().skip(query.offset as usize);
    let page = page.take(query.limit.map_or(usize::MAX, |limit| limit as usize));
    Ok(Json(QueuesBody {
        queues: page
            .map(|row| QueueBody::new(row.broker, row.queue))
            .collect(),
        total: rows.len(),
        unavailable: missing(&snapshot, &filter, now),
    }))
}

/// Brokers that have queues which are not listed.
fn missing(snapshot: &Snapshot, filter: &Filter, now: Now) -> Vec<Unavailable> {
    let brokers = snapshot.brokers.values();
    let brokers = brokers.filter(|broker| filter.allows_broker(broker));
    brokers
        .filter_map(|broker| {
            let stale = broker.queues.len() - broker.fresh_queues(now).count();
            let partly = format!("{stale} of its queues have not been read for too long");
            let reason = unavailable(broker, now).or((stale > 0).then_some(partly))?;
            Some(Unavailable {
                broker: broker.name.to_string(),
                reason,
            })
        })
        .collect()
}

/// Broker, system and queue, decoded.
type Names = Result<Path<(String, String, String)>, PathRejection>;

pub(super) async fn queue(
    State(state): State<AppState>,
    path: Names,
) -> Result<Json<QueueBody>, Problem> {
    find(&state, path, |broker, queue, _| {
        QueueBody::new(broker, queue)
    })
}

pub(super) async fn history(
    State(state): State<AppState>,
    path: Names,
) -> Result<Json<HistoryBody>, Problem> {
    find(&state, path, HistoryBody::new)
}

/// What `show` makes of a queue that may be shown as the present state.
fn find<B>(
    state: &AppState,
    path: Names,
    show: impl Fn(&BrokerSnapshot, &QueueSnapshot, Now) -> B,
) -> Result<Json<B>, Problem> {
    let Path((broker, system, queue)) = path.map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, "Bad path", rejection.to_string())
    })?;
    let snapshot = state.snapshot();
    let Some(found) = snapshot.brokers.get(broker.as_str()) else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "No such broker",
            format!("no broker is named {broker:?}; /api/v1/brokers lists them"),
        ));
    };
    let now = clock::now();
    if let Some(reason) = unavailable(found, now) {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Broker not available",
            reason,
        ));
    }
    let is_it = |each: &&QueueSnapshot| each.system.as_str() == system && *each.queue == *queue;
    match found.queues.iter().find(is_it) {
        Some(queue) if found.is_queue_fresh(queue, now) => Ok(Json(show(found, queue, now))),
        Some(queue) => {
            let age = now.mono.saturating_duration_since(queue.observed.mono);
            let age = age.as_secs();
            Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Queue not available",
                format!("the queue has not been read for {age} s"),
            ))
        }
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "No such queue",
            format!("broker {broker:?} has no {system} queue {queue:?}; /api/v1/queues lists them"),
        )),
    }
}

pub(super) async fn brokers(State(state): State<AppState>) -> Json<BrokersBody> {
    let now = clock::now();
    let brokers = state
        .snapshot()
        .brokers
        .values()
        .map(|broker| BrokerBody::new(broker, now))
        .collect();
    Json(BrokersBody { brokers })
}

/// Why a broker's queues cannot be shown as the present state.
pub(super) fn unavailable(broker: &BrokerSnapshot, now: Now) -> Option<String> {
    if broker.is_fresh(now) {
        return None;
    }
    let since = match broker.last_success {
        None => "never been polled with success".to_owned(),
        Some(at) => {
            let age = now.mono.saturating_duration_since(at.mono).as_secs();
            format!("not been polled with success for {age} s")
        }
    };
    let error = broker
        .last_error
        .as_ref()
        .map_or(String::new(), |error| format!(": {}", error.message));
    Some(format!("broker {} has {since}{error}", broker.name))
}
