//! Polls a played scenario with the real layout and the real model, and scores what they say.

use super::list::{Lists, Message};
use super::random::Random;
use super::truth::{self, Scenario, What};
use std::collections::HashSet;
use std::sync::Arc;
use tailback::config::{Config, Endpoint, Environment};
use tailback::layout::LAYOUTS;
use tailback::layout::redis::{Layout, Outcome, QueueRef, Step};
use tailback::model::flow::{Claim, FlowMemory, Ledger, Settings, Span, Tally, Witness};
use tailback::model::{FlowView, Latency, System, Timestamp, Window};

const KEYS: [&[u8]; 4] = [b"q", b"q\x06\x163", b"q\x06\x166", b"q\x06\x169"];

/// Absolute and relative errors of one method.
#[derive(Debug, Default)]
pub struct Score {
    absolute: Vec<f64>,
    relative: Vec<f64>,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Run {
    pub head: Score,
    pub little: Score,
    pub depth: Score,
    pub first_seen: Score,
    pub scored: usize,
    pub inside: usize,
    pub without_max: usize,
    pub true_waits: Vec<f64>,
    /// Until they began to run: with prefetch, later than they were taken.
    pub true_starts: Vec<f64>,
    /// When the newest message will begin to run, told by the ready ones alone and with the
    /// prefetched ones.
    pub drain: Score,
    pub expected: Score,
    pub view: Arc<FlowView>,
    pub polls: u64,
    pub lists: Lists,
    /// Waiting at the end.
    pub left: u64,
    pub pushed: u64,
    pub purged: u64,
}

impl Score {
    fn add(&mut self, truth: f64, estimate: f64) {
        self.absolute.push((estimate - truth).abs());
        if truth > 1.0 {
            self.relative.push((estimate - truth).abs() / truth);
        }
    }

    pub fn absolute(&mut self, share: f64) -> f64 {
        quantile(&mut self.absolute, share)
    }

