//! Real Celery producers and workers on a real RabbitMQ.

use super::*;
use crate::support::process::PATIENCE;
use crate::support::python::Celery;
use serde_json::Value;
use std::path::Path;

/// What a worker's `hold` tasks wait for.
fn release(dir: &Path) -> (std::path::PathBuf, String) {
    let path = dir.join("release");
    let json = json!(path).to_string();
    (path, json)
}

fn system(success: &PollSuccess, queue: &str) -> Option<System> {
    success
        .observations
        .iter()
        .find(|seen| &*seen.queue == queue)
        .map(|seen| seen.system)
}

#[test]
fn celerys_numbers_are_those_of_its_workers() {
    compare(&json!({}));
}

#[test]
fn celerys_numbers_in_quorum_queues_are_those_of_its_workers() {
    compare(&json!({"task_default_queue_type": "quorum"}));
}

fn compare(settings: &Value) {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let celery = Celery::new(&rabbit.url(&vhost)).settings(settings);
    rabbit.declare(&vhost, "not-celerys", &json!({}));
    let mut poller = Poller::of(rabbit, &vhost, "");

    // A producer with the default queue, and no worker ever.
    celery.send("celery", 1, &[]);
    celery.send(
        "early",
        10,
        &["--task", "hold", "--arg", &release(dir.path()).1],
    );
    celery.send(
        "late",
        10,
        &["--task", "hold_late", "--arg", &release(dir.path()).1],
    );
    let waiting = poller.await_queue("early", |seen| {
        (seen.jobs.ready, seen.consumers) == (Some(10), Some(0))
    });
    assert_eq!(waiting.system, System::Celery);
    assert_eq!(waiting.jobs.ready, Some(celery.depth("early")));
    assert_eq!(waiting.head, Head::Unknown(Reason::NoTimestamp));

    let options = ["-c", "1", "--prefetch-multiplier", "4"];
    let early = celery.worker("early", &options, dir.path());
    let late = celery.worker("late", &options, dir.path());
    // The running task of the one is acknowledged, that of the other is not. The broker tells depths,
    // consumers and counters each in its own time.
    poller.await_queue("early", |seen| {
        (seen.jobs.ready, seen.jobs.in_progress, seen.consumers) == (Some(5), Some(4), Some(1))
            && (seen.counters.started, seen.counters.finished) == (Some(5), Some(1))
    });
    poller.await_queue("late", |seen| {
        (seen.jobs.ready, seen.jobs.in_progress, seen.consumers) == (Some(6), Some(4), Some(1))
            && (seen.counters.started, seen.counters.finished) == (Some(4), Some(0))
    });

    std::fs::write(release(dir.path()).0, "").unwrap();
    for queue in ["early", "late"] {
        let done = poller.await_queue(queue, |seen| {
            (seen.jobs.ready, seen.jobs.in_progress) == (Some(0), Some(0))
                && (seen.counters.started, seen.counters.finished) == (Some(10), Some(10))
        });
        assert_eq!((done.counters.enqueued, done.head), (Some(10), Head::Empty));
    }

    // The workers' own queues are not shown, and theirs stay Celery's when they are gone. Beside quorum
    // queues there are those of delayed delivery.
    let with_workers = poller.poll().unwrap();
    let shown: Vec<_> = (names(&with_workers).into_iter())
        .filter(|name| *name != "celery_delayed")
        .collect();
    assert_eq!(shown, ["celery", "early", "late", "not-celerys"]);
    drop((early, late));
    let mut later = Poller::of(rabbit, &vhost, "");
    let success = later.poll().unwrap();
    for queue in ["celery", "early", "late"] {
        assert_eq!(system(&success, queue), Some(System::Celery), "{queue}");
    }
    assert_eq!(system(&success, "not-celerys"), Some(System::RabbitMq));
}

#[test]
fn a_timestamp_on_celerys_messages_tells_how_long_they_wait() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let celery = Celery::new(&rabbit.url(&vhost));
    let (before, after) = celery.send("celery", 2, &["--timestamp"]);
    let mut poller = Poller::of(rabbit, &vhost, "");
    let seen = poller.await_queue("celery", |seen| matches!(seen.head, Head::Since { .. }));
    let Head::Since {
        earliest, latest, ..
    } = seen.head
    else {
        unreachable!()
    };
    assert!(
        earliest.as_secs_f64() <= after && latest.as_secs_f64() >= before,
        "{seen:?}"
    );
}

#[test]
fn natively_delayed_tasks_are_scheduled_in_one_queue() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let celery = Celery::new(&rabbit.url(&vhost)).settings(&json!({
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
    }));
    // The worker makes the queues of delayed delivery.
    let worker = celery.worker("celery", &["-c", "1"], dir.path());
    celery.send("celery", 3, &["--countdown", "3600"]);
    celery.send("celery", 2, &["--countdown", "90000"]);
    let mut poller = Poller::of(rabbit, &vhost, "");
    let delayed = poller.await_queue("celery_delayed", |seen| seen.jobs.scheduled == Some(5));
    assert_eq!((delayed.system, delayed.jobs.ready), (System::Celery, None));
    assert_eq!(names(&poller.poll().unwrap()), ["celery", "celery_delayed"]);
    drop(worker);
}

/// Tasks that are due later, of which a worker has taken all that it may.
fn hold_tasks_until_they_are_due(settings: &Value) {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let celery = Celery::new(&rabbit.url(&vhost)).settings(settings);
    celery.send("celery", 3, &["--countdown", "3600"]);
    let mut poller = Poller::of(rabbit, &vhost, "");
    poller.await_queue("celery", |seen| {
        (seen.jobs.ready, seen.jobs.in_progress) == (Some(3), Some(0))
    });
    let mut worker = celery.worker("celery", &["-c", "1"], dir.path());
    let held = poller.await_queue("celery", |seen| {
        seen.jobs.in_progress == Some(3) && seen.counters.started == Some(3)
    });
    assert_eq!((held.jobs.ready, held.head), (Some(0), Head::Empty));
    // What comes later passes them by.
    celery.send("celery", 5, &[]);
    poller.await_queue("celery", |seen| {
        (seen.counters.enqueued, seen.counters.finished) == (Some(8), Some(5))
    });
    poller.await_queue("celery", |seen| {
        (seen.jobs.ready, seen.jobs.in_progress) == (Some(0), Some(3))
    });
    // Without the worker they wait again, and have been handed out before.
    worker.signal("KILL");
    worker.wait(PATIENCE);
    let back = poller.await_queue("celery", |seen| {
        (seen.jobs.ready, seen.jobs.in_progress) == (Some(3), Some(0))
    });
    assert_eq!(
        (back.counters.started, back.counters.finished),
        (Some(8), Some(5))
    );
}

#[test]
fn tasks_that_are_due_later_are_held_by_workers() {
    hold_tasks_until_they_are_due(&json!({}));
}

#[test]
fn tasks_that_are_due_later_are_held_by_workers_of_quorum_queues() {
    // To a direct exchange nothing is delivered with a delay.
    hold_tasks_until_they_are_due(&json!({"task_default_queue_type": "quorum"}));
}
