//! Books of brokers of which the truth is known: what `flow.counts` promises.

use super::*;
use crate::model::Timestamp;
use crate::model::Window;
use crate::model::flow::{
    Arrivals, DEFAULT_BUCKETS, FlowMemory, FlowSample, LineHead, LineSample, Settings,
    Span as Read, Witness,
};

/// One queue of a broker, which is one list.
#[derive(Default)]
struct List {
    jobs: VecDeque<u64>,
    pushed: u64,
    started: u64,
    /// As of the last poll: the newest job, how many there were, and all that had been seen to come.
    newest: u64,
    ready: u64,
    seen: u64,
    memory: FlowMemory,
}

impl List {
    fn push(&mut self) {
        self.pushed += 1;
        self.jobs.push_back(self.pushed);
    }

    fn take(&mut self) -> bool {
        let is_any = self.jobs.pop_front().is_some();
        self.started += u64::from(is_any);
        is_any
    }

    fn sample(&mut self, at: f64) -> FlowSample {
        let turned_over = self.jobs.front().is_none_or(|first| *first > self.newest);
        self.seen += self.jobs.iter().filter(|id| **id > self.newest).count() as u64;
        let gone = if turned_over { self.ready } else { 0 };
        self.newest = self.jobs.back().copied().unwrap_or(self.newest);
        self.ready = self.jobs.len() as u64;
        let line = LineSample {
            line: 0,
            ready: self.ready,
            arrivals: Arrivals {
                turned_over,
                is_pushed: true,
                is_delivered: true,
                gone,
                ..Arrivals::counted(self.seen, 0)
            },
            started: None,
            head: LineHead::PLAIN,
        };
        FlowSample {
            span: Read { from: at, to: at },
            lines: vec![line],
        }
    }
}

/// The lists of one broker, polled at one instant each.
struct Broker {
    ledger: Ledger,
    lists: Vec<List>,
    pushes: u64,
    deliveries: u64,
    polls: u64,
}

impl Broker {
    fn new(lists: usize) -> Self {
        let mut broker = Self {
            ledger: Ledger::default(),
            lists: (0..lists).map(|_| List::default()).collect(),
            pushes: 1 << 60,
            deliveries: 0,
            polls: 0,
        };
        broker.poll(|_| true);
        broker
    }

    /// `count` jobs come; each of them is taken at once, or waits.
    fn send(&mut self, list: usize, count: u64, is_taken: bool) {
        let list = &mut self.lists[list];
        for _ in 0..count {
            list.push();
            self.pushes += 1;
            if is_taken {
                self.deliveries += u64::from(list.take());
            }
        }
    }

    fn take(&mut self, list: usize, count: u64) {
        for _ in 0..count {
            self.deliveries += u64::from(self.lists[list].take());
        }
    }

    /// Reads those lists.
    fn poll(&mut self, is_read: impl Fn(usize) -> bool) {
        self.polls += 1;
        let at = self.polls as f64;
        let instant = Timestamp::from_micros((at * 1e6) as i64);
        let all = self.lists.iter_mut().enumerate();
        let (kept, mut read): (Vec<_>, Vec<_>) = all.partition(|(index, _)| !is_read(*index));
        let mut samples: Vec<FlowSample> = read.iter_mut().map(|(_, l)| l.sample(at)).collect();
        let claims = read.iter().zip(&samples);
        let claims = claims.flat_map(|((index, list), sample)| list.memory.claims(*index, sample));
        let tally = Tally {
            takes: Some(self.deliveries),
            deliveries: Some(self.deliveries),
            takes_after: Some(self.deliveries),
            deliveries_after: Some(self.deliveries),
            is_partial: !kept.is_empty(),
            is_alone: true,
            ..pushes(self.pushes)
        };
        let settled = self.ledger.settle(tally, &claims.collect::<Vec<_>>());
        settled.hand_out(samples.iter_mut().flat_map(|sample| &mut sample.lines));
        for ((_, list), sample) in read.iter_mut().zip(&samples) {
            let settings = Settings {
                buckets: &DEFAULT_BUCKETS.into(),
                objective: None,
                starts: u64::MAX,
                witness: &Witness::default(),
            };
            let window = Window {
                from: instant,
                to: instant,
            };
            list.memory.apply(sample, window, &settings);
        }
    }

    fn totals(&self, list: usize) -> crate::model::flow::FlowTotals {
        self.lists[list].memory.view().unwrap().totals
    }
}

