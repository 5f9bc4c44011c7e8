//! Sidekiq 6.0–8.1 (`lib/sidekiq/client.rb`, `launcher.rb`, `fetch.rb`, `scheduled.rb`, `api.rb`).
//!
//! The set `queues` holds the names; a queue is the list `queue:<name>`, LPUSHed and BRPOPed, so index
//! −1 is next. A job cut off by a shutdown is RPUSHed, which makes it the next one again. Jobs are JSON
//! with `enqueued_at`: a float of seconds up to 7, integer milliseconds from 8 on; it is set anew when
//! a retry or scheduled job comes due. Those wait in `schedule` and `retry`, and the given-up ones stay
//! in `dead`: three sorted sets for all queues together, scored in seconds. `stat:processed` and
//! `stat:failed` count for all queues too, and the former contains the latter.
//!
//! Each process writes, every 5 s (6) or 10 s (7, 8), a hash at its identity, named in the set
//! `processes`, and one with the jobs that its threads run: `<identity>:workers` up to 6.4,
//! `<identity>:work` since. So what runs is known as of the last beat. `info` tells which queues a
//! process serves; since a thread runs one job at a time, threads are what we count as consumers.
//! Up to 6 all keys can begin with `<namespace>:`.
//!
//! An application may have a set `queues` of its own: its members are taken for queues only once
//! something else shows that Sidekiq is there.

mod job;
mod probe;
mod process;
mod survey;

use super::marker::Memory;
use super::prefix::Prefix;
use super::redis::{Layout, Probe, QueueRef, Read, Refusal, Registry, Reply};
use crate::config;
use crate::model::{SystemTotals, Timestamp};
use probe::SidekiqProbe;
use survey::Survey;

pub fn bind(redis: &config::Redis, max_payload: u64) -> Box<dyn Layout> {
    let namespace = &redis.sidekiq.namespace;
    let prefix = match namespace.as_str() {
        "" => String::new(),
        namespace => format!("{namespace}:"),
    };
    Box::new(Sidekiq {
        survey: Survey::new(Prefix(prefix)),
        max_payload,
        memory: Memory::default(),
    })
}

struct Sidekiq {
    survey: Survey,
    max_payload: u64,
    memory: Memory,
}

impl Layout for Sidekiq {
    fn registries(&self) -> Vec<Registry> {
        vec![Registry::Set(self.survey.keys.key(&[b"queues"]))]
    }

    fn member(&mut self, _set: &[u8], member: &[u8]) -> Option<Vec<u8>> {
        (!member.is_empty()).then(|| member.to_vec())
    }

    fn overview(&mut self, round: usize, replies: Vec<Reply>, _now: Timestamp) -> Vec<Read> {
        self.survey.step(round, replies)
    }

    fn complaints(&self) -> Vec<Refusal> {
        let complaint = self.survey.complaint.iter();
        complaint.filter(|_| self.survey.is_here).cloned().collect()
    }

    fn totals(&self) -> Option<SystemTotals> {
        let totals = self.survey.totals.clone();
        totals.filter(|_| self.survey.is_here)
    }

    fn is_here(&self) -> bool {
        self.survey.is_here
    }

    fn lists(&mut self) -> Option<&mut Memory> {
        Some(&mut self.memory)
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        _now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(SidekiqProbe::new(self, queues))
    }
}

#[cfg(test)]
mod tests;
