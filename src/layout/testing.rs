//! A Redis in memory that answers [`Read`]s from keys recorded from real job systems, and a driver
//! that holds a layout's conversations with it.

pub(crate) mod arbitrary;
mod fuzz;
mod recordings;
mod stream;
mod systems;

use super::glob;
use super::name;
use super::redis::{
    Bytes, KeyMeaning, Layout, Outcome, QueueRef, Read, Refusal, RefusalKind, Registry, Reply,
    Side, Step,
};
use crate::config;
use crate::model::{Observation, SystemTotals, Timestamp};
use base64::Engine as _;
use proptest::sample::Index;
use serde_json::Value;
use std::collections::BTreeMap;

/// A Redis of which only the options of the job systems matter.
pub(crate) fn redis() -> config::Redis {
    config::Redis {
        topology: config::RedisTopology::Unix("/nowhere".into()),
        username: None,
        password: None,
        db: 0,
        tls: None,
        celery: config::Celery::default(),
        rq: config::Rq::default(),
        dramatiq: config::Dramatiq {
            namespace: "dramatiq".to_owned(),
        },
        huey: config::Huey::default(),
        arq: config::Arq {
            queues: vec!["arq:queue".to_owned()],
        },
        taskiq: config::Taskiq {
            queues: vec!["taskiq".to_owned()],
        },
        sidekiq: config::Sidekiq::default(),
        bullmq: config::Bullmq {
            prefix: "bull".to_owned(),
        },
        resque: config::Resque {
            namespace: "resque".to_owned(),
        },
        list: config::List::default(),
    }
}

/// Keys with their values.
#[derive(Debug, Default, Clone)]
pub(crate) struct Keyspace(BTreeMap<Vec<u8>, Stored>);

/// What one poll gave and cost.
struct Driven {
    outcomes: Vec<Outcome>,
    /// Commands about each queue.
    costs: Vec<usize>,
    /// Commands about all queues together.
    overview: usize,
    totals: Option<SystemTotals>,
}

/// What the Redis source allows a conversation.
const MAX_ROUNDS: usize = 16;

#[derive(Debug, Clone)]
pub(crate) enum Stored {
    Text(Vec<u8>),
    /// Only the elements near the ends may be known; `len` counts them all.
    List {
        len: usize,
        head: Vec<Vec<u8>>,
        tail: Vec<Vec<u8>>,
    },
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(Vec<Vec<u8>>),
    Zset(Vec<(Vec<u8>, f64)>),
    Stream(stream::Stream),
}

