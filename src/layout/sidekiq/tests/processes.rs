//! What processes write about themselves: jobs at work, threads, and waits of the jobs that they started.

use super::{NOW, RECORDED, at, job, layout, observe, one_queue};
use crate::layout::redis::{Read, Refusal, RefusalKind, Reply};
use crate::layout::testing::{Keyspace, Stored};
use crate::model::Reason;
use proptest::prelude::*;
use std::time::Duration;

const NO_WAITS: [Duration; 0] = [];

#[test]
fn what_runs_is_told_by_queue() {
    for (case, run_at) in [
        ("v6_running", 1_795_410_370.0),
        ("v7_running", 1_795_410_404.0),
        ("v8_running", 1_795_410_427.0),
    ] {
        let seen = Keyspace::recorded(RECORDED, case).observe(&mut *layout(), NOW);
        let (default, mailers) = (&seen["default"], &seen["mailers"]);
        assert_eq!(default.jobs.ready, Some(4), "{case}");
        assert_eq!(default.jobs.in_progress, Some(2), "{case}");
        assert_eq!(default.busy_workers, Some(2));
        assert_eq!(default.oldest_in_progress, Some(at(run_at)));
        assert_eq!((default.consumers, mailers.consumers), (Some(2), Some(2)));
        assert_eq!(mailers.jobs.in_progress, Some(0));
        assert_eq!(mailers.oldest_in_progress, None);
        // They had started before anybody looked.
        assert_eq!(default.measured.as_ref().unwrap().waits, NO_WAITS);
    }
}

/// One process with threads for the queue and jobs at work.
fn process(
    keys: &mut Keyspace,
    beat: &str,
    info: &str,
    quiet: &str,
    ending: &str,
    work: &[(&str, &str, i64, &str)],
) {
    let text = |text: &str| text.as_bytes().to_vec();
    let busy = work.len().to_string();
    let fields = [
        ("beat", beat),
        ("busy", &busy),
        ("quiet", quiet),
        ("info", info),
    ];
    let hash = fields.map(|(field, value)| (text(field), text(value)));
    let work = work.iter().map(|(tid, queue, run_at, payload)| {
        let value = serde_json::json!({"queue": queue, "payload": payload, "run_at": run_at});
        (text(tid), text(&value.to_string()))
    });
    keys.put(
        "processes",
        Stored::Set(vec![text("host:1:a"), text("gone:2:b")]),
    )
    .put("host:1:a", Stored::Hash(hash.into_iter().collect()))
    .put(&format!("host:1:a:{ending}"), Stored::Hash(work.collect()));
}

const INFO_6: &str = r#"{"concurrency":5,"queues":["q","other"]}"#;

#[test]
fn waits_of_started_jobs_are_a_sample_each_once() {
    let mut layout = layout();
    let mut keys = one_queue(&[]);
    let (old, new) = (job("old", "1795410401.5"), job("new", "1795410405500"));
    let old = ("t1", "q", 1_795_410_402, old.as_str());
    process(&mut keys, "1", INFO_6, "false", "workers", &[old]);
    assert_eq!(
        observe(&keys, &mut *layout).measured.unwrap().waits,
        NO_WAITS
    );
    let new = ("t2", "q", 1_795_410_409, new.as_str());
    process(&mut keys, "2", INFO_6, "false", "workers", &[old, new]);
    let seen = observe(&keys, &mut *layout);
    let measured = seen.measured.unwrap();
    // From …5.5 to the middle of …9.
    assert_eq!(measured.waits, [Duration::from_secs(4)]);
    assert!(measured.is_sample);
    assert_eq!(seen.oldest_in_progress, Some(at(1_795_410_402.0)));
    for beat in ["2", "3"] {
        process(&mut keys, beat, INFO_6, "false", "workers", &[old, new]);
        assert_eq!(
            observe(&keys, &mut *layout).measured.unwrap().waits,
            NO_WAITS
        );
    }
    // The same job again, after it was put back.
    let again = ("t1", "q", 1_795_410_420, old.3);
    process(&mut keys, "4", INFO_6, "false", "workers", &[again]);
    let waits = observe(&keys, &mut *layout).measured.unwrap().waits;
    assert_eq!(waits, [Duration::from_secs(19)]);
}

#[test]
fn what_runs_is_read_once_a_beat() {
    let mut layout = layout();
    let mut keys = one_queue(&[]);
    let payload = job("a", "1795410401.5");
    let work = ("t1", "q", 1_795_410_402, payload.as_str());
    process(&mut keys, "1", INFO_6, "false", "work", &[work]);
    assert_eq!(observe(&keys, &mut *layout).jobs.in_progress, Some(1));
    // The jobs' hash expires first; as long as the beat is the same, nothing else was said.
    keys.put("host:1:a:work", Stored::Hash(Default::default()));
    assert_eq!(observe(&keys, &mut *layout).jobs.in_progress, Some(1));
    process(&mut keys, "2", INFO_6, "false", "work", &[]);
    assert_eq!(observe(&keys, &mut *layout).jobs.in_progress, Some(0));
}

