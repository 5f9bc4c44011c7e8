//! How messages flow through queues, from the counters `publish`, `deliver_get` and `redeliver` of
//! the management API and their history: what the model needs where no message carries a time.
//! Works for classic and quorum queues; a stream's messages stay when they are read.
//!
//! Pure. Each poll goes like this: the list of queues is read; [`Flows::wants`] tells of which
//! queues a history is needed (those whose counters have moved, and those that are new and not
//! empty); [`Flows::follow`] takes both and adds to each row what its flow tells. A queue that is
//! empty and quiet costs no history and 100 bytes here.
//!
//! Times are in seconds of the clock of the broker, which the labels of its histories show. What is
//! known of a queue is as of the last run of the broker's collectors, up to 5 s ago, and
//! [`RowFlow::age`] tells how long; without a history it is only known to be of the last 7 s.

mod clock;
mod passes;
mod queue;
mod samples;
#[cfg(test)]
mod tests;
mod wants;

pub use samples::{Point, Samples};
pub use wants::Want;

use super::{Kind, QueueRow};
use crate::model::flow::{FlowSample, FlowStatistics, Uncounted};
use clock::BrokerClock;
use passes::Passes;
use queue::{Depth, More, QueueFlow, Restarted, Word};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Totals of one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub publish: u64,
    /// Redeliveries included.
    pub deliver_get: u64,
    pub redeliver: u64,
}

/// What the flow of a queue tells at one poll; [`QueueRow::flow`].
#[derive(Debug, Clone, PartialEq)]
pub struct RowFlow {
    pub latest: FlowSample,
    pub statistics: FlowStatistics,
}

impl RowFlow {
    /// The queue itself has said that so many wait now: what is fewer than counted has left since.
    pub fn refresh(&mut self, ready: u64) {
        let counted: u64 = self.latest.lines.iter().map(|line| line.ready).sum();
        let left = counted.saturating_sub(ready);
        let statistics = &mut self.statistics;
        statistics.is_empty = ready == 0;
        statistics.gone = statistics.gone.max(left);
        statistics.likely_gone = statistics.likely_gone.max(left);
    }
}

/// When something was asked and had been answered, in seconds of our own monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    pub from: f64,
    pub to: f64,
}

/// The flows of the queues of one virtual host.
#[derive(Debug, Default)]
pub struct Flows {
    queues: HashMap<String, Memory>,
    passes: Passes,
    clock: Option<BrokerClock>,
    /// The last poll.
    polled: Option<Asked>,
}

#[derive(Debug)]
enum Memory {
    /// Listed as empty with these totals ever since.
    Idle {
        totals: Totals,
        since: f64,
    },
    Followed(Box<QueueFlow>),
}

/// When nothing is known of any time.
const UNKNOWN: f64 = f64::NEG_INFINITY;
/// A queue that has been empty and quiet for so long is not followed any more.
const IDLE_SECS: i64 = 300;

// === impl Flows ===

impl Flows {
    /// Whether all queues are on one node of the broker. Until this is said, they may not be.
    pub fn set_single_node(&mut self, is_single: bool) {
        self.passes.has_many_nodes = !is_single;
    }

    /// Takes the answers to one [`Want`]: what they tell of the broker's clock and collectors.
    pub fn learn(&mut self, histories: &HashMap<String, Samples>, asked: Asked) {
        let latest = histories
            .values()
            .filter_map(|history| Some((history.latest()?.at, history.step)))
            .max();
        if let Some((label, step)) = latest {
            let heard = BrokerClock::heard(label, step, asked);
            match self.clock.and_then(|clock| clock.narrowed(heard, asked.to)) {
                Some(clock) => self.clock = Some(clock),
                None => {
                    if self.clock.is_some() {
                        // Times from before cannot be compared with those from now on.
                        self.queues.clear();
                        self.passes.forget();
                    }
                    self.clock = Some(heard);
                }
            }
        }
        for history in histories.values() {
            self.passes.learn(history);
        }
    }

