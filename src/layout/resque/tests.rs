use super::bind;
use super::worker::{running, serves};
use crate::layout::redis::Layout;
use crate::layout::testing::{Keyspace, Stored};
use crate::model::{Head, Reason, Timestamp};
use proptest::prelude::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/resque.json");

/// 2026-11-23 05:08:30 UTC, while the worker of the recording ran its job.
const NOW: Timestamp = Timestamp::from_micros(1_795_410_510_000_000);

fn layout() -> Box<dyn Layout> {
    bind(&crate::layout::testing::redis(), 1 << 20)
}

#[test]
fn equal_jobs_are_counted_and_carry_no_time() {
    let mut layout = layout();
    let seen = Keyspace::recorded(RECORDED, "waiting").observe(&mut *layout, NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["default", "slow"]);
    for queue in seen.values() {
        assert_eq!(queue.jobs.ready, Some(3));
        assert_eq!(queue.head, Head::Unknown(Reason::NoTimestamp));
        assert_eq!(
            (queue.jobs.in_progress, queue.consumers),
            (Some(0), Some(0))
        );
        assert_eq!(queue.flow.as_ref().unwrap().lines[0].ready, 3);
    }
    let totals = layout.totals().unwrap();
    assert_eq!(
        (totals.jobs.failed, totals.jobs.scheduled),
        (Some(0), Some(0))
    );
    assert_eq!(totals.counters.finished, Some(0));
}

#[test]
fn a_worker_tells_what_it_runs() {
    let mut layout = layout();
    let seen = Keyspace::recorded(RECORDED, "running").observe(&mut *layout, NOW);
    let (default, slow) = (&seen["default"], &seen["slow"]);
    assert_eq!((default.jobs.ready, slow.jobs.ready), (Some(0), Some(2)));
    assert_eq!(
        (default.jobs.in_progress, slow.jobs.in_progress),
        (Some(0), Some(1))
    );
    assert_eq!((default.consumers, slow.consumers), (Some(1), Some(1)));
    assert_eq!(slow.busy_workers, Some(1));
    assert_eq!(
        slow.oldest_in_progress,
        Timestamp::from_secs_f64(1_795_410_500.0)
    );
    assert_eq!(default.oldest_in_progress, None);
    // Resque does not say when the job was enqueued.
    assert_eq!(slow.measured, None);
    let totals = layout.totals().unwrap();
    assert_eq!((totals.slots, totals.busy_workers), (Some(1), Some(1)));
    assert_eq!(totals.jobs.failed, Some(1));
    // Three processed: two done, one failed.
    assert_eq!(
        (totals.counters.finished, totals.counters.failures),
        (Some(2), Some(1))
    );
}

#[test]
fn a_worker_without_heartbeat_for_five_minutes_is_dead() {
    let keys = Keyspace::recorded(RECORDED, "running");
    let consumers = |secs: f64| {
        let now = Timestamp::from_secs_f64(secs).unwrap();
        let mut layout = layout();
        let slow = keys.observe(&mut *layout, now).remove("slow").unwrap();
        (slow.consumers, slow.jobs.in_progress)
    };
    assert_eq!(consumers(1_795_410_799.0), (Some(1), Some(1)));
    assert_eq!(consumers(1_795_410_801.0), (Some(0), Some(0)));
}

#[test]
fn what_is_no_name_of_a_worker_is_no_slot() {
    let mut keys = Keyspace::recorded(RECORDED, "running");
    let others = [
        "",
        "garbage",
        "host:123:",
        ":1:slow",
        "host:pid:slow",
        "web-1:77:*",
    ];
    let members = others.map(|name| name.as_bytes().to_vec());
    keys.put("resque:workers", Stored::Set(members.to_vec()));
    let mut layout = layout();
    let seen = keys.observe(&mut *layout, NOW);
    assert_eq!(seen["slow"].consumers, Some(1));
    assert_eq!(layout.totals().unwrap().slots, Some(1));
}

