//! The conversation about RQ's queues: counts first, then the ids at the heads, of the running jobs
//! and of those that have ended, then those jobs' times. Meanwhile the lists are followed.

use super::queue::{Counts, QueueState, line_head};
use super::records::{JOB_FIELDS, Records};
use super::{Keys, RqLayout};
use crate::layout::marker::{Budget, Elements, Follow};
use crate::layout::redis::{Bytes, Outcome, Probe, QueueRef, Read, Reply, Side, Step};
use crate::model::Timestamp;

/// Ids at the head that are looked at: the first ones tell the order, the others are read when
/// those have lost their jobs.
const HEADS: [(u32, u32); 2] = [(0, 4), (5, 36)];

/// Running jobs whose start is looked up.
const RUNNING: u32 = 32;

const HEAD_FIELDS: &[&str] = &["enqueued_at", "created_at", "result_ttl"];

/// The registries of jobs that have ended, in the order of `Records::registries`.
const ENDED: [&[u8]; 2] = [b"finished", b"failed"];

/// See the module.
pub(super) struct RqProbe<'a> {
    layout: &'a mut RqLayout,
    now: Timestamp,
    queues: Vec<QueueState<'a>>,
    lists: Vec<Follow>,
    budget: Budget,
    stage: Stage,
    /// What each read of the last round was about, and the queue.
    asked: Vec<(usize, About)>,
    reads: Vec<Read>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Counts,
    Ids(usize),
    Jobs(usize),
    Done,
}

enum About {
    /// The list, as it is followed.
    List,
    Count,
    /// How many jobs have ended, and which.
    Ended(usize),
    EndedIds(usize),
    HeadIds,
    RunningIds,
    HeadJob,
    RunningJob(Vec<u8>),
    EndedJob,
}

impl Probe for RqProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let asked = std::mem::take(&mut self.asked);
        for ((queue, about), reply) in asked.into_iter().zip(replies) {
            self.take(queue, about, reply);
        }
        for queue in 0..self.lists.len() {
            let read = self.lists.get(queue).and_then(Follow::ask);
            if let Some(read) = read {
                self.ask(queue, About::List, read);
            }
        }
        let followed = self.reads.len();
        while self.reads.len() == followed {
            self.stage = match self.stage {
                Stage::Counts => {
                    self.ask_counts();
                    Stage::Ids(0)
                }
                Stage::Ids(try_) => {
                    if try_ == 0 {
                        self.count();
                    }
                    self.ask_ids(try_);
                    Stage::Jobs(try_)
                }
                Stage::Jobs(try_) => {
                    self.ask_jobs(try_);
                    match try_ + 1 < HEADS.len() {
                        true => Stage::Ids(try_ + 1),
                        false => Stage::Done,
                    }
                }
                Stage::Done => break,
            };
        }
        if self.reads.is_empty() {
            Step::Done(self.conclude())
        } else {
            Step::Read(std::mem::take(&mut self.reads))
        }
    }
}

impl<'a> RqProbe<'a> {
    pub(super) fn new(layout: &'a mut RqLayout, queues: &'a [QueueRef], now: Timestamp) -> Self {
        let mut lists = Vec::new();
        for queue in queues {
            let records = layout.records.entry(Bytes::clone(&queue.raw));
            records.or_default().begin(now, layout.polls);
            let key = layout.keys.of(&[b"queue", &queue.raw]);
            let marks = layout.lists.get(&queue.raw, 0);
            // A job that is retried is back with the same id.
            lists.push(Follow::new(key, Side::Left, Elements::Returning, marks));
        }
        Self {
            layout,
            now,
            queues: queues.iter().map(QueueState::new).collect(),
            lists,
            budget: Budget::default(),
            stage: Stage::Counts,
            asked: Vec::new(),
            reads: Vec::new(),
        }
    }

    fn ask(&mut self, queue: usize, about: About, read: Read) {
        self.asked.push((queue, about));
        self.reads.push(read);
    }

    fn take(&mut self, queue: usize, about: About, reply: Reply) {
        if let About::List = about {
            if let Some(list) = self.lists.get_mut(queue) {
                list.take(reply, &mut self.layout.lists, &mut self.budget);
            }
            return;
        }
        let Some(state) = self.queues.get_mut(queue) else {
            return;
        };
        let Some(records) = self.layout.records.get_mut(&state.queue.raw) else {
            return;
        };
        let outcome = match about {
            About::List => return,
            About::Count => {
                state.counting.push(reply);
                return;
            }
            About::HeadIds => return state.take_heads(reply),
            About::RunningIds => return state.take_running(reply, self.now),
            About::HeadJob => return state.take_head(reply, records),
            About::RunningJob(id) => {
                let started = state.kept(records.running(&id, reply));
                return state.started.push(started.flatten());
            }
            About::Ended(which) => records.counted(which, reply),
            About::EndedIds(which) => records.listed(which, reply),
            About::EndedJob => records.ended(reply),
        };
        state.kept(outcome);
    }

