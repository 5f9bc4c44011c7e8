//! Talking to brokers: one folder a kind. A [`Source`] is one configured broker; how it connects,
//! what it reads and how it finds its queues is its own affair. Nothing here decides *when* to
//! poll: that is `poll`.

mod events;
pub mod rabbitmq;
pub mod redis;
pub mod simulated;
pub mod tls;
pub mod wire;

use crate::layout::redis::SavedMarks;
use crate::model::flow::Misuses;
use crate::model::{Cost, ErrorKind, PollFailure, PollSuccess};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// One configured broker.
pub trait Source: Send {
    /// Reads every known queue once. Connects first where there is no connection. The caller sets
    /// the time limit and drops the future when it is over, so an implementation must leave itself
    /// fit for the next call at every await (a connection with a reply still due is not).
    fn poll(&mut self) -> impl Future<Output = Result<PollSuccess, BrokerError>> + Send;

    /// Does one slice of the search for queues and says how long to wait before the next.
    fn discover(&mut self) -> impl Future<Output = Result<Duration, BrokerError>> + Send;

    /// Whether a whole search has come to its end since the start: then a queue that is not known
    /// does not exist.
    fn discovered(&self) -> bool;

    /// Whether what was dropped before its end hung in a handshake of TLS.
    fn is_shaking_hands(&self) -> bool {
        false
    }

    /// From now on [`Source::memory`] is asked. `earlier` is what an earlier process has left.
    fn remember(&mut self, _earlier: Option<SourceMemory>) {}

    /// What the next process needs to know to go on where this one ends, as of the last poll; none
    /// if nothing is kept.
    fn memory(&mut self) -> Option<SourceMemory> {
        None
    }

    /// In which way the last poll has read the broker, where there are several: what is lost with it,
    /// and what to do about that. For a person.
    fn describe(&self) -> Vec<String> {
        Vec::new()
    }

    /// Which rights the broker does not give us, asked for outright: a poll needs each only where there
    /// is what it reads.
    fn lacking(&mut self) -> impl Future<Output = Result<Lacking, BrokerError>> + Send {
        async { Ok(Lacking::default()) }
    }

    /// What all calls have cost the broker so far, failed ones included.
    fn cost(&self) -> Cost;
}

/// Rights that are missing, as the broker names them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lacking {
    pub needed: Vec<&'static str>,
    /// Something is known less well without them.
    pub useful: Vec<&'static str>,
}

/// What a source remembers between polls, as it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceMemory {
    /// Names one run of one server; none where that is not told.
    run_id: Option<String>,
    /// By the names of the systems.
    layouts: BTreeMap<String, SavedMarks>,
    /// Before the last poll, if that read all lists.
    #[serde(default)]
    misuses: Option<Misuses>,
}

/// Why a broker could not be read. The message says what was asked of whom and what to do, and
/// never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BrokerError {
    pub kind: ErrorKind,
    pub message: String,
}

impl BrokerError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl From<BrokerError> for PollFailure {
    fn from(error: BrokerError) -> Self {
        Self {
            kind: error.kind,
            message: error.message,
        }
    }
}
