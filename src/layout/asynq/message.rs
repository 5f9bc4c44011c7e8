//! What Asynq's servers say of themselves (`internal/proto/asynq.proto`): the few fields that we need
//! of two protobuf messages. A message is a row of numbered fields, of which only two kinds matter
//! here, so reading past the others takes less than a code generator.

use crate::model::Timestamp;
use std::time::Duration;

/// A server: what it can run, and from which queues it takes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Server {
    pub(super) concurrency: u64,
    pub(super) queues: Vec<Vec<u8>>,
    /// `active`, or `stopped` and `closed` when it takes no more tasks.
    pub(super) status: Vec<u8>,
}

/// A task that a worker of a server runs.
#[derive(Debug, PartialEq)]
pub(super) struct Worker {
    pub(super) id: Vec<u8>,
    pub(super) queue: Vec<u8>,
    pub(super) started: Option<Timestamp>,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed size; none of ours.
    Fixed,
}

/// The fields of a message; ends with `None` at the first that is none.
struct Fields<'a>(&'a [u8]);

impl Server {
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let mut server = Self::default();
        for field in Fields(message) {
            match field? {
                (4, Value::Number(number)) => server.concurrency = number,
                (5, Value::Bytes(entry)) => server.queues.push(map_key(entry)?.to_vec()),
                (7, Value::Bytes(status)) => server.status = status.to_vec(),
                _ => {}
            }
        }
        Some(server)
    }
}

impl Worker {
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let (mut id, mut queue, mut started) = (None, None, None);
        for field in Fields(message) {
            match field? {
                (4, Value::Bytes(bytes)) => id = Some(bytes.to_vec()),
                (7, Value::Bytes(bytes)) => queue = Some(bytes.to_vec()),
                (8, Value::Bytes(bytes)) => started = time(bytes),
                _ => {}
            }
        }
        Some(Self {
            id: id?,
            queue: queue?,
            started,
        })
    }
}

/// The key of an entry of a map.
fn map_key(entry: &[u8]) -> Option<&[u8]> {
    let mut key = &[][..];
    for field in Fields(entry) {
        if let (1, Value::Bytes(bytes)) = field? {
            key = bytes;
        }
    }
    Some(key)
}

/// `google.protobuf.Timestamp`.
fn time(message: &[u8]) -> Option<Timestamp> {
    let (mut secs, mut nanos) = (0, 0);
    for field in Fields(message) {
        match field? {
            (1, Value::Number(value)) => secs = value,
            (2, Value::Number(value)) => nanos = value,
            _ => {}
        }
    }
    let at = Timestamp::from_secs_f64(secs as f64)?;
    (nanos < 1_000_000_000).then(|| at.plus(Duration::from_nanos(nanos)))
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            // Nothing behind it can be understood.
            self.0 = &[];
        }
        Some(field)
    }
}