    /// Adds to each row what its flow tells. `list` is when the rows were read.
    pub fn follow(
        &mut self,
        rows: &mut BTreeMap<String, QueueRow>,
        histories: &HashMap<String, Samples>,
        list: Asked,
    ) {
        let previous = self.polled.replace(list);
        // A queue that could not be read may have filled and emptied unseen: that it was empty says
        // nothing any more. Its own past can still be asked for.
        self.queues.retain(|name, memory| {
            rows.get(name)
                .is_some_and(|row| row.ready.is_some() || matches!(memory, Memory::Followed(_)))
        });
        for row in rows.values_mut() {
            row.flow = None;
            if let (true, Some(totals), Some(ready)) = (is_followable(row), row.totals(), row.ready)
            {
                let memory = self.queues.remove(&row.name);
                let mut told = Vec::new();
                let history = histories.get(&row.name);
                let next = self.step(
                    memory,
                    (totals, row, ready),
                    history,
                    (previous, list),
                    &mut told,
                );
                if let Some(mut next) = next {
                    if let (Memory::Followed(flow), Some(stats)) = (&next, &mut row.stats) {
                        stats.advance(flow.totals());
                    }
                    row.flow = self.flow_of(&mut next, told, row.time_to_live, (list, previous));
                    self.queues.insert(row.name.clone(), next);
                }
            }
        }
    }

    /// One queue's next memory.
    fn step(
        &self,
        memory: Option<Memory>,
        (totals, row, ready): (Totals, &QueueRow, u64),
        history: Option<&Samples>,
        (previous, list): (Option<Asked>, Asked),
        told: &mut Vec<FlowSample>,
    ) -> Option<Memory> {
        let clock = self.clock;
        let depth = Depth {
            ready,
            holds: row.unacknowledged != Some(0),
            is_stack: row.kind == Kind::Classic && !row.has_priorities,
            drops: row.drops,
        };
        match memory {
            None if ready == 0 && history.is_none() => Some(Memory::Idle {
                totals,
                since: list.from,
            }),
            Some(Memory::Idle {
                totals: before,
                since,
            }) if before == totals && ready == 0 => Some(Memory::Idle { totals, since }),
            Some(Memory::Followed(mut flow)) => {
                let span = clock.map(|clock| clock.noted(list))?;
                let outcome = match history {
                    Some(history) => flow
                        .follow(&history.points, history.step, &self.passes, told)
                        .map(|()| {
                            flow.catch_up(totals, (&self.passes, history.step), span.1, told);
                        }),
                    None if flow.totals() != totals => {
                        flow.jump(totals, (flow.seen() as f64, span.1), told)
                    }
                    None => Ok(()),
                };
                if outcome == Err(Restarted) {
                    told.clear();
                    return self.begin((totals, None, UNKNOWN), depth, history, list, told);
                }
                if flow.compare(clock?.latest(list.to), depth) {
                    flow.repeat(told);
                }
                if told.is_empty() {
                    // While its run may have been the last, a precise time is better than the
                    // present.
                    if flow.told_at().from >= span.0 {
                        flow.repeat(told);
                    } else {
                        flow.stay(span.0, span.1, told);
                    }
                }
                if ready == 0 && flow.is_idle(IDLE_SECS) {
                    return Some(Memory::Idle {
                        totals: flow.totals(),
                        since: f64::NEG_INFINITY,
                    });
                }
                Some(Memory::Followed(flow))
            }
            Some(Memory::Idle {
                totals: before,
                since,
            }) => match previous.filter(|polled| is_surely_empty(since, *polled)) {
                Some(previous) if history.is_none() => {
                    let clock = clock.or_else(|| BrokerClock::guess(list))?;
                    let empty = clock.empty(previous);
                    let start = Point {
                        at: empty.0.floor() as i64,
                        totals: before,
                    };
                    let mut flow = Box::new(QueueFlow::emptied(start, empty.0));
                    flow.stay(empty.0, empty.1, told);
                    let span = (empty.0, clock.latest(list.to));
                    if totals == before {
                        // The depth knows of arrivals that have not been noted yet.
                        flow.stay(span.0, span.1, told);
                    } else if flow.jump(totals, span, told).is_err() {
                        told.clear();
                        return self.begin((totals, None, UNKNOWN), depth, history, list, told);
                    }
                    Some(Memory::Followed(flow))
                }
                surely => {
                    // Its depth was zero all the same.
                    let listed = clock.zip(previous);
                    let listed = listed.map_or(UNKNOWN, |(clock, polled)| clock.empty(polled).0);
                    let empty = surely.map(|_| before);
                    self.begin((totals, empty, listed), depth, history, list, told)
                }
            },
            None => self.begin((totals, None, UNKNOWN), depth, history, list, told),
        }
    }

