use super::bind;
use super::queue::job_id;
use crate::layout::celery::iso_time;
use crate::layout::redis::{Layout, Outcome, RefusalKind};
use crate::layout::testing::{Keyspace, Stored};
use crate::model::{Head, LatencySource, Reason, Timestamp};
use proptest::prelude::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/rq.json");

fn layout() -> Box<dyn Layout> {
    bind(&crate::layout::testing::redis(), 1 << 20)
}

/// While the running jobs of the recordings were running.
const NOW: Timestamp = Timestamp::from_micros(1_795_409_763_000_000);

fn iso(text: &str) -> Timestamp {
    iso_time(text).unwrap()
}

#[test]
fn waiting_scheduled_and_deferred_jobs_are_counted() {
    let seen = Keyspace::recorded(RECORDED, "rq3_waiting").observe(&mut *layout(), NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["default", "high"]);
    let default = &seen["default"];
    assert_eq!(default.jobs.ready, Some(2));
    assert_eq!(
        (default.jobs.scheduled, default.jobs.deferred),
        (Some(1), Some(1))
    );
    assert_eq!(
        (default.jobs.failed, default.jobs.in_progress),
        (Some(0), Some(0))
    );
    assert_eq!(default.next_due, Timestamp::from_secs_f64(1_795_413_353.0));
    assert_eq!((default.paused, default.consumers), (Some(false), Some(0)));
    assert_eq!(
        seen["high"].head,
        Head::exactly(iso("2026-11-23T04:55:53.812561Z"), LatencySource::Message)
    );
}

#[test]
fn a_job_put_in_front_does_not_hide_the_older_one_behind_it() {
    let seen = Keyspace::recorded(RECORDED, "rq3_waiting").observe(&mut *layout(), NOW);
    let older = iso("2026-11-23T04:55:53.810901Z");
    let want = Head::Since {
        earliest: older,
        latest: older,
        upper_is_hard: false,
        source: LatencySource::Message,
    };
    assert_eq!(seen["default"].head, want);
}

#[test]
fn running_jobs_show_their_start_and_their_workers() {
    let seen = Keyspace::recorded(RECORDED, "rq3_running").observe(&mut *layout(), NOW);
    let (default, solo) = (&seen["default"], &seen["solo"]);
    assert_eq!(
        (default.jobs.in_progress, solo.jobs.in_progress),
        (Some(1), Some(1))
    );
    assert_eq!(
        default.oldest_in_progress,
        Some(iso("2026-11-23T04:56:02.924100Z"))
    );
    assert_eq!(
        (default.consumers, solo.consumers, seen["high"].consumers),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(default.busy_workers, Some(1));
    assert_eq!(
        (default.jobs.failed, default.jobs.scheduled),
        (Some(2), Some(2))
    );
    assert_eq!((solo.jobs.ready, default.jobs.ready), (Some(2), Some(1)));
}

#[test]
fn the_registry_of_rq_2_is_read_alike() {
    let mut keys = Keyspace::recorded(RECORDED, "rq2_diff_running");
    keys.put("rq:queues", Stored::Set(vec![b"rq:queue:default".to_vec()]));
    let seen = keys.observe(&mut *layout(), NOW);
    assert_eq!(seen["default"].jobs.in_progress, Some(1));
    // The job's hash was not recorded, so its start is not known.
    assert_eq!(seen["default"].oldest_in_progress, None);
}

#[test]
fn what_killed_workers_left_behind_is_not_running() {
    let mut keys = Keyspace::recorded(RECORDED, "rq3_after_cold_shutdown");
    keys.put("rq:queues", Stored::Set(vec![b"rq:queue:default".to_vec()]));
    keys.put(
        "rq:workers",
        Stored::Set(vec![b"rq:worker:w1".to_vec(), b"rq:worker:gone".to_vec()]),
    );
    let later = Timestamp::from_secs_f64(1_795_409_853.0).unwrap();
    let seen = keys.observe(&mut *layout(), later);
    assert_eq!(seen["default"].jobs.in_progress, Some(0));
    assert_eq!(seen["default"].consumers, Some(0));
}

#[test]
fn a_suspended_rq_is_paused_and_what_a_rate_limit_holds_back_is_deferred() {
    let seen =
        Keyspace::recorded(RECORDED, "rq3_rate_limit_and_suspended").observe(&mut *layout(), NOW);
    assert_eq!(seen["default"].paused, Some(true));
    assert_eq!(seen["default"].jobs.deferred, Some(2));
    assert_eq!(seen["default"].jobs.ready, Some(1));
}

fn queue_of(ids: &[String], jobs: &[(&str, &str)]) -> Keyspace {
    let mut keys = Keyspace::default();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    keys.put("rq:queues", Stored::Set(vec![b"rq:queue:q".to_vec()]))
        .list("rq:queue:q", &ids);
    for (id, enqueued_at) in jobs {
        let fields = [(b"enqueued_at".to_vec(), enqueued_at.as_bytes().to_vec())];
        keys.put(
            &format!("rq:job:{id}"),
            Stored::Hash(fields.into_iter().collect()),
        );
    }
    keys
}

#[test]
fn ids_whose_jobs_are_gone_are_passed_over() {
    let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let at = "2026-11-23T04:55:00Z";
    let keys = queue_of(&ids, &[("12", at)]);
    let seen = keys.observe(&mut *layout(), NOW);
    assert_eq!(seen["q"].jobs.ready, Some(20));
    assert_eq!(
        seen["q"].head,
        Head::exactly(iso(at), LatencySource::Message)
    );
}

#[test]
fn a_head_of_nothing_but_lost_jobs_is_unknown() {
    let ids: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let seen = queue_of(&ids, &[]).observe(&mut *layout(), NOW);
    assert_eq!(seen["q"].head, Head::Unknown(Reason::HeadMissing));
}

#[test]
fn a_key_of_the_wrong_type_makes_its_queue_unreadable_and_no_other() {
    let mut keys = queue_of(&["1".into()], &[]);
    keys.put(
        "rq:queues",
        Stored::Set(vec![
            b"rq:queue:p".to_vec(),
            b"rq:queue:q".to_vec(),
            b"other".to_vec(),
        ]),
    )
    .put("rq:wip:p", Stored::Text(Vec::new()));
    let outcomes = keys.poll(&mut *layout(), NOW);
    assert_eq!(outcomes.len(), 2);
    assert!(
        matches!(&outcomes[0], Outcome::Unreadable(refusal) if refusal.kind == RefusalKind::WrongType)
    );
    assert!(matches!(&outcomes[1], Outcome::Observed(seen) if seen.jobs.ready == Some(1)));
}

#[test]
fn a_wip_member_names_its_job_with_and_without_an_execution() {
    assert_eq!(job_id(b"abc:def"), b"abc");
    assert_eq!(job_id(b"abc"), b"abc");
}

proptest! {
    #[test]
    fn garbage_in_a_job_is_unknown_and_never_a_panic(value in ".{0,60}", id in "[a-z]{1,8}") {
        let seen = queue_of(std::slice::from_ref(&id), &[(&id, &value)]).observe(&mut *layout(), NOW);
        prop_assert_eq!(seen["q"].jobs.ready, Some(1));
    }
}
