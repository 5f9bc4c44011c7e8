//! Queues with workers of which everything is known: when each message came, was taken, came back.

use super::random::Random;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What happens to a queue, in time.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub at: f64,
    pub what: What,
    pub message: usize,
    pub level: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Arrives,
    IsTaken,
    /// Begins to run, which is not seen from outside.
    Starts,
    IsPutBack,
    /// All that wait are removed.
    Purge,
}

/// A worker with its processes.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    pub processes: usize,
    /// Messages that it holds beyond those that run.
    pub prefetch: usize,
}

/// A worker dies, its messages come back after a while, and later it is there again.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    pub at: f64,
    pub node: usize,
    pub back_after: f64,
    pub up_after: f64,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// Time and level, sorted.
    pub arrivals: Vec<(f64, usize)>,
    pub nodes: Vec<Node>,
    pub service: fn(&mut Random) -> f64,
    pub secs: f64,
    pub crashes: Vec<Crash>,
    pub purges: Vec<f64>,
    pub levels: usize,
    /// Messages carry the time of their sending.
    pub stamped: bool,
    /// Nobody works before.
    pub idle_until: f64,
    /// Every fifth message is due only so long after its sending; a worker that has taken it holds
    /// it until then, beside its prefetch.
    pub countdown: f64,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    held: VecDeque<usize>,
    running: Vec<usize>,
    prefetch: usize,
    is_up: bool,
    life: u32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Purge,
    Crash(usize),
    Back(Vec<usize>),
    Up(usize),
    Later {
        node: usize,
        message: usize,
    },
    End {
        node: usize,
        message: usize,
        life: u32,
    },
}

/// Plays the scenario.
pub fn play(scenario: &Scenario, random: &mut Random) -> Vec<Event> {
    let mut events = Vec::new();
    let mut waiting: Vec<VecDeque<usize>> = vec![VecDeque::new(); scenario.levels];
    let mut nodes: Vec<State> = scenario
        .nodes
        .iter()
        .map(|node| State {
            free: node.processes,
            prefetch: node.prefetch,
            is_up: scenario.idle_until == 0.0,
            ..State::default()
        })
        .collect();
    let mut due: BinaryHeap<Reverse<(u64, usize, Due)>> = BinaryHeap::new();
    let mut order = 0;
    let mut plan = |due: &mut BinaryHeap<_>, at: f64, what: Due| {
        order += 1;
        // Nanoseconds, so that times can be put in order.
        due.push(Reverse(((at * 1e9) as u64, order, what)));
    };
    for (index, crash) in scenario.crashes.iter().enumerate() {
        plan(&mut due, crash.at, Due::Crash(index));
    }
    if scenario.idle_until > 0.0 {
        for node in 0..nodes.len() {
            plan(&mut due, scenario.idle_until, Due::Up(node));
        }
    }
    for at in &scenario.purges {
        plan(&mut due, *at, Due::Purge);
    }
    let mut next = 0;
    loop {
        let arrival = scenario.arrivals.get(next).copied();
        let planned = due.peek().map(|Reverse((at, ..))| *at as f64 / 1e9);
        let at = match (arrival, planned) {
            (Some((a, _)), Some(b)) => a.min(b),
            (Some((a, _)), None) => a,
            (None, Some(b)) => b,
            (None, None) => break,
        };
        if at > scenario.secs {
            break;
        }
        let mut note = |what, message, level| {
            events.push(Event {
                at,
                what,
                message,
                level,
            })
        };
        match arrival {
            Some((a, level)) if a <= at => {
                waiting[level].push_back(next);
                note(What::Arrives, next, level);
                next += 1;
            }
            _ => match due.pop().map(|Reverse((_, _, what))| what) {
                None => {}
                Some(Due::End {
                    node: index,
                    message,
                    life,
                }) => {
                    let node = &mut nodes[index];
                    if life == node.life {
                        node.running.retain(|running| *running != message);
                        node.free += 1;
                        if let Some(held) = node.held.pop_front() {
                            begin(node, index, held, at, scenario, random, &mut due, &mut plan);
                            note(What::Starts, held, 0);
                        }
                    }
                }
                Some(Due::Later {
                    node: index,
                    message,
                }) => {
                    let node = &mut nodes[index];
                    if node.free > 0 {
                        begin(
                            node, index, message, at, scenario, random, &mut due, &mut plan,
                        );
                        note(What::Starts, message, 0);
                    } else {
                        node.held.push_back(message);
                    }
                }
                Some(Due::Crash(index)) => {
                    let crash = scenario.crashes[index];
                    let node = &mut nodes[crash.node];
                    let mut lost: Vec<usize> = node.running.drain(..).collect();
                    lost.extend(node.held.drain(..));
                    lost.sort_unstable();
                    (node.free, node.is_up) = (0, false);
                    node.life += 1;
                    plan(&mut due, at + crash.back_after, Due::Back(lost));
                    plan(&mut due, at + crash.up_after, Due::Up(crash.node));
                }
                Some(Due::Back(lost)) => {
                    for message in lost.into_iter().rev() {
                        let level = scenario.arrivals[message].1;
                        waiting[level].push_front(message);
                        note(What::IsPutBack, message, level);
                    }
                }
                Some(Due::Up(index)) => {
                    nodes[index].is_up = true;
                    nodes[index].free = scenario.nodes[index].processes;
                }
                Some(Due::Purge) => {
                    for (level, list) in waiting.iter_mut().enumerate() {
                        list.clear();
                        note(What::Purge, 0, level);
                    }
                }
            },
        }
        for (level, list) in waiting.iter_mut().enumerate() {
            while !list.is_empty() {
                let wants =
                    |node: &State| node.is_up && (node.free > 0 || node.held.len() < node.prefetch);
                let able: Vec<usize> = (0..nodes.len()).filter(|i| wants(&nodes[*i])).collect();
                let Some(index) = random.pick(&able) else {
                    break;
                };
                let message = list.pop_front().unwrap();
                events.push(Event {
                    at,
                    what: What::IsTaken,
                    message,
                    level,
                });
                let node = &mut nodes[index];
                let begins = scenario.arrivals[message].0 + scenario.countdown;
                if message % 5 == 0 && begins > at {
                    let later = Due::Later {
                        node: index,
                        message,
                    };
                    plan(&mut due, begins, later);
                } else if node.free > 0 {
                    begin(
                        node, index, message, at, scenario, random, &mut due, &mut plan,
                    );
                    events.push(Event {
                        at,
                        what: What::Starts,
                        message,
                        level,
                    });
                } else {
                    node.held.push_back(message);
                }
            }
        }
    }
    events
}

#[expect(clippy::too_many_arguments, reason = "one step of the loop above")]
fn begin(
    node: &mut State,
    index: usize,
    message: usize,
    at: f64,
    scenario: &Scenario,
    random: &mut Random,
    due: &mut BinaryHeap<Reverse<(u64, usize, Due)>>,
    plan: &mut impl FnMut(&mut BinaryHeap<Reverse<(u64, usize, Due)>>, f64, Due),
) {
    node.free -= 1;
    node.running.push(message);
    let life = node.life;
    let end = at + (scenario.service)(random);
    plan(
        due,
        end,
        Due::End {
            node: index,
            message,
            life,
        },
    );
}
