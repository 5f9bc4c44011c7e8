//! The conversation about ARQ's queues: counts and the first jobs, which of them run, and since
//! when.

use super::Running;
use crate::layout::redis::{
    Bytes, Outcome, Probe, QueueRef, Read, Refusal, RefusalKind, Reply, Step, UNSTAMPED,
};
use crate::model::{Head, LatencySource, Measured, Observation, Reason, System, Timestamp};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Jobs at the head that are looked at: the others only where all of the first ones run. Together
/// more than a worker looks at by default (`queue_read_limit`).
const LOOKED_AT: [usize; 2] = [16, 128];

/// Waiting jobs whose last start is looked up.
const WAITING: usize = 4;

/// `arq:retry:<id>` lives so long from a start on.
const RETRY_MS: i64 = 88_400_000;

pub(super) struct ArqProbe<'a> {
    running: &'a mut Running,
    queues: Vec<QueueState<'a>>,
    now: Timestamp,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Start,
    Counts,
    Progress(usize),
    Starts,
}

struct QueueState<'a> {
    queue: &'a QueueRef,
    counts: Result<Counts, Refusal>,
    /// Jobs that may start now, by score.
    jobs: Vec<Job>,
    /// For how many of them it is known whether they run.
    known: usize,
    refused: Option<Refusal>,
    /// Why it is not known since when they run.
    hidden: Option<Refusal>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    due: u64,
    later: u64,
    next_due: Option<Timestamp>,
}

struct Job {
    id: Vec<u8>,
    /// From when it may start.
    /// None if its score is no time.
    due: Option<Timestamp>,
    runs: bool,
    /// Its last start, and which one it was.
    started: Option<Timestamp>,
    start: u64,
}

/// Reads of the first round for each queue.
const COUNTS: usize = 4;

impl<'a> ArqProbe<'a> {
    pub(super) fn new(running: &'a mut Running, queues: &'a [QueueRef], now: Timestamp) -> Self {
        let state = |queue| QueueState {
            queue,
            counts: Ok(Counts::default()),
            jobs: Vec::new(),
            known: 0,
            refused: None,
            hidden: None,
        };
        Self {
            running,
            queues: queues.iter().map(state).collect(),
            now,
            stage: Stage::Start,
        }
    }
}

impl Probe for ArqProbe<'_> {
    fn step(&mut self, replies: Vec<Reply>) -> Step {
        let mut replies = replies.into_iter();
        loop {
            let reads: Vec<Read> = match self.stage {
                Stage::Start => {
                    self.stage = Stage::Counts;
                    let now = (self.now.micros() / 1000) as f64;
                    let queues = self.queues.iter();
                    queues.flat_map(|state| state.ask_counts(now)).collect()
                }
                Stage::Counts => {
                    for state in &mut self.queues {
                        state.counts(replies.by_ref().take(COUNTS).collect());
                    }
                    self.stage = Stage::Progress(0);
                    let queues = self.queues.iter();
                    queues.flat_map(|state| state.ask_progress(0)).collect()
                }
                Stage::Progress(try_) => {
                    for state in &mut self.queues {
                        state.progress(try_, &mut replies);
                    }
                    let queues = self.queues.iter();
                    if try_ == 0 {
                        self.stage = Stage::Progress(1);
                        queues.flat_map(|state| state.ask_progress(1)).collect()
                    } else {
                        self.stage = Stage::Starts;
                        queues.flat_map(QueueState::ask_starts).collect()
                    }
                }
                Stage::Starts => {
                    for state in &mut self.queues {
                        state.starts(&mut replies, self.now);
                    }
                    let (running, now) = (&mut *self.running, self.now);
                    let states = std::mem::take(&mut self.queues).into_iter();
                    return Step::Done(states.map(|state| state.observe(running, now)).collect());
                }
            };
            if !reads.is_empty() {
                return Step::Read(reads);
            }
        }
    }
}

// === impl QueueState ===

