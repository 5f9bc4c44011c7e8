//! The entries of a BullMQ queue's events stream.

use crate::layout::redis::{Bytes, Refusal, Reply};
use crate::model::Timestamp;

/// An entry's id: when the server wrote it, and its number within that millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId {
    ms: u64,
    sequence: u64,
}

/// What happened to a job, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Waiting(Before),
    /// Due at this time.
    Delayed(Option<Timestamp>),
    Active,
    Completed,
    Failed,
    /// Its worker went away; it has just been put back.
    Stalled,
    /// Removed, or waiting for other jobs.
    Gone,
}

/// Where a job was before it began to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Active,
    Delayed,
    /// Nowhere, or finished, or held back by other jobs.
    Else,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: StreamId,
    /// The job and what happened to it; nothing where it does not matter.
    pub(super) event: Option<(Vec<u8>, Kind)>,
}

/// Consecutive entries.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Bytes that they have brought in.
    pub(super) bytes: u64,
    /// Values that were too large to be let in: what jobs return is among the events.
    pub(super) refused: u64,
}

// === impl StreamId ===

impl StreamId {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (ms, sequence) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            ms: ms.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }

    pub(super) fn time(self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.ms).unwrap_or(0).saturating_mul(1000))
    }

    pub(super) fn text(self) -> Bytes {
        format!("{}-{}", self.ms, self.sequence).into_bytes().into()
    }
}

// === impl Page ===

impl Page {
    /// Takes an answer to `XRANGE` apart. What is no entry is left out.
    pub(super) fn decode(reply: Reply) -> Result<Self, Refusal> {
        let mut page = Self::default();
        for entry in reply.array()? {
            let Reply::Array(parts) = entry else { continue };
            let [Reply::Bytes(id), Reply::Array(fields)] = parts.as_slice() else {
                continue;
            };
            let Some(id) = StreamId::parse(id) else {
                continue;
            };
            for field in fields {
                match field {
                    Reply::Bytes(bytes) => page.bytes += bytes.len() as u64,
                    Reply::Refused(_) => page.refused += 1,
                    _ => {}
                }
            }
            let event = event(fields);
            page.entries.push(Entry { id, event });
        }
        Ok(page)
    }
}

fn event(fields: &[Reply]) -> Option<(Vec<u8>, Kind)> {
    let get = |wanted: &[u8]| {
        fields.chunks(2).find_map(|pair| match pair {
            [Reply::Bytes(name), Reply::Bytes(value)] if name == wanted => Some(value.as_slice()),
            _ => None,
        })
    };
    let kind = match get(b"event")? {
        b"waiting" => Kind::Waiting(match get(b"prev") {
            Some(b"active") => Before::Active,
            Some(b"delayed") => Before::Delayed,
            _ => Before::Else,
        }),
        b"delayed" => Kind::Delayed(get(b"delay").and_then(super::job::time)),
        b"active" => Kind::Active,
        b"completed" => Kind::Completed,
        b"failed" => Kind::Failed,
        b"stalled" => Kind::Stalled,
        b"removed" | b"waiting-children" => Kind::Gone,
        _ => return None,
    };
    Some((get(b"jobId")?.to_vec(), kind))
}
