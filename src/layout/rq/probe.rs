//! The conversation about RQ's queues: counts first, then the ids at the heads and of the running
//! jobs, then those jobs' times.

use super::RqLayout;
use crate::layout::celery::iso_time;
use crate::layout::redis::{
    Outcome, Probe, QueueRef, Read, Refusal, RefusalKind, Reply, Step, UNSTAMPED,
};
use crate::model::{Head, LatencySource, Observation, Reason, System, Timestamp};
use std::sync::Arc;

/// Ids at the head that are looked at: the first ones tell the order, the others are read when
/// those have lost their jobs.
const HEADS: [(i64, i64); 2] = [(0, 4), (5, 36)];

/// Running jobs whose start is looked up.
const RUNNING: u32 = 32;

const JOB_FIELDS: &[&str] = &["enqueued_at", "created_at"];
const STARTED_FIELDS: &[&str] = &["started_at"];
/// See the module.
pub(super) struct RqProbe<'a> {
    layout: &'a RqLayout,
    now: Timestamp,
    queues: Vec<QueueState<'a>>,
    stage: Stage,
    /// Which queue each read of the last round was about.
    asked: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Start,
    Counts,
    Ids(usize),
    Jobs(usize),
}

struct QueueState<'a> {
    queue: &'a QueueRef,
    counts: Result<Counts, Refusal>,
    /// Ids at the head, next to run first.
    ids: Vec<Vec<u8>>,
    running: Vec<Vec<u8>>,
    /// Times of the jobs at the head that still exist, next to run first.
    heads: Vec<Option<Timestamp>>,
    started: Vec<Option<Timestamp>>,
    /// What the broker refused of it, if anything.
    refused: Option<Refusal>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    ready: u64,
    intermediate: u64,
    wip: u64,
    failed: u64,
    deferred: u64,
    scheduled: u64,
    next_due: Option<Timestamp>,
}

/// Reads of the first round for each queue.
const COUNTS: usize = 7;

impl Probe for RqProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let reads = match self.stage {
            Stage::Start => {
                self.stage = Stage::Counts;
                self.queues
                    .iter()
                    .flat_map(|state| self.count_reads(state.queue))
                    .collect()
            }
            Stage::Counts => {
                self.counts(replies);
                self.stage = Stage::Ids(0);
                self.id_reads(0)
            }
            Stage::Ids(try_) => {
                self.ids(replies, try_);
                self.stage = Stage::Jobs(try_);
                self.job_reads(try_)
            }
            Stage::Jobs(try_) => {
                self.jobs(replies, try_);
                self.stage = Stage::Ids(try_ + 1);
                self.id_reads(try_ + 1)
            }
        };
        if reads.is_empty() {
            Step::Done(
                self.queues
                    .iter()
                    .map(|state| self.observe(state))
                    .collect(),
            )
        } else {
            Step::Read(reads)
        }
    }
}

impl<'a> RqProbe<'a> {
    pub(super) fn new(layout: &'a RqLayout, queues: &'a [QueueRef], now: Timestamp) -> Self {
        Self {
            layout,
            now,
            queues: queues.iter().map(QueueState::new).collect(),
            stage: Stage::Start,
            asked: Vec::new(),
        }
    }

    fn count_reads(&self, queue: &QueueRef) -> [Read; COUNTS] {
        let now = self.now.as_secs_f64();
        let key = |registry: &[u8]| self.layout.key(&[registry, &queue.raw]);
        [
            Read::Llen(key(b"queue")),
            Read::Llen(self.layout.key(&[b"queue", &queue.raw, b"intermediate"])),
            Read::Zcount(key(b"wip"), now, f64::INFINITY),
            Read::Zcount(key(b"failed"), now, f64::INFINITY),
            Read::Zcard(key(b"deferred")),
            Read::Zcard(key(b"scheduled")),
            Read::Zrange(key(b"scheduled"), 0, 0),
        ]
    }

    fn counts(&mut self, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        for state in &mut self.queues {
            // All of them, also where the first is refused: the next ones are the next queue's.
            let own: Vec<Reply> = replies.by_ref().take(COUNTS).collect();
            state.counts = Counts::decode(own.into_iter());
        }
    }

