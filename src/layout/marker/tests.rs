//! Lists used in every way, in order and not, against the same list with its times known.

use super::*;
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply, Side};
use crate::layout::testing::{Keyspace, Stored};
use crate::model::flow::{
    DEFAULT_BUCKETS, FlowMemory, FlowSample, LineHead, LineSample, Misuses, MisusesAt, Settings,
    Span, Witness,
};
use crate::model::{Latency, Timestamp, Window};
use proptest::prelude::*;
use std::collections::VecDeque;

mod in_order;
mod misuse;
mod reads;
mod restart;
mod uses;

/// A list whose head is at the back, with the time at which each element came.
struct Tracked {
    elements: VecDeque<(Vec<u8>, f64)>,
    head: Side,
    kind: Elements,
    memory: Memory,
    flow: FlowMemory,
    now: f64,
    next: u64,
    loose: bool,
    /// The server does not know LPOS.
    is_old: bool,
    fetched: usize,
    misuses: Misuses,
    /// What was there at the last poll, and what was put back since.
    polled: Vec<Vec<u8>>,
    returned: Vec<Vec<u8>>,
    /// What the server is asked for that count; none if it may not be.
    witness: Option<Witness>,
    /// Each third poll comes to nothing after the list was read.
    loses: bool,
}

impl Tracked {
    fn new(unique: bool) -> Self {
        let kind = match unique {
            true => Elements::Unique,
            false => Elements::Any,
        };
        Self {
            elements: VecDeque::new(),
            head: Side::Right,
            kind,
            memory: Memory::default(),
            flow: FlowMemory::default(),
            now: 0.0,
            next: 0,
            loose: false,
            is_old: false,
            fetched: 0,
            misuses: Misuses::default(),
            polled: Vec::new(),
            returned: Vec::new(),
            witness: Some(Witness::default()),
            loses: false,
        }
    }

