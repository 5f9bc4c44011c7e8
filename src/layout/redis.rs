//! What a layout on Redis is: which keys tell of its queues, and a conversation of reads and
//! replies that ends in observations.

pub use super::marker::{Memory, SavedMarks};
use crate::model::{ErrorKind, Observation, SystemTotals, Timestamp, Window};
use std::num::NonZeroU32;
use std::sync::Arc;

/// A key or other byte string of the broker's. Shared, since most are asked again at every poll.
pub type Bytes = Arc<[u8]>;

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
    Zscore(Bytes, Bytes),
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
    /// `XPENDING key group`: count, first and last id, consumers.
    Xpending(Bytes, Bytes),
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
    /// Several reads of one key as of one instant. The reply is [`Reply::Array`], or
    /// [`Reply::Loose`] where the broker does not allow it.
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
            | Self::Zscore(key, _)
            | Self::Zcount(key, ..)
            | Self::ZrangeByScore { key, .. }
            | Self::Xlen(key)
            | Self::XinfoStream(key)
            | Self::XinfoGroups(key)
            | Self::Xpending(key, _)
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

/// An answer to one [`Read`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Nil,
    Int(i64),
    Bytes(Vec<u8>),
    Array(Vec<Reply>),
    /// The replies to [`Read::Atomic`], read one after the other and not at one instant.
    Loose(Vec<Reply>),
    /// The broker refused this read; the others of the batch stand.
    Refused(Refusal),
}

impl Reply {
    /// A length or count. No server holds more than 2^52 of anything, so sums stay in range and
    /// fractions exact.
    pub fn count(self) -> Result<u64, Refusal> {
        match self {
            Self::Int(number) => Ok(u64::try_from(number).unwrap_or(0).min(1 << 52)),
            other => Err(other.unexpected("a number")),
        }
    }

    /// A string, or `None` where there is nothing.
    pub fn bytes(self) -> Result<Option<Vec<u8>>, Refusal> {
        match self {
            Self::Bytes(bytes) => Ok(Some(bytes)),
            Self::Nil => Ok(None),
            other => Err(other.unexpected("a string")),
        }
    }

    pub fn array(self) -> Result<Vec<Self>, Refusal> {
        match self {
            Self::Array(items) => Ok(items),
            Self::Nil => Ok(Vec::new()),
            other => Err(other.unexpected("an array")),
        }
    }

    /// Members with their scores, as `WITHSCORES` interleaves them. What is no such pair is left
    /// out.
    pub fn scored(self) -> Result<Vec<(Vec<u8>, f64)>, Refusal> {
        let items = self.array()?;
        Ok(items
            .chunks(2)
            .filter_map(|pair| match pair {
                [Self::Bytes(member), Self::Bytes(score)] => {
                    let score = std::str::from_utf8(score).ok()?.parse().ok()?;
                    Some((member.clone(), score))
                }
                _ => None,
            })
            .collect())
    }

    /// The score of the first of some members, if it is a time in seconds; whether the member itself
    /// was too large to come does not matter.
    pub fn first_due(self) -> Option<Timestamp> {
        let score = self.array().ok()?.into_iter().nth(1)?.bytes().ok()??;
        Timestamp::from_secs_f64(std::str::from_utf8(&score).ok()?.parse().ok()?)
    }

    fn unexpected(self, wanted: &str) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            _ => Refusal {
                kind: RefusalKind::Other,
                message: format!("the reply is not {wanted}"),
            },
        }
    }
}

/// Why a single read was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    /// The broker's own words, without payload.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// `NOPERM`: a right is missing.
    NotPermitted,
    /// `WRONGTYPE`: the key is something else.
    WrongType,
    /// The reply was larger than `max_payload_bytes`; nothing of it was kept.
    TooLarge,
    /// Anything else.
    Other,
}

impl RefusalKind {
    pub const fn error_kind(self) -> ErrorKind {
        match self {
            Self::NotPermitted => ErrorKind::Permission,
            Self::WrongType | Self::TooLarge => ErrorKind::Decode,
            Self::Other => ErrorKind::Protocol,
        }
    }
}

/// One known queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRef {
    /// The name as the job system writes it.
    pub raw: Bytes,
    /// The name as it is shown.
    pub shown: Arc<str>,
}

/// Where a job system writes down which queues it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registry {
    /// A set at a fixed key; [`Layout::member`] tells what its members mean.
    Set(Bytes),
    /// Keys to be found by a slow scan of all keys; [`Layout::key`] tells what a found key means.
    Scan(Bytes),
    /// The same for keys of one type, whatever their names. From Redis 6.0 on.
    ScanType(&'static str),
    /// A queue that exists because the configuration says so.
    Named(Bytes),
}

