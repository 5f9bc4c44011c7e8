//! The flow of queues of a made-up broker whose truth is known: two collectors with timers of their
//! own, and a depth that is older than both.

mod any_statistics;
mod uncounted;

use super::*;
use crate::layout::rabbitmq::Kind;
use crate::layout::rabbitmq::row::Stats;
use crate::model::flow::{DEFAULT_BUCKETS, FlowMemory, FlowView, Settings, Witness};
use crate::model::{Head, Latency};
use proptest::prelude::*;
use std::sync::Arc;

/// What our clock is behind the broker's.
const EPOCH: f64 = 1_795_000_000.0;

/// Times on the broker's clock, ascending.
#[derive(Debug, Default)]
struct Truth {
    published: Vec<f64>,
    /// First-in, first-out: the i-th delivery is of the i-th message.
    delivered: Vec<f64>,
    /// Gone from the head by the queue's own rules, which no counter tells.
    dropped: Vec<f64>,
    /// Which of the published are dead letters, which no counter tells either.
    dead: Vec<usize>,
    time_to_live: Option<Duration>,
}

impl Truth {
    /// A queue with one consumer; `arrivals` are seconds between messages, `work` those that each
    /// keeps the consumer busy.
    fn of(arrivals: &[f64], work: &[f64], start: f64) -> Self {
        let (mut truth, mut now, mut free) = (Self::default(), start, start);
        for (gap, work) in arrivals.iter().zip(work) {
            now += gap;
            free = free.max(now + 0.001);
            truth.published.push(now);
            truth.delivered.push(free);
            free += work;
        }
        truth
    }

    fn totals(&self, publish_at: f64, deliver_at: f64) -> Totals {
        let published = self.published.partition_point(|at| *at <= publish_at);
        let dead = self.dead.partition_point(|index| *index < published);
        Totals {
            publish: (published - dead) as u64,
            deliver_get: self.delivered.partition_point(|at| *at <= deliver_at) as u64,
            redeliver: 0,
        }
    }

    fn ready(&self, at: f64) -> u64 {
        let until = |times: &[f64]| times.partition_point(|time| *time <= at) as u64;
        until(&self.published) - until(&self.delivered) - self.dropped(at)
    }

    fn dropped(&self, at: f64) -> u64 {
        self.dropped.partition_point(|gone| *gone <= at) as u64
    }

    fn head_age(&self, at: f64) -> f64 {
        let head = self.delivered.partition_point(|done| *done <= at) as u64 + self.dropped(at);
        self.published
            .get(head as usize)
            .map_or(0.0, |sent| (at - sent).max(0.0))
    }
}

/// A timer that is set anew after each run of `takes` seconds.
#[derive(Debug, Clone, Copy)]
struct Timer {
    phase: f64,
    takes: f64,
}

impl Timer {
    /// The last run up to a time.
    fn last(self, at: f64) -> f64 {
        let period = 5.0 + self.takes;
        let origin = EPOCH - 1000.0 + self.phase;
        origin + ((at - origin) / period).floor() * period
    }

    fn label(at: f64, step: u32) -> i64 {
        let step = f64::from(step);
        ((at / step).ceil() * step) as i64
    }
}

#[derive(Debug, Clone, Copy)]
struct Broker {
    publish: Timer,
    deliver: Timer,
    depth: Timer,
    queue: Timer,
}

impl Broker {
    fn row(self, truth: &Truth, now: f64) -> QueueRow {
        let totals = truth.totals(self.publish.last(now), self.deliver.last(now));
        let mut row = QueueRow::named("q");
        row.kind = Kind::Classic;
        row.ready = Some(truth.ready(self.queue.last(self.depth.last(now))));
        row.unacknowledged = Some(0);
        row.consumers = Some(1);
        row.drops = !truth.dropped.is_empty();
        row.time_to_live = truth.time_to_live;
        row.stats = Some(Stats {
            publish: totals.publish,
            deliver_get: totals.deliver_get,
            ..Stats::default()
        });
        row
    }

