//! What one poll has told of one of Bull's queues.

use super::state::{Counts, QueueState};
use super::track::{Stage, Track};
use crate::layout::marker::Memory;
use crate::layout::redis::{Outcome, Refusal, RefusalKind, UNSTAMPED};
use crate::model::flow::{Arrivals, FlowSample, HeadState, LineHead, LineSample, Span, Starts};
use crate::model::{Head, LatencySource, Observation, Reason, System};
use std::sync::Arc;

pub(super) fn outcome(
    state: &mut QueueState<'_>,
    memory: &mut Memory,
    room: &mut usize,
) -> Outcome {
    let counts = match &state.counts {
        Ok(counts) => *counts,
        Err(refusal) => return Outcome::Unreadable(refusal.clone()),
    };
    let shown = Arc::clone(&state.queue.shown);
    let mut seen = Observation::new(System::Bullmq, shown, UNSTAMPED);
    seen.jobs.ready = Some(counts.ready());
    seen.jobs.in_progress = Some(counts.active);
    // Among them those that will be tried again: nothing tells them apart.
    seen.jobs.scheduled = Some(counts.delayed);
    seen.jobs.deferred = Some(counts.children);
    seen.jobs.failed = Some(counts.failed);
    seen.next_due = counts.next_due;
    seen.paused = Some(counts.is_paused);
    seen.counters.enqueued = counts.added;
    seen.head = head(state, counts.ready());
    let started = state.running.iter().filter_map(|(_, job)| job.started);
    seen.oldest_in_progress = started.min();
    seen.priorities = priorities(state, &counts);
    let line = line_head(seen.head);
    if !counts.has_events {
        // A list that was renamed between two reads seems empty.
        let was_there = counts.wait + counts.paused > 0;
        let list = state.list.as_mut();
        let list = list.filter(|list| !(was_there && list.len == Ok(0)));
        if let Some(list) = list {
            list.tell(&mut seen, &state.queue.raw, line, memory);
        }
        sample(state, room);
        seen.measured = Some(state.track.untold.clone());
    } else if state.can_follow {
        let totals = state.track.totals;
        seen.counters.started = Some(totals.started);
        seen.counters.finished = Some(totals.finished);
        seen.counters.failures = Some(totals.failures);
        seen.counters.retries = Some(totals.retries);
        seen.counters.redelivered = Some(totals.redelivered);
        seen.measured = Some(state.track.untold.clone());
        if state.seen.is_through {
            seen.flow = Some(flow(&state.track, counts.ready(), line));
        } else {
            let behind = Refusal {
                kind: RefusalKind::Other,
                message: "its events are not all read yet: they come faster than they are read, \
                          or bring large return values; counters and waits lag behind"
                    .to_owned(),
            };
            state.refused.get_or_insert(behind);
        }
    }
    Outcome::of(seen, state.refused.take())
}

/// What is remembered of all that wait tells exactly. What the heads alone say is a lower bound:
/// jobs that were put in front, that were found due late or that have a lower priority may be older
/// or younger than their places.
fn head(state: &QueueState<'_>, ready: u64) -> Head {
    if ready == 0 {
        return Head::Empty;
    }
    if let Some(since) = state.oldest() {
        return Head::exactly(since, LatencySource::Broker);
    }
    let told = || state.heads.iter().flatten();
    let earliest = told().map(|(earliest, _)| *earliest).min();
    let latest = told().map(|(_, latest)| *latest).min();
    if let (Some(earliest), Some(latest)) = (earliest, latest) {
        return Head::Since {
            earliest,
            latest,
            upper_is_hard: false,
            source: LatencySource::Message,
        };
    }
    let refused = state.refused.as_ref().map(|refusal| refusal.kind);
    Head::Unknown(match refused {
        Some(RefusalKind::NotPermitted) => Reason::NotPermitted,
        _ if state.heads.is_empty() => Reason::HeadMissing,
        _ => Reason::NoTimestamp,
    })
}

fn line_head(head: Head) -> LineHead {
    LineHead {
        state: match head {
            Head::Unknown(reason) => HeadState::Unknown(reason),
            known => HeadState::of(known),
        },
        ..LineHead::PLAIN
    }
}

/// All that wait as one line, whose arrivals and departures are those of the events.
fn flow(track: &Track, ready: u64, head: LineHead) -> FlowSample {
    let total = track.totals.readied;
    let arrivals = Arrivals {
        total,
        epoch: track.epoch,
        is_first: track.is_new,
        is_pushed: true,
        ..Arrivals::default()
    };
    let line = LineSample {
        line: 0,
        ready,
        arrivals,
        started: Some(Starts::of(track.totals.started)),
        head,
    };
    let is_quiet = ready == 0 && total == 0;
    FlowSample {
        span: Span::default(),
        lines: (!is_quiet).then_some(line).into_iter().collect(),
    }
}

/// Jobs by priority; 0 are those that have none and go first. Only where all levels were looked at.
fn priorities(state: &mut QueueState<'_>, counts: &Counts) -> Vec<(u8, u64)> {
    let track = &mut state.track;
    let sum: u64 = state.levels.iter().map(|(_, jobs)| jobs).sum();
    if sum != counts.leveled() {
        return Vec::new();
    }
    for (level, _) in state.levels.iter().filter(|(_, jobs)| *jobs > 0) {
        track.levels |= 1 << level;
    }
    if track.levels == 0 {
        return Vec::new();
    }
    let without = (0, counts.ready().saturating_sub(sum));
    let known = (1..16).filter(|level| track.levels & (1 << level) != 0);
    let with = known.map(|level| {
        let jobs = state.levels.iter().find(|(known, _)| *known == level);
        (level, jobs.map_or(0, |(_, jobs)| *jobs))
    });
    std::iter::once(without).chain(with).collect()
}

/// Takes the waits of Bull 4's jobs that run now and did not at the last poll, as far as they tell.
fn sample(state: &mut QueueState<'_>, room: &mut usize) {
    let track = &mut state.track;
    track.untold.is_sample = true;
    let before = std::mem::take(&mut track.jobs);
    *room += before.len();
    for (id, job) in &state.running {
        let Some(since) = job.started else { continue };
        let stage = Stage::Active { since };
        let is_new = before.get(id.as_slice()) != Some(&stage) && !track.is_new;
        if let Some(ready) = job.ready_at_first().filter(|_| is_new) {
            track.untold.waits.push(ready.age_at(since));
        }
        track.remember(id, stage, room);
    }
}