    fn ask_counts(&mut self) {
        let now = self.now.as_secs_f64();
        for index in 0..self.queues.len() {
            let Some((name, keys, records)) = self.about(index) else {
                continue;
            };
            let key = |registry: &[u8]| keys.of(&[registry, &name]);
            let counts = [
                Read::Llen(key(b"queue")),
                Read::Llen(keys.of(&[b"queue", &name, b"intermediate"])),
                Read::Zcount(key(b"wip"), now, f64::INFINITY),
                Read::Zcount(key(b"failed"), now, f64::INFINITY),
                Read::Zcard(key(b"deferred")),
                Read::Zcard(key(b"scheduled")),
                Read::Zrange(key(b"scheduled"), 0, 0),
            ];
            let ended = ENDED.map(key);
            let ended: Vec<Read> = records
                .registries
                .iter()
                .zip(&ended)
                .map(|(registry, key)| registry.count_read(key))
                .collect();
            for read in counts {
                self.ask(index, About::Count, read);
            }
            for (which, read) in ended.into_iter().enumerate() {
                self.ask(index, About::Ended(which), read);
            }
        }
    }

    fn count(&mut self) {
        for state in &mut self.queues {
            state.counts = Counts::decode(std::mem::take(&mut state.counting));
        }
    }

    /// The ids at the head of the queues that have some; in the first try also those of running
    /// jobs and of jobs that have ended.
    fn ask_ids(&mut self, try_: usize) {
        let Some((from, to)) = HEADS.get(try_).copied() else {
            return;
        };
        for index in 0..self.queues.len() {
            let Some(state) = self.queues.get_mut(index) else {
                continue;
            };
            state.ids.clear();
            let Ok(counts) = &state.counts else { continue };
            let has_heads = counts.ready > u64::from(from) && state.heads.is_empty();
            let has_running = try_ == 0 && counts.wip > 0;
            let Some((name, keys, records)) = self.about(index) else {
                continue;
            };
            let heads = Read::Lrange(keys.of(&[b"queue", &name]), from.into(), to.into());
            let running = Read::Zrange(keys.of(&[b"wip", &name]), 0, RUNNING - 1);
            let ended = ENDED.map(|registry| keys.of(&[registry, &name]));
            let ended: Vec<Option<Read>> = records
                .registries
                .iter()
                .zip(&ended)
                .map(|(registry, key)| registry.window_read(key).filter(|_| try_ == 0))
                .collect();
            if has_heads {
                self.ask(index, About::HeadIds, heads);
            }
            for (which, read) in ended.into_iter().enumerate() {
                if let Some(read) = read {
                    self.ask(index, About::EndedIds(which), read);
                }
            }
            if has_running {
                self.ask(index, About::RunningIds, running);
            }
        }
    }

    fn ask_jobs(&mut self, try_: usize) {
        for index in 0..self.queues.len() {
            let Some(state) = self.queues.get(index) else {
                continue;
            };
            let (heads, running) = (state.ids.clone(), state.running.clone());
            let Some((_, keys, records)) = self.about(index) else {
                continue;
            };
            let job = |id: &Vec<u8>, fields| Read::Hmget(keys.of(&[b"job", id]), fields);
            let heads: Vec<Read> = heads.iter().map(|id| job(id, HEAD_FIELDS)).collect();
            let ended: Vec<Read> = records.lookups().map(|id| job(id, JOB_FIELDS)).collect();
            let running: Vec<_> = running
                .into_iter()
                .map(|id| (job(&id, JOB_FIELDS), id))
                .collect();
            for read in heads {
                self.ask(index, About::HeadJob, read);
            }
            if try_ > 0 {
                continue;
            }
            for (read, id) in running {
                self.ask(index, About::RunningJob(id), read);
            }
            for read in ended {
                self.ask(index, About::EndedJob, read);
            }
        }
    }

    /// A queue's name, the keys, and what is remembered of its jobs.
    fn about(&mut self, queue: usize) -> Option<(Bytes, Keys, &mut Records)> {
        let name = Bytes::clone(&self.queues.get(queue)?.queue.raw);
        let keys = self.layout.keys.clone();
        Some((
            Bytes::clone(&name),
            keys,
            self.layout.records.get_mut(&name)?,
        ))
    }

    fn conclude(&mut self) -> Vec<Outcome> {
        let queues = std::mem::take(&mut self.queues);
        let lists = std::mem::take(&mut self.lists);
        let pairs = queues.into_iter().zip(lists);
        pairs
            .map(|(state, list)| self.observe(&state, list))
            .collect()
    }

    fn observe(&mut self, state: &QueueState<'_>, mut list: Follow) -> Outcome {
        let counts = match &state.counts {
            Ok(counts) => counts,
            Err(refusal) => return Outcome::Unreadable(refusal.clone()),
        };
        let name = &state.queue.raw;
        let survey = &self.layout.survey;
        let mut observation = state.observation(counts);
        // Held back by a rate limit: no more claimable than a job that waits for another.
        let held = survey.held(name);
        let deferred = observation.jobs.deferred;
        observation.jobs.deferred = held.and_then(|held| Some(deferred? + held));
        observation.paused = survey.suspended;
        observation.consumers = survey.workers(name);
        let head = line_head(observation.head);
        list.tell(&mut observation, name, head, &mut self.layout.lists);
        if let Some(records) = self.layout.records.get_mut(name) {
            if counts.wip <= u64::from(RUNNING) {
                records.forget_ended();
            }
            let is_complete = !self.layout.successes.are_unrecorded;
            records.tell(&mut observation, is_complete);
        }
        Outcome::of(observation, state.refused.clone())
    }
}
