use super::bind;
use crate::layout::redis::{Layout, Outcome, RefusalKind};
use crate::layout::testing::{Keyspace, Stored, redis};
use crate::model::{Head, LatencySource, Reason, Timestamp};
use proptest::prelude::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/huey.json");

const NOW: Timestamp = Timestamp::from_micros(1_795_411_000_000_000);

fn layout() -> Box<dyn Layout> {
    bind(&redis(), 1 << 20)
}

#[test]
fn tasks_of_a_list_are_counted_and_carry_no_time() {
    let seen = Keyspace::recorded(RECORDED, "RedisHuey_running").observe(&mut *layout(), NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["myapplist"]);
    let seen = &seen["myapplist"];
    let jobs = seen.jobs;
    assert_eq!((jobs.ready, jobs.scheduled), (Some(3), Some(2)));
    assert_eq!((jobs.in_progress, jobs.failed), (None, None));
    assert_eq!(seen.head, Head::Unknown(Reason::NoTimestamp));
    // Its scores are off by an unknown time zone.
    assert_eq!(seen.next_due, None);
    assert!(seen.flow.is_some());
}

#[test]
fn tasks_with_priorities_carry_their_time_before_the_pickle() {
    let keys = Keyspace::recorded(RECORDED, "PriorityRedisHuey_waiting");
    let seen = &keys.observe(&mut *layout(), NOW)["myappprio"];
    assert_eq!(seen.jobs.ready, Some(4));
    assert_eq!(seen.priorities, [(10, 1), (0, 3)]);
    // Not the one that is next, which has a higher priority and is younger.
    let oldest = Timestamp::from_micros(1_795_410_059_661_096);
    assert_eq!(seen.head, Head::exactly(oldest, LatencySource::Message));
}

fn prioritised(tasks: &[(u64, f64)]) -> Keyspace {
    let mut keys = Keyspace::default();
    let mut tasks: Vec<_> = tasks
        .iter()
        .map(|(micros, score)| ([&micros.to_be_bytes()[..], b"pickle"].concat(), *score))
        .collect();
    tasks.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    keys.put("huey.redis.q", Stored::Zset(tasks));
    keys
}

#[test]
fn with_many_levels_the_age_is_a_lower_bound() {
    let at = |n: u32| (1_795_410_000_000_000 + u64::from(n), -f64::from(n));
    let all: Vec<_> = (0..30).map(at).collect();
    let seen = &prioritised(&all).observe(&mut *layout(), NOW)["q"];
    assert_eq!((seen.jobs.ready, seen.priorities.len()), (Some(30), 0));
    let looked_at = Timestamp::from_micros(1_795_410_000_000_020);
    let Head::Since {
        earliest,
        upper_is_hard,
        ..
    } = seen.head
    else {
        panic!("{:?}", seen.head);
    };
    assert_eq!((earliest, upper_is_hard), (looked_at, false));
}

#[test]
fn what_is_no_time_is_unknown() {
    for micros in [0, u64::MAX, 1_795_410_053, 0x8005_9500_0000_0000] {
        let seen = &prioritised(&[(micros, 0.0)]).observe(&mut *layout(), NOW)["q"];
        assert_eq!(seen.jobs.ready, Some(1));
        assert_eq!(seen.head, Head::Unknown(Reason::Undecodable), "{micros}");
    }
}

#[test]
fn a_queue_is_found_by_its_schedule_or_results_too_and_other_keys_are_none() {
    let mut keys = Keyspace::default();
    keys.put("huey.schedule.a", Stored::Zset(vec![(b"t".to_vec(), 1.0)]))
        .put("huey.redis.b", Stored::Text(Vec::new()))
        .put("huey.redis.", Stored::Zset(vec![(b"t".to_vec(), 1.0)]))
        .put("huey.results.c", Stored::Hash(Default::default()))
        .put("huey.results.d", Stored::Text(Vec::new()));
    let seen = keys.observe(&mut *layout(), NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(seen["c"].jobs.ready, Some(0));
    assert_eq!(
        (seen["a"].jobs.ready, seen["a"].jobs.scheduled),
        (Some(0), Some(1))
    );
    assert_eq!(seen["a"].head, Head::Empty);
}

#[test]
fn a_key_of_the_wrong_type_is_unreadable() {
    let mut redis = redis();
    redis.huey.queues = vec!["q".to_owned()];
    let mut keys = Keyspace::default();
    keys.put("huey.redis.q", Stored::Text(Vec::new()));
    let outcomes = keys.poll(&mut *bind(&redis, 1 << 20), NOW);
    assert!(
        matches!(&outcomes[..], [Outcome::Unreadable(refusal)] if refusal.kind == RefusalKind::WrongType)
    );
}

proptest! {
    #[test]
    fn whatever_the_members_are_all_are_counted(
        tasks in prop::collection::vec((any::<Vec<u8>>(), -20.0..20.0f64), 1..40),
    ) {
        let mut keys = Keyspace::default();
        let mut tasks = tasks;
        tasks.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let count = tasks.len() as u64;
        keys.put("huey.redis.q", Stored::Zset(tasks));
        let seen = &keys.observe(&mut *layout(), NOW)["q"];
        prop_assert_eq!(seen.jobs.ready, Some(count));
    }
}
