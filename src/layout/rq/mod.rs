//! RQ 1.16–3.0 (`rq/queue.py`, `rq/job.py`, `rq/registry.py`, `rq/worker/`).
//!
//! The set `<prefix>:queues` holds full keys `<prefix>:queue:<name>`. A queue is a list of job ids,
//! RPUSHed and taken from the left, so index 0 is next; `at_front=True` LPUSHes. A worker on one
//! queue moves the id through `<queue>:intermediate`. The jobs are hashes `<prefix>:job:<id>`, which
//! can expire before their ids are taken. Registries are sorted sets `<prefix>:<registry>:<name>`:
//! `wip` scored by the heartbeat's expiry, `failed` by the entry's expiry, `scheduled` by due time.

mod probe;
mod survey;

use super::redis::{Bytes, Layout, Probe, QueueRef, Read, Refusal, Registry, Reply};
use crate::config;
use crate::model::Timestamp;
use probe::RqProbe;
use survey::Survey;

pub fn bind(redis: &config::Redis, _max_payload: u64) -> Box<dyn Layout> {
    Box::new(RqLayout {
        prefix: redis.rq.prefix.clone(),
        survey: Survey::default(),
    })
}

struct RqLayout {
    prefix: String,
    survey: Survey,
}

impl RqLayout {
    fn key(&self, parts: &[&[u8]]) -> Bytes {
        let mut key = self.prefix.clone().into_bytes();
        for part in parts {
            key.push(b':');
            key.extend_from_slice(part);
        }
        key.into()
    }
}

impl Layout for RqLayout {
    fn registries(&self) -> Vec<Registry> {
        vec![Registry::Set(self.key(&[b"queues"]))]
    }

    fn member(&mut self, _set: &[u8], member: &[u8]) -> Option<Vec<u8>> {
        let name = member.strip_prefix(&*self.key(&[b"queue", b""]))?;
        (!name.is_empty()).then(|| name.to_vec())
    }

    fn overview(&mut self, round: usize, replies: Vec<Reply>, _now: Timestamp) -> Vec<Read> {
        let mut survey = std::mem::take(&mut self.survey);
        let reads = survey.step(round, replies, |parts| self.key(parts));
        self.survey = survey;
        reads
    }

    fn complaints(&self) -> Vec<Refusal> {
        self.survey.complaint.clone().into_iter().collect()
    }

    fn probe<'a>(
        &'a mut self,
        queues: &'a [QueueRef],
        now: Timestamp,
    ) -> Box<dyn Probe + Send + 'a> {
        Box::new(RqProbe::new(self, queues, now))
    }
}

#[cfg(test)]
mod tests;