    /// The ids at the head of the queues that have some, and in the first try the running jobs.
    fn id_reads(&mut self, try_: usize) -> Vec<Read> {
        self.asked.clear();
        let mut reads = Vec::new();
        let Some((from, to)) = HEADS.get(try_).copied() else {
            return reads;
        };
        for (index, state) in self.queues.iter().enumerate() {
            let Ok(counts) = &state.counts else { continue };
            let beyond = u64::try_from(from).unwrap_or(0);
            if counts.ready > beyond && state.heads.is_empty() {
                self.asked.push(index);
                reads.push(Read::Lrange(
                    self.layout.key(&[b"queue", &state.queue.raw]),
                    from,
                    to,
                ));
            }
            if try_ == 0 && counts.wip > 0 {
                self.asked.push(index);
                let wip = self.layout.key(&[b"wip", &state.queue.raw]);
                reads.push(Read::Zrange(wip, 0, RUNNING - 1));
            }
        }
        reads
    }

    fn ids(&mut self, replies: Vec<Reply>, try_: usize) {
        let now = self.now.as_secs_f64();
        let mut replies = replies.into_iter();
        let Some((from, _)) = HEADS.get(try_).copied() else {
            return;
        };
        let beyond = u64::try_from(from).unwrap_or(0);
        let mut asked = std::mem::take(&mut self.asked);
        asked.dedup();
        for index in asked {
            let Some(state) = self.queues.get_mut(index) else {
                continue;
            };
            let Ok(Counts { ready, wip, .. }) = state.counts else {
                continue;
            };
            state.ids.clear();
            if ready > beyond && state.heads.is_empty() {
                let ids = replies.next().unwrap_or(Reply::Nil).array();
                for id in state.kept(ids).unwrap_or_default() {
                    let id = state.kept(id.bytes()).flatten();
                    state.ids.extend(id);
                }
            }
            if try_ == 0 && wip > 0 {
                let entries = replies.next().unwrap_or(Reply::Nil).scored();
                state.running = state
                    .kept(entries)
                    .unwrap_or_default()
                    .into_iter()
                    // Entries of killed workers stay until their time is over.
                    .filter(|(_, expiry)| *expiry >= now)
                    .map(|(member, _)| job_id(&member).to_vec())
                    .collect();
            }
        }
    }

    fn job_reads(&self, try_: usize) -> Vec<Read> {
        let mut reads = Vec::new();
        for state in &self.queues {
            let job = |id: &Vec<u8>| self.layout.key(&[b"job", id]);
            reads.extend(state.ids.iter().map(|id| Read::Hmget(job(id), JOB_FIELDS)));
            if try_ == 0 {
                reads.extend(
                    state
                        .running
                        .iter()
                        .map(|id| Read::Hmget(job(id), STARTED_FIELDS)),
                );
            }
        }
        reads
    }

    fn jobs(&mut self, replies: Vec<Reply>, try_: usize) {
        let mut replies = replies.into_iter();
        for state in &mut self.queues {
            let ids = std::mem::take(&mut state.ids);
            for reply in replies.by_ref().take(ids.len()) {
                let head = state.enqueued(reply);
                state.heads.extend(head);
            }
            if try_ == 0 {
                let started = replies.by_ref().take(state.running.len());
                state.started = started
                    .map(|reply| first_time(reply.array().ok()?))
                    .collect();
            }
        }
    }

    fn observe(&self, state: &QueueState<'_>) -> Outcome {
        let counts = match &state.counts {
            Ok(counts) => counts,
            Err(refusal) => return Outcome::Unreadable(refusal.clone()),
        };
        let queue = state.queue;
        let mut observation = Observation::new(System::Rq, Arc::clone(&queue.shown), UNSTAMPED);
        observation.jobs.ready = Some(counts.ready);
        observation.jobs.in_progress = Some(counts.wip + counts.intermediate);
        observation.jobs.scheduled = Some(counts.scheduled);
        // Held back by a rate limit: no more claimable than a job that waits for another.
        let held = self.layout.survey.held(&queue.raw);
        observation.jobs.deferred = held.map(|held| counts.deferred + held);
        observation.jobs.failed = Some(counts.failed);
        observation.next_due = counts.next_due;
        // An RQ worker runs one job at a time.
        observation.busy_workers = Some(counts.wip);
        observation.paused = self.layout.survey.suspended;
        observation.consumers = self.layout.survey.workers(&queue.raw);
        observation.head = state.head(counts.ready);
        observation.oldest_in_progress = state.oldest_start(counts.wip);
        Outcome::of(observation, state.refused.clone())
    }
}

