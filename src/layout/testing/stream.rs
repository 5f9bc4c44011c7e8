//! Streams of the keyspace in memory.

use super::raw;
use crate::layout::redis::{Read, Reply};
use serde_json::Value;

/// A recorded stream: what `XRANGE - +` answered.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    entries: Vec<((u64, u64), Reply)>,
}

impl Stream {
    pub(super) fn recorded(value: &Value) -> Self {
        let entries = value["entries"].as_array().into_iter().flatten();
        Self {
            entries: entries
                .map(|entry| (id(entry[0].as_str().unwrap().as_bytes()), reply(entry)))
                .collect(),
        }
    }

    /// None: that is not asked of a stream.
    pub(super) fn answer(&self, read: &Read) -> Option<Reply> {
        Some(match read {
            Read::Xlen(_) => Reply::Int(self.entries.len() as i64),
            Read::XrangeFrom(_, from, limit) => {
                let from = id(from);
                let rest = self.entries.iter().filter(|(id, _)| *id >= from);
                let rest = rest.map(|(_, entry)| entry.clone());
                Reply::Array(rest.take(*limit as usize).collect())
            }
            Read::XrevrangeLast(_) => {
                let last = self.entries.last();
                Reply::Array(last.map(|(_, entry)| entry.clone()).into_iter().collect())
            }
            _ => return None,
        })
    }
}

fn id(text: &[u8]) -> (u64, u64) {
    let (ms, sequence) = std::str::from_utf8(text).unwrap().split_once('-').unwrap();
    (ms.parse().unwrap(), sequence.parse().unwrap())
}

fn reply(value: &Value) -> Reply {
    match value {
        Value::Null => Reply::Nil,
        Value::Number(number) => Reply::Int(number.as_i64().unwrap()),
        Value::Array(items) => Reply::Array(items.iter().map(reply).collect()),
        other => Reply::Bytes(raw(other)),
    }
}
