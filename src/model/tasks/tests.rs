mod again;
mod bounds;

use super::*;
use crate::model::Timestamp;
use std::time::Duration;

const LIMITS: Limits = Limits {
    waiting: 1_500_000,
    tasks: 3,
};

fn at(secs: f64) -> Timestamp {
    Timestamp::from_secs_f64(1_795_000_000.0 + secs).unwrap()
}

fn log() -> TaskLog {
    TaskLog::new(LIMITS)
}

fn task(sender: &str, secs: f64, id: &str, step: TaskStep) -> Event {
    Event {
        sender: sender.to_owned(),
        at: at(secs),
        what: What::Task {
            id: id.to_owned(),
            step,
        },
    }
}

fn sent(secs: f64, id: &str, queue: &str, attempt: u32, due: Option<f64>) -> Event {
    let step = TaskStep::Sent {
        queue: Some(queue.to_owned()),
        attempt,
        due: due.map(at),
    };
    task("gen1@web", secs, id, step)
}

fn received(secs: f64, id: &str, name: &str, attempt: u32) -> Event {
    let name = name.to_owned();
    task("w@host", secs, id, TaskStep::Received { name, attempt })
}

fn of_worker(secs: f64, id: &str, step: TaskStep) -> Event {
    task("w@host", secs, id, step)
}

fn alive(secs: f64, active: u64) -> Event {
    Event {
        sender: "w@host".to_owned(),
        at: at(secs),
        what: What::Worker(WorkerState::Alive {
            active: Some(active),
            every: Some(Duration::from_secs(2)),
        }),
    }
}

const SUCCESS: TaskStep = TaskStep::Succeeded {
    runtime: Some(Duration::from_millis(1500)),
};

/// Takes events that arrive a tenth of a second after their times, in this order.
fn feed(log: &mut TaskLog, events: &[Event]) {
    for event in events {
        log.take(event, event.at.plus(Duration::from_millis(100)));
    }
}

fn told(log: &mut TaskLog, queue: &str, secs: f64) -> QueueTold {
    let busy = log.busy(at(secs));
    log.queue(queue, &busy, None, at(secs)).unwrap()
}

fn waits(log: &mut TaskLog, queue: &str) -> Vec<f64> {
    let waits = told(log, queue, 100.0).measured.waits;
    waits.iter().map(Duration::as_secs_f64).collect()
}

fn counts(report: &EventsReport, name: &str) -> TaskCounts {
    let task = report.tasks.iter().find(|task| &*task.name == name);
    task.map_or_else(TaskCounts::default, |task| task.counts)
}

#[test]
fn a_task_waits_from_its_sending_or_its_due_time_to_its_start() {
    let mut log = log();
    feed(
        &mut log,
        &[
            sent(0.0, "a", "mail", 0, None),
            sent(0.0, "b", "mail", 0, Some(30.0)),
            sent(0.0, "c", "mail", 0, Some(-30.0)),
            received(5.0, "a", "send", 0),
            received(5.0, "b", "send", 0),
            received(5.0, "c", "send", 0),
            of_worker(7.0, "a", TaskStep::Started),
            of_worker(8.0, "c", TaskStep::Started),
            of_worker(8.5, "a", SUCCESS),
            of_worker(9.0, "c", TaskStep::Failed),
            of_worker(31.0, "b", TaskStep::Started),
        ],
    );
    assert_eq!(waits(&mut log, "mail"), [7.0, 8.0, 1.0]);
    let told = told(&mut log, "mail", 100.0);
    assert_eq!((told.failures, told.retries), (1, 0));
    // Each time is told once.
    assert_eq!(told.measured.waits, [] as [Duration; 0]);
    let report = log.report(at(100.0));
    let send = counts(&report, "send");
    assert_eq!((send.started, send.succeeded, send.failures), (3, 1, 1));
    let runs: Vec<_> = report.tasks.iter().flat_map(|task| &task.runs).collect();
    assert_eq!(
        runs,
        [&Duration::from_millis(1500), &Duration::from_secs(1)]
    );
    assert_eq!(report.losses.sum(), 0);
}