    pub fn relative(&mut self, share: f64) -> f64 {
        quantile(&mut self.relative, share)
    }
}

pub fn quantile(of: &mut [f64], share: f64) -> f64 {
    of.sort_by(f64::total_cmp);
    let at = ((of.len() as f64 * share) as usize).min(of.len().saturating_sub(1));
    of.get(at).copied().unwrap_or(0.0)
}

/// Bounds 1 % apart, so that quantiles can be read off the histogram.
fn fine_buckets() -> Arc<[f64]> {
    (0..1700).map(|step| 0.01 * 1.01_f64.powi(step)).collect()
}

/// A quantile of the waits that the model has counted.
pub fn estimated(view: &FlowView, share: f64) -> f64 {
    let Some(waits) = &view.waits else { return 0.0 };
    let rank = waits.count() as f64 * share;
    waits
        .buckets()
        .find(|(_, within)| *within as f64 > rank)
        .map_or(f64::INFINITY, |(bound, _)| bound)
}

/// The broker's counts are read so many seconds before its lists.
const COUNTED_EARLIER: f64 = 0.003;

pub fn celery() -> Box<dyn Layout> {
    let text = "[brokers.main.redis]\nurl = 'redis://localhost'\n";
    let config = Config::from_toml(text, "c.toml", &Environment::default()).unwrap();
    let Endpoint::Redis(redis) = &config.brokers[0].endpoint else {
        panic!("a Redis");
    };
    let row = LAYOUTS.iter().find(|row| row.system == System::Celery);
    row.unwrap().redis.unwrap()(redis, 1 << 20)
}

fn broker_time(at: f64) -> Timestamp {
    Timestamp::from_micros(1_795_410_000_000_000 + (at * 1e6) as i64)
}

/// Plays `scenario` and polls it every `interval` seconds from `start` on. `told`: the broker tells
/// how many pushes there were.
pub fn run(scenario: &Scenario, interval: f64, start: f64, told: bool) -> Run {
    run_beside(scenario, interval, start, told, 0.0)
}

/// The same in a Redis where an application pushes to a list of its own, `strangers` times a second.
pub fn run_beside(
    scenario: &Scenario,
    interval: f64,
    start: f64,
    told: bool,
    strangers: f64,
) -> Run {
    let mut random = Random::new(7);
    let events = truth::play(scenario, &mut random);
    let processes: usize = scenario.nodes.iter().map(|node| node.processes).sum();
    let mean = (0..1000)
        .map(|_| (scenario.service)(&mut random))
        .sum::<f64>()
        / 1000.0;
    let queue = QueueRef {
        raw: b"q".as_slice().into(),
        shown: "q".into(),
    };
    let queues = [queue];
    let (mut layout, mut memory) = (celery(), (FlowMemory::default(), Ledger::default()));
    let buckets = fine_buckets();
    let mut out = Run {
        lists: Lists::new(&KEYS),
        ..Run::default()
    };
    let (mut back, mut seen): (HashSet<usize>, Vec<f64>) = Default::default();
    let (mut next, mut at, mut taken) = (0, start, 0u64);
    let (mut taken_before, mut pace) = (0u64, (0.0, 0.0));
    let mut held: HashSet<usize> = HashSet::new();
    let mut starts = vec![f64::INFINITY; scenario.arrivals.len()];
    for event in events.iter().filter(|event| event.what == What::Starts) {
        starts[event.message] = event.at;
    }
    let mut newest = None;
    while at < scenario.secs {
        let mut counted = None;
        while let Some(event) = events.get(next).filter(|event| event.at <= at) {
            if event.at > at - COUNTED_EARLIER && counted.is_none() {
                counted = Some((out.pushed, taken));
            }
            let list = out.lists.level(event.level);
            let id = event.message;
            let sent = scenario.arrivals.get(id).filter(|_| scenario.stamped);
            let message = |redelivered| Message {
                id,
                redelivered,
                sent: sent.map(|(at, _)| broker_time(*at).micros()),
            };
            match event.what {
                What::Arrives => {
                    out.pushed += 1;
                    newest = Some(id);
                    list.push_front(message(false));
                }
                What::Starts => {
                    held.remove(&id);
                    if event.at > start {
                        out.true_starts.push(event.at - scenario.arrivals[id].0);
                    }
                }
                What::IsPutBack => {
                    back.insert(id);
                    held.remove(&id);
                    list.push_back(message(true));
                }
                What::IsTaken => {
                    assert_eq!(list.pop_back().map(|message| message.id), Some(id));
                    taken += 1;
                    held.insert(id);
                    if event.at > start {
                        out.true_waits.push(event.at - scenario.arrivals[id].0);
                    }
                }
                What::Purge => {
                    out.purged += list.len() as u64;
                    list.clear();
                }
            }
            next += 1;
        }
        let (pushes, deliveries) = counted.unwrap_or((out.pushed, taken));
        // Its consumers ask about once a second each, whether there is anything or not.
        let takes = |taken| told.then_some(taken + 4 * at as u64);
        let tally = Tally {
            pushes: told.then_some(pushes + (strangers * at) as u64),
            takes: takes(deliveries),
            deliveries: told.then_some(deliveries),
            takes_after: takes(taken),
            deliveries_after: told.then_some(taken),
            misuses_earlier: None,
            misuses: None,
            misuses_after: None,
            is_partial: false,
            is_alone: true,
            is_new_run: false,
        };
        let latency = poll(
            &mut *layout,
            &mut memory,
            &mut out.lists,
            &queues,
            at,
            &buckets,
            tally,
        );
        out.polls += 1;
        let oldest = out.lists.heads().map(|head| head.id).min();
        out.left = (0..4)
            .map(|level| out.lists.level(level).len() as u64)
            .sum();
        let decay = 0.5_f64.powf(interval / 60.0);
        pace = (
            pace.0 * decay + (taken - taken_before) as f64,
            pace.1 * decay + interval,
        );
        taken_before = taken;
        if let Some(oldest) = oldest {
            let since = out
                .lists
                .heads()
                .map(|head| scenario.arrivals[head.id].0)
                .fold(f64::INFINITY, f64::min);
            let truth = at - since;
            let Latency::Known { age, .. } = latency else {
                panic!("{} at {at}: {latency:?}", scenario.name);
            };
            let (min, max) = (age.min.as_secs_f64(), age.max.map(|max| max.as_secs_f64()));
            out.scored += 1;
            out.without_max += usize::from(max.is_none());
            let is_inside = min - 1e-5 <= truth && max.is_none_or(|max| truth <= max + 1e-5);
            out.inside += usize::from(is_inside);
            if !is_inside && std::env::var_os("FLOW_SIM_VERBOSE").is_some() {
                eprintln!(
                    "{} {at}: {min} {truth} {max:?} {:?}",
                    scenario.name,
                    memory.0.view().map(|v| v.basis)
                );
            }
            out.head.add(truth, age.estimate.as_secs_f64());
            let flow = memory.0.view().unwrap_or_default();
            let left = newest.map_or(f64::INFINITY, |id| starts[id] - at);
            if let Some(drain) = flow.drain.filter(|_| left.is_finite() && left > 0.0) {
                let held = held.len() as f64 / flow.departures_per_second;
                out.drain.add(left, drain.as_secs_f64());
                out.expected.add(left, drain.as_secs_f64() + held);
            }
            seen.resize(seen.len().max(oldest + 1), f64::NAN);
            if seen[oldest].is_nan() {
                seen[oldest] = at;
            }
            let ready = out.left as f64;
            out.little.add(
                truth,
                if pace.0 > 0.0 {
                    ready * pace.1 / pace.0
                } else {
                    0.0
                },
            );
            out.depth.add(truth, ready * mean / processes as f64);
            out.first_seen.add(truth, at - seen[oldest]);
        } else {
            assert_eq!(latency, Latency::Empty, "{} at {at}", scenario.name);
        }
        at += interval;
    }
    out.view = memory.0.view().unwrap_or_default();
    out
}

fn poll(
    layout: &mut dyn Layout,
    (memory, ledger): &mut (FlowMemory, Ledger),
    lists: &mut Lists,
    queues: &[QueueRef],
    at: f64,
    buckets: &Arc<[f64]>,
    tally: Tally,
) -> Latency {
    let now = broker_time(at);
    layout.begin();
    let mut replies = Vec::new();
    for round in 0.. {
        let reads = layout.overview(round, replies, now);
        if reads.is_empty() {
            break;
        }
        replies = reads.iter().map(|read| lists.answer(read)).collect();
    }
    let mut probe = layout.probe(queues, now);
    let mut replies = Vec::new();
    let mut outcomes = loop {
        match probe.step(replies) {
            Step::Read(reads) => {
                replies = reads.iter().map(|read| lists.answer(read)).collect();
            }
            Step::Done(outcomes) => break outcomes,
        }
    };
    drop(probe);
    layout.told();
    let Some(Outcome::Observed(observation)) = outcomes.pop() else {
        panic!("readable");
    };
    let mut sample = observation.flow.unwrap();
    sample.span = Span { from: at, to: at };
    let claims: Vec<Claim> = memory.claims(0, &sample).collect();
    let settled = ledger.settle(tally, &claims);
    settled.hand_out(sample.lines.iter_mut());
    let settings = Settings {
        buckets,
        objective: None,
        starts: u64::MAX,
        witness: &Witness::default(),
    };
    memory.apply(&sample, Window { from: now, to: now }, &settings)
}
