use super::bind;
use super::message::{Server, Worker};
use crate::layout::redis::{Layout, Outcome, Read, Refusal, RefusalKind, Reply, Step};
use crate::layout::testing::{Keyspace, Stored};
use crate::model::{Head, LatencySource, Observation, Reason, Timestamp};
use proptest::prelude::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/asynq.json");

/// While the servers of the recording lived.
const NOW: Timestamp = Timestamp::from_micros(1_795_410_864_445_027);

fn layout() -> Box<dyn Layout> {
    bind(&crate::layout::testing::redis(), 1 << 20)
}

fn recorded(case: &str) -> Keyspace {
    Keyspace::recorded(RECORDED, case)
}

fn since(micros: i64) -> Head {
    Head::exactly(Timestamp::from_micros(micros), LatencySource::Message)
}

#[test]
fn waiting_scheduled_and_aggregating_tasks_are_counted() {
    let seen = recorded("waiting").observe(&mut *layout(), NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["critical", "default"]);
    let (critical, default) = (&seen["critical"], &seen["default"]);
    assert_eq!(
        (critical.jobs.ready, default.jobs.ready),
        (Some(1), Some(2))
    );
    assert_eq!(default.jobs.scheduled, Some(1));
    assert_eq!(default.jobs.deferred, Some(1));
    assert_eq!(critical.jobs.deferred, Some(0));
    assert_eq!(
        (default.jobs.retry, default.jobs.failed),
        (Some(0), Some(0))
    );
    assert_eq!((critical.paused, default.paused), (Some(true), Some(false)));
    assert_eq!(default.next_due, Timestamp::from_secs_f64(1_795_414_454.0));
    // LPUSHed: the last one is the oldest.
    assert_eq!(default.head, since(1_795_410_854_853_449));
    assert_eq!(critical.head, since(1_795_410_854_874_992));
    // No server lives.
    assert_eq!(
        (default.consumers, default.jobs.in_progress),
        (Some(0), Some(0))
    );
}

#[test]
fn what_runs_was_done_and_failed_is_told_by_queue() {
    let seen = recorded("running").observe(&mut *layout(), NOW);
    let (critical, default) = (&seen["critical"], &seen["default"]);
    assert_eq!(default.jobs.in_progress, Some(2));
    assert_eq!(default.busy_workers, Some(2));
    assert_eq!(
        (default.jobs.retry, default.jobs.failed),
        (Some(1), Some(1))
    );
    // Five processed, two of them failed attempts.
    assert_eq!(
        (default.counters.finished, default.counters.failures),
        (Some(3), Some(2))
    );
    assert_eq!(
        (critical.counters.finished, critical.counters.failures),
        (Some(0), Some(0))
    );
    // Due first: the retry.
    assert_eq!(default.next_due, Timestamp::from_secs_f64(1_795_411_457.0));
    // One server for two tasks at once, from both queues.
    assert_eq!((default.consumers, critical.consumers), (Some(2), Some(2)));
    // Of the two starts, some 200 µs apart, the earlier one.
    let started = default.oldest_in_progress.unwrap();
    assert_eq!(started, Timestamp::from_micros(1_795_410_858_655_549));
    assert_eq!(critical.oldest_in_progress, None);
    assert_eq!(default.head, since(1_795_410_858_407_821));
    // What runs does not say since when it had waited.
    assert_eq!(default.measured, None);
}

#[test]
fn a_server_whose_time_is_over_takes_nothing() {
    let later = Timestamp::from_secs_f64(1_795_410_870.0).unwrap();
    let seen = recorded("running").observe(&mut *layout(), later);
    assert_eq!(seen["default"].consumers, Some(0));
    // Its tasks stay in `active` until their leases are over.
    assert_eq!(seen["default"].jobs.in_progress, Some(2));
    assert_eq!(seen["default"].oldest_in_progress, None);
}

#[test]
fn tasks_put_back_without_their_time_leave_a_lower_bound() {
    let seen = recorded("after_term_1s_timeout").observe(&mut *layout(), NOW);
    let default = &seen["default"];
    assert_eq!(
        (default.jobs.ready, default.jobs.in_progress),
        (Some(4), Some(0))
    );
    let oldest = Timestamp::from_micros(1_795_410_858_407_821);
    let want = Head::Since {
        earliest: oldest,
        latest: oldest,
        upper_is_hard: false,
        source: LatencySource::Message,
    };
    assert_eq!(default.head, want);
}

fn queue(tasks: &[(&str, Option<&str>)]) -> Keyspace {
    let mut keys = Keyspace::default();
    let ids: Vec<&str> = tasks.iter().map(|(id, _)| *id).collect();
    keys.put("asynq:queues", Stored::Set(vec![b"q".to_vec()]))
        .list("asynq:{q}:pending", &ids);
    for (id, pending_since) in tasks {
        if let Some(at) = pending_since {
            let fields = [(b"pending_since".to_vec(), at.as_bytes().to_vec())];
            keys.put(
                &format!("asynq:{{q}}:t:{id}"),
                Stored::Hash(fields.into_iter().collect()),
            );
        }
    }
    keys
}

fn observe(keys: &Keyspace) -> Observation {
    keys.observe(&mut *layout(), NOW).remove("q").unwrap()
}

#[test]
fn a_time_that_is_none_is_unknown() {
    for text in ["", "0", "-5", "soon", "1e9", "99999999999999999999"] {
        let seen = observe(&queue(&[("a", Some(text))]));
        assert_eq!(seen.jobs.ready, Some(1));
        assert_eq!(seen.head, Head::Unknown(Reason::NoTimestamp), "{text}");
    }
    // The id is there, its task is gone.
    assert_eq!(
        observe(&queue(&[("a", None)])).head,
        Head::Unknown(Reason::NoTimestamp)
    );
}