#[test]
fn a_retry_waits_from_when_it_is_due() {
    // As a real worker told it: it has the retry before it tells of it.
    let mut log = log();
    feed(
        &mut log,
        &[
            sent(0.0, "a", "q", 0, None),
            received(1.0, "a", "t", 0),
            of_worker(2.0, "a", TaskStep::Started),
            received(2.1, "a", "t", 1),
            sent(2.1, "a", "q", 1, Some(12.0)),
            of_worker(2.2, "a", TaskStep::Retried),
            of_worker(12.5, "a", TaskStep::Started),
            sent(12.6, "a", "q", 2, Some(20.0)),
            of_worker(12.7, "a", TaskStep::Retried),
            received(12.8, "a", "t", 2),
            of_worker(21.0, "a", TaskStep::Started),
            of_worker(22.5, "a", SUCCESS),
        ],
    );
    assert_eq!(waits(&mut log, "q"), [2.0, 0.5, 1.0]);
    let told = told(&mut log, "q", 30.0);
    assert_eq!((told.retries, told.failures), (2, 0));
    let report = log.report(at(30.0));
    let counts = counts(&report, "t");
    assert_eq!(
        (counts.started, counts.retries, counts.succeeded),
        (3, 2, 1)
    );
    assert_eq!((report.waiting, report.losses.sum()), (0, 0));
}

#[test]
fn a_task_that_another_worker_gets_again_has_waited_once() {
    let mut log = log();
    feed(
        &mut log,
        &[
            sent(0.0, "a", "q", 0, None),
            received(1.0, "a", "t", 0),
            of_worker(2.0, "a", TaskStep::Started),
            // The worker has died: `acks_late` gives it to the next.
            task(
                "w2@host",
                60.0,
                "a",
                TaskStep::Received {
                    name: "t".into(),
                    attempt: 0,
                },
            ),
            task("w2@host", 61.0, "a", TaskStep::Started),
            task("w2@host", 62.5, "a", SUCCESS),
        ],
    );
    assert_eq!(waits(&mut log, "q"), [2.0]);
    let report = log.report(at(70.0));
    let counts = counts(&report, "t");
    assert_eq!((counts.started, counts.succeeded), (2, 1));
    assert_eq!(report.losses.of(Loss::Unmatched), 1);
}

#[test]
fn clocks_that_disagree_are_seen_through() {
    // The worker's clock is 40 s behind or ahead.
    for ahead in [-40.0, -5.0, 5.0, 40.0] {
        let mut log = log();
        let heartbeat = alive(ahead - 10.0, 0);
        log.take(&heartbeat, at(-9.999));
        for (event, secs) in [
            (sent(0.0, "a", "q", 0, None), 0.001),
            (received(3.0 + ahead, "a", "t", 0), 3.9),
            (of_worker(3.0 + ahead, "a", TaskStep::Started), 3.9),
        ] {
            log.take(&event, at(secs));
        }
        let waits = waits(&mut log, "q");
        assert_eq!(waits.len(), 1);
        assert!((waits[0] - 3.0).abs() < 0.01, "{ahead}: {waits:?}");
    }
    // A host that is heard for the first time: nobody knows whether its clock is behind, or its events
    // come late.
    let mut log = log();
    log.take(&sent(0.0, "a", "q", 0, None), at(0.1));
    for (id, step) in [("a", TaskStep::Started), ("a", SUCCESS)] {
        log.take(&of_worker(30.0, id, step), at(60.0));
    }
    let told = self::told(&mut log, "q", 61.0).measured;
    assert_eq!((told.waits.len(), told.runs.len()), (0, 1));
    log.take(
        &task(
            "gen1@new",
            30.0,
            "b",
            TaskStep::Sent {
                queue: Some("q".into()),
                attempt: 0,
                due: None,
            },
        ),
        at(62.0),
    );
    log.take(&of_worker(63.0, "b", TaskStep::Started), at(63.0));
    assert_eq!(waits(&mut log, "q"), [] as [f64; 0]);
    let report = log.report(at(64.0));
    assert_eq!(
        (report.losses.of(Loss::Clocks), report.losses.sum()),
        (2, 2)
    );
    assert_eq!(report.waiting, 0);
    // By a little: never negative.
    let mut log = self::log();
    log.take(&sent(1.0, "a", "q", 0, None), at(1.0));
    log.take(&of_worker(0.8, "a", TaskStep::Started), at(1.0));
    assert_eq!(waits(&mut log, "q"), [0.0]);
    // A start long before it was due is no wait at all.
    feed(
        &mut log,
        &[
            sent(1.0, "b", "q", 0, Some(90.0)),
            of_worker(2.0, "b", TaskStep::Started),
        ],
    );
    assert_eq!(waits(&mut log, "q"), [] as [f64; 0]);
    assert_eq!(log.report(at(3.0)).losses.of(Loss::Clocks), 1);
}

