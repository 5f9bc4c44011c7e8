//! The JSON API. Numbers are plain numbers at fixed paths; what is not known is `null`, with the
//! reason beside it.

use super::AppState;
use super::body::{BrokerBody, BrokersBody, QueueBody, QueuesBody, Unavailable};
use super::problem::Problem;
use crate::clock::{self, Now};
use crate::model::{BrokerSnapshot, QueueSnapshot};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;

/// Globs; all given ones must match.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterQuery {
    broker: Option<String>,
    system: Option<String>,
    queue: Option<String>,
}

struct Filter {
    broker: Option<GlobMatcher>,
    system: Option<GlobMatcher>,
    queue: Option<GlobMatcher>,
}

impl Filter {
    fn compile(query: &FilterQuery) -> Result<Self, Problem> {
        let glob = |name: &str, glob: &Option<String>| {
            let glob = glob
                .as_deref()
                .map(|glob| GlobBuilder::new(glob).build())
                .transpose();
            let glob = glob.map_err(|error| bad_filter(format!("{name}: {error}")))?;
            Ok(glob.map(|glob| glob.compile_matcher()))
        };
        Ok(Self {
            broker: glob("broker", &query.broker)?,
            system: glob("system", &query.system)?,
            queue: glob("queue", &query.queue)?,
        })
    }
}

fn allows(glob: Option<&GlobMatcher>, text: &str) -> bool {
    glob.is_none_or(|glob| glob.is_match(text))
}

fn bad_filter(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "Bad filter", detail)
}

pub(super) async fn queues(
    State(state): State<AppState>,
    query: Result<Query<FilterQuery>, QueryRejection>,
) -> Result<Json<QueuesBody>, Problem> {
    let Query(query) = query.map_err(|rejection| {
        bad_filter(format!(
            "{rejection}; the filters are broker, system and queue"
        ))
    })?;
    let filter = Filter::compile(&query)?;
    let now = clock::now();
    let snapshot = state.snapshot();
    let mut body = QueuesBody {
        queues: Vec::new(),
        unavailable: Vec::new(),
    };
    for broker in snapshot.brokers.values() {
        if !allows(filter.broker.as_ref(), &broker.name) {
            continue;
        }
        if let Some(reason) = unavailable(broker, now) {
            body.unavailable.push(Unavailable {
                broker: broker.name.to_string(),
                reason,
            });
            continue;
        }
        let wanted = broker.fresh_queues(now).filter(|queue| {
            allows(filter.system.as_ref(), queue.system.as_str())
                && allows(filter.queue.as_ref(), &queue.queue)
        });
        body.queues
            .extend(wanted.map(|queue| QueueBody::new(broker, queue)));
        let stale = broker.queues.len() - broker.fresh_queues(now).count();
        if stale > 0 {
            body.unavailable.push(Unavailable {
                broker: broker.name.to_string(),
                reason: format!("{stale} of its queues have not been read for too long"),
            });
        }
    }
    Ok(Json(body))
}

pub(super) async fn queue(
    State(state): State<AppState>,
    path: Result<Path<(String, String, String)>, PathRejection>,
) -> Result<Json<QueueBody>, Problem> {
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
        Some(queue) if found.is_queue_fresh(queue, now) => Ok(Json(QueueBody::new(found, queue))),
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
fn unavailable(broker: &BrokerSnapshot, now: Now) -> Option<String> {
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
