//! Asynq 0.18–0.26 (`internal/base/base.go`, `internal/rdb/rdb.go`).
//!
//! The set `asynq:queues` holds the names. All keys of a queue begin with `asynq:{<name>}:`, so that a
//! cluster keeps them together: the lists of ids `pending` (LPUSHed, RPOPed: index −1 is next) and
//! `active`, the sorted sets `scheduled`, `retry` (scored by due time in seconds), `archived` (given
//! up; 90 days, 10,000 at most) and `lease`, the set `groups` whose groups `g:<group>` wait to be
//! aggregated, the string `paused`, and the counters `processed`, which contains the failed attempts,
//! and `failed`. A task is the hash `t:<id>`, whose `pending_since` is in nanoseconds; it is set anew
//! when a scheduled or retried task comes due, and is missing from one that a shutdown has put back
//! at the head.
//!
//! Servers tell of themselves in protobuf, at keys named in the sorted sets `asynq:servers` and
//! `asynq:workers` (scored by expiry), every 5 s. A running task keeps no `pending_since`, so its wait
//! is known only of those whose head it was: a choice by how long they waited, which is why no
//! sample of waits is made of it. The flow of the list tells the waits of all.

mod message;
mod probe;
mod survey;

use super::marker::Memory;
use super::redis::{Bytes, Layout, Probe, QueueRef, Read, Refusal, Registry, Reply};
use super::tally::Tally;
use crate::config;
use crate::model::Timestamp;
use probe::AsynqProbe;
use std::collections::HashMap;
use survey::Survey;

pub fn bind(_redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    Box::new(Asynq::default())
}

#[derive(Default)]
struct Asynq {
    survey: Survey,
    memory: Memory,
    tallies: HashMap<Bytes, Tally>,
}

/// A key of one queue.
fn key(queue: &[u8], parts: &[&[u8]]) -> Bytes {
    let mut key = b"asynq:{".to_vec();
    key.extend_from_slice(queue);
    key.extend_from_slice(b"}:");
    for part in parts {
        key.extend_from_slice(part);
    }
    key.into()
}

impl Layout for Asynq {
    fn registries(&self) -> Vec<Registry> {
        vec![Registry::Set(b"asynq:queues".as_slice().into())]
    }

    fn member(&mut self, _set: &[u8], member: &[u8]) -> Option<Vec<u8>> {
        (!member.is_empty()).then(|| member.to_vec())
    }

    fn begin(&mut self) {
        self.memory.begin();
        // Only we still hold the name: the queue is no longer polled.
        self.tallies
            .retain(|queue, _| std::sync::Arc::strong_count(queue) > 1);
    }

    fn overview(&mut self, round: usize, replies: Vec<Reply>, now: Timestamp) -> Vec<Read> {
        self.survey.step(round, replies, now)
    }

    fn complaints(&self) -> Vec<Refusal> {
        self.survey.complaint.clone().into_iter().collect()
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.memory)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        _now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(AsynqProbe::new(self, queues))
    }
}

#[cfg(test)]
mod tests;
