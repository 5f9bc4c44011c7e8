//! How long Celery's tasks wait on RabbitMQ: each writes down when it was sent and when it started,
//! and what tailback tells from the counters alone must agree.

use super::flow::{Score, Truth, Watch, unix};
use super::*;
use crate::support::python::Celery;
use serde_json::Value;
use std::fs;
use std::thread::sleep;
use tailback::model::{QueueSnapshot, Waits};

/// Tasks sent at once, with a pause between.
const BATCHES: [u32; 3] = [3000, 1500, 500];
/// Arrival and departure are each known to 5 s and more.
const NOTED_SECS: f64 = 8.0;

/// A depth is up to so old.
const DEPTH_SECS: f64 = 11.0;

/// Runs the batches through a worker and compares.
fn compare(kind: &str, settings: &Value) {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let times = dir.path().join("times");
    let celery = Celery::new(&rabbit.url(&vhost)).settings(settings);
    // With this prefetch, delivery and start are the same.
    let worker = celery.worker("celery", &["-c", "1"], dir.path());
    let recorded = || fs::read_to_string(&times).map_or(0, |times| times.lines().count());
    let mut watch = Watch::new(rabbit, &vhost);
    // A quorum queue is counted from its tenth second on.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(25) {
        watch.poll();
        sleep(Duration::from_millis(2500));
    }
    let mut seen = Vec::new();
    let sending = {
        let (celery, times) = (celery.clone(), times.to_str().unwrap().to_owned());
        std::thread::spawn(move || {
            for batch in BATCHES {
                celery.send("celery", batch, &["--record", &times]);
                sleep(Duration::from_secs(4));
            }
        })
    };
    let all = BATCHES.iter().sum::<u32>();
    let limit = Instant::now() + Duration::from_secs(200);
    let mut waits: Option<Waits> = None;
    while Instant::now() < limit {
        // Beside it are the queues of delayed delivery.
        let is_it = |(queue, _): &(QueueSnapshot, _)| &*queue.queue == "celery";
        for (queue, span) in watch.poll().into_iter().filter(is_it) {
            assert_eq!(queue.system, System::Celery);
            waits = queue.flow.as_ref().and_then(|flow| flow.waits.clone());
            seen.push((queue.latency, span, unix()));
        }
        let counted = waits.as_ref().map_or(0, Waits::count);
        if recorded() >= all as usize && counted >= u64::from(all) - u64::from(all) / 20 {
            break;
        }
        sleep(Duration::from_millis(2500));
    }
    sending.join().unwrap();
    drop(worker);

    let times = fs::read_to_string(&times).unwrap();
    let pairs: Vec<(f64, f64)> = times
        .lines()
        .map(|line| {
            let (sent, started) = line.split_once(' ').unwrap();
            (sent.parse().unwrap(), started.parse().unwrap())
        })
        .collect();
    let mut truth = Truth::default();
    for (sent, started) in &pairs {
        truth.sent.push(*sent);
        truth.taken.push(*started);
    }
    truth.sent.sort_by(f64::total_cmp);
    truth.taken.sort_by(f64::total_cmp);
    let mut score = Score::default();
    for (latency, span, polled) in &seen {
        if let Some(mut span) = *span {
            // What the depth must confirm is as old as the depth.
            span.from = span.from.min(*polled - DEPTH_SECS);
            score.add(&truth, *latency, span, *polled);
        }
    }
    score.print(&format!("Celery, {kind}, {} of {all} tasks", pairs.len()));
    assert_eq!(score.outside, 0);
    assert!(score.polls >= 8);

    let mut true_waits: Vec<f64> = pairs.iter().map(|(sent, started)| started - sent).collect();
    true_waits.sort_by(f64::total_cmp);
    let waits = waits.expect("waits are known");
    // A channel that is closed soon after it was used may take its last counts with it.
    let few = u64::from(all) / 20;
    assert!(waits.count() + few >= u64::from(all) && waits.count() <= u64::from(all));
    let within = |bound: f64| true_waits.partition_point(|wait| *wait <= bound) as u64;
    for (bound, counted) in waits.buckets() {
        let range = within(bound - NOTED_SECS).saturating_sub(few)..=within(bound + NOTED_SECS);
        assert!(
            range.contains(&counted),
            "up to {bound}: {counted}, {range:?}"
        );
    }
    let mean = waits.sum() / waits.count() as f64;
    let true_mean = true_waits.iter().sum::<f64>() / true_waits.len() as f64;
    let p95 = true_waits[true_waits.len() * 95 / 100];
    eprintln!(
        "waits, {kind}: mean {mean:.2} s, truly {true_mean:.2} s; p95 {:.2} s, truly {p95:.2} s",
        quantile(&waits, 0.95)
    );
    // Arrivals and departures are dated by the middle of spans of 2 to 8 s, of which there are few.
    assert!((mean - true_mean).abs() < 2.5, "{mean} {true_mean}");
}

/// As Prometheus's `histogram_quantile` has it.
fn quantile(waits: &Waits, share: f64) -> f64 {
    let rank = share * waits.count() as f64;
    let (mut lower, mut before) = (0.0, 0);
    for (bound, within) in waits.buckets() {
        if within as f64 >= rank {
            let inside = (within - before).max(1) as f64;
            return lower + (bound - lower) * (rank - before as f64) / inside;
        }
        (lower, before) = (bound, within);
    }
    lower
}

#[test]
fn tasks_in_a_classic_queue_wait_as_long_as_they_say() {
    compare(
        "classic",
        &json!({"task_acks_late": true, "worker_prefetch_multiplier": 1}),
    );
}

#[test]
fn tasks_in_a_quorum_queue_wait_as_long_as_they_say() {
    compare(
        "quorum",
        &json!({
            "task_acks_late": true, "worker_prefetch_multiplier": 1,
            "task_default_queue_type": "quorum",
        }),
    );
}
