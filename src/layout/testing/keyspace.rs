//! A Redis in memory.

use super::stored::{Stored, bytes};
use crate::layout::redis::{Read, Refusal, RefusalKind, Reply, Side};
use proptest::sample::Index;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys with their values.
#[derive(Debug, Default, Clone)]
pub(crate) struct Keyspace(pub(super) BTreeMap<Vec<u8>, Stored>);

impl Keyspace {
    /// Reads the keys of one recorded case.
    pub(crate) fn recorded(json: &str, case: &str) -> Self {
        let file: Value = serde_json::from_str(json).unwrap();
        let keys = file[case]
            .as_object()
            .unwrap_or_else(|| panic!("no case {case}"));
        Self(
            keys.iter()
                .map(|(key, value)| (key.clone().into_bytes(), Stored::recorded(value)))
                .collect(),
        )
    }

    pub(crate) fn put(&mut self, key: &str, value: Stored) -> &mut Self {
        self.0.insert(key.as_bytes().to_vec(), value);
        self
    }

    pub(crate) fn list(&mut self, key: &str, elements: &[&str]) -> &mut Self {
        let head: Vec<Vec<u8>> = elements.iter().map(|e| e.as_bytes().to_vec()).collect();
        self.put(
            key,
            Stored::List {
                len: head.len(),
                tail: head.clone(),
                head,
            },
        )
    }

    /// Puts other values at some keys, and bytes in place of some elements and fields.
    pub(super) fn change(&mut self, values: &[(Index, Stored)], parts: &[(Index, Vec<u8>)]) {
        let keys: Vec<Vec<u8>> = self.0.keys().cloned().collect();
        for (at, value) in values {
            self.0.insert(at.get(&keys).clone(), value.clone());
        }
        for (at, part) in parts {
            let Some(stored) = self.0.get_mut(at.get(&keys)) else {
                continue;
            };
            match stored {
                Stored::Text(text) | Stored::Expiring(text, _) => text.clone_from(part),
                Stored::List { head, tail, .. } => {
                    let all = head.iter_mut().chain(tail);
                    all.for_each(|element| element.clone_from(part));
                }
                Stored::Hash(fields) => {
                    fields.values_mut().for_each(|value| value.clone_from(part));
                }
                Stored::Set(members) => members.push(part.clone()),
                Stored::Zset(members) => members.insert(0, (part.clone(), 0.0)),
                Stored::Stream(_) => {}
            }
        }
    }