    /// A queue of which nothing is known but its history, if that; or that it was `empty` with certain
    /// totals, or that it was listed so at a certain time.
    fn begin(
        &self,
        (totals, empty, listed): (Totals, Option<Totals>, f64),
        depth: Depth,
        history: Option<&Samples>,
        list: Asked,
        told: &mut Vec<FlowSample>,
    ) -> Option<Memory> {
        let (ready, empty) = (depth.ready, (empty, listed));
        if let Some((clock, history)) = self.clock.zip(history)
            && let Some(mut flow) =
                QueueFlow::from_history(history, empty, ready, &self.passes, told)
        {
            let span = clock.noted(list);
            flow.catch_up(totals, (&self.passes, history.step), span.1, told);
            flow.compare(clock.latest(list.to), depth);
            if flow.told_at().from < span.0 {
                flow.stay(span.0, span.1, told);
            }
            return Some(Memory::Followed(Box::new(flow)));
        }
        let span = self.clock.or_else(|| BrokerClock::guess(list))?.noted(list);
        let point = Point {
            at: span.1.floor() as i64,
            totals,
        };
        let mut flow = Box::new(QueueFlow::unknown(point, ready));
        flow.stay(span.0, span.1, told);
        Some(Memory::Followed(flow))
    }

    fn flow_of(
        &self,
        memory: &mut Memory,
        mut told: Vec<FlowSample>,
        time_to_live: Option<Duration>,
        (list, previous): (Asked, Option<Asked>),
    ) -> Option<RowFlow> {
        let latest = told.pop()?;
        let now = self
            .clock
            .map_or(latest.span.to, |clock| clock.latest(list.to));
        let until_now = |at: f64| Duration::try_from_secs_f64(now - at);
        let word = match memory {
            Memory::Idle { .. } => Word::default(),
            Memory::Followed(flow) => flow.take_word(),
        };
        Some(RowFlow {
            statistics: FlowStatistics {
                earlier: told,
                age: until_now(latest.span.to).unwrap_or_default(),
                gone: word.gone,
                likely_gone: word.likely_gone,
                time_to_live,
                uncounted: word.more.map(|more| match more {
                    More::Back => Uncounted::PutBack,
                    More::Since(at) => Uncounted::NoOlderThan(until_now(at).ok()),
                }),
                added_since: word.added_since,
                is_empty: false,
                // What a first poll tells has happened before it.
                is_past: previous.is_none(),
            },
            latest,
        })
    }
}

/// Whether a queue that has been listed as empty since then, with the same totals, was empty by a
/// poll: depth and totals are of different times.
fn is_surely_empty(since: f64, polled: Asked) -> bool {
    polled.from - since > queue::READY_AGE_SECS + clock::NOTED_SECS
}

/// Whether the messages of a queue come and go, and are counted.
fn is_followable(row: &QueueRow) -> bool {
    row.kind != Kind::Stream && row.ready.is_some()
}
