use super::bind;
use crate::layout::redis::{Layout, Outcome, RefusalKind};
use crate::layout::testing::{Keyspace, Stored, redis};
use crate::model::{Head, LatencySource, Reason, Timestamp};
use proptest::prelude::*;
use std::time::Duration;

const RECORDED: &str = include_str!("../../../tests/fixtures/arq.json");

const fn ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(ms * 1000)
}

/// When the running jobs were recorded.
const NOW: Timestamp = ms(1_795_410_131_779);

fn layout() -> Box<dyn Layout> {
    bind(&redis(), 1 << 20)
}

fn since(earliest: Timestamp, latest: Timestamp, upper_is_hard: bool) -> Head {
    Head::Since {
        earliest,
        latest,
        upper_is_hard,
        source: LatencySource::Message,
    }
}

fn due(at: i64) -> Head {
    since(ms(at), ms(at).plus(Duration::from_micros(999)), true)
}

#[test]
fn running_jobs_are_told_from_those_that_wait() {
    let mut layout = layout();
    let seen = Keyspace::recorded(RECORDED, "running").observe(&mut *layout, NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["arq:queue"]);
    let seen = &seen["arq:queue"];
    let jobs = seen.jobs;
    assert_eq!((jobs.ready, jobs.in_progress), (Some(2), Some(2)));
    assert_eq!((jobs.scheduled, jobs.failed), (Some(2), None));
    assert_eq!(seen.head, due(1_795_410_128_725));
    assert_eq!(seen.next_due, Some(ms(1_795_410_727_927)));
    // 88,400,000 − 88,397,142 ms ago.
    assert_eq!(
        seen.oldest_in_progress,
        Some(NOW.minus(Duration::from_millis(2858)))
    );
}

#[test]
fn deferred_jobs_are_not_ready() {
    let now = ms(1_795_410_124_700);
    let seen = Keyspace::recorded(RECORDED, "waiting").observe(&mut *layout(), now);
    let jobs = seen["arq:queue"].jobs;
    assert_eq!((jobs.ready, jobs.scheduled), (Some(1), Some(1)));
    assert_eq!(jobs.in_progress, Some(0));
}

#[test]
fn a_score_that_is_no_time_gives_no_age() {
    // Seconds, nothing, microseconds.
    for (score, ready) in [(1_795_410_000.0, 1), (0.0, 1), (1_795_410_000_000_000.0, 0)] {
        let mut keys = Keyspace::default();
        let jobs = vec![(b"a".to_vec(), score)];
        keys.put("arq:queue", Stored::Zset(jobs));
        let seen = keys
            .observe(&mut *layout(), NOW)
            .remove("arq:queue")
            .unwrap();
        assert_eq!(seen.jobs.ready, Some(ready));
        assert_eq!(seen.next_due, None);
        let head = match ready {
            0 => Head::Empty,
            _ => Head::Unknown(Reason::Undecodable),
        };
        assert_eq!(seen.head, head, "{score}");
    }
}

/// A queue of `due` jobs, of which the first ones run.
fn queue_of(due: usize, running: usize) -> Keyspace {
    let mut keys = Keyspace::default();
    let job = |n: usize| {
        (
            format!("{n:05}").into_bytes(),
            1_795_410_000_000.0 + n as f64,
        )
    };
    keys.put("arq:queue", Stored::Zset((0..due).map(job).collect()));
    for n in 0..running {
        started(&mut keys, n, 1000);
    }
    keys
}

fn started(keys: &mut Keyspace, n: usize, ms_ago: i64) {
    let text = || b"1".to_vec();
    keys.put(&format!("arq:in-progress:{n:05}"), Stored::Text(text()))
        .put(
            &format!("arq:retry:{n:05}"),
            Stored::Expiring(text(), 88_400_000 - ms_ago),
        );
}

#[test]
fn many_running_jobs_are_looked_at_and_too_many_are_unknown() {
    for running in [0, 15, 16, 17, 100, 127] {
        let seen = queue_of(1000, running).observe(&mut *layout(), NOW);
        let jobs = seen["arq:queue"].jobs;
        assert_eq!(jobs.in_progress, Some(running as u64));
        assert_eq!(jobs.ready, Some(1000 - running as u64));
        let first = 1_795_410_000_000 + running as i64;
        assert_eq!(seen["arq:queue"].head, due(first));
    }
    let seen = &queue_of(1000, 200).observe(&mut *layout(), NOW)["arq:queue"];
    assert_eq!((seen.jobs.ready, seen.jobs.in_progress), (None, None));
    assert_eq!(seen.jobs_unknown, Some(Reason::TooMany));
    assert_eq!(seen.head, Head::Unknown(Reason::TooMany));
    let seen = &queue_of(128, 128).observe(&mut *layout(), NOW)["arq:queue"];
    assert_eq!(
        (seen.jobs.ready, seen.jobs.in_progress),
        (Some(0), Some(128))
    );
}

