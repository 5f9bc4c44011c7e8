//! Replies that no server would give, and some that one could.

use super::Stored;
use crate::layout::redis::{Read, Refusal, RefusalKind, Reply};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Any reply at all: of any type, nested, refused, torn.
pub(crate) fn any_reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        Just(Reply::Nil),
        any_int().prop_map(Reply::Int),
        any_bytes().prop_map(Reply::Bytes),
        any_refusal().prop_map(Reply::Refused),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Reply::Array),
            vec(inner, 0..6).prop_map(Reply::Loose),
        ]
    })
}

/// Bytes in which a decoder may find something: garbage, numbers, times, JSON, names.
pub(crate) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..40),
        1 => any_int().prop_map(|number| number.to_string().into_bytes()),
        1 => any::<f64>().prop_map(|number| number.to_string().into_bytes()),
        1 => (1.7e9..1.9e9_f64).prop_map(|secs| secs.to_string().into_bytes()),
        1 => "[0-9]{13}-[0-9]{1,3}".prop_map(String::into_bytes),
        1 => "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,9})?Z?"
            .prop_map(String::into_bytes),
        1 => "[a-z:{}]{1,12}".prop_map(String::into_bytes),
        1 => any_json().prop_map(|json| json.to_string().into_bytes()),
    ]
}

/// Values of keys of every type.
pub(super) fn any_stored() -> impl Strategy<Value = Stored> {
    prop_oneof![
        any_bytes().prop_map(Stored::Text),
        (vec(any_bytes(), 1..6), 0..3_usize).prop_map(|(head, more)| Stored::List {
            len: head.len() + more * 1000,
            tail: head.clone(),
            head,
        }),
        btree_map(any_bytes(), any_bytes(), 1..6).prop_map(Stored::Hash),
        vec(any_bytes(), 1..6).prop_map(Stored::Set),
        vec(
            (any_bytes(), prop_oneof![1.7e9..1.9e15_f64, any::<f64>()]),
            1..6
        )
        .prop_map(Stored::Zset),
    ]
}

fn any_int() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..5_i64, 1 => 0..2_000_000_i64, 1 => any::<i64>()]
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    let kind = prop::sample::select(vec![
        RefusalKind::NotPermitted,
        RefusalKind::WrongType,
        RefusalKind::TooLarge,
        RefusalKind::Other,
    ]);
    kind.prop_map(|kind| Refusal {
        kind,
        message: "refused".into(),
    })
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any_int().prop_map(Into::into),
        "[ -~]{0,12}".prop_map(Into::into),
    ];
    let key = "headers|properties|eta|queue|enqueued_at|created_at|payload|run_at|[a-z_]{1,8}";
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            btree_map(key, inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Value>()),
        ]
    })
}

/// A server that has lost its mind: what it answers has mostly the right shape, so that a layout
/// goes on asking.
#[derive(Debug, Clone)]
pub(super) struct Madness {
    ints: Vec<i64>,
    texts: Vec<Vec<u8>>,
    replies: Vec<Reply>,
    asked: usize,
}

pub(super) fn any_madness() -> impl Strategy<Value = Madness> {
    (
        vec(any_int(), 1..30),
        vec(any_bytes(), 1..30),
        vec(any_reply(), 1..30),
    )
        .prop_map(|(ints, texts, replies)| Madness {
            ints,
            texts,
            replies,
            asked: 0,
        })
}

// === impl Madness ===

impl Madness {
    /// Answers, now and then too few or too many.
    pub(super) fn answers(&mut self, reads: &[Read]) -> Vec<Reply> {
        let mut replies: Vec<Reply> = reads.iter().map(|read| self.answer(read)).collect();
        match self.asked % 13 {
            0 => replies.truncate(replies.len() / 2),
            1 => replies.push(Reply::Nil),
            _ => {}
        }
        replies
    }

    pub(super) fn text(&mut self) -> Vec<u8> {
        self.asked += 1;
        self.texts[self.asked % self.texts.len()].clone()
    }

    fn int(&mut self) -> i64 {
        self.asked += 1;
        self.ints[self.asked % self.ints.len()]
    }

    fn some(&mut self, each: impl Fn(&mut Self) -> Reply) -> Vec<Reply> {
        let count = self.int().clamp(0, 6);
        (0..count).map(|_| each(self)).collect()
    }

    fn answer(&mut self, read: &Read) -> Reply {
        self.asked += 1;
        if self.asked.is_multiple_of(7) {
            return self.replies[self.asked % self.replies.len()].clone();
        }
        let text = |mad: &mut Self| Reply::Bytes(mad.text());
        match read {
            Read::Llen(_)
            | Read::MemoryUsage(_)
            | Read::Hlen(_)
            | Read::Hstrlen(..)
            | Read::Scard(_)
            | Read::Zcard(_)
            | Read::Zcount(..)
            | Read::Pttl(_)
            | Read::Xlen(_)
            | Read::Exists(_) => Reply::Int(self.int()),
            Read::Lindex(..) | Read::Hget(..) | Read::Getrange(..) => text(self),
            Read::Type(_) => Reply::Bytes(b"list".to_vec()),
            Read::Lpos { .. } => Reply::Array(self.some(|mad| Reply::Int(mad.int()))),
            Read::Hmget(_, fields) => Reply::Array(fields.iter().map(|_| text(self)).collect()),
            Read::Lrange(..) | Read::Smembers(_) => Reply::Array(self.some(text)),
            Read::Hgetall(_)
            | Read::Zrange(..)
            | Read::ZrangeLast(..)
            | Read::ZrangeByScore { .. } => {
                let pairs = self.int().clamp(0, 6);
                Reply::Array((0..pairs * 2).map(|_| text(self)).collect())
            }
            // Entries: an id and its fields.
            Read::XrangeAfter(..)
            | Read::XrangeFrom(..)
            | Read::XrevrangeLast(_)
            | Read::XpendingFirst(..) => Reply::Array(self.some(|mad| {
                let id = text(mad);
                Reply::Array(vec![id, Reply::Array(mad.some(text))])
            })),
            Read::XinfoStream(_) => Reply::Array(self.some(text)),
            Read::XinfoGroups(_) => Reply::Array(self.some(|mad| Reply::Array(mad.some(text)))),
            Read::Atomic(_, reads) => {
                let replies = self.answers(reads);
                match self.asked.is_multiple_of(3) {
                    true => Reply::Loose(replies),
                    false => Reply::Array(replies),
                }
            }
        }
    }
}