    fn history(self, truth: &Truth, now: f64, age: u32, step: u32) -> Samples {
        let step = i64::from(step);
        let last = (now as i64).div_euclid(step) * step;
        let noted = |timer: Timer, label: i64| {
            let mut run = timer.last(label as f64);
            if Timer::label(run, step as u32) > label {
                run -= 5.0 + timer.takes;
            }
            run
        };
        let points = (0..=i64::from(age) / step).rev().map(|back| {
            let at = last - back * step;
            Point {
                at,
                totals: truth.totals(noted(self.publish, at), noted(self.deliver, at)),
            }
        });
        Samples {
            step: step as u32,
            points: points.collect(),
        }
    }
}

struct Seen {
    now: f64,
    span: crate::model::flow::Span,
    latency: Latency,
    view: FlowView,
}

/// Polls a broker every 5 s from `from` on.
fn watch(broker: Broker, truth: &Truth, from: f64, polls: usize, single: bool) -> Vec<Seen> {
    let mut flows = Flows::default();
    flows.set_single_node(single);
    let layout = crate::layout::rabbitmq::bind(&crate::layout::rabbitmq::tests::config());
    let (mut memory, buckets) = (FlowMemory::default(), Arc::from(DEFAULT_BUCKETS));
    let settings = Settings {
        buckets: &buckets,
        objective: None,
        starts: u64::MAX,
        witness: &Witness::default(),
    };
    let mut seen = Vec::new();
    for poll in 0..polls {
        // Of ours and the broker's clock, and of how long it takes to ask.
        let now = from + poll as f64 * 5.013;
        let ours = now - EPOCH + 77.0;
        let list = Asked {
            from: ours - 0.02,
            to: ours + 0.01,
        };
        let mut rows = BTreeMap::from([("q".to_owned(), broker.row(truth, now))]);
        let mut all = HashMap::new();
        for want in flows.wants(&rows, list.to) {
            let history = broker.history(truth, now + 0.02, want.age, want.step);
            let histories = HashMap::from([("q".to_owned(), history)]);
            let asked = Asked {
                from: ours + 0.01,
                to: ours + 0.03,
            };
            flows.learn(&histories, asked);
            all.extend(histories);
        }
        flows.follow(&mut rows, &all, list);
        let observation = layout.observe(&[&rows["q"]]);
        let Some(sample) = &observation.flow else {
            assert_eq!(observation.head, Head::Empty);
            continue;
        };
        let latency = observation.statistics.fold(
            &mut memory,
            sample,
            sample.span.on_brokers_clock(),
            observation.jobs.ready,
            &settings,
        );
        seen.push(Seen {
            now: now + 0.02,
            span: sample.span,
            latency,
            view: memory
                .view()
                .map_or_else(FlowView::default, |view| (*view).clone()),
        });
    }
    seen
}

/// Asserts that the truth is within the bounds and returns the errors of the estimates.
fn check(broker: Broker, truth: &Truth, seen: &[Seen]) -> Vec<f64> {
    let mut errors = Vec::new();
    for one in seen {
        let until = one.span.to.min(one.now);
        let noted = broker.deliver.last(until).max(one.span.from);
        // The latest sample may or may not have heard of the run that has just begun.
        let ages = [noted, broker.deliver.last(noted - 0.31).max(one.span.from)]
            .map(|at| truth.head_age(at));
        match one.latency {
            Latency::Known { age, .. } => {
                let (min, max) = (age.min.as_secs_f64(), age.max.map(|max| max.as_secs_f64()));
                let inside = ages
                    .iter()
                    .any(|age| min - 1e-6 <= *age && max.is_none_or(|max| *age <= max + 1e-6));
                assert!(
                    inside,
                    "{ages:?} is not in {min}..{max:?} of {:?}",
                    one.span
                );
                let now = truth.head_age(one.now);
                assert!(max.is_none_or(|max| now <= max + 1e-6), "{now} > {max:?}");
                errors.push((age.estimate.as_secs_f64() - ages[0]).abs());
            }
            // Nothing was left of all that had come until the last run.
            Latency::Empty => {
                let oldest = one.now - broker.publish.last(broker.publish.last(until) - 0.31);
                assert!(truth.head_age(one.now) <= oldest + 5.3, "{:?}", one.span);
            }
            Latency::Unknown(reason) => panic!("{reason:?}"),
        }
    }
    errors
}