    fn push(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.next += 1;
            let element = format!("job {}", self.next).into_bytes();
            self.elements.push_front((element, self.now));
        }
        self
    }

    fn push_alike(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.elements.push_front((b"job".to_vec(), self.now));
        }
        self
    }

    /// Counts calls of commands that are of no use to a list in order.
    fn misuse(&mut self, puts: usize, takes: usize) {
        let count = match self.head {
            Side::Left => &mut self.misuses.left,
            Side::Right => &mut self.misuses.right,
        };
        count.puts += puts as u64;
        count.takes += takes as u64;
    }

    fn take_from_tail(&mut self, count: usize) -> &mut Self {
        self.misuse(0, count);
        for _ in 0..count {
            self.elements.pop_front();
        }
        self
    }

    /// So many from the tail on, after the first.
    fn remove(&mut self, first: usize, count: usize) -> &mut Self {
        self.misuse(0, 1);
        for _ in 0..count {
            self.elements.remove(first);
        }
        self
    }

    fn rotate(&mut self, times: usize) -> &mut Self {
        self.misuse(0, times);
        for _ in 0..times {
            if let Some(mut head) = self.elements.pop_back() {
                // It was out of the list and is at its tail now: no other than one that is new.
                if self.returned.contains(&head.0) && !self.polled.contains(&head.0) {
                    head.1 = self.now;
                }
                self.elements.push_front(head);
            }
        }
        self
    }

    /// Those that were taken, at the end where they were.
    fn put_back(&mut self, taken: impl IntoIterator<Item = (Vec<u8>, f64)>) -> &mut Self {
        let before = self.elements.len();
        self.elements.extend(taken);
        let returned = self.elements.iter().skip(before);
        self.returned
            .extend(returned.map(|(element, _)| element.clone()));
        self.misuse(self.elements.len() - before, 0);
        self
    }

    /// New ones at the end where others are taken.
    fn put_at_head(&mut self, count: usize) -> &mut Self {
        self.misuse(count, 0);
        for _ in 0..count {
            self.next += 1;
            let element = format!("job {}", self.next).into_bytes();
            self.elements.push_back((element, self.now));
        }
        self
    }

    fn pop(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.elements.pop_back();
        }
        self
    }

    fn keys(&self) -> Keyspace {
        let elements = self.elements.iter().map(|(element, _)| element.clone());
        let elements: Vec<Vec<u8>> = match self.head {
            Side::Right => elements.collect(),
            Side::Left => elements.rev().collect(),
        };
        let mut keys = Keyspace::default();
        if !elements.is_empty() {
            let list = Stored::List {
                len: elements.len(),
                tail: elements.clone(),
                head: elements,
            };
            keys.put("q", list);
        }
        keys
    }

    fn answer(&mut self, keys: &Keyspace, read: &Read) -> Reply {
        let Read::Atomic(_, reads) = read else {
            panic!("{read:?}");
        };
        for read in reads {
            match read {
                Read::Lpos { .. } if self.is_old => {
                    return Reply::Refused(Refusal {
                        kind: RefusalKind::Other,
                        message: "ERR unknown command `LPOS`".into(),
                    });
                }
                Read::Lrange(_, from, to) => {
                    self.fetched = self.fetched.max((to - from + 1) as usize);
                }
                _ => {}
            }
        }
        keys.answer(read)
    }

    /// One poll, a second after the last.
    fn poll(&mut self) -> Latency {
        self.now += 1.0;
        self.returned.clear();
        let elements = self.elements.iter();
        self.polled = elements.map(|(element, _)| element.clone()).collect();
        self.memory.begin();
        let (key, ready) = (Bytes::from(b"q".as_slice()), self.elements.len() as u64);
        let keys = self.keys();
        let marks = self.memory.get(&key, 0);
        let mut watch = Watch::new(Bytes::clone(&key), self.head, self.kind, marks);
        let sight = if ready == 0 {
            watch.conclude_empty(&mut self.memory).unwrap()
        } else {
            let size = watch.last_head_size().unwrap_or(1024);
            watch.widen(size.into(), MARKER_BYTES);
            let mut read = watch.ask(ready, true, &self.memory);
            loop {
                let answer = self.answer(&keys, &read);
                let reply = match (answer, self.loose) {
                    (Reply::Array(replies), true) => Reply::Loose(replies),
                    (reply, _) => reply,
                };
                match watch.take(reply, &mut self.memory) {
                    Next::Ask(next) => read = next,
                    Next::Seen(sight) => break *sight,
                    Next::Torn => read = watch.ask(ready, true, &self.memory),
                    Next::Refused(refusal) => panic!("{refusal:?}"),
                }
            }
        };
        let line = LineSample {
            line: 0,
            ready,
            arrivals: sight.arrivals,
            started: None,
            head: LineHead::PLAIN,
        };
        self.memory.put(&key, vec![sight.marks]);
        if self.loses && self.now % 3.0 == 0.0 {
            return self.poll();
        }
        self.memory.told();
        let no_witness = Witness::default();
        let told = Some(MisusesAt {
            at: self.now,
            count: self.misuses,
        });
        if let Some(witness) = &mut self.witness {
            witness.hear(told, told);
        }
        let at = Timestamp::from_micros((self.now * 1e6) as i64);
        let sample = FlowSample {
            span: Span {
                from: self.now,
                to: self.now,
            },
            lines: vec![line],
        };
        let settings = Settings {
            buckets: &DEFAULT_BUCKETS.into(),
            objective: None,
            starts: u64::MAX,
            witness: self.witness.as_ref().unwrap_or(&no_witness),
        };
        self.flow
            .apply(&sample, Window { from: at, to: at }, &settings)
    }

    /// Polls, and checks that the oldest element is inside the bounds; whether they are closed.
    fn checked(&mut self) -> bool {
        let latency = self.poll();
        let oldest = self.elements.iter().map(|(_, at)| *at);
        let oldest = oldest.fold(f64::INFINITY, f64::min);
        match latency {
            Latency::Empty => assert!(self.elements.is_empty()),
            Latency::Unknown(reason) => panic!("{reason:?}"),
            Latency::Known { age, .. } => {
                let truth = self.now - oldest;
                assert!(age.min.as_secs_f64() <= truth + 1e-5, "{age:?} {truth}");
                if let Some(max) = age.max {
                    assert!(truth <= max.as_secs_f64() + 1e-5, "{age:?} {truth}");
                }
                return age.max.is_some();
            }
        }
        true
    }

    fn enqueued(&self) -> u64 {
        self.flow.view().unwrap().totals.enqueued
    }
}
