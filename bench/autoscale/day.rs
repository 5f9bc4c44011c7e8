//! A day of one queue in a simulation, second by second: λ goes from 5 to 95 jobs a second and back,
//! and once an hour 3,000 come together. `required_workers` is computed by the crate's own model from
//! what a poll shows.
//!
//! Within a second jobs are not told apart: as many start as arrive or wait and as the running pods can
//! do, of which the number is random as with exponential run times. So waits under a second are not
//! resolved; a test compares the mean with Erlang's formula.

use super::competitors::{Competitor, Scaler, Signal};
use super::random::Random;
use std::collections::VecDeque;
use std::time::Duration;
use tailback::clock;
use tailback::model::{DemandMemory, Objective, QueueSnapshot, System};

pub const SECS: usize = 86_400;
pub const JOB_SECS: f64 = 0.15;
/// A job that starts later than this is late; the target of the autoscalers as well.
pub const LATE_SECS: f64 = 30.0;
pub const MAX_PODS: u32 = 50;
const SYNC_SECS: usize = 15;
const START_SECS: usize = 20;
const POLL_SECS: usize = 5;

/// What one competitor made of one day.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub mean_wait: f64,
    pub max_wait: f64,
    pub late_share: f64,
    /// Pods' time over the time that the jobs took.
    pub cost: f64,
    /// How often the number of pods went the other way than the time before.
    pub reversals: f64,
}

/// Jobs that arrive in each second of a day.
pub fn arrivals(seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed);
    let burst = (random.share() * 3600.0) as usize;
    let mut each = |second: usize| {
        let phase = second as f64 / SECS as f64 * std::f64::consts::TAU;
        let steady = poisson(&mut random, 50.0 - 45.0 * phase.cos());
        steady + if second % 3600 == burst { 3000 } else { 0 }
    };
    (0..SECS).map(&mut each).collect()
}

pub fn run(competitor: &Competitor, arrivals: &[u32], seed: u64) -> Outcome {
    let mut queue = Queue::new(seed);
    let mut fleet = Fleet::new(competitor.scaler(1, MAX_PODS), competitor.pods);
    let mut watcher = Watcher::new();
    for (second, arrived) in arrivals.iter().enumerate() {
        queue.pass(second, *arrived, fleet.running(second));
        fleet.pod_secs += fleet.starts.len() as f64;
        if competitor.signal == Signal::RequiredWorkers && second % POLL_SECS == 0 {
            watcher.poll(&queue);
        }
        if second % SYNC_SECS == 0 {
            let metric = match competitor.signal {
                Signal::Nothing => None,
                Signal::Latency => Some(queue.oldest(second)),
                Signal::Ready => Some(queue.ready as f64),
                Signal::RequiredWorkers => watcher.required(),
            };
            fleet.sync(second, metric);
        }
    }
    let jobs = queue.started.max(1) as f64;
    Outcome {
        mean_wait: queue.wait_sum / jobs,
        max_wait: queue.max_wait,
        late_share: queue.late as f64 / jobs,
        cost: fleet.pod_secs / (queue.arrived as f64 * JOB_SECS),
        reversals: f64::from(fleet.reversals),
    }
}

/// What waits, oldest first, and what became of what did.
struct Queue {
    random: Random,
    /// Second of arrival, and jobs.
    waiting: VecDeque<(usize, u64)>,
    ready: u64,
    arrived: u64,
    started: u64,
    late: u64,
    wait_sum: f64,
    max_wait: f64,
}

impl Queue {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(!seed),
            waiting: VecDeque::new(),
            ready: 0,
            arrived: 0,
            started: 0,
            late: 0,
            wait_sum: 0.0,
            max_wait: 0.0,
        }
    }

    /// One second with so many pods.
    fn pass(&mut self, second: usize, arrived: u32, pods: u32) {
        if arrived > 0 {
            self.waiting.push_back((second, u64::from(arrived)));
        }
        self.arrived += u64::from(arrived);
        self.ready += u64::from(arrived);
        let able = u64::from(poisson(&mut self.random, f64::from(pods) / JOB_SECS));
        let mut left = able.min(self.ready);
        self.ready -= left;
        self.started += left;
        while let Some((since, jobs)) = self.waiting.front_mut() {
            let taken = left.min(*jobs);
            let wait = (second - *since) as f64;
            self.wait_sum += wait * taken as f64;
            if taken > 0 {
                self.max_wait = self.max_wait.max(wait);
            }
            if wait > LATE_SECS {
                self.late += taken;
            }
            (*jobs, left) = (*jobs - taken, left - taken);
            if *jobs > 0 {
                break;
            }
            self.waiting.pop_front();
        }
    }

    fn oldest(&self, second: usize) -> f64 {
        let oldest = self.waiting.front();
        oldest.map_or(0.0, |(since, _)| (second - since) as f64)
    }
}