#[test]
fn a_queue_that_is_never_used_and_one_that_nobody_takes_from_get_nothing() {
    let mut broker = Broker::new(3);
    for poll in 0..200 {
        // Now and then one of the busy queue's jobs is found waiting.
        broker.send(0, 30, true);
        broker.send(0, u64::from(poll % 10 == 0), false);
        broker.send(1, u64::from(poll % 40 == 0) * 50, false);
        broker.poll(|_| true);
        broker.take(0, 1);
        if poll % 40 == 30 {
            // A purge.
            broker.lists[1].jobs.clear();
        }
    }
    broker.poll(|_| true);
    let (busy, idle) = (broker.totals(0), broker.totals(2));
    assert!(busy.enqueued > 200 * 29, "{busy:?}");
    assert_eq!((idle.enqueued, idle.started), (0, 0));
    let stuck = broker.totals(1);
    assert_eq!(
        (stuck.enqueued, stuck.started, stuck.removed),
        (250, 0, 250)
    );
    assert_eq!(busy.removed, 0);
}

#[test]
fn a_queue_whose_jobs_wait_keeps_its_own_and_is_late_as_often_as_it_was() {
    let mut broker = Broker::new(2);
    for poll in 0..120 {
        broker.send(0, 40, true);
        broker.send(0, u64::from(poll % 7 == 0), false);
        // One at a time, and each is taken only at the third poll.
        broker.send(1, u64::from(poll % 6 == 0), false);
        broker.poll(|_| true);
        broker.take(0, 1);
        if poll % 6 == 3 {
            broker.take(1, 1);
        }
    }
    broker.poll(|_| true);
    let slow = broker.totals(1);
    assert_eq!((slow.enqueued, slow.started), (20, 20));
    let busy = broker.totals(0);
    assert!(busy.enqueued > 110 * 40, "{busy:?}");
}

#[test]
fn two_busy_queues_share_by_how_often_they_are_caught() {
    let mut broker = Broker::new(2);
    for poll in 0..400 {
        broker.send(0, 60, true);
        broker.send(1, 20, true);
        broker.send(0, u64::from(poll % 4 == 0), false);
        broker.send(1, u64::from(poll % 12 == 0), false);
        broker.poll(|_| true);
        broker.take(0, 1);
        broker.take(1, 1);
    }
    let [one, other] = [0, 1].map(|list| broker.totals(list).enqueued as f64);
    assert!((2.0..4.5).contains(&(one / other)), "{one} {other}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    /// Nothing is missing where counts are `exact`, none is too many where they are a lower bound, nor
    /// in sum as long as everything is read and counted.
    #[test]
    fn counts_are_what_they_are_called(
        is_reset in any::<bool>(),
        polls in prop::collection::vec(
            (
                prop::collection::vec((0usize..3, 0u64..9, 0u8..4), 0..8),
                0u8..20,
                prop::option::weighted(0.1, 0usize..3),
            ),
            1..60,
        ),
    ) {
        let mut broker = Broker::new(3);
        let mut is_whole = true;
        for (events, reset, kept) in polls {
            // Either begins its counts anew, or not all lists are read.
            let kept = kept.filter(|_| !is_reset);
            let reset = if is_reset { reset } else { 1 };
            is_whole &= reset > 0 && kept.is_none();
            for (list, count, what) in events {
                match what {
                    0 => broker.send(list, count, false),
                    1 => broker.take(list, count),
                    _ => broker.send(list, count, true),
                }
            }
            if reset == 0 {
                // Begun anew, and not yet where it was.
                broker.pushes -= 1000;
            }
            broker.poll(|list| Some(list) != kept);
            let mut sum = 0;
            for (index, list) in broker.lists.iter().enumerate() {
                if kept == Some(index) {
                    continue;
                }
                let totals = broker.totals(index);
                sum += totals.enqueued;
                let truth = (list.pushed, list.started);
                let told = (totals.enqueued, totals.started);
                match totals.counts {
                    Counts::Exact => prop_assert_eq!(told, truth, "{}", index),
                    Counts::LowerBound => {
                        prop_assert!(told.0 <= truth.0 && told.1 <= truth.1, "{:?} {:?}", told, truth);
                    }
                    _ => {}
                }
                prop_assert_eq!(totals.enqueued, totals.started + totals.removed + list.ready);
            }
            let pushed = broker.lists.iter().map(|list| list.pushed).sum();
            prop_assert!(!is_whole || sum <= pushed);
        }
    }

    #[test]
    fn doubts_add_up_in_any_order(all in prop::collection::vec(0usize..Counts::ALL.len(), 0..6)) {
        let all: Vec<Counts> = all.into_iter().map(|each| Counts::ALL[each]).collect();
        let sum = |all: &[Counts]| all.iter().fold(Counts::Exact, |sum, each| sum.and(*each));
        let mut reversed = all.clone();
        reversed.reverse();
        prop_assert_eq!(sum(&all), sum(&reversed));
        let has = |wanted| all.contains(&wanted);
        // A lower bound is one only if nothing was ever guessed, and stays what it is.
        let is_lower_bound = all.iter().all(|each| [Counts::Exact, Counts::LowerBound].contains(each));
        prop_assert_eq!(sum(&all) == Counts::LowerBound, is_lower_bound && has(Counts::LowerBound));
        for each in all {
            prop_assert_eq!(sum(&[sum(&reversed), each]), sum(&reversed));
        }
    }
}