#[test]
fn jobs_of_resque_scheduler_are_counted_for_all_queues() {
    let mut keys = Keyspace::recorded(RECORDED, "waiting");
    let times = [
        (b"1795411000".to_vec(), 1_795_411_000.0),
        (b"1795412000".to_vec(), 1_795_412_000.0),
    ];
    keys.put(
        "resque:delayed_queue_schedule",
        Stored::Zset(times.to_vec()),
    )
    .list("resque:delayed:1795411000", &["{}", "{}"])
    .list("resque:delayed:1795412000", &["{}"]);
    let mut layout = layout();
    keys.observe(&mut *layout, NOW);
    let totals = layout.totals().unwrap();
    assert_eq!(totals.jobs.scheduled, Some(3));
    assert_eq!(totals.next_due, Timestamp::from_secs_f64(1_795_411_000.0));
    let many: Vec<_> = (0..300)
        .map(|n| (n.to_string().into_bytes(), f64::from(n)))
        .collect();
    keys.put("resque:delayed_queue_schedule", Stored::Zset(many));
    keys.observe(&mut *layout, NOW);
    // Too many to add up: unknown, not zero; the first one is still known.
    assert_eq!(layout.totals().unwrap().jobs.scheduled, None);
    assert_eq!(
        layout.totals().unwrap().next_due,
        Timestamp::from_secs_f64(0.0)
    );
    assert_eq!(layout.totals().unwrap().slots, Some(0));
}

#[test]
fn too_many_workers_are_unknown_and_not_zero() {
    let mut keys = Keyspace::recorded(RECORDED, "running");
    let many: Vec<Vec<u8>> = (0..2000)
        .map(|n| format!("host:{n}:slow").into_bytes())
        .collect();
    keys.put("resque:workers", Stored::Set(many));
    let mut layout = layout();
    let seen = keys.observe(&mut *layout, NOW);
    let slow = &seen["slow"];
    assert_eq!((slow.consumers, slow.jobs.in_progress), (None, None));
    assert_eq!(slow.jobs_unknown, Some(Reason::TooMany));
    assert_eq!(slow.jobs.ready, Some(2));
    assert_eq!(layout.totals().unwrap().slots, None);
    assert_eq!(layout.totals().unwrap().jobs.failed, Some(1));
}

#[test]
fn a_worker_serves_names_and_patterns() {
    assert!(serves(b"vm:1:default,slow", b"slow"));
    assert!(serves(b"vm:1:*", b"slow"));
    assert!(serves(b"vm:1:mail_*", b"mail_de"));
    assert!(serves(b"vm:1:a:b", b"a:b"));
    assert!(!serves(b"vm:1:default,slower", b"slow"));
    assert!(!serves(b"slow", b"slow"));
}

#[test]
fn of_a_large_job_the_beginning_is_enough() {
    let text = r#"{"queue":"slow","run_at":"2026-11-23T05:08:20Z","payload":{"class":"Slow","args":["aaaa"#;
    let job = running(b"vm:1:slow", text.as_bytes()).unwrap();
    assert_eq!(job.queue, b"slow");
    assert_eq!(job.started, Timestamp::from_secs_f64(1_795_410_500.0));
    for text in [
        "",
        "garbage",
        "[]",
        "{",
        r#"{"run_at":"x"}"#,
        r#"{"queue":7}"#,
    ] {
        assert_eq!(running(b"vm:1:slow", text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_worker_that_writes_garbage_makes_what_runs_unknown() {
    let mut keys = Keyspace::recorded(RECORDED, "running");
    keys.put(
        "resque:worker:vm:6073:default,slow",
        Stored::Text(b"\xff\xfe".to_vec()),
    );
    let seen = keys.observe(&mut *layout(), NOW);
    assert_eq!(seen["slow"].jobs.in_progress, None);
    assert_eq!(seen["slow"].jobs_unknown, Some(Reason::WorkUndecodable));
}

proptest! {
    #[test]
    fn workers_of_any_bytes_never_panic(
        name in prop::collection::vec(any::<u8>(), 0..60),
        text in prop::collection::vec(any::<u8>(), 0..200),
        beat in ".{0,40}",
    ) {
        serves(&name, &text);
        running(&name, &text);
        let mut keys = Keyspace::recorded(RECORDED, "waiting");
        let beats = [(name.clone(), beat.into_bytes())];
        keys.put("resque:workers", Stored::Set(vec![name]))
            .put("resque:workers:heartbeat", Stored::Hash(beats.into_iter().collect()));
        prop_assert_eq!(keys.observe(&mut *layout(), NOW)["slow"].jobs.ready, Some(3));
    }
}
