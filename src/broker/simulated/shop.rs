//! The simulation: jobs come, wait in the order of their arrival, and are worked on. Pure; time is seconds
//! since its beginning.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a queue is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) workers: usize,
    /// Jobs that come one by one, a second.
    pub(super) rate: f64,
    pub(super) campaign: Option<Campaign>,
    /// How long a job runs, on average.
    pub(super) run: f64,
    /// The share of jobs that fail for good.
    pub(super) failures: f64,
    /// For so many seconds of so many the workers take nothing.
    pub(super) hang: Option<(f64, f64)>,
}

/// So many jobs come at once, first at some time and then every so many seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Campaign {
    pub(super) jobs: u64,
    pub(super) first: f64,
    pub(super) every: f64,
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
struct Random {
    seed: u64,
    drawn: u64,
}

/// One queue at some time.
#[derive(Debug)]
pub(super) struct Queue {
    kind: Kind,
    random: Random,
    now: f64,
    next_arrival: f64,
    next_campaign: f64,
    /// When workers that hang go on.
    next_resume: f64,
    /// When each job came that waits, the oldest first.
    pub(super) waiting: VecDeque<f64>,
    pub(super) running: Vec<Running>,
    pub(super) totals: Totals,
    /// Waits of jobs that have started, and run times of those that have ended, since they were taken.
    waits: Vec<f64>,
    runs: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) since: f64,
    until: f64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) enqueued: u64,
    pub(super) started: u64,
    pub(super) finished: u64,
    pub(super) failed: u64,
}

impl Random {
    /// In [0, 1).
    fn share(&mut self) -> f64 {
        self.drawn += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, self.drawn).hash(&mut hasher);
        (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponential with this mean.
    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }
}

impl Queue {
    pub(super) fn new(kind: Kind, seed: u64) -> Self {
        let mut random = Random { seed, drawn: 0 };
        Self {
            next_arrival: random.exponential(1.0 / kind.rate),
            next_campaign: kind
                .campaign
                .map_or(f64::INFINITY, |campaign| campaign.first),
            next_resume: kind.hang.map_or(f64::INFINITY, |(secs, _)| secs),
            kind,
            random,
            now: 0.0,
            waiting: VecDeque::new(),
            running: Vec::new(),
            totals: Totals::default(),
            waits: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// What has been noted of single jobs since it was taken last.
    pub(super) fn take_times(&mut self) -> (Vec<f64>, Vec<f64>) {
        (
            std::mem::take(&mut self.waits),
            std::mem::take(&mut self.runs),
        )
    }

    /// Lets everything happen until then.
    pub(super) fn advance(&mut self, to: f64) {
        loop {
            let ends = self.running.iter().map(|job| job.until);
            let next = ends.fold(self.next_arrival.min(self.next_campaign), f64::min);
            let next = next.min(self.next_resume);
            if next > to {
                break;
            }
            self.now = next;
            self.end();
            self.arrive();
            self.start();
        }
        self.now = to;
    }

    fn end(&mut self) {
        let now = self.now;
        for job in self.running.extract_if(.., |job| job.until <= now) {
            self.runs.push(job.until - job.since);
            match self.random.share() < self.kind.failures {
                true => self.totals.failed += 1,
                false => self.totals.finished += 1,
            }
        }
    }

    fn arrive(&mut self) {
        let mut count = 0;
        if self.next_arrival <= self.now {
            count += 1;
            self.next_arrival = self.now + self.random.exponential(1.0 / self.kind.rate);
        }
        if let Some(campaign) = self.kind.campaign
            && self.next_campaign <= self.now
        {
            count += campaign.jobs;
            self.next_campaign += campaign.every;
        }
        self.totals.enqueued += count;
        self.waiting.extend((0..count).map(|_| self.now));
    }

    fn start(&mut self) {
        if let Some((_, every)) = self.kind.hang
            && self.next_resume <= self.now
        {
            self.next_resume += every;
        }
        while self.running.len() < self.kind.workers
            && !self.hangs()
            && let Some(came) = self.waiting.pop_front()
        {
            self.totals.started += 1;
            self.waits.push(self.now - came);
            self.running.push(Running {
                since: self.now,
                until: self.now + self.random.exponential(self.kind.run),
            });
        }
    }

    fn hangs(&self) -> bool {
        let hang = self.kind.hang;
        hang.is_some_and(|(secs, every)| self.now.rem_euclid(every) < secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        workers: 2,
        rate: 3.0,
        campaign: Some(Campaign {
            jobs: 50,
            first: 10.0,
            every: 30.0,
        }),
        run: 0.3,
        failures: 0.1,
        hang: Some((20.0, 60.0)),
    };

    #[test]
    fn no_job_is_lost_and_none_is_done_twice() {
        let mut queue = Queue::new(KIND, 1);
        for second in 1..=600 {
            queue.advance(f64::from(second));
            let (totals, waiting) = (queue.totals, queue.waiting.len() as u64);
            assert_eq!(totals.enqueued, totals.started + waiting);
            let ended = totals.finished + totals.failed;
            assert_eq!(totals.started, ended + queue.running.len() as u64);
            assert_eq!(queue.waits.len() as u64, totals.started);
            assert_eq!(queue.runs.len() as u64, ended);
            assert!(queue.running.len() <= KIND.workers);
            assert!(queue.waiting.iter().is_sorted());
        }
        let Totals {
            enqueued, failed, ..
        } = queue.totals;
        // 3 a second and 20 campaigns.
        assert!((2500..3100).contains(&enqueued), "{enqueued}");
        assert!((150..450).contains(&failed), "{failed}");
    }

    #[test]
    fn workers_that_hang_take_nothing_and_then_go_on() {
        let mut queue = Queue::new(KIND, 2);
        queue.advance(59.9);
        let before = queue.totals.started;
        queue.advance(60.1);
        let at = queue.totals.started;
        queue.advance(79.9);
        assert_eq!(queue.totals.started, at);
        queue.advance(80.5);
        assert!(before > 0 && queue.totals.started > at);
    }

    #[test]
    fn it_does_not_matter_how_often_it_is_looked_at() {
        let mut often = Queue::new(KIND, 3);
        (1..=1000).for_each(|tenth| often.advance(f64::from(tenth) / 10.0));
        let mut once = Queue::new(KIND, 3);
        once.advance(100.0);
        assert_eq!(often.waits, once.waits);
        assert_eq!(often.waiting, once.waiting);
    }
}
