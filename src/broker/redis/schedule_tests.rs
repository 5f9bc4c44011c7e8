//! The schedule against its promises, on a clock of ticks.

use super::*;
use crate::clock;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MICROS: fn(u64) -> Duration = Duration::from_micros;

/// Queues that are polled as their schedule says.
struct World {
    schedule: Schedule,
    queues: Vec<Candidate>,
    now: Instant,
    overhead: Duration,
}

/// What one poll did.
struct Tick {
    plan: Plan,
    at: Instant,
    before: Vec<Pace>,
    cost: Duration,
}

impl World {
    fn new(ratio: f64, base: Duration, prices: impl IntoIterator<Item = Duration>) -> Self {
        let queue = |price| Candidate {
            pace: Pace::UNREAD,
            price,
        };
        Self {
            schedule: Schedule::new(ratio, base),
            queues: prices.into_iter().map(queue).collect(),
            now: clock::now().mono,
            overhead: Duration::ZERO,
        }
    }

    /// One poll at which the queues of `has_jobs` have some.
    fn tick(&mut self, has_jobs: impl Fn(usize) -> bool) -> Tick {
        let plan = self.schedule.plan(&self.queues, self.overhead, self.now);
        let before = self.queues.iter().map(|queue| queue.pace).collect();
        let mut cost = self.overhead;
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if plan.due[index] {
                cost += queue.price;
                queue.pace.note(self.now, has_jobs(index), 0);
            }
        }
        let at = self.now;
        self.now += plan.interval;
        Tick {
            plan,
            at,
            before,
            cost,
        }
    }

    fn read(tick: &Tick) -> usize {
        tick.plan.due.iter().filter(|due| **due).count()
    }
}

#[test]
fn what_fits_the_budget_is_all_read_at_every_poll() {
    let mut world = World::new(0.02, SECOND, vec![MICROS(2); 9_000]);
    for _ in 0..20 {
        let tick = world.tick(|index| index % 100 == 0);
        assert_eq!((World::read(&tick), tick.plan.interval), (9_000, SECOND));
        assert_eq!(tick.plan.quiet_interval, SECOND);
    }
}

#[test]
fn quiet_queues_are_read_in_even_parts_and_busy_ones_always() {
    // 50 ms of quiet queues and 5 ms of busy ones in a budget of 20 ms.
    let prices = vec![MICROS(5); 11_000];
    let mut world = World::new(0.02, SECOND, prices);
    let is_busy = |index| index < 1_000;
    for _ in 0..10 {
        world.tick(is_busy);
    }
    for _ in 0..20 {
        let tick = world.tick(is_busy);
        assert!(tick.plan.due[..1_000].iter().all(|due| *due));
        assert_eq!(tick.plan.interval, SECOND);
        assert_eq!(tick.plan.quiet_interval, 4 * SECOND);
        assert_eq!(World::read(&tick), 1_000 + 2_500);
        assert!(tick.cost <= MICROS(20_000), "{:?}", tick.cost);
    }
}

#[test]
fn a_queue_that_gets_a_job_is_read_at_every_poll_until_it_is_still_again() {
    let mut world = World::new(0.001, SECOND, vec![MICROS(5); 1_000]);
    for _ in 0..20 {
        world.tick(|_| false);
    }
    let met = (0..9).position(|_| world.tick(|index| index == 7).plan.due[7]);
    assert!(met.is_some());
    for _ in 0..5 {
        assert!(world.tick(|_| false).plan.due[7]);
    }
    let again = (0..5).filter(|_| world.tick(|_| false).plan.due[7]).count();
    assert!(again <= 1);
}