#[test]
fn too_many_groups_are_unknown_and_not_zero() {
    let mut keys = queue(&[]);
    let groups: Vec<Vec<u8>> = (0..65).map(|n| format!("g{n}").into_bytes()).collect();
    keys.put("asynq:{q}:groups", Stored::Set(groups));
    let seen = observe(&keys);
    assert_eq!(
        (seen.jobs.deferred, seen.jobs_unknown),
        (None, Some(Reason::TooMany))
    );
    assert_eq!(seen.jobs.ready, Some(0));
}

#[test]
fn a_key_of_another_type_costs_its_own_queue_only() {
    let mut keys = queue(&[("a", Some("1795410854853449366"))]);
    keys.put(
        "asynq:queues",
        Stored::Set(vec![b"bad".to_vec(), b"q".to_vec(), b"worse".to_vec()]),
    )
    .put("asynq:{bad}:retry", Stored::Text(b"x".to_vec()))
    .put("asynq:{worse}:pending", Stored::Text(b"x".to_vec()));
    let outcomes = keys.poll(&mut *layout(), NOW);
    assert!(matches!(&outcomes[0], Outcome::Unreadable(r) if r.kind == RefusalKind::WrongType));
    let Outcome::Observed(seen) = &outcomes[1] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(seen.head, since(1_795_410_854_853_449));
    assert!(matches!(&outcomes[2], Outcome::Unreadable(_)));
}

#[test]
fn a_missing_right_for_the_servers_leaves_the_queues() {
    let mut layout = layout();
    layout.begin();
    assert_eq!(layout.overview(0, Vec::new(), NOW).len(), 2);
    let refused = Reply::Refused(Refusal {
        kind: RefusalKind::NotPermitted,
        message: "NOPERM no".into(),
    });
    assert!(
        layout
            .overview(1, vec![refused.clone(), refused], NOW)
            .is_empty()
    );
    assert_eq!(layout.complaints()[0].kind, RefusalKind::NotPermitted);
}

#[test]
fn what_servers_say_of_themselves_is_read() {
    let text = |case: &str, key: &str, field: Option<&str>| {
        let keys = recorded(case);
        let key: crate::layout::redis::Bytes = key.as_bytes().into();
        let read = match field {
            None => Read::Getrange(key, 1000),
            Some(field) => Read::Hget(key, field.as_bytes().into()),
        };
        keys.answer(&read).bytes().unwrap().unwrap()
    };
    let id = "{vm:13974:7403c5df-7088-4169-a3f1-7c1cc1c5388a}";
    let server = text("running", &format!("asynq:servers:{id}"), None);
    let want = Server {
        concurrency: 2,
        queues: vec![b"critical".to_vec(), b"default".to_vec()],
        status: b"active".to_vec(),
    };
    assert_eq!(Server::decode(&server), Some(want));
    let task = "073cc028-9864-449b-9aa3-81078bac14cf";
    let worker = text("running", &format!("asynq:workers:{id}"), Some(task));
    let worker = Worker::decode(&worker).unwrap();
    assert_eq!(
        (&*worker.id, &*worker.queue),
        (task.as_bytes(), &b"default"[..])
    );
    // Cut off anywhere: nothing, or fewer fields, and never a panic.
    for end in 0..server.len() {
        Server::decode(&server[..end]);
    }
    // A length beyond the end, a number without one, a field of no kind.
    for broken in [
        &[0x22, 0xff, 0xff, 0x03][..],
        &[0x20, 0x80],
        &[0x27],
        &[0xff; 11],
    ] {
        assert_eq!(Worker::decode(broken), None);
        assert_eq!(Server::decode(broken), None);
    }
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        Just(Reply::Nil),
        any::<i64>().prop_map(Reply::Int),
        (0i64..9).prop_map(Reply::Int),
        bytes.prop_map(Reply::Bytes),
        Just(Reply::Refused(Refusal {
            kind: RefusalKind::TooLarge,
            message: String::new()
        })),
    ];
    leaf.prop_recursive(2, 12, 6, |inner| {
        prop::collection::vec(inner, 0..6).prop_map(Reply::Array)
    })
}

proptest! {
    #[test]
    fn messages_of_any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        Server::decode(&bytes);
        Worker::decode(&bytes);
    }

    #[test]
    fn conversations_with_any_replies_end(replies in prop::collection::vec(any_reply(), 1..40)) {
        let mut replies = replies.into_iter().cycle();
        let mut answers = |count: usize| -> Vec<Reply> { replies.by_ref().take(count).collect() };
        let names = [&b"a"[..], b"b"].map(|raw| crate::layout::redis::QueueRef {
            raw: raw.into(),
            shown: "x".into(),
        });
        let mut layout = layout();
        for _ in 0..3 {
            layout.begin();
            let mut asked = layout.overview(0, Vec::new(), NOW).len();
            for round in 1..16 {
                if asked == 0 {
                    break;
                }
                asked = layout.overview(round, answers(asked), NOW).len();
            }
            prop_assert_eq!(asked, 0);
            let mut probe = layout.probe(&names, NOW);
            let mut asked = 0;
            let ended = (0..16).any(|_| match probe.step(answers(asked)) {
                Step::Read(reads) => {
                    asked = reads.len();
                    false
                }
                Step::Done(outcomes) => {
                    assert_eq!(outcomes.len(), names.len());
                    true
                }
            });
            prop_assert!(ended);
        }
    }
}