impl QueueState<'_> {
    fn ask_counts(&self, now: f64) -> [Read; COUNTS] {
        let key = || Bytes::clone(&self.queue.raw);
        let [_, most] = LOOKED_AT;
        let range = |min, max, limit| Read::ZrangeByScore {
            key: key(),
            min,
            max,
            limit,
        };
        // Scores are whole milliseconds.
        let later = now + 1.0;
        [
            Read::Zcount(key(), f64::NEG_INFINITY, now),
            Read::Zcount(key(), later, f64::INFINITY),
            range(f64::NEG_INFINITY, now, u32::try_from(most).unwrap_or(1)),
            range(later, f64::INFINITY, 1),
        ]
    }

    fn counts(&mut self, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil);
        let mut decode = || {
            let (due, later) = (next().count()?, next().count()?);
            let jobs = next().scored()?;
            let next_due = next().scored()?.first().and_then(|(_, due)| due_time(*due));
            let counts = Counts {
                due,
                later,
                next_due,
            };
            Ok((counts, jobs))
        };
        self.counts = decode().map(|(counts, jobs)| {
            let jobs = jobs.into_iter().map(|(id, score)| Job {
                id,
                due: due_time(score),
                runs: false,
                started: None,
                start: 0,
            });
            self.jobs = jobs.collect();
            counts
        });
    }

    /// How many jobs are looked at in this try.
    fn window(&self, try_: usize) -> usize {
        let limit = LOOKED_AT.get(try_).copied().unwrap_or(0);
        let goes_on = self.known == 0 || self.is_running_to_the_end();
        match goes_on {
            true => self.jobs.len().min(limit).saturating_sub(self.known),
            false => 0,
        }
    }

    /// The last one looked at runs, so the next ones may.
    fn is_running_to_the_end(&self) -> bool {
        let last = self.known.checked_sub(1).and_then(|at| self.jobs.get(at));
        last.is_some_and(|job| job.runs)
    }

    fn ask_progress(&self, try_: usize) -> Vec<Read> {
        let window = self.jobs.iter().skip(self.known).take(self.window(try_));
        window
            .map(|job| Read::Exists(key(b"arq:in-progress:", &job.id)))
            .collect()
    }

    fn progress(&mut self, try_: usize, replies: &mut impl Iterator<Item = Reply>) {
        let window = self.window(try_);
        let refused = &mut self.refused;
        let jobs = self.jobs.iter_mut().skip(self.known).take(window);
        for (job, reply) in jobs.zip(replies) {
            match reply.count() {
                Ok(count) => job.runs = count > 0,
                Err(refusal) => *refused = Some(refusal),
            }
        }
        self.known += window;
    }

    /// Which jobs' starts are looked up: those that run, and the first that wait.
    fn looked_up(&self) -> Vec<usize> {
        let known = || self.jobs.iter().enumerate().take(self.known);
        let running = known().filter(|(_, job)| job.runs);
        let waiting = known().filter(|(_, job)| !job.runs).take(WAITING);
        running.chain(waiting).map(|(index, _)| index).collect()
    }

    fn ask_starts(&self) -> Vec<Read> {
        let jobs = self.looked_up().into_iter();
        jobs.filter_map(|index| self.jobs.get(index))
            .flat_map(|job| {
                let retry = key(b"arq:retry:", &job.id);
                [Read::Pttl(Bytes::clone(&retry)), Read::Getrange(retry, 20)]
            })
            .collect()
    }

    fn starts(&mut self, replies: &mut impl Iterator<Item = Reply>, now: Timestamp) {
        for index in self.looked_up() {
            let (left, start) = (replies.next(), replies.next());
            let refusal = |reply: &Option<Reply>| reply.as_ref()?.refusal().cloned();
            let refused = refusal(&left).or_else(|| refusal(&start));
            self.hidden = self.hidden.take().or(refused);
            let Some(job) = self.jobs.get_mut(index) else {
                continue;
            };
            job.started = match left {
                Some(Reply::Int(left)) if (0..=RETRY_MS).contains(&left) => {
                    let ago = u64::try_from(RETRY_MS - left).unwrap_or(0);
                    Some(now.minus(Duration::from_millis(ago)))
                }
                _ => None,
            };
            let start = start.and_then(|start| start.bytes().ok().flatten());
            let start = start.and_then(|start| String::from_utf8(start).ok()?.parse().ok());
            job.start = start.unwrap_or(0);
        }
    }

    fn observe(self, running: &mut Running, now: Timestamp) -> Outcome {
        let counts = match &self.counts {
            Ok(counts) => *counts,
            Err(refusal) => return Outcome::Unreadable(refusal.clone()),
        };
        let mut seen = Observation::new(System::Arq, Arc::clone(&self.queue.shown), UNSTAMPED);
        let is_split = counts.due <= self.known as u64 || !self.is_running_to_the_end();
        if is_split && self.refused.is_none() {
            let runs = self.jobs.iter().filter(|job| job.runs).count() as u64;
            seen.jobs.ready = Some(counts.due.saturating_sub(runs));
            seen.jobs.in_progress = Some(runs);
            let starts = self.jobs.iter().filter(|job| job.runs);
            let starts: Option<Vec<_>> = starts.map(|job| job.started).collect();
            seen.oldest_in_progress = starts.and_then(|starts| starts.into_iter().min());
        } else {
            let refused = self.refused.as_ref().map(|refusal| refusal.kind);
            seen.jobs_unknown = Some(match refused {
                Some(RefusalKind::NotPermitted) => Reason::WorkNotPermitted,
                Some(_) => Reason::WorkUndecodable,
                None => Reason::TooMany,
            });
        }
        seen.jobs.scheduled = Some(counts.later);
        seen.next_due = counts.next_due;
        seen.head = match seen.jobs.ready {
            Some(0) => Head::Empty,
            Some(_) => self.head(now),
            None => Head::Unknown(seen.jobs_unknown.unwrap_or(Reason::TooMany)),
        };
        seen.measured = self.measure(running);
        Outcome::of(seen, self.refused.or(self.hidden))
    }

    /// The oldest of the jobs that wait. They are in the order of their due times; but one that has
    /// been started since waits only since it came back, which is not written down.
    fn head(&self, now: Timestamp) -> Head {
        let waiting = self.jobs.iter().take(self.known);
        let mut head = Head::Empty;
        for job in waiting.filter(|job| !job.runs).take(WAITING) {
            // What has no time stands before all that has one.
            let Some(due) = job.due else {
                return Head::Unknown(Reason::Undecodable);
            };
            let came_back = job.started.filter(|started| *started > due);
            let (earliest, latest) = match came_back {
                Some(started) => (started, now),
                None => (due, due.plus(Duration::from_micros(999))),
            };
            head = head.or_older(Head::Since {
                earliest,
                latest,
                upper_is_hard: true,
                source: LatencySource::Message,
            });
            if came_back.is_none() {
                return head;
            }
        }
        match head {
            Head::Since {
                earliest,
                latest,
                source,
                ..
            } => Head::Since {
                earliest,
                latest,
                upper_is_hard: false,
                source,
            },
            _ => Head::Unknown(Reason::HeadMissing),
        }
    }

    /// The waits of jobs that have begun to run since the last poll and still do; each once.
    fn measure(&self, running: &mut Running) -> Option<Measured> {
        let jobs = self.jobs.iter().filter(|job| job.runs && job.start > 0);
        let now: HashSet<(Vec<u8>, u64)> = jobs
            .clone()
            .map(|job| (job.id.clone(), job.start))
            .collect();
        let before = running.remove(&self.queue.raw);
        let waits = jobs
            .filter(|job| {
                let start = (job.id.clone(), job.start);
                // A second start may have come without the score being moved.
                job.start == 1 && before.as_ref().is_some_and(|seen| !seen.contains(&start))
            })
            .filter_map(|job| Some(job.due?.age_at(job.started?)))
            .collect();
        running.insert(Bytes::clone(&self.queue.raw), now);
        Some(Measured {
            waits,
            is_sample: true,
            ..Measured::default()
        })
    }
}

/// When a job of this score is due, in milliseconds since 1970; none if that is before 2001 or after
/// 2100. Whoever enqueues by other means than ARQ may have taken seconds or microseconds.
fn due_time(score: f64) -> Option<Timestamp> {
    let is_time = (1e12..4.1e12).contains(&score);
    is_time.then(|| Timestamp::from_secs_f64(score / 1e3))?
}

fn key(prefix: &[u8], id: &[u8]) -> Bytes {
    [prefix, id].concat().into()
}