// === impl QueueState ===

impl<'a> QueueState<'a> {
    fn new(queue: &'a QueueRef) -> Self {
        Self {
            queue,
            counts: Ok(Counts::default()),
            ids: Vec::new(),
            running: Vec::new(),
            heads: Vec::new(),
            started: Vec::new(),
            refused: None,
        }
    }

    /// The outcome, or `None` where it was refused, which is remembered.
    fn kept<T>(&mut self, outcome: Result<T, Refusal>) -> Option<T> {
        outcome.map_err(|refusal| self.refused = Some(refusal)).ok()
    }

    /// When a job at the head was enqueued: nothing where its hash is gone, `Some(None)` where it is
    /// there and its time is not known.
    fn enqueued(&mut self, reply: Reply) -> Option<Option<Timestamp>> {
        let Some(fields) = self.kept(reply.array()) else {
            return Some(None);
        };
        if fields.iter().all(|field| *field == Reply::Nil) {
            return None;
        }
        for field in &fields {
            if let Reply::Refused(refusal) = field {
                self.refused = Some(refusal.clone());
            }
        }
        Some(first_time(fields))
    }

    /// The oldest of the jobs at the head. Where they are not in the order of their times, jobs
    /// were put in front, and an older one may be anywhere behind.
    fn head(&self, ready: u64) -> Head {
        if ready == 0 {
            return Head::Empty;
        }
        let times: Vec<Timestamp> = self.heads.iter().copied().flatten().collect();
        let Some(oldest) = times.iter().min().copied() else {
            let refused = self.refused.as_ref().map(|refusal| refusal.kind);
            return Head::Unknown(match refused {
                Some(RefusalKind::TooLarge) => Reason::PayloadTooLarge,
                Some(RefusalKind::NotPermitted) => Reason::NotPermitted,
                Some(_) => Reason::Undecodable,
                None if self.heads.is_empty() => Reason::HeadMissing,
                None => Reason::NoTimestamp,
            });
        };
        let in_order = times.is_sorted() && times.len() == self.heads.len();
        Head::Since {
            earliest: oldest,
            latest: oldest,
            upper_is_hard: in_order,
            source: LatencySource::Message,
        }
    }

    /// Only where the start of every running job was seen.
    fn oldest_start(&self, wip: u64) -> Option<Timestamp> {
        if self.started.len() as u64 != wip {
            return None;
        }
        self.started
            .iter()
            .copied()
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .min()
    }
}

// === impl Counts ===

impl Counts {
    fn decode(mut replies: impl Iterator<Item = Reply>) -> Result<Self, Refusal> {
        let mut next = || replies.next().unwrap_or(Reply::Nil);
        Ok(Self {
            ready: next().count()?,
            intermediate: next().count()?,
            wip: next().count()?,
            failed: next().count()?,
            deferred: next().count()?,
            scheduled: next().count()?,
            next_due: next()
                .scored()?
                .first()
                .and_then(|(_, score)| Timestamp::from_secs_f64(*score)),
        })
    }
}

/// The job of a `wip` member: `job:execution` since RQ 2.0, the job alone before.
pub(super) fn job_id(member: &[u8]) -> &[u8] {
    let cut = member.iter().rposition(|byte| *byte == b':');
    cut.and_then(|cut| member.get(..cut)).unwrap_or(member)
}

/// The first field that holds a time.
fn first_time(fields: Vec<Reply>) -> Option<Timestamp> {
    fields.into_iter().find_map(|field| {
        let text = field.bytes().ok().flatten()?;
        iso_time(std::str::from_utf8(&text).ok()?)
    })
}