#[test]
fn threads_of_the_capsules_that_serve_the_queue_are_its_consumers() {
    let consumers = |info: &str, quiet: &str| {
        let mut layout = layout();
        let mut keys = one_queue(&[]);
        process(&mut keys, "1", info, quiet, "work", &[]);
        let seen = observe(&keys, &mut *layout);
        (seen.consumers, layout.totals().unwrap().slots)
    };
    assert_eq!(consumers(INFO_6, "false"), (Some(5), Some(5)));
    // It takes no more.
    assert_eq!(consumers(INFO_6, "true"), (Some(0), Some(0)));
    let others = r#"{"concurrency":5,"queues":["other"]}"#;
    assert_eq!(consumers(others, "false"), (Some(0), Some(5)));
    let of_8 = r#"{"queues":["q","other"],"version":"8.1.7","capsules":{
        "default":{"concurrency":4,"mode":"strict","weights":{"other":0,"q":0}},
        "single":{"concurrency":1,"mode":"strict","weights":{"q":0}},
        "else":{"concurrency":3,"mode":"strict","weights":{"other":0}}}}"#;
    assert_eq!(consumers(of_8, "false"), (Some(5), Some(8)));
    // Sidekiq 7 does not say which capsule has how many of the threads.
    let of_7 = r#"{"concurrency":5,"queues":["q","other"],"version":"7.3.2",
        "weights":[{"q":0},{"other":0}]}"#;
    assert_eq!(consumers(of_7, "false"), (None, Some(5)));
    assert_eq!(consumers("garbage", "false"), (None, None));
}

#[test]
fn too_much_at_work_is_unknown_and_not_zero() {
    let mut keys = one_queue(&[job("a", "1795410401.5")]);
    let many: Vec<Vec<u8>> = (0..2000).map(|n| n.to_string().into_bytes()).collect();
    keys.put("processes", Stored::Set(many));
    let mut layout = layout();
    let seen = observe(&keys, &mut *layout);
    assert_eq!((seen.jobs.in_progress, seen.consumers), (None, None));
    assert_eq!(seen.jobs_unknown, Some(Reason::TooMany));
    assert_eq!(seen.measured, None);
    assert_eq!(layout.totals().unwrap().slots, None);
    assert_eq!(layout.totals().unwrap().jobs.retry, Some(0));
    // One process with more threads at work than are read.
    let payload = job("a", "1795410401.5");
    let tids: Vec<String> = (0..1500).map(|n| format!("t{n}")).collect();
    let work: Vec<_> = tids
        .iter()
        .map(|tid| (tid.as_str(), "q", 1, payload.as_str()))
        .collect();
    process(&mut keys, "1", INFO_6, "false", "work", &work);
    let seen = observe(&keys, &mut *layout);
    assert_eq!((seen.jobs.in_progress, seen.consumers), (None, Some(5)));
    assert_eq!(seen.jobs_unknown, Some(Reason::TooMany));
    process(
        &mut keys,
        "1",
        INFO_6,
        "false",
        "work",
        &[("t", "q", 1, "{}")],
    );
    assert_eq!(observe(&keys, &mut *layout).jobs.in_progress, Some(1));
}

#[test]
fn a_missing_right_for_the_processes_leaves_the_queues() {
    let mut layout = layout();
    let refused = || {
        Reply::Refused(Refusal {
            kind: RefusalKind::NotPermitted,
            message: "NOPERM no".into(),
        })
    };
    layout.begin();
    let reads = layout.overview(0, Vec::new(), NOW);
    let replies = reads
        .iter()
        .map(|read| match read {
            Read::Zcard(_) => Reply::Int(3),
            Read::Scard(_) => refused(),
            _ => Reply::Nil,
        })
        .collect();
    assert!(layout.overview(1, replies, NOW).is_empty());
    assert_eq!(layout.complaints()[0].kind, RefusalKind::NotPermitted);
    assert_eq!(layout.totals().unwrap().jobs.retry, Some(3));
    assert_eq!(layout.totals().unwrap().busy_workers, None);
}

proptest! {
    /// Whatever a process writes about itself, queues keep their counts and nothing panics.
    #[test]
    fn processes_of_any_bytes_never_panic(
        beat in prop::collection::vec(any::<u8>(), 0..20),
        info in ".{0,60}",
        work in prop::collection::vec(any::<u8>(), 0..60),
        concurrency in any::<u64>(),
    ) {
        let mut keys = one_queue(&[job("a", "1795410401.5")]);
        let capsule = serde_json::json!({"concurrency": concurrency, "weights": {"q": 0}});
        let infos = [
            info,
            serde_json::json!({"queues": ["q"], "capsules": {"a": capsule, "b": capsule}}).to_string(),
        ];
        for info in infos {
            process(&mut keys, "1", &info, "false", "work", &[]);
            keys.put("host:1:a", Stored::Hash([
                (b"beat".to_vec(), beat.clone()),
                (b"busy".to_vec(), b"3".to_vec()),
                (b"info".to_vec(), info.into_bytes()),
            ].into_iter().collect()));
            keys.put("host:1:a:work", Stored::Hash([(b"t".to_vec(), work.clone())].into_iter().collect()));
            prop_assert_eq!(observe(&keys, &mut *layout()).jobs.ready, Some(1));
        }
    }
}