#[test]
fn a_job_that_came_back_has_waited_since_then_at_most() {
    let mut keys = queue_of(2, 0);
    let retry = Stored::Expiring(b"1".to_vec(), 88_400_000 - 5000);
    keys.put("arq:retry:00000", retry);
    // It was started after it had been due; the next one, due 1 ms later, never was.
    let head = keys.observe(&mut *layout(), NOW)["arq:queue"].head;
    assert_eq!(head, due(1_795_410_000_001));
    let mut alone = queue_of(1, 0);
    let retry = Stored::Expiring(b"1".to_vec(), 88_400_000 - 5000);
    alone.put("arq:retry:00000", retry);
    let head = alone.observe(&mut *layout(), NOW)["arq:queue"].head;
    assert_eq!(head, since(NOW.minus(Duration::from_secs(5)), NOW, false));
}

#[test]
fn each_start_that_is_seen_is_a_wait_once() {
    let mut layout = layout();
    let mut waits = |keys: &Keyspace| {
        let seen = keys.observe(&mut *layout, NOW).remove("arq:queue");
        let measured = seen.unwrap().measured.unwrap();
        assert!(measured.is_sample);
        measured.waits
    };
    let mut keys = queue_of(4, 1);
    // What ran before the first poll may have been told by an earlier process.
    assert!(waits(&keys).is_empty());
    started(&mut keys, 1, 2000);
    let waited = ms(1_795_410_000_001).age_at(NOW) - Duration::from_secs(2);
    assert_eq!(waits(&keys), [waited]);
    assert!(waits(&keys).is_empty());
}

#[test]
fn other_queues_are_found_by_their_health_checks() {
    let mut keys = Keyspace::recorded(RECORDED, "running");
    let check = b"Nov-23 05:02:11 j_complete=1 j_failed=1 j_retried=1 j_ongoing=2 queued=6";
    keys.put("mail:health-check", Stored::Text(check.to_vec()))
        .put("web:health-check", Stored::Text(b"ok".to_vec()))
        .put(":health-check", Stored::Text(check.to_vec()))
        .put("list:health-check", Stored::Zset(Vec::new()));
    let seen = keys.observe(&mut *layout(), NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["arq:queue", "mail"]);
    assert_eq!(seen["mail"].jobs.ready, Some(0));
}

#[test]
fn a_key_of_the_wrong_type_is_unreadable() {
    let mut redis = redis();
    redis.arq.queues = vec!["jobs".to_owned()];
    let mut keys = Keyspace::default();
    keys.put("jobs", Stored::Text(Vec::new()));
    let outcomes = keys.poll(&mut *bind(&redis, 1 << 20), NOW);
    assert!(
        matches!(&outcomes[..], [Outcome::Unreadable(refusal)] if refusal.kind == RefusalKind::WrongType)
    );
}

proptest! {
    #[test]
    fn whatever_is_in_the_keys_ready_and_running_make_up_what_is_due(
        jobs in prop::collection::btree_map("[a-c]{1,3}", any::<f64>(), 0..30),
        running in prop::collection::vec(("[a-c]{1,3}", any::<Vec<u8>>(), any::<i64>()), 0..30),
    ) {
        let mut keys = Keyspace::default();
        let now = NOW.micros() as f64 / 1000.0;
        let mut jobs: Vec<_> = jobs.into_iter().map(|(id, score)| (id.into_bytes(), score)).collect();
        jobs.retain(|(_, score)| !score.is_nan());
        jobs.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let due = jobs.iter().filter(|(_, score)| *score <= now.floor()).count() as u64;
        keys.put("arq:queue", Stored::Zset(jobs));
        for (id, text, left) in running {
            keys.put(&format!("arq:in-progress:{id}"), Stored::Text(Vec::new()));
            keys.put(&format!("arq:retry:{id}"), Stored::Expiring(text, left));
        }
        let seen = &keys.observe(&mut *layout(), NOW)["arq:queue"];
        if let (Some(ready), Some(running)) = (seen.jobs.ready, seen.jobs.in_progress) {
            prop_assert_eq!(ready + running, due);
        }
    }
}
