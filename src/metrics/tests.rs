//! The whole exposition of a made-up world, compared with a kept one and read back.

use super::*;
use crate::clock::{self, Now};
use crate::model::ErrorKind;
use crate::model::flow::{Arrivals, FlowSample, LineHead, LineSample, Span};
use crate::model::{
    BrokerKind, BrokerState, Cost, Counters, DropReason, Head, Jobs, LatencySource, Objective,
    Objectives, Observation, PollFailure, PollSuccess, Reason, Report, Snapshot, System, Timestamp,
    Window,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

const T: i64 = 1_795_410_000_000_000;

fn at(secs: f64) -> Timestamp {
    Timestamp::from_micros(T + (secs * 1e6) as i64)
}

fn seen(system: System, name: &str) -> Observation {
    Observation::new(
        system,
        name.into(),
        Window {
            from: at(0.0),
            to: at(0.0),
        },
    )
}

fn observations() -> Vec<Observation> {
    let mut timed = seen(System::Celery, "emails \"fast\"\\\n");
    timed.jobs = Jobs {
        ready: Some(3),
        in_progress: Some(1),
        ..Jobs::default()
    };
    timed.priorities = vec![(0, 3), (9, 0)];
    timed.head = Head::exactly(at(-12.5), LatencySource::Message);
    timed.next_due = Some(at(60.0));
    let mut empty = seen(System::Rq, "default");
    empty.jobs.ready = Some(0);
    empty.head = Head::Empty;
    (empty.consumers, empty.busy_workers, empty.paused) = (Some(2), Some(0), Some(true));
    empty.oldest_in_progress = Some(at(-1.25));
    let mut untimed = seen(System::List, "jobs");
    untimed.jobs.ready = Some(5);
    untimed.head = Head::Unknown(Reason::NoTimestamp);
    let mut counted = seen(System::RabbitMq, "orders");
    counted.counters = Counters {
        enqueued: Some(10),
        finished: Some(7),
        ..Counters::default()
    };
    counted.head = Head::Since {
        earliest: at(-5.0),
        latest: at(-4.0),
        upper_is_hard: false,
        source: LatencySource::Broker,
    };
    vec![timed, empty, untimed, counted]
}

/// A queue whose jobs carry no time, at `secs`: so many ready, so many arrived.
fn flowing(secs: f64, ready: u64, total: u64) -> Observation {
    let mut flowing = seen(System::List, "flowing");
    flowing.window.to = at(secs);
    flowing.jobs.ready = Some(ready);
    flowing.prefetched = Some(2);
    flowing.flow = Some(FlowSample {
        span: Span {
            from: secs,
            to: secs,
        },
        lines: vec![LineSample {
            line: 0,
            ready,
            arrivals: Arrivals {
                total,
                epoch: 0,
                is_first: false,
                turned_over: false,
                is_pushed: false,
                ..Arrivals::default()
            },
            started: None,
            head: LineHead::PLAIN,
        }],
    });
    flowing
}

#[derive(Debug)]
struct Promised;

impl Objectives for Promised {
    fn of(&self, broker: &str, _: System, queue: &str) -> Option<Objective> {
        (broker == "main" && ["flowing", "default"].contains(&queue)).then_some(Objective {
            wait: Duration::from_secs(11),
            ratio: 0.95,
            utilization: Objective::DEFAULT_UTILIZATION,
            slots_per_worker: 1,
            service_time: None,
        })
    }
}

/// Two brokers: one polled well, one never reached.
fn world(observations: Vec<Observation>) -> (Snapshot, Now) {
    let now = Now {
        wall: at(0.0),
        mono: clock::now().mono,
    };
    let state = |name: &str, kind| {
        BrokerState::new(
            name.into(),
            kind,
            Duration::from_secs(1),
            Duration::from_secs(3),
        )
        .with_objectives(Arc::new(Promised))
    };
    let report = |broker: &str, outcome| Report {
        broker: broker.into(),
        at: now,
        interval: Duration::from_secs(1),
        cost: Cost {
            commands: BTreeMap::from([("llen", 40), ("lindex", 2)]),
            bytes_sent: 100,
            bytes_received: 200,
        },
        outcome,
    };
    let mut good = state("main", BrokerKind::Redis);
    for (secs, ready, total) in [(-20.0, 0, 0), (-10.0, 4, 4), (-5.0, 3, 5)] {
        let observations = vec![flowing(secs, ready, total)];
        let earlier = PollSuccess {
            observations,
            ..PollSuccess::default()
        };
        good.apply(report("main", Ok(earlier)));
    }
    let mut observations = observations;
    observations.push(flowing(0.0, 2, 5));
    good.apply(report(
        "main",
        Ok(PollSuccess {
            version: Some("7.0.15".into()),
            observations,
            dropped: BTreeMap::from([(DropReason::Limit, 4)]),
            ..PollSuccess::default()
        }),
    ));
    let mut bad = state("rabbit", BrokerKind::RabbitMq);
    bad.apply(report(
        "rabbit",
        Err(PollFailure {
            kind: ErrorKind::Connect,
            message: "refused".into(),
        }),
    ));
    let brokers = [good, bad]
        .map(|state| state.snapshot())
        .map(|snapshot| (Arc::clone(&snapshot.name), Arc::new(snapshot)));
    (
        Snapshot {
            brokers: brokers.into_iter().collect(),
        },
        now,
    )
}

fn text(snapshot: &Snapshot, now: Now, format: Format) -> String {
    let own = OwnMetrics::new("1.2.3", "abc", ["main", "rabbit"]).unwrap();
    own.poll_took("main", Duration::from_millis(3));
    own.poll_error("rabbit", ErrorKind::Connect);
    let mut out = Vec::new();
    render(snapshot, &own, now, format, &mut |piece| {
        out.extend_from_slice(piece)
    });
    String::from_utf8(out).unwrap()
}

/// Without what differs from run to run.
fn stable(text: &str) -> String {
    text.lines()
        .filter(|line| !line.contains("process_"))
        .fold(String::new(), |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        })
}

