//! The value of a key, as it was recorded or made up.

use super::stream::Stream;
use crate::layout::redis::Reply;
use base64::Engine as _;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub(crate) enum Stored {
    Text(Vec<u8>),
    /// A text with so many milliseconds to live.
    Expiring(Vec<u8>, i64),
    /// Only the elements near the ends may be known; `len` counts them all.
    List {
        len: usize,
        head: Vec<Vec<u8>>,
        tail: Vec<Vec<u8>>,
    },
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(Vec<Vec<u8>>),
    Zset(Vec<(Vec<u8>, f64)>),
    Stream(Stream),
}

impl Stored {
    /// One key in the form of the recordings.
    pub(super) fn recorded(value: &Value) -> Self {
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
                Self::List { len, head, tail }
            }
            "hash" => {
                let fields = value["fields"].as_object().unwrap();
                Self::Hash(
                    fields
                        .iter()
                        .map(|(k, v)| (k.clone().into_bytes(), raw(v)))
                        .collect(),
                )
            }
            "set" => Self::Set(items("members")),
            "zset" => Self::Zset(
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
            "stream" => Self::Stream(Stream::recorded(value)),
            _ => match value["pttl_ms"].as_i64() {
                Some(left) => Self::Expiring(raw(&value["value"]), left),
                None => Self::Text(raw(&value["value"])),
            },
        }
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Expiring(..) => "string",
            Self::List { .. } => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::Zset(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    pub(super) fn index(&self, index: i64) -> Reply {
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

pub(super) fn bytes(value: Option<&Vec<u8>>) -> Reply {
    value.map_or(Reply::Nil, |value| Reply::Bytes(value.clone()))
}

/// A string, or the base64 of one that is no UTF-8.
pub(super) fn raw(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(object) => base64::engine::general_purpose::STANDARD
            .decode(object["base64"].as_str().unwrap())
            .unwrap(),
        other => other.to_string().into_bytes(),
    }
}
