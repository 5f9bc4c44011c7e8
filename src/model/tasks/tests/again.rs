//! Events that come twice or in another order.

use super::*;

#[test]
fn the_same_events_again_change_nothing() {
    let mut log = log();
    let once = [
        sent(0.0, "a", "q", 0, None),
        received(1.0, "a", "t", 0),
        of_worker(2.0, "a", TaskStep::Started),
        of_worker(3.0, "a", TaskStep::Failed),
    ];
    let twice: Vec<Event> = once
        .iter()
        .flat_map(|event| [event.clone(), event.clone()])
        .collect();
    feed(&mut log, &twice);
    feed(&mut log, &once);
    assert_eq!(waits(&mut log, "q"), [2.0]);
    assert_eq!(told(&mut log, "q", 3.0).failures, 1);
    let report = log.report(at(4.0));
    let counts = counts(&report, "t");
    assert_eq!((counts.started, counts.failures, report.waiting), (1, 1, 0));
}

/// A worker sends what it has gathered in one message, and that twice.
#[test]
fn a_message_about_several_attempts_that_comes_again_changes_nothing() {
    let message = [
        received(1.0, "a", "t", 0),
        of_worker(2.0, "a", TaskStep::Started),
        sent(2.1, "a", "q", 1, Some(12.0)),
        received(2.2, "a", "t", 1),
        of_worker(2.3, "a", TaskStep::Retried),
    ];
    let by_another = task(
        "w2@host",
        2.2,
        "a",
        TaskStep::Received {
            name: "t".into(),
            attempt: 1,
        },
    );
    for received_by in [message[3].clone(), by_another] {
        let mut message = message.clone();
        let worker = received_by.sender.clone();
        message[3] = received_by;
        let mut log = log();
        let first = sent(0.0, "a", "q", 0, None);
        for again in 0..3 {
            feed(&mut log, std::slice::from_ref(&first));
            feed(&mut log, &message);
            assert_eq!(log.report(at(2.0)).waiting, 1, "{again}");
        }
        assert_eq!(told(&mut log, "q", 3.0).retries, 1);
        feed(&mut log, &[task(&worker, 12.5, "a", TaskStep::Started)]);
        feed(&mut log, &message);
        feed(&mut log, &[task(&worker, 14.0, "a", SUCCESS)]);
        feed(&mut log, &message);
        assert_eq!(waits(&mut log, "q"), [0.5]);
        assert_eq!(told(&mut log, "q", 15.0).retries, 1);
        let report = log.report(at(15.0));
        assert_eq!((report.waiting, report.losses.sum()), (0, 0));
    }
}

#[test]
fn events_in_another_order_tell_the_same() {
    let events = [
        sent(0.0, "a", "q", 0, None),
        received(0.1, "a", "t", 0),
        of_worker(0.2, "a", TaskStep::Started),
        of_worker(1.7, "a", SUCCESS),
    ];
    // A worker's own events keep their order; the sending may be told whenever.
    for place in 0..4 {
        let mut order = events[1..].to_vec();
        order.insert(place, events[0].clone());
        let mut log = log();
        for event in &order {
            log.take(event, at(1.8));
        }
        let told = told(&mut log, "q", 4.0).measured;
        assert_eq!(
            told.waits,
            [Duration::from_millis(200)],
            "sent at place {place}"
        );
        assert_eq!(
            told.runs,
            [Duration::from_millis(1500)],
            "sent at place {place}"
        );
        let report = log.report(at(4.0));
        let counts = counts(&report, "t");
        assert_eq!(
            (counts.started, counts.succeeded, report.waiting),
            (1, 1, 0)
        );
    }
    // The end before the start.
    let mut log = log();
    feed(
        &mut log,
        &[
            events[0].clone(),
            events[1].clone(),
            events[3].clone(),
            events[2].clone(),
        ],
    );
    assert_eq!(waits(&mut log, "q"), [0.2]);
    let counts = counts(&log.report(at(4.0)), "t");
    assert_eq!((counts.started, counts.succeeded), (1, 1));
}