fn timer() -> impl Strategy<Value = Timer> {
    (0.0..5.0f64, 0.001..0.2f64).prop_map(|(phase, takes)| Timer { phase, takes })
}

fn broker() -> impl Strategy<Value = Broker> {
    (timer(), timer(), timer(), timer()).prop_map(|(publish, deliver, depth, queue)| Broker {
        publish,
        deliver,
        depth,
        queue,
    })
}

/// Bursts, spells without anything, and consumers that are faster or slower than that.
fn truth() -> impl Strategy<Value = Truth> {
    let phase = (1usize..150, 0.01..3.0f64, 0.01..3.0f64, 0.0..40.0f64);
    (prop::collection::vec(phase, 1..6), any::<u64>()).prop_map(|(phases, seed)| {
        let mut random = seed | 1;
        let mut draw = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            -((random >> 11) as f64 / (1u64 << 53) as f64).max(1e-9).ln()
        };
        let (mut gaps, mut work) = (Vec::new(), Vec::new());
        for (count, gap, busy, pause) in phases {
            for i in 0..count {
                gaps.push(draw() * gap * 0.3 + if i == 0 { pause } else { 0.0 });
                work.push(draw() * busy * 0.3);
            }
        }
        Truth::of(&gaps, &work, EPOCH + 20.0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_truth_is_inside_the_bounds(broker in broker(), truth in truth(), single in any::<bool>()) {
        let seen = watch(broker, &truth, EPOCH + 3.0, 60, single);
        check(broker, &truth, &seen);
    }

    #[test]
    fn a_late_start_knows_the_past(broker in broker(), truth in truth(), late in 30.0..300.0f64) {
        let seen = watch(broker, &truth, EPOCH + late, 40, true);
        check(broker, &truth, &seen);
    }

    #[test]
    fn as_many_waits_as_deliveries(broker in broker(), truth in truth()) {
        let polls = 20 + (truth.delivered.last().unwrap_or(&EPOCH) - EPOCH) as usize / 5;
        let seen = watch(broker, &truth, EPOCH + 3.0, polls, true);
        if let Some(last) = seen.last() {
            let all = truth.delivered.len() as u64;
            prop_assert_eq!(last.view.totals.started, all);
            prop_assert_eq!(last.view.waits.as_ref().map(|waits| waits.count()), Some(all));
        }
    }
}

const STEADY: Broker = {
    const fn timer(phase: f64) -> Timer {
        Timer { phase, takes: 0.01 }
    }
    Broker {
        publish: timer(1.3),
        deliver: timer(4.1),
        depth: timer(2.0),
        queue: timer(0.4),
    }
};

/// Two arrivals a second and less than that taken, for six minutes.
fn growing() -> Truth {
    Truth::of(&[0.5; 720], &[0.6; 720], EPOCH)
}

#[test]
fn the_first_poll_of_a_late_start_knows_how_old_the_backlog_is() {
    let truth = growing();
    let seen = watch(STEADY, &truth, EPOCH + 300.0, 10, true);
    let errors = check(STEADY, &truth, &seen);
    let Latency::Known { age, .. } = seen[0].latency else {
        panic!("known")
    };
    assert!(
        age.max.unwrap() - age.min < Duration::from_secs(22),
        "{age:?}"
    );
    assert!(age.min > Duration::from_secs(35), "{age:?}");
    assert!(errors.iter().all(|error| *error < 4.0), "{errors:?}");
}
