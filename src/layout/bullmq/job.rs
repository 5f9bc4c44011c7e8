//! What a job's hash tells of when it became ready.

use super::BullLayout;
use crate::layout::redis::{Bytes, Read, Refusal, Reply};
use crate::model::Timestamp;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Small fields. `ats` counts the starts (BullMQ), `attemptsMade` the failed attempts (Bull 4),
/// `defa` says that a child has failed the job.
const FIELDS: &[&str] = &[
    "timestamp",
    "opts",
    "processedOn",
    "ats",
    "attemptsMade",
    "defa",
];

/// Keys beside a job's hash of which there is one if it has had to wait for children.
const OF_PARENTS: [&[u8]; 3] = [b"processed", b"failed", b"unsuccessful"];

/// How many reads a job takes.
pub(super) const READS: usize = 1 + OF_PARENTS.len();

#[derive(Debug, Default, PartialEq)]
pub(super) struct Job {
    /// On its producer's clock.
    created: Option<Timestamp>,
    /// By how much it was to be held back at first; unknown if the options cannot be read.
    delay: Option<Duration>,
    /// When it was last started, on its worker's clock.
    pub(super) started: Option<Timestamp>,
    /// BullMQ's count of its starts.
    starts: Option<u64>,
    /// Bull 4's count of its failed attempts.
    failures: u64,
    is_parent: bool,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    delay: f64,
}

pub(super) fn reads(layout: &BullLayout, queue: &[u8], id: &[u8]) -> [Read; READS] {
    let key = layout.key(queue, id);
    let beside = |suffix: &[u8]| -> Bytes { [&*key, b":", suffix].concat().into() };
    let [processed, failed, unsuccessful] = OF_PARENTS.map(|suffix| Read::Exists(beside(suffix)));
    [
        Read::Hmget(Arc::clone(&key), FIELDS),
        processed,
        failed,
        unsuccessful,
    ]
}

/// A point in time in milliseconds.
pub(super) fn time(text: &[u8]) -> Option<Timestamp> {
    Timestamp::from_number_of_unknown_unit(std::str::from_utf8(text).ok()?.parse().ok()?)
}

impl Job {
    /// Nothing where its hash is gone.
    pub(super) fn decode(
        mut replies: impl Iterator<Item = Reply>,
    ) -> Result<Option<Self>, Refusal> {
        let fields = replies.next().unwrap_or(Reply::Nil).array()?;
        if fields.iter().all(|field| *field == Reply::Nil) {
            return Ok(None);
        }
        let text = |at: usize| match fields.get(at) {
            Some(Reply::Bytes(bytes)) => Some(bytes.as_slice()),
            _ => None,
        };
        let number = |at| std::str::from_utf8(text(at)?).ok()?.parse::<u64>().ok();
        Ok(Some(Self {
            created: text(0).and_then(time),
            delay: match fields.get(1) {
                Some(Reply::Bytes(opts)) => delay(opts),
                Some(Reply::Nil) => Some(Duration::ZERO),
                _ => None,
            },
            started: text(2).and_then(time),
            starts: number(3),
            failures: number(4).unwrap_or(0),
            is_parent: text(5).is_some() || replies.any(|reply| reply == Reply::Int(1)),
        }))
    }

    /// Between which times it became ready, if it is waiting now.
    pub(super) fn ready(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let created = self.created?;
        let is_first = self.starts.unwrap_or(0) == 0 && self.failures == 0;
        if is_first
            && self.started.is_none()
            && let Some(at) = self.due()
            // Otherwise it was brought forward by hand.
            && (at <= now || at == created)
        {
            return Some((at, at));
        }
        let earliest = self.started.unwrap_or(created);
        Some((earliest, now.max(earliest)))
    }

    /// When it had become ready before its only start, and `promoted` if it was found due then.
    pub(super) fn ready_once(
        &self,
        started: Timestamp,
        promoted: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let due = self.due().filter(|_| self.starts == Some(1))?;
        match promoted {
            Some(at) => Some(due.min(at)),
            // Otherwise it was brought forward by hand.
            None => (due <= started || Some(due) == self.created).then_some(due),
        }
    }

    /// When Bull 4 let it become ready, if its present attempt is the first.
    pub(super) fn ready_at_first(&self) -> Option<Timestamp> {
        self.due().filter(|_| self.failures == 0)
    }

    /// The end of its first delay.
    fn due(&self) -> Option<Timestamp> {
        let delay = self.delay.filter(|_| !self.is_parent)?;
        Some(self.created?.plus(delay))
    }
}

fn delay(opts: &[u8]) -> Option<Duration> {
    let options: Options = serde_json::from_slice(opts).ok()?;
    Duration::try_from_secs_f64(options.delay.max(0.0) / 1e3).ok()
}
