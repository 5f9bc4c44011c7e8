//! Real Dramatiq producers and workers on a real RabbitMQ, compared with Dramatiq's own counts.

use super::*;
use crate::support::process::{PATIENCE, Process};
use crate::support::python::{App, python_of};
use serde_json::Value;
use std::path::Path;

/// An application whose failed jobs wait long before they are tried again.
fn app(rabbit: &RabbitMq, vhost: &str) -> App {
    App::new()
        .env("BROKER_URL", &rabbit.url(vhost))
        .env("BACKOFF_MS", "600000")
}

fn send(app: &App, args: &[&str]) -> Value {
    python_of(app, "dramatiq_app.py", args)
}

/// Runs two jobs at once, and holds four.
fn worker(app: &App, dir: &Path) -> Process {
    let args = ["dramatiq_app", "--processes=1", "--threads=2"];
    let mut worker = app.spawn("dramatiq", &args, dir);
    worker.wait_ready(PATIENCE, |process| {
        process.output().contains("Worker process is ready")
    });
    worker
}

fn states(seen: &Observation) -> [Option<u64>; 4] {
    let jobs = seen.jobs;
    [jobs.ready, jobs.in_progress, jobs.scheduled, jobs.failed]
}

#[test]
fn dramatiqs_three_queues_are_one_with_its_own_counts() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let app = app(rabbit, &vhost);
    // Somebody else's, of such names, and one of Dramatiq's that is not there in full.
    for queue in ["other", "other.DQ", "other.XQ", "part", "part.XQ"] {
        let arguments = match queue {
            "part" => {
                json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "part.XQ"})
            }
            _ => json!({}),
        };
        rabbit.declare(&vhost, queue, &arguments);
    }
    let mut poller = Poller::of(rabbit, &vhost, "");
    let sent = send(&app, &["fail", "3"]);
    assert_eq!(sent["size"], json!([3, 0, 0]));
    let waiting = poller.await_queue("mail", |seen| {
        states(seen) == [3, 0, 0, 0].map(Some) && seen.consumers == Some(0)
    });
    assert_eq!(waiting.system, System::Dramatiq);
    let success = poller.poll().unwrap();
    assert_eq!(
        names(&success),
        ["mail", "other", "other.DQ", "other.XQ", "part", "part.XQ"]
    );
    let others = success.observations.iter().skip(1);
    assert!(
        others
            .into_iter()
            .all(|seen| seen.system == System::RabbitMq)
    );

    let mut worker = worker(&app, dir.path());
    poller.await_queue("mail", |seen| states(seen) == [0, 0, 0, 3].map(Some));
    let release = dir.path().join("release");
    send(&app, &["hold", "6", "--arg", release.to_str().unwrap()]);
    send(&app, &["noop", "2", "--delay", "3600000"]);
    send(&app, &["flaky", "1"]);
    let last = send(&app, &["noop", "5"]);
    // Four are held; what is delayed is held by the worker too.
    assert_eq!(last["size"], json!([2 + 1 + 5, 0, 3]));
    let held = poller.await_queue("mail", |seen| states(seen) == [8, 4, 2, 3].map(Some));
    assert_eq!(held.consumers, Some(1));
    std::fs::write(release, "").unwrap();
    // The failed one is tried again later.
    let done = poller.await_queue("mail", |seen| {
        states(seen) == [0, 0, 3, 3].map(Some) && seen.counters.finished == Some(12)
    });
    assert_eq!(done.head, Head::Empty);
    let counters = done.counters;
    assert_eq!(
        (counters.enqueued, counters.started, counters.redelivered),
        (Some(15), Some(15), Some(0))
    );
    // Failures for good are rejected, which is no acknowledgement.
    assert_eq!(counters.finished, Some(12));
    worker.signal("TERM");
    worker.wait(PATIENCE);
    let last = send(&app, &["noop", "1"]);
    assert_eq!(last["size"], json!([1, 3, 3]));
    poller.await_queue("mail", |seen| states(seen) == [1, 0, 3, 3].map(Some));

    // The depth of the queue in which jobs wait is to be had at once.
    let mut fresh = Poller::of(rabbit, &vhost, "declare = [\"mail\"]");
    fresh.poll().unwrap();
    send(&app, &["noop", "4"]);
    let seen = fresh.poll().unwrap();
    assert_eq!(states(&seen.observations[0]), [5, 0, 3, 3].map(Some));
}