    /// What a Redis with these keys answers.
    pub(crate) fn answer(&self, read: &Read) -> Reply {
        let stored = self.0.get(&**read.key());
        match (read, stored) {
            (Read::Type(_), None) => Reply::Bytes(b"none".to_vec()),
            (Read::Type(_), Some(stored)) => Reply::Bytes(stored.kind().into()),
            (Read::Exists(_), stored) => Reply::Int(stored.is_some().into()),
            (Read::MemoryUsage(_), None) => Reply::Nil,
            (Read::MemoryUsage(_), Some(_)) => Reply::Int(1000),
            (Read::Llen(_), Some(Stored::List { len, .. })) => Reply::Int(*len as i64),
            (Read::Lindex(_, index), Some(list @ Stored::List { .. })) => list.index(*index),
            (Read::Lrange(_, from, to), Some(Stored::List { len, .. })) => {
                let place = |i: i64| if i < 0 { i + *len as i64 } else { i };
                let items = (place(*from).max(0)..=place(*to).min(*len as i64 - 1))
                    .map(|index| stored.unwrap().index(index));
                Reply::Array(items.collect())
            }
            (Read::Hlen(_), Some(Stored::Hash(hash))) => Reply::Int(hash.len() as i64),
            (Read::Hget(_, field), Some(Stored::Hash(hash))) => bytes(hash.get(&**field)),
            (Read::Hstrlen(_, field), Some(Stored::Hash(hash))) => {
                Reply::Int(hash.get(&**field).map_or(0, Vec::len) as i64)
            }
            (Read::Hmget(_, fields), Some(Stored::Hash(hash))) => Reply::Array(
                fields
                    .iter()
                    .map(|name| bytes(hash.get(name.as_bytes())))
                    .collect(),
            ),
            (Read::Hmget(_, fields), None) => Reply::Array(vec![Reply::Nil; fields.len()]),
            (Read::Scard(_), Some(Stored::Set(set))) => Reply::Int(set.len() as i64),
            (Read::Smembers(_), Some(Stored::Set(set))) => {
                Reply::Array(set.iter().map(|member| bytes(Some(member))).collect())
            }
            (Read::Zcard(_), Some(Stored::Zset(zset))) => Reply::Int(zset.len() as i64),
            (Read::Zcount(_, min, max), Some(Stored::Zset(zset))) => {
                let within = |(_, score): &&(Vec<u8>, f64)| score >= min && score <= max;
                Reply::Int(zset.iter().filter(within).count() as i64)
            }
            (
                Read::ZrangeByScore {
                    min, max, limit, ..
                },
                Some(Stored::Zset(zset)),
            ) => scored(
                zset.iter()
                    .filter(|(_, score)| score >= min && score <= max)
                    .take(*limit as usize),
            ),
            (Read::Hgetall(_), Some(Stored::Hash(hash))) => Reply::Array(
                hash.iter()
                    .flat_map(|(field, value)| [bytes(Some(field)), bytes(Some(value))])
                    .collect(),
            ),
            (Read::Getrange(_, max), Some(Stored::Text(text) | Stored::Expiring(text, _))) => {
                Reply::Bytes(text.iter().copied().take(*max as usize).collect())
            }
            (Read::Getrange(..), None) => Reply::Bytes(Vec::new()),
            (Read::Pttl(_), Some(Stored::Expiring(_, left))) => Reply::Int(*left),
            (Read::Pttl(_), stored) => Reply::Int(if stored.is_some() { -1 } else { -2 }),
            (Read::Zrange(_, from, to), Some(Stored::Zset(zset))) => {
                let range = zset
                    .iter()
                    .skip(*from as usize)
                    .take((to - from + 1) as usize);
                scored(range)
            }
            (Read::XrangeFrom(..) | Read::XrevrangeLast(_), None) => Reply::Array(Vec::new()),
            (Read::ZrangeLast(_, count), Some(Stored::Zset(zset))) => {
                scored(zset.iter().skip(zset.len().saturating_sub(*count as usize)))
            }
            (read, Some(Stored::Stream(stream))) if stream.answer(read).is_some() => {
                stream.answer(read).unwrap()
            }
            (Read::XinfoGroups(_), None) => Reply::Refused(Refusal {
                kind: RefusalKind::Other,
                message: "ERR no such key".into(),
            }),
            (Read::XrangeAfter(..) | Read::XpendingFirst(..), None) => Reply::Array(Vec::new()),
            (Read::Atomic(_, reads), _) => Reply::Array(self.answers(reads)),
            (
                Read::Lpos {
                    element,
                    from,
                    matches,
                    limit,
                    ..
                },
                Some(list @ Stored::List { len, .. }),
            ) => {
                let len = *len as i64;
                let all: Box<dyn Iterator<Item = i64>> = match from {
                    Side::Left => Box::new(0..len),
                    Side::Right => Box::new((0..len).rev()),
                };
                let found = all
                    .take(limit.get() as usize)
                    .filter(|index| list.index(*index) == Reply::Bytes(element.to_vec()))
                    .take(matches.get() as usize)
                    .map(Reply::Int);
                Reply::Array(found.collect())
            }
            (Read::Lpos { .. }, None) => Reply::Array(Vec::new()),
            (Read::Lindex(..) | Read::Hget(..), None) => Reply::Nil,
            (
                Read::Lrange(..)
                | Read::Smembers(_)
                | Read::Zrange(..)
                | Read::ZrangeLast(..)
                | Read::ZrangeByScore { .. }
                | Read::Hgetall(_),
                None,
            ) => Reply::Array(Vec::new()),
            (_, None) => Reply::Int(0),
            (_, Some(_)) => Reply::Refused(Refusal {
                kind: RefusalKind::WrongType,
                message: "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
            }),
        }
    }

    pub(super) fn answers(&self, reads: &[Read]) -> Vec<Reply> {
        reads.iter().map(|read| self.answer(read)).collect()
    }
}

/// Members and scores as `WITHSCORES` interleaves them.
fn scored<'a>(entries: impl Iterator<Item = &'a (Vec<u8>, f64)>) -> Reply {
    let pair = |(member, score): &(Vec<u8>, f64)| {
        [
            bytes(Some(member)),
            Reply::Bytes(score.to_string().into_bytes()),
        ]
    };
    Reply::Array(entries.flat_map(pair).collect())
}
