//! Streams of the keyspace in memory.

use super::stored::raw;
use crate::layout::redis::{Read, Reply};
use serde_json::Value;
use std::collections::BTreeMap;

/// A recorded stream: what `XINFO GROUPS`, `XRANGE - +` and `XPENDING` answered.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    groups: Reply,
    entries: Vec<((u64, u64), Reply)>,
    pending: BTreeMap<Vec<u8>, Vec<Reply>>,
}

impl Stream {
    /// What was not recorded is empty.
    pub(super) fn recorded(value: &Value) -> Self {
        let entries = value["entries"].as_array().into_iter().flatten();
        let pending = value["pending"].as_object().into_iter().flatten();
        Self {
            groups: reply(&value["groups"]),
            entries: entries
                .map(|entry| (id(entry[0].as_str().unwrap().as_bytes()), reply(entry)))
                .collect(),
            pending: pending
                .map(|(group, entries)| {
                    let entries = entries.as_array().unwrap();
                    (
                        group.clone().into_bytes(),
                        entries.iter().map(reply).collect(),
                    )
                })
                .collect(),
        }
    }

    /// None: that is not asked of a stream.
    pub(super) fn answer(&self, read: &Read) -> Option<Reply> {
        let array = |items: &mut dyn Iterator<Item = &Reply>, limit: &u32| {
            Reply::Array(items.take(*limit as usize).cloned().collect())
        };
        Some(match read {
            Read::Xlen(_) => Reply::Int(self.entries.len() as i64),
            Read::XinfoGroups(_) => self.groups.clone(),
            Read::XrangeAfter(_, after, limit) => {
                let after = id(after);
                let behind = self.entries.iter().filter(|(id, _)| *id > after);
                array(&mut behind.map(|(_, entry)| entry), limit)
            }
            Read::XrangeFrom(_, from, limit) => {
                let from = id(from);
                let rest = self.entries.iter().filter(|(id, _)| *id >= from);
                array(&mut rest.map(|(_, entry)| entry), limit)
            }
            Read::XrevrangeLast(_) => {
                let last = self.entries.last().map(|(_, entry)| entry);
                array(&mut last.into_iter(), &1)
            }
            Read::XpendingFirst(_, group, limit) => {
                array(&mut self.pending.get(&**group)?.iter(), limit)
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