/// What a scanned key means.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyMeaning {
    /// A set whose members name queues.
    Set,
    /// The key is a queue of this name, if its type is one of these.
    Queue {
        name: Vec<u8>,
        of_type: &'static [&'static str],
    },
    /// What it is, [`Layout::identify`] tells from the replies to these. Where it is nothing, they
    /// are not asked again on this connection.
    Ask(Vec<Read>),
    /// The same, of what can become a queue later on: asked at every search.
    AskAgain(Vec<Read>),
    Nothing,
}

/// One job system's layout on Redis, bound to the options of one broker. It may remember between
/// polls what spares the broker a read.
pub trait Layout: Send + Sync {
    /// Where the queues are written down.
    fn registries(&self) -> Vec<Registry>;

    /// What a key found by a scan means.
    fn key(&self, _key: &[u8]) -> KeyMeaning {
        KeyMeaning::Nothing
    }

    /// The queues of which a key tells, by what was asked about it.
    fn identify(&mut self, _key: &[u8], _replies: Vec<Reply>) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// The queue that a member of a registry set names.
    fn member(&mut self, _set: &[u8], _member: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Begins the next poll of all queues.
    fn begin(&mut self) {
        if let Some(lists) = self.lists() {
            lists.begin();
        }
    }

    /// What the last poll gave has been passed on: times of single jobs must not be given again. A
    /// poll that fails half-way does not come to this.
    fn told(&mut self) {}

    /// The reads about all queues together, in rounds: called with the replies to the reads of the
    /// round before (none in round 0) until it asks for nothing more.
    fn overview(&mut self, _round: usize, _replies: Vec<Reply>, _now: Timestamp) -> Vec<Read> {
        Vec::new()
    }

    /// What the overview was refused: told as faults of the poll, which goes on without it.
    fn complaints(&self) -> Vec<Refusal> {
        Vec::new()
    }

    /// What is known of all queues together and not of each; told after the probes of a poll.
    fn totals(&self) -> Option<SystemTotals> {
        None
    }

    /// What is remembered of the queues' lists, for a layout that watches any. What follows from it
    /// is the same for all of them.
    fn lists(&mut self) -> Option<&mut Memory> {
        None
    }

    /// Whether its clients put jobs into lists by `LPUSH`, whose calls the broker counts for all
    /// systems together.
    fn is_left_pushed(&self) -> bool {
        true
    }

    /// What the next process needs to know to go on where this one ends; none if nothing.
    fn memory(&mut self) -> Option<SavedMarks> {
        self.lists().map(|lists| lists.save())
    }

    /// Takes up what an earlier process has left. The server is certainly the one it was, or it may
    /// be another.
    fn resume(&mut self, saved: SavedMarks, is_same_server: bool) {
        if let Some(lists) = self.lists() {
            lists.resume(saved, is_same_server);
        }
    }

    /// The server may be another, or not have kept all it had: what was seen earlier must be found
    /// again before it counts.
    fn distrust(&mut self) {
        if let Some(lists) = self.lists() {
            lists.distrust();
        }
    }

    /// Starts a conversation about some queues.
    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a>;
}

/// A conversation about some queues. One call a round trip: the first with no replies, each later
/// one with the replies to the reads that the last asked for, in their order and number.
pub trait Probe {
    fn step(&mut self, replies: Vec<Reply>) -> Step;
}

#[derive(Debug)]
pub enum Step {
    Read(Vec<Read>),
    /// One outcome a queue, in the order of the queues.
    Done(Vec<Outcome>),
}

/// What one poll of one queue gave. The window is set by whoever did the reads.
#[derive(Debug)]
pub enum Outcome {
    Observed(Box<Observation>),
    /// Observed as far as the broker allows; this it does not.
    Partly(Box<Observation>, Refusal),
    /// The queue cannot be read at all.
    Unreadable(Refusal),
}

impl Outcome {
    pub fn of(observation: Observation, refusal: Option<Refusal>) -> Self {
        match refusal {
            None => Self::Observed(Box::new(observation)),
            Some(refusal) => Self::Partly(Box::new(observation), refusal),
        }
    }
}

/// The window of an observation that is not yet stamped.
pub const UNSTAMPED: Window = Window {
    from: Timestamp::from_micros(0),
    to: Timestamp::from_micros(0),
};
