use super::bind;
use crate::layout::redis::Outcome;
use crate::layout::testing::{Keyspace, Stored, redis};
use crate::model::{Head, LatencySource, Observation, Timestamp};

mod events;

pub(super) const RECORDED: &str = include_str!("../../../tests/fixtures/bullmq.json");

const NOW: Timestamp = Timestamp::from_micros(1_795_410_800_000_000);

const fn ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(ms * 1000)
}

fn observe(keys: &Keyspace, queue: &str) -> Observation {
    let mut layout = bind(&redis(), 1 << 20);
    let mut seen = keys.observe(&mut *layout, NOW);
    assert_eq!(seen.keys().collect::<Vec<_>>(), [queue]);
    seen.remove(queue).unwrap()
}

fn recorded(case: &str, queue: &str) -> Observation {
    observe(&Keyspace::recorded(RECORDED, case), queue)
}

/// A head of which only its place tells.
fn since(at: Timestamp) -> Head {
    Head::Since {
        earliest: at,
        latest: at,
        upper_is_hard: false,
        source: LatencySource::Message,
    }
}

#[test]
fn every_list_and_set_is_a_state() {
    let mail = recorded("v6_waiting", "mail");
    // Three in `wait`, two prioritized.
    assert_eq!(mail.jobs.ready, Some(5));
    assert_eq!(mail.jobs.scheduled, Some(1));
    assert_eq!(
        (mail.jobs.in_progress, mail.jobs.failed, mail.jobs.deferred),
        (Some(0), Some(0), Some(0))
    );
    // 7354016710991872 / 4096.
    assert_eq!(mail.next_due, Some(ms(1_795_414_236_082)));
    assert_eq!(mail.paused, Some(false));
    assert_eq!(mail.counters.enqueued, Some(6));
    assert_eq!(mail.priorities, [(0, 3), (1, 1), (5, 1)]);
    // The newest job is next, since it was put in front; the oldest is looked at as well.
    assert_eq!(mail.head, since(ms(1_795_410_636_013)));
}

#[test]
fn both_ways_to_pause_leave_the_depth_as_it_is() {
    for (case, queue, ready) in [
        ("v6_paused", "mail", 5),
        ("v5_paused", "mail", 5),
        ("v4_paused", "legacy", 2),
    ] {
        let seen = recorded(case, queue);
        assert_eq!(
            (seen.paused, seen.jobs.ready),
            (Some(true), Some(ready)),
            "{case}"
        );
    }
}

#[test]
fn running_and_failed_jobs_are_counted_and_tell_since_when() {
    let mail = recorded("v6_running", "mail");
    assert_eq!(mail.jobs.in_progress, Some(2));
    assert_eq!((mail.jobs.ready, mail.jobs.failed), (Some(4), Some(2)));
    assert_eq!(mail.jobs.scheduled, Some(2));
    let started = mail.oldest_in_progress.unwrap();
    assert!((ms(1_795_410_639_000)..ms(1_795_410_640_000)).contains(&started));
}

#[test]
fn bull_4_has_no_events_but_a_list_that_flows() {
    let legacy = recorded("v4_running", "legacy");
    assert_eq!(legacy.jobs.ready, Some(2));
    assert_eq!(legacy.jobs.in_progress, Some(1));
    assert_eq!(legacy.oldest_in_progress, Some(ms(1_795_410_696_653)));
    assert_eq!(legacy.head, since(ms(1_795_410_696_146)));
    assert_eq!(legacy.counters.started, None);
    assert_eq!(legacy.flow.unwrap().lines[0].ready, 2);
    assert!(legacy.measured.unwrap().is_sample);
}

#[test]
fn markers_are_no_jobs() {
    let mut keys = Keyspace::recorded(RECORDED, "v6_waiting");
    keys.list("bull:mail:wait", &["3", "0:1795410636082"]);
    assert_eq!(observe(&keys, "mail").jobs.ready, Some(3));
}

#[test]
fn a_job_without_a_hash_and_one_that_was_tried_before_are_not_dated_wrongly() {
    let mut keys = Keyspace::recorded(RECORDED, "v6_waiting");
    keys.list("bull:mail:wait", &["gone"]);
    keys.put("bull:mail:prioritized", Stored::Zset(Vec::new()));
    let head = observe(&keys, "mail").head;
    assert!(matches!(head, Head::Unknown(_)), "{head:?}");
    let fields = [
        ("timestamp", "1795410636013"),
        ("opts", "{\"delay\":5}"),
        ("ats", "1"),
        ("processedOn", "1795410700000"),
    ];
    let fields = fields.map(|(name, value)| (name.into(), value.into()));
    keys.put("bull:mail:gone", Stored::Hash(fields.into()));
    // Some time between its last start and now.
    let wanted = Head::Since {
        earliest: ms(1_795_410_700_000),
        latest: NOW,
        upper_is_hard: false,
        source: LatencySource::Message,
    };
    assert_eq!(observe(&keys, "mail").head, wanted);
}

#[test]
fn what_only_looks_like_a_queue_is_none() {
    let text = |text: &str| Stored::Text(text.into());
    let hash = |name: &str| Stored::Hash([(name.into(), b"x".to_vec())].into());
    let mut keys = Keyspace::default();
    keys.put("bull:user:meta", hash("name"))
        .put("bull:odd:meta", hash("opts.maxLenEvents"))
        .put("bull:text:meta", text("x"))
        .put("bull:visits:id", text("12"))
        .put("bull:named:id", text("x"))
        .list("bull:named:wait", &["1"])
        .list("bull:cart:wait", &["1"])
        .list("bull::wait", &["1"])
        .put("bull:typed:id", text("3"))
        .put("bull:typed:wait", hash("1"))
        .put("bullet:a:id", text("3"))
        .list("bullet:a:wait", &["1"]);
    let mut layout = bind(&redis(), 1 << 20);
    assert_eq!(keys.poll(&mut *layout, NOW).len(), 0);
    keys.list("bull:visits:delayed", &["1"]);
    assert_eq!(keys.poll(&mut *layout, NOW).len(), 0);
    keys.list("bull:visits:active", &["1"]);
    let found = keys.poll(&mut *layout, NOW);
    assert!(
        matches!(found.as_slice(), [Outcome::Unreadable(_)]),
        "{found:?}"
    );
}

#[test]
fn a_prefix_may_hold_braces_and_stars() {
    for prefix in ["{bull}", "a*", "[x]:y"] {
        let mut redis = redis();
        redis.bullmq.prefix = prefix.to_owned();
        let mut layout = bind(&redis, 1 << 20);
        let mut keys = Keyspace::default();
        let version = [("version".into(), b"bullmq:5.0.0".to_vec())];
        keys.put(&format!("{prefix}:mail:meta"), Stored::Hash(version.into()));
        keys.list(&format!("{prefix}:mail:wait"), &["1", "2"]);
        let seen = keys.observe(&mut *layout, NOW);
        assert_eq!(seen["mail"].jobs.ready, Some(2), "{prefix}");
    }
}
