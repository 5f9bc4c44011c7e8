//! What a layout on Redis is: which keys tell of its queues, and a conversation of reads and
//! replies that ends in observations.

mod read;
mod reply;

pub use super::marker::{Memory, SavedMarks};
use crate::model::{Observation, SystemTotals, Timestamp, Window};
pub use read::{Read, Side};
pub use reply::{Refusal, RefusalKind, Reply};
use std::sync::Arc;

/// A key or other byte string of the broker's. Shared, since most are asked again at every poll.
pub type Bytes = Arc<[u8]>;

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
    fn told(&mut self) {
        if let Some(lists) = self.lists() {
            lists.told();
        }
    }

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

    /// Whether the system is there at all, and not only names like its own.
    fn is_here(&self) -> bool {
        true
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
    /// What names the queue is not the job system's: there is none.
    Foreign,
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