/// The pods and who orders them.
struct Fleet {
    scaler: Scaler,
    /// When each runs, ascending; the last are taken away first, as Kubernetes does.
    starts: Vec<usize>,
    pod_secs: f64,
    reversals: u32,
    went_up: Option<bool>,
}

impl Fleet {
    fn new(scaler: Scaler, pods: u32) -> Self {
        Self {
            scaler,
            starts: vec![0; pods as usize],
            pod_secs: 0.0,
            reversals: 0,
            went_up: None,
        }
    }

    fn running(&self, second: usize) -> u32 {
        self.starts.partition_point(|start| *start <= second) as u32
    }

    fn sync(&mut self, second: usize, metric: Option<f64>) {
        let (current, ready) = (self.starts.len(), self.running(second));
        let wanted = self
            .scaler
            .sync(second as f64, current as u32, ready, metric) as usize;
        if wanted != current {
            let is_up = wanted > current;
            self.reversals += u32::from(self.went_up.replace(is_up) == Some(!is_up));
        }
        self.starts.resize(wanted, second + START_SECS);
    }
}

/// tailback's model, shown the queue at each poll.
struct Watcher {
    memory: DemandMemory,
    seen: QueueSnapshot,
}

impl Watcher {
    fn new() -> Self {
        let objective = Objective {
            wait: Duration::from_secs_f64(LATE_SECS),
            ratio: Objective::DEFAULT_RATIO,
            utilization: Objective::DEFAULT_UTILIZATION,
            slots_per_worker: 1,
            service_time: Some(Duration::from_secs_f64(JOB_SECS)),
        };
        let interval = Duration::from_secs(POLL_SECS as u64);
        let mut seen = QueueSnapshot::new(System::Celery, "day".into(), clock::now(), interval);
        seen.objective = Some(objective);
        Self {
            memory: DemandMemory::default(),
            seen,
        }
    }

    fn poll(&mut self, queue: &Queue) {
        self.seen.observed.mono += self.seen.interval;
        self.seen.jobs.ready = Some(queue.ready);
        self.seen.counters.enqueued = Some(queue.arrived);
        self.seen.counters.started = Some(queue.started);
        self.seen.demand = self.memory.fold(&self.seen);
    }

    /// No number in the first minute: then nothing is scaled.
    fn required(&self) -> Option<f64> {
        self.seen.required_slots(None).ok()
    }
}

/// How many events where this many are expected.
fn poisson(random: &mut Random, mean: f64) -> u32 {
    if mean > 30.0 {
        // Two uniform numbers to a normal one, by Box and Muller.
        let radius = random.exponential(2.0).sqrt();
        let normal = radius * (random.share() * std::f64::consts::TAU).cos();
        return (mean + normal * mean.sqrt()).round().max(0.0) as u32;
    }
    let (mut left, mut count) = (mean, 0);
    loop {
        left -= random.exponential(1.0);
        if left < 0.0 {
            return count;
        }
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_mean_and_the_spread_of_poisson() {
        let mut random = Random::new(1);
        for mean in [0.5, 7.0, 29.0, 31.0, 300.0] {
            let each: Vec<f64> = (0..20_000)
                .map(|_| f64::from(poisson(&mut random, mean)))
                .collect();
            let found = each.iter().sum::<f64>() / each.len() as f64;
            let square = |number: &f64| (number - found).powi(2);
            let spread = each.iter().map(square).sum::<f64>() / each.len() as f64;
            assert!((found / mean - 1.0).abs() < 0.03, "{found} for {mean}");
            assert!((spread / mean - 1.0).abs() < 0.05, "{spread} for {mean}");
        }
    }

    /// M/M/4 that is 98 % busy: 3.4 wait in the mean of two seconds.
    #[test]
    fn waits_are_those_of_erlang() {
        let (pods, rate): (u32, f64) = (4, 0.98 * 4.0 / JOB_SECS);
        let load = rate * JOB_SECS;
        let term = |n: u32| (1..=n).fold(1.0, |term, k| term * load / f64::from(k));
        let full = term(pods) / (1.0 - load / f64::from(pods));
        let waits = full / ((0..pods).map(term).sum::<f64>() + full);
        let erlang = waits / (f64::from(pods) / JOB_SECS - rate);
        let mut queue = Queue::new(7);
        let mut random = Random::new(8);
        for second in 0..2_000_000 {
            let arrived = poisson(&mut random, rate);
            queue.pass(second, arrived, pods);
        }
        let mean = queue.wait_sum / queue.started as f64;
        assert!((mean / erlang - 1.0).abs() < 0.15, "{mean}, {erlang}");
    }
}
