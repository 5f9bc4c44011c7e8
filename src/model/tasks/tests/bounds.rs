//! However much is told, little is kept, and the oldest is.

use super::*;
use crate::model::MeasuredView;
use crate::model::flow::{Settings, Witness};
use proptest::prelude::*;

#[test]
fn a_million_waiting_tasks_keep_their_waits() {
    const TASKS: u32 = 1_000_000;
    let mut log = log();
    for number in 0..TASKS {
        let event = sent(
            f64::from(number) / 1000.0,
            &number.to_string(),
            "mail",
            0,
            None,
        );
        log.take(&event, event.at);
    }
    let report = log.report(at(1000.0));
    assert_eq!((report.waiting, report.losses.sum()), (u64::from(TASKS), 0));
    // Taken in order from 2000 s on, ten thousand a second: the first has waited the longest.
    let buckets: std::sync::Arc<[f64]> = [1005.0, 1500.0, 1999.0, 2000.5].into();
    let settings = Settings {
        buckets: &buckets,
        objective: None,
        starts: u64::MAX,
        witness: &Witness::default(),
    };
    let mut view = None;
    let mut longest = Duration::ZERO;
    for number in 0..TASKS {
        let (id, start) = (number.to_string(), 2000.0 + f64::from(number) / 10_000.0);
        for event in [
            received(start, &id, "send", 0),
            of_worker(start, &id, TaskStep::Started),
            of_worker(start, &id, SUCCESS),
        ] {
            log.take(&event, event.at);
        }
        if number % 10_000 == 9_999 {
            let told = told(&mut log, "mail", start).measured;
            longest = longest.max(told.waits.iter().copied().max().unwrap());
            view = Some(MeasuredView::after(view, &told, &settings));
            log.report(at(start));
        }
    }
    let view = view.unwrap();
    let waits = view.sampled_waits.as_ref().unwrap();
    assert_eq!(longest, Duration::from_secs(2000));
    assert_eq!(waits.count(), u64::from(TASKS));
    // The wait of task n is 2000 s - n * 0.9 ms.
    let counted: Vec<u64> = waits.buckets().map(|(_, within)| within).collect();
    for (counted, bound) in counted.iter().zip([1005.0, 1500.0, 1999.0, 2000.5]) {
        let wanted = 1e6 - ((2000.0 - bound) / 0.0009_f64).clamp(0.0, 1e6);
        assert!(
            (*counted as f64 - wanted).abs() <= 2.0,
            "{bound}: {counted} {wanted}"
        );
    }
    let report = log.report(at(2200.0));
    assert_eq!((report.waiting, report.losses.sum()), (0, 0));
}

#[test]
fn beyond_its_limit_it_is_the_newest_that_are_not_kept() {
    let mut log = TaskLog::new(Limits {
        waiting: 10,
        tasks: 3,
    });
    for number in 0..15 {
        feed(
            &mut log,
            &[sent(f64::from(number), &number.to_string(), "q", 0, None)],
        );
    }
    for number in 0..15 {
        feed(
            &mut log,
            &[of_worker(100.0, &number.to_string(), TaskStep::Started)],
        );
    }
    let waits = waits(&mut log, "q");
    assert_eq!((waits.len(), waits[0], waits[9]), (10, 100.0, 91.0));
    let losses = log.report(at(100.0)).losses;
    assert_eq!((losses.of(Loss::Full), losses.of(Loss::Unmatched)), (5, 5));
}

#[test]
fn names_beyond_the_limit_are_other() {
    let mut log = log();
    for number in 0..5 {
        let (id, name) = (format!("i{number}"), format!("t{number}"));
        feed(
            &mut log,
            &[
                received(1.0, &id, &name, 0),
                of_worker(2.0, &id, TaskStep::Started),
            ],
        );
    }
    let report = log.report(at(3.0));
    assert_eq!(report.tasks.len(), 4);
    assert_eq!(counts(&report, OTHER).started, 2);
}

#[test]
fn what_was_purged_is_forgotten_once_the_queue_is_empty() {
    let mut log = log();
    feed(
        &mut log,
        &[
            sent(0.0, "a", "q", 0, None),
            sent(0.0, "b", "other", 0, None),
        ],
    );
    feed(&mut log, &[sent(100.0, "c", "q", 0, None)]);
    let busy = log.busy(at(101.0));
    log.queue("q", &busy, Some(at(101.0)), at(101.0));
    assert_eq!(log.report(at(101.0)).waiting, 2);
    feed(&mut log, &[of_worker(102.0, "c", TaskStep::Started)]);
    feed(&mut log, &[of_worker(102.0, "b", TaskStep::Revoked)]);
    assert_eq!(log.report(at(103.0)).waiting, 0);
}

#[test]
fn times_that_nobody_asks_for_do_not_pile_up() {
    let mut log = log();
    for number in 0..1000 {
        let id = number.to_string();
        feed(
            &mut log,
            &[
                sent(0.0, &id, "hidden", 0, None),
                of_worker(1.0, &id, TaskStep::Started),
            ],
        );
    }
    log.report(at(30.0));
    log.report(at(90.0));
    let told = told(&mut log, "hidden", 91.0).measured;
    assert_eq!((told.waits.len(), told.has_gap), (0, true));
}

fn any_event() -> impl Strategy<Value = Event> {
    let step = prop_oneof![
        (0u32..3, prop::option::of(0.0..100.0)).prop_map(|(attempt, due)| TaskStep::Sent {
            queue: Some("q".into()),
            attempt,
            due: due.map(at),
        }),
        (0u32..3).prop_map(|attempt| TaskStep::Received {
            name: "t".into(),
            attempt
        }),
        Just(TaskStep::Started),
        Just(SUCCESS),
        Just(TaskStep::Failed),
        Just(TaskStep::Retried),
        Just(TaskStep::Revoked),
    ];
    (0.0..100.0, 0u8..4, 0u8..3, step).prop_map(|(secs, id, worker, step)| {
        task(&format!("w{worker}@h{worker}"), secs, &id.to_string(), step)
    })
}

proptest! {
    #[test]
    fn whatever_is_told_no_wait_is_longer_than_time_and_every_start_is_counted_once_at_most(
        events in prop::collection::vec(any_event(), 0..60),
    ) {
        let mut log = log();
        let mut starts = 0;
        for event in &events {
            starts += u64::from(event.what.kind() == EventKind::Started);
            log.take(event, at(100.0));
        }
        let busy = log.busy(at(100.0));
        if let Some(told) = log.queue("q", &busy, None, at(100.0)) {
            prop_assert!(told.measured.waits.len() as u64 <= starts);
            for wait in told.measured.waits {
                prop_assert!(wait <= Duration::from_secs(200), "{wait:?}");
            }
        }
        let report = log.report(at(100.0));
        prop_assert!(report.tasks.iter().map(|task| task.counts.started).sum::<u64>() <= starts);
        prop_assert_eq!(report.events.sum(), events.len() as u64);
    }
}
