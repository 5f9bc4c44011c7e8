//! Queues and what all of them have together, recorded and made up.

mod processes;

use super::{bind, job};
use crate::layout::redis::{Layout, Outcome, RefusalKind};
use crate::layout::testing::{Keyspace, Stored};
use crate::model::{Head, LatencySource, Observation, Reason, Timestamp};
use proptest::prelude::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/sidekiq.json");

fn layout() -> Box<dyn Layout> {
    bind(&crate::layout::testing::redis(), 1 << 20)
}

fn at(secs: f64) -> Timestamp {
    Timestamp::from_secs_f64(secs).unwrap()
}

const NOW: Timestamp = Timestamp::from_micros(1_795_410_450_000_000);

fn since(micros: i64) -> Head {
    Head::exactly(Timestamp::from_micros(micros), LatencySource::Message)
}

#[test]
fn the_oldest_job_is_found_in_seconds_and_in_milliseconds() {
    for (case, oldest) in [
        ("v6_waiting", 1_795_410_362_315_390),
        ("v7_waiting", 1_795_410_397_130_607),
        ("v8_waiting", 1_795_410_419_884_000),
    ] {
        let mut layout = layout();
        let seen = Keyspace::recorded(RECORDED, case).observe(&mut *layout, NOW);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["default", "mailers"]);
        let default = &seen["default"];
        assert_eq!(default.jobs.ready, Some(2), "{case}");
        assert_eq!(default.head, since(oldest), "{case}");
        // No process lives: nothing runs, nobody would take a job.
        assert_eq!(default.jobs.in_progress, Some(0));
        assert_eq!(default.consumers, Some(0));
        let totals = layout.totals().unwrap();
        assert_eq!(totals.jobs.scheduled, Some(1));
        assert_eq!((totals.jobs.retry, totals.jobs.failed), (Some(0), Some(0)));
        assert_eq!(totals.counters.finished, Some(0));
        assert_eq!(totals.slots, Some(0));
    }
}

#[test]
fn what_all_queues_have_together_is_told_of_all_together() {
    for (case, due) in [
        ("v6_running", 1_795_410_390.559_167_4),
        ("v7_running", 1_795_410_426.481_075_5),
        ("v8_running", 1_795_410_443.089_384_8),
    ] {
        let mut layout = layout();
        let seen = Keyspace::recorded(RECORDED, case).observe(&mut *layout, NOW);
        let totals = layout.totals().unwrap();
        let jobs = totals.jobs;
        assert_eq!(
            (jobs.scheduled, jobs.retry, jobs.failed),
            (Some(1), Some(1), Some(1))
        );
        assert_eq!(totals.next_due, Some(at(due)), "{case}");
        // Six processed: four done, two failed.
        assert_eq!(totals.counters.finished, Some(4));
        assert_eq!(totals.counters.failures, Some(2));
        assert_eq!((totals.slots, totals.busy_workers), (Some(2), Some(2)));
        // Not shared out among the queues.
        let default = &seen["default"];
        assert_eq!((default.jobs.retry, default.jobs.failed), (None, None));
        assert_eq!(default.counters, crate::model::Counters::default());
    }
}

fn job(jid: &str, enqueued_at: &str) -> String {
    format!(
        r#"{{"class":"Ok","args":[{{"enqueued_at":1}}],"jid":"{jid}","enqueued_at":{enqueued_at}}}"#
    )
}

fn one_queue(jobs: &[String]) -> Keyspace {
    let mut keys = Keyspace::default();
    let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
    keys.put("queues", Stored::Set(vec![b"q".to_vec()]))
        .list("queue:q", &jobs);
    keys
}

fn observe(keys: &Keyspace, layout: &mut dyn Layout) -> Observation {
    keys.observe(layout, NOW).remove("q").unwrap()
}

#[test]
fn sidekiq_7_and_8_in_one_queue_each_keep_their_unit() {
    // Pushed by 7, by 8, by 7 and by 8 again: the newest is on the left.
    let keys = one_queue(&[
        job("d", "1795410404000"),
        job("c", "1795410403.25"),
        job("b", "1795410402000"),
        job("a", "1795410401.5"),
    ]);
    let seen = observe(&keys, &mut *layout());
    assert_eq!(seen.head, since(1_795_410_401_500_000));
    let keys = one_queue(&[job("c", "1795410403.25"), job("b", "1795410402000")]);
    assert_eq!(
        observe(&keys, &mut *layout()).head,
        since(1_795_410_402_000_000)
    );
}

