//! What one poll learns of one queue.

use super::records::Records;
use crate::layout::celery::iso_time;
use crate::layout::redis::{QueueRef, Refusal, RefusalKind, Reply, UNSTAMPED};
use crate::model::flow::{HeadState, LineHead};
use crate::model::{Head, LatencySource, Observation, Reason, System, Timestamp};
use std::sync::Arc;

pub(super) struct QueueState<'a> {
    pub(super) queue: &'a QueueRef,
    /// Replies of the first round, until all are there.
    pub(super) counting: Vec<Reply>,
    pub(super) counts: Result<Counts, Refusal>,
    /// Ids at the head, next to run first.
    pub(super) ids: Vec<Vec<u8>>,
    pub(super) running: Vec<Vec<u8>>,
    /// Times of the jobs at the head that still exist, next to run first.
    pub(super) heads: Vec<Option<Timestamp>>,
    pub(super) started: Vec<Option<Timestamp>>,
    /// What the broker refused of it, if anything.
    pub(super) refused: Option<Refusal>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) ready: u64,
    intermediate: u64,
    pub(super) wip: u64,
    failed: u64,
    deferred: u64,
    scheduled: u64,
    next_due: Option<Timestamp>,
}

// === impl QueueState ===

impl<'a> QueueState<'a> {
    pub(super) fn new(queue: &'a QueueRef) -> Self {
        Self {
            queue,
            counting: Vec::new(),
            counts: Ok(Counts::default()),
            ids: Vec::new(),
            running: Vec::new(),
            heads: Vec::new(),
            started: Vec::new(),
            refused: None,
        }
    }

    /// The outcome, or `None` where it was refused, which is remembered.
    pub(super) fn kept<T>(&mut self, outcome: Result<T, Refusal>) -> Option<T> {
        outcome.map_err(|refusal| self.refused = Some(refusal)).ok()
    }

    /// Ids at the head.
    pub(super) fn take_heads(&mut self, reply: Reply) {
        for id in self.kept(reply.array()).unwrap_or_default() {
            let id = self.kept(id.bytes()).flatten();
            self.ids.extend(id);
        }
    }

    /// Entries of `wip`. Those of killed workers stay until their time is over.
    pub(super) fn take_running(&mut self, reply: Reply, now: Timestamp) {
        let entries = self.kept(reply.scored()).unwrap_or_default();
        let live = entries
            .into_iter()
            .filter(|(_, expiry)| *expiry >= now.as_secs_f64());
        self.running = live.map(|(member, _)| job_id(&member).to_vec()).collect();
    }

    /// A job at the head: when it was enqueued, where its hash is still there.
    pub(super) fn take_head(&mut self, reply: Reply, records: &mut Records) {
        let Some(fields) = self.kept(reply.array()) else {
            self.heads.push(None);
            return;
        };
        if fields.iter().all(|field| *field == Reply::Nil) {
            return;
        }
        for field in &fields {
            if let Reply::Refused(refusal) = field {
                self.refused = Some(refusal.clone());
            }
        }
        if let [times @ .., result_ttl] = fields.as_slice() {
            self.heads.push(times.iter().find_map(time));
            records.sees_ttl(result_ttl);
        }
    }

    /// All that is known; what all queues share is added by the caller.
    pub(super) fn observation(&self, counts: &Counts) -> Observation {
        let name = Arc::clone(&self.queue.shown);
        let mut observation = Observation::new(System::Rq, name, UNSTAMPED);
        observation.jobs.ready = Some(counts.ready);
        observation.jobs.in_progress = Some(counts.wip + counts.intermediate);
        observation.jobs.scheduled = Some(counts.scheduled);
        observation.jobs.deferred = Some(counts.deferred);
        observation.jobs.failed = Some(counts.failed);
        observation.next_due = counts.next_due;
        // An RQ worker runs one job at a time.
        observation.busy_workers = Some(counts.wip);
        observation.head = self.head(counts.ready);
        observation.oldest_in_progress = self.oldest_start(counts.wip);
        observation
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
    pub(super) fn decode(replies: Vec<Reply>) -> Result<Self, Refusal> {
        let mut replies = replies.into_iter();
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

/// The head of the list as the flow model takes it.
pub(super) fn line_head(head: Head) -> LineHead {
    LineHead {
        state: match head {
            Head::Unknown(reason) => HeadState::Unknown(reason),
            known => HeadState::of(known),
        },
        ..LineHead::PLAIN
    }
}

/// The job of a `wip` member: `job:execution` since RQ 2.0, the job alone before.
pub(super) fn job_id(member: &[u8]) -> &[u8] {
    let cut = member.iter().rposition(|byte| *byte == b':');
    cut.and_then(|cut| member.get(..cut)).unwrap_or(member)
}

/// A field that holds a time.
pub(super) fn time(field: &Reply) -> Option<Timestamp> {
    match field {
        Reply::Bytes(text) => iso_time(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}
