//! What may be asked of a Redis.

use super::Bytes;
use std::num::NonZeroU32;

/// All that may be asked of a Redis. Every variant is a read of bounded cost: that tailback never
/// writes is a property of this type.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    Llen(Bytes),
    /// The element at an index near an end.
    Lindex(Bytes, i64),
    /// Elements `from..=to`, at most [`Read::MAX_ELEMENTS`] of them.
    Lrange(Bytes, i64, i64),
    /// What the key occupies in memory, estimated by Redis from a few samples.
    MemoryUsage(Bytes),
    Hlen(Bytes),
    Hget(Bytes, Bytes),
    Hstrlen(Bytes, Bytes),
    Hmget(Bytes, &'static [&'static str]),
    Scard(Bytes),
    /// All members; only of a set that `Scard` has just shown to have at most
    /// [`Read::MAX_ELEMENTS`].
    Smembers(Bytes),
    Zcard(Bytes),
    /// All fields and values; only of a hash that `Hlen` has just shown to have at most
    /// [`Read::MAX_ELEMENTS`].
    Hgetall(Bytes),
    /// The first bytes of a string, at most [`Read::MAX_TEXT`]; empty where there is none.
    Getrange(Bytes, u32),
    /// How many milliseconds are left to a key: −1 for ever, −2 no such key.
    Pttl(Bytes),
    /// Members with scores in `[min, max]`; both may be infinite.
    Zcount(Bytes, f64, f64),
    /// The first members, at most [`Read::MAX_ELEMENTS`], with scores in `[min, max]`, and their
    /// scores, lowest first.
    ZrangeByScore {
        key: Bytes,
        min: f64,
        max: f64,
        limit: u32,
    },
    Xlen(Bytes),
    /// `XINFO STREAM`: it brings the first and the last entry too.
    XinfoStream(Bytes),
    XinfoGroups(Bytes),
    /// The pending entries of a group with the lowest ids, at most [`Read::MAX_ELEMENTS`]: id,
    /// consumer, milliseconds since the last delivery, deliveries.
    XpendingFirst(Bytes, Bytes, u32),
    /// The first entries behind an id, at most [`Read::MAX_ELEMENTS`].
    XrangeAfter(Bytes, Bytes, u32),
    /// The first entries from an id on, at most [`Read::MAX_ELEMENTS`], for who goes through all
    /// entries once: what is too large in one does not keep from reading the next.
    XrangeFrom(Bytes, Bytes, u32),
    /// The last entry.
    XrevrangeLast(Bytes),
    /// Members and scores of ranks `from..=to`, lowest score first.
    Zrange(Bytes, u32, u32),
    /// The last members, at most [`Read::MAX_ELEMENTS`], and their scores, lowest score first.
    ZrangeLast(Bytes, u32),
    Exists(Bytes),
    Type(Bytes),
    /// Where in a list an element is: up to `matches` indexes from the left, looking at no more than
    /// `limit` elements from one end on.
    Lpos {
        key: Bytes,
        element: Bytes,
        from: Side,
        matches: NonZeroU32,
        limit: NonZeroU32,
    },
    /// Several reads of one key as of one instant. The reply is [`Reply::Array`](super::Reply::Array), or
    /// [`Reply::Loose`](super::Reply::Loose) where the broker does not allow it.
    Atomic(Bytes, Vec<Read>),
}

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

impl Read {
    /// How many elements one `Lrange` or `Zrange` may ask for.
    pub const MAX_ELEMENTS: u32 = 1024;

    /// How many bytes one `Getrange` may ask for.
    pub const MAX_TEXT: u32 = 64 * 1024;

    /// How many elements one `Lpos` may look at: half a millisecond of the server's time.
    pub const MAX_SCAN: u32 = 2112;

    /// The key that is read, by which a cluster finds its node.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Llen(key)
            | Self::Lindex(key, _)
            | Self::Lrange(key, ..)
            | Self::MemoryUsage(key)
            | Self::Hlen(key)
            | Self::Hget(key, _)
            | Self::Hstrlen(key, _)
            | Self::Hmget(key, _)
            | Self::Scard(key)
            | Self::Smembers(key)
            | Self::Zcard(key)
            | Self::Hgetall(key)
            | Self::Getrange(key, _)
            | Self::Pttl(key)
            | Self::Zcount(key, ..)
            | Self::ZrangeByScore { key, .. }
            | Self::Xlen(key)
            | Self::XinfoStream(key)
            | Self::XinfoGroups(key)
            | Self::XpendingFirst(key, ..)
            | Self::XrangeAfter(key, ..)
            | Self::XrangeFrom(key, ..)
            | Self::XrevrangeLast(key)
            | Self::Zrange(key, ..)
            | Self::ZrangeLast(key, _)
            | Self::Exists(key)
            | Self::Type(key)
            | Self::Lpos { key, .. }
            | Self::Atomic(key, _) => key,
        }
    }
}