#[test]
fn a_set_of_that_name_alone_is_no_sidekiq() {
    let (mut layout, mut other) = (layout(), layout());
    let mut keys = one_queue(&[]);
    let is_foreign = |outcomes: &[Outcome]| matches!(outcomes, [Outcome::Foreign]);
    assert!(is_foreign(&keys.poll(&mut *layout, NOW)));
    assert_eq!((layout.totals(), layout.is_here()), (None, false));
    // Its first job shows it, and then it stays.
    keys.list("queue:q", &[&job("a", "1795410401.5")]);
    assert_eq!(observe(&keys, &mut *layout).jobs.ready, Some(1));
    keys.list("queue:q", &[]);
    assert_eq!(observe(&keys, &mut *layout).jobs.ready, Some(0));
    assert!(layout.totals().is_some() && layout.is_here());
    // So does what a process has once counted.
    let mut keys = one_queue(&[]);
    keys.put("stat:processed", Stored::Text(b"7".to_vec()));
    assert_eq!(observe(&keys, &mut *other).jobs.ready, Some(0));
}

#[test]
fn jobs_put_back_by_a_shutdown_do_not_hide_the_oldest() {
    let keys = one_queue(&[
        job("new", "1795410430.5"),
        job("a", "1795410401.5"),
        job("b", "1795410420.5"),
    ]);
    let want = Head::Since {
        earliest: at(1_795_410_400.5),
        latest: at(1_795_410_401.5),
        upper_is_hard: false,
        source: LatencySource::Message,
    };
    assert_eq!(observe(&keys, &mut *layout()).head, want);
}

#[test]
fn a_head_that_is_no_job_leaves_the_count() {
    for (garbage, reason) in [
        ("not json", Reason::Undecodable),
        ("7", Reason::Undecodable),
        (
            r#"{"class":"Ok","created_at":1795410401.5}"#,
            Reason::NoTimestamp,
        ),
        (r#"{"enqueued_at":"soon"}"#, Reason::NoTimestamp),
        (r#"{"enqueued_at":0}"#, Reason::NoTimestamp),
    ] {
        let seen = observe(&one_queue(&[garbage.to_owned()]), &mut *layout());
        assert_eq!(seen.jobs.ready, Some(1));
        assert_eq!(seen.head, Head::Unknown(reason), "{garbage}");
        // Then the flow tells.
        assert_eq!(seen.flow.unwrap().lines.len(), 1);
    }
}

#[test]
fn a_queue_that_is_something_else_is_unreadable_and_the_others_stand() {
    let mut keys = one_queue(&[job("a", "1795410401.5")]);
    keys.put(
        "queues",
        Stored::Set(vec![
            b"q".to_vec(),
            b"text".to_vec(),
            b"\xff".to_vec(),
            b"".to_vec(),
        ]),
    )
    .put("queue:text", Stored::Text(b"x".to_vec()));
    let outcomes = keys.poll(&mut *layout(), NOW);
    let unreadable = |outcome: &&Outcome| matches!(outcome, Outcome::Unreadable(refusal) if refusal.kind == RefusalKind::WrongType);
    assert_eq!(outcomes.iter().filter(unreadable).count(), 1);
    let names: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Observed(seen) => Some(&*seen.queue),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["q", "\\xff"]);
}

#[test]
fn a_namespace_is_in_front_of_every_key() {
    let mut redis = crate::layout::testing::redis();
    redis.sidekiq.namespace = "app".to_owned();
    let mut layout = bind(&redis, 1 << 20);
    let mut keys = one_queue(&[job("foreign", "1795410401.5")]);
    keys.put("app:queues", Stored::Set(vec![b"mine".to_vec()]))
        .list("app:queue:mine", &[&job("a", "1795410402.5")])
        .put("app:stat:processed", Stored::Text(b"7".to_vec()))
        .put("stat:processed", Stored::Text(b"99".to_vec()));
    let seen = keys.observe(&mut *layout, NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["mine"]);
    assert_eq!(seen["mine"].head, since(1_795_410_402_500_000));
    assert_eq!(layout.totals().unwrap().counters.finished, Some(7));
}

proptest! {
    #[test]
    fn jobs_of_any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,80}", number in any::<f64>()) {
        job::enqueued(&bytes).ok();
        job::running(&bytes);
        let work = serde_json::json!({"queue": text, "payload": text, "run_at": number});
        job::running(work.to_string().as_bytes());
        let work = serde_json::json!({"queue": text, "payload": {"enqueued_at": text, "jid": number}, "run_at": 1});
        prop_assert_eq!(job::running(work.to_string().as_bytes()).unwrap().wait, None);
    }
}