impl Keyspace {
    /// Reads the keys of one recorded case.
    pub(crate) fn recorded(json: &str, case: &str) -> Self {
        let file: Value = serde_json::from_str(json).unwrap();
        let keys = file[case]
            .as_object()
            .unwrap_or_else(|| panic!("no case {case}"));
        Self(
            keys.iter()
                .map(|(key, value)| (key.clone().into_bytes(), stored(value)))
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
    fn change(&mut self, values: &[(Index, Stored)], parts: &[(Index, Vec<u8>)]) {
        let keys: Vec<Vec<u8>> = self.0.keys().cloned().collect();
        for (at, value) in values {
            self.0.insert(at.get(&keys).clone(), value.clone());
        }
        for (at, part) in parts {
            let Some(stored) = self.0.get_mut(at.get(&keys)) else {
                continue;
            };
            match stored {
                Stored::Text(text) => text.clone_from(part),
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
            (Read::Zscore(_, member), Some(Stored::Zset(zset))) => zset
                .iter()
                .find(|(known, _)| known == &**member)
                .map_or(Reply::Nil, |(_, score)| {
                    Reply::Bytes(score.to_string().into_bytes())
                }),
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
            (Read::Getrange(_, max), Some(Stored::Text(text))) => {
                Reply::Bytes(text.iter().copied().take(*max as usize).collect())
            }
            (Read::Getrange(..), None) => Reply::Bytes(Vec::new()),
            (Read::Pttl(_), stored) => Reply::Int(if stored.is_some() { -1 } else { -2 }),
            (Read::Zrange(_, from, to), Some(Stored::Zset(zset))) => {
                let range = zset
                    .iter()
                    .skip(*from as usize)
                    .take((to - from + 1) as usize);
                scored(range)
            }
            (read, Some(Stored::Stream(stream))) if stream.answer(read).is_some() => {
                stream.answer(read).unwrap()
            }
            (Read::XrangeFrom(..) | Read::XrevrangeLast(_), None) => Reply::Array(Vec::new()),
            (Read::ZrangeLast(_, count), Some(Stored::Zset(zset))) => {
                scored(zset.iter().skip(zset.len().saturating_sub(*count as usize)))
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
            (Read::Lindex(..) | Read::Hget(..) | Read::Zscore(..), None) => Reply::Nil,
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

    fn answers(&self, reads: &[Read]) -> Vec<Reply> {
        reads.iter().map(|read| self.answer(read)).collect()
    }

    /// Finds the layout's queues and polls them, as the Redis source does.
    pub(crate) fn poll(&self, layout: &mut dyn Layout, now: Timestamp) -> Vec<Outcome> {
        let queues = self.discover(layout);
        self.overview(layout, now);
        let (outcomes, _) = self.converse(layout, &queues, now);
        layout.told();
        outcomes
    }

    /// The same with a conversation for each queue, so that each has its cost.
    fn drive(&self, layout: &mut dyn Layout, now: Timestamp) -> Driven {
        let queues = self.discover(layout);
        let overview = self.overview(layout, now);
        let (outcomes, costs) = queues
            .chunks(1)
            .map(|queue| {
                let (mut outcomes, cost) = self.converse(layout, queue, now);
                (outcomes.remove(0), cost)
            })
            .unzip();
        layout.told();
        Driven {
            outcomes,
            costs,
            overview,
            totals: layout.totals(),
        }
    }

    /// What concerns all queues together; the commands that it took.
    fn overview(&self, layout: &mut dyn Layout, now: Timestamp) -> usize {
        layout.begin();
        let mut replies = Vec::new();
        let mut cost = 0;
        for round in 0..MAX_ROUNDS {
            let reads = layout.overview(round, replies, now);
            if reads.is_empty() {
                return cost;
            }
            cost += commands(&reads);
            replies = self.answers(&reads);
        }
        panic!("the overview does not end");
    }

    /// One conversation, and the commands that it took.
    fn converse(
        &self,
        layout: &mut dyn Layout,
        queues: &[QueueRef],
        now: Timestamp,
    ) -> (Vec<Outcome>, usize) {
        let mut probe = layout.probe(queues, now);
        let mut replies = Vec::new();
        let mut cost = 0;
        for _ in 0..MAX_ROUNDS {
            match probe.step(replies) {
                Step::Read(reads) => {
                    cost += commands(&reads);
                    replies = self.answers(&reads);
                }
                Step::Done(outcomes) => {
                    assert_eq!(outcomes.len(), queues.len());
                    return (outcomes, cost);
                }
            }
        }
        panic!("the probe does not end");
    }

    /// The observations by queue, where every queue could be read.
    pub(crate) fn observe(
        &self,
        layout: &mut dyn Layout,
        now: Timestamp,
    ) -> BTreeMap<String, Observation> {
        self.poll(layout, now)
            .into_iter()
            .map(|outcome| match outcome {
                Outcome::Observed(observation) => (observation.queue.to_string(), *observation),
                Outcome::Partly(_, refusal) | Outcome::Unreadable(refusal) => {
                    panic!("unreadable: {refusal:?}")
                }
            })
            .collect()
    }

    fn discover(&self, layout: &mut dyn Layout) -> Vec<QueueRef> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for registry in layout.registries() {
            match registry {
                Registry::Named(name) => names.push(name.to_vec()),
                Registry::Set(key) => names.extend(self.members(layout, &key)),
                Registry::Scan(pattern) => {
                    for (key, stored) in &self.0 {
                        if glob::matches(&pattern, key) {
                            names.extend(self.meant(layout, key, stored));
                        }
                    }
                }
                Registry::ScanType(of_type) => {
                    for (key, stored) in &self.0 {
                        if stored.kind() == of_type {
                            names.extend(self.meant(layout, key, stored));
                        }
                    }
                }
            }
        }
        names.sort();
        names.dedup();
        names
            .into_iter()
            .map(|raw| QueueRef {
                shown: name::shown(&raw).into(),
                raw: Bytes::from(raw),
            })
            .collect()
    }

    /// The queues of which a found key tells.
    fn meant(&self, layout: &mut dyn Layout, key: &[u8], stored: &Stored) -> Vec<Vec<u8>> {
        match layout.key(key) {
            KeyMeaning::Nothing => Vec::new(),
            KeyMeaning::Set => self.members(layout, key),
            KeyMeaning::Ask(reads) | KeyMeaning::AskAgain(reads) => {
                layout.identify(key, self.answers(&reads))
            }
            KeyMeaning::Queue { name, of_type } => {
                let is_one = of_type.contains(&stored.kind());
                is_one.then_some(name).into_iter().collect()
            }
        }
    }

    fn members(&self, layout: &mut dyn Layout, key: &[u8]) -> Vec<Vec<u8>> {
        match self.0.get(key) {
            Some(Stored::Set(members)) => members
                .iter()
                .filter_map(|member| layout.member(key, member))
                .collect(),
            _ => Vec::new(),
        }
    }
}

impl Stored {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::List { .. } => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::Zset(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    fn index(&self, index: i64) -> Reply {
        let Self::List { len, head, tail } = self else {
            return Reply::Nil;
        };
        let from_head = if index < 0 {
            index + *len as i64
        } else {
            index
        };
        let Ok(place) = usize::try_from(from_head) else {
            return Reply::Nil;
        };
        if place >= *len {
            return Reply::Nil;
        }
        let from_tail = (place + tail.len())
            .checked_sub(*len)
            .and_then(|place| tail.get(place));
        bytes(head.get(place).or(from_tail).or(tail.last()))
    }
}

fn commands(reads: &[Read]) -> usize {
    let width = |read: &Read| match read {
        Read::Atomic(_, reads) => reads.len() + 2,
        _ => 1,
    };
    reads.iter().map(width).sum()
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

fn bytes(value: Option<&Vec<u8>>) -> Reply {
    value.map_or(Reply::Nil, |value| Reply::Bytes(value.clone()))
}

/// One key in the form of the recordings.
fn stored(value: &Value) -> Stored {
    let items = |name: &str| -> Vec<Vec<u8>> {
        value[name]
            .as_array()
            .into_iter()
            .flatten()
            .map(raw)
            .collect()
    };
    match value["type"].as_str().unwrap() {
        "list" => {
            let last = (!value["lindex_-1"].is_null()).then(|| raw(&value["lindex_-1"]));
            let head = items("lrange_0");
            let len = value["llen"].as_u64().unwrap() as usize;
            let tail = match last {
                Some(last) => vec![last],
                None if head.len() == len => head.clone(),
                // Only the first few were recorded: the last of them stands for the others.
                None => head.last().cloned().into_iter().collect(),
            };
            Stored::List { len, head, tail }
        }
        "hash" => {
            let fields = value["fields"].as_object().unwrap();
            Stored::Hash(
                fields
                    .iter()
                    .map(|(k, v)| (k.clone().into_bytes(), raw(v)))
                    .collect(),
            )
        }
        "stream" => Stored::Stream(stream::Stream::recorded(value)),
        "set" => Stored::Set(items("members")),
        "zset" => Stored::Zset(
            value["zrange_withscores"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| {
                    (
                        raw(&pair[0]),
                        String::from_utf8(raw(&pair[1])).unwrap().parse().unwrap(),
                    )
                })
                .collect(),
        ),
        _ => Stored::Text(raw(&value["value"])),
    }
}

/// A string, or the base64 of one that is no UTF-8.
fn raw(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(object) => base64::engine::general_purpose::STANDARD
            .decode(object["base64"].as_str().unwrap())
            .unwrap(),
        other => other.to_string().into_bytes(),
    }
}