#[test]
fn a_load_that_sways_at_the_border_does_not_make_intervals_flap() {
    // Ten thousand quiet Celery queues cost what the budget allows.
    let mut world = World::new(0.02, SECOND, vec![MICROS(2); 10_000]);
    let mut told = Vec::new();
    for round in 0..300 {
        let sway = [1.0, 1.04, 0.97, 1.02, 0.93][round % 5];
        for queue in &mut world.queues {
            queue.price = MICROS(2).mul_f64(sway);
        }
        let plan = world.tick(|_| false).plan;
        told.push((plan.interval, plan.quiet_interval));
    }
    told.dedup();
    assert_eq!(told, [(SECOND, SECOND), (SECOND, 2 * SECOND)]);
    for queue in &mut world.queues {
        queue.price = MICROS(1);
    }
    assert_eq!(world.tick(|_| false).plan.quiet_interval, SECOND);
}

#[test]
fn polls_move_apart_where_the_active_alone_cost_too_much_and_come_back() {
    let mut world = World::new(0.02, SECOND, vec![MICROS(30); 2_000]);
    for _ in 0..10 {
        world.tick(|_| true);
    }
    let tick = world.tick(|_| true);
    assert!(tick.plan.due.iter().all(|due| *due));
    let interval = tick.plan.interval.as_secs_f64();
    assert!((3.0..3.4).contains(&interval), "{interval}");
    for _ in 0..10 {
        world.tick(|_| false);
    }
    let plan = world.tick(|_| false).plan;
    assert_eq!((plan.interval, plan.quiet_interval), (SECOND, 4 * SECOND));
}

#[test]
fn far_too_many_are_read_all_together_at_long_intervals() {
    let mut world = World::new(0.02, SECOND, vec![MICROS(5); 100_000]);
    for _ in 0..10 {
        world.tick(|_| false);
    }
    let tick = world.tick(|_| false);
    // Half a second of work.
    assert_eq!(World::read(&tick), 100_000);
    assert_eq!(tick.plan.interval, 25 * SECOND);
}

#[test]
fn an_interval_that_is_long_already_is_not_stretched_for_single_queues() {
    let mut world = World::new(0.02, 60 * SECOND, vec![MICROS(100); 13_000]);
    // What is new is not yet a load.
    assert_eq!(world.tick(|_| false).plan.interval, 60 * SECOND);
    for _ in 0..10 {
        let tick = world.tick(|_| false);
        assert_eq!(World::read(&tick), 13_000);
        assert_eq!(tick.plan.interval, 65 * SECOND);
    }
}

proptest! {
    #[test]
    fn budget_bound_and_order_hold(
        prices in prop::collection::vec(1u64..400, 1..60),
        ratio in prop_oneof![0.00005..0.001, 0.001..0.05f64],
        base_millis in prop_oneof![Just(100u64), Just(1000), Just(4000), Just(30_000)],
        overhead in 0u64..100,
        busy in prop::collection::vec(prop::collection::vec(any::<bool>(), 60), 1..4),
    ) {
        let base = Duration::from_millis(base_millis);
        let mut world = World::new(ratio, base, prices.into_iter().map(MICROS));
        world.overhead = MICROS(overhead);
        let bound = world.schedule.bound;
        for round in 0..60 {
            let mask = &busy[round / 7 % busy.len()];
            let tick = world.tick(|index| mask[index % mask.len()]);
            let Plan { due, interval, quiet_interval } = &tick.plan;
            prop_assert!(*interval >= base && quiet_interval >= interval);
            prop_assert!(*quiet_interval <= bound.max(*interval));
            let mut only_musts = true;
            for (pace, due) in tick.before.iter().zip(due) {
                let age = pace.read_at.map(|at| tick.at - at);
                if pace.is_quiet() {
                    // Whoever waits for the next poll is read within the bound.
                    let is_must = age.unwrap() + *interval > bound;
                    prop_assert!(*due || !is_must);
                    only_musts &= !*due || is_must;
                } else {
                    prop_assert!(*due, "what is active or new comes before what is quiet");
                }
            }
            let is_first = tick.before.iter().any(|pace| pace.read_at.is_none());
            let budget = interval.mul_f64(ratio) + Duration::from_nanos(100);
            prop_assert!(
                is_first || only_musts || tick.cost <= budget,
                "{:?} of {budget:?}", tick.cost
            );
        }
    }
}