#[test]
fn the_exposition_is_as_kept() {
    let (snapshot, now) = world(observations());
    insta::assert_snapshot!("text", stable(&text(&snapshot, now, Format::Text)));
    insta::assert_snapshot!(
        "openmetrics",
        stable(&text(&snapshot, now, Format::OpenMetrics))
    );
}

#[test]
fn every_series_is_unique_and_of_the_catalog() {
    let (snapshot, now) = world(observations());
    let text = text(&snapshot, now, Format::Text);
    let mut series = HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (id, _) = line.rsplit_once(' ').unwrap();
        assert!(series.insert(id), "twice: {id}");
        let name = id.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|family| {
                CATALOG
                    .iter()
                    .any(|def| def.name == *family && def.kind == MetricType::Histogram)
            })
            .unwrap_or(name);
        let known = CATALOG.iter().any(|def| def.name == family);
        assert!(
            known || family.starts_with("process_"),
            "not in the catalog: {name}"
        );
    }
}

#[test]
fn a_stale_broker_keeps_its_own_series_and_loses_its_queues() {
    let (snapshot, mut now) = world(observations());
    now.mono += Duration::from_secs(4);
    let text = text(&snapshot, now, Format::Text);
    assert!(!text.contains("tailback_queue_"), "{text}");
    assert!(text.contains("tailback_broker_up{broker=\"main\"} 0\n"));
    assert!(!text.contains("tailback_broker_queues{"));
    assert!(text.contains("tailback_broker_last_success_timestamp_seconds{broker=\"main\"} "));
}

#[test]
fn two_queues_of_one_displayed_name_are_one_series_and_a_dropped_queue() {
    let (snapshot, now) = world(vec![
        seen(System::List, "a\\xff"),
        seen(System::List, "a\\xff"),
    ]);
    assert!(
        text(&snapshot, now, Format::Text).contains(
            "tailback_broker_queues_dropped{broker=\"main\",reason=\"name_collision\"} 1\n"
        )
    );
}

#[test]
fn every_le_has_a_decimal_point() {
    let (snapshot, now) = world(Vec::new());
    for part in text(&snapshot, now, Format::Text).split("le=\"").skip(1) {
        let le = part.split('"').next().unwrap();
        assert!(le == "+Inf" || le.contains('.'), "{le}");
    }
}

proptest! {
    #[test]
    fn any_name_gives_lines_of_name_labels_and_number(name in any::<String>()) {
        let mut queue = seen(System::List, &name);
        queue.jobs.ready = Some(1);
        let (snapshot, now) = world(vec![queue]);
        let text = text(&snapshot, now, Format::Text);
        for line in text.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (id, value) = line.rsplit_once(' ').unwrap();
            prop_assert!(value.parse::<f64>().is_ok(), "{}", line);
            let closed = !id.contains('{') || id.ends_with('}');
            prop_assert!(closed);
        }
    }
}