#[test]
fn without_their_sending_tasks_are_counted_and_waits_are_not_made_up() {
    let mut log = log();
    feed(
        &mut log,
        &[
            received(1.0, "a", "t", 0),
            of_worker(2.0, "a", TaskStep::Started),
            of_worker(3.5, "a", SUCCESS),
            of_worker(4.0, "never seen", SUCCESS),
        ],
    );
    assert!(log.queue("q", &log.busy(at(4.0)), None, at(4.0)).is_none());
    let report = log.report(at(4.0));
    assert_eq!(counts(&report, "t").started, 1);
    assert_eq!(counts(&report, OTHER).succeeded, 1);
    assert_eq!(report.losses.of(Loss::Unmatched), 1);
    assert_eq!(
        report
            .tasks
            .iter()
            .map(|task| task.runs.len())
            .sum::<usize>(),
        2
    );
}

#[test]
fn a_stream_that_broke_off_is_a_gap_of_every_queue_that_was_told_of() {
    let mut log = log();
    feed(&mut log, &[sent(0.0, "a", "q", 0, None)]);
    assert!(!told(&mut log, "q", 1.0).measured.has_gap);
    log.gap(Loss::Disconnected);
    feed(&mut log, &[sent(2.0, "b", "new", 0, None)]);
    assert!(told(&mut log, "q", 3.0).measured.has_gap);
    assert!(!told(&mut log, "q", 4.0).measured.has_gap);
    assert!(!told(&mut log, "new", 4.0).measured.has_gap);
    assert_eq!(log.report(at(5.0)).losses.of(Loss::Disconnected), 1);
    // What was sent before is still known.
    feed(&mut log, &[of_worker(9.0, "a", TaskStep::Started)]);
    assert_eq!(waits(&mut log, "q"), [9.0]);
}

#[test]
fn a_queue_is_busy_with_what_its_workers_confirm() {
    let mut log = log();
    feed(
        &mut log,
        &[
            alive(0.0, 0),
            sent(0.0, "a", "q", 0, None),
            received(1.0, "a", "t", 0),
            of_worker(1.0, "a", TaskStep::Started),
        ],
    );
    assert_eq!(told(&mut log, "q", 2.0).busy, Some(1));
    assert_eq!(log.report(at(2.0)).workers, Some(1));
    // One whose queue is not told may be any queue's.
    feed(
        &mut log,
        &[
            received(3.0, "x", "t", 0),
            of_worker(3.0, "x", TaskStep::Started),
        ],
    );
    assert_eq!(told(&mut log, "q", 3.5).busy, None);
    feed(&mut log, &[of_worker(4.0, "x", SUCCESS), alive(4.0, 1)]);
    assert_eq!(told(&mut log, "q", 4.5).busy, Some(1));
    log.gap(Loss::Disconnected);
    assert_eq!(told(&mut log, "q", 4.6).busy, None);
    // The worker is killed and comes back: it runs nothing.
    let online = Event {
        what: What::Worker(WorkerState::Online),
        ..alive(8.0, 0)
    };
    feed(&mut log, &[online]);
    assert_eq!(told(&mut log, "q", 8.5).busy, Some(0));
    // Nobody tells anything any more.
    assert_eq!(told(&mut log, "q", 60.0).busy, None);
    assert_eq!(log.report(at(60.0)).workers, None);
}
