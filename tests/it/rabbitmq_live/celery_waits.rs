//! How long Celery's tasks wait on RabbitMQ: each writes down when it was sent and when it started,
//! and what tailback tells from the counters alone must agree.

use super::flow::{Score, Truth, Watch, unix};
use super::*;
use crate::support::python::Celery;
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::thread::sleep;
use tailback::model::{QueueSnapshot, Waits};

/// Tasks sent at once, with a pause between.
const BATCHES: [u32; 3] = [12_000, 5000, 3000];
/// Arrival and departure are each known to 5 s and more.
const NOTED_SECS: f64 = 8.0;

/// What a killed worker may have held, which is delivered again.
const HELD: u64 = 32;

/// A depth is up to so old.
const DEPTH_SECS: f64 = 11.0;

/// Runs the batches through a worker of four processes, each of which holds four more, kills it in the
/// midst, and compares. One task in `due_later` is due only later: the worker holds it until then.
fn compare(kind: &str, settings: &Value, due_later: u32) {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let dir = tempfile::tempdir().unwrap();
    let times = dir.path().join("times");
    let celery = Celery::new(&rabbit.url(&vhost)).settings(settings);
    let start_worker = || celery.worker("celery", &["-c", "4"], dir.path());
    let mut worker = start_worker();
    let recorded = || fs::read_to_string(&times).map_or(0, |times| times.lines().count());
    let buckets: Arc<[f64]> = (0..64).map(|step| 0.25 * 1.1_f64.powi(step)).collect();
    let mut watch = Watch::new(rabbit, &vhost).counting_in(&buckets);
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
            let due_later = due_later.to_string();
            for batch in BATCHES {
                let options = [
                    "--record",
                    &times,
                    "--work",
                    "0.001",
                    "--due-later",
                    &due_later,
                ];
                celery.send("celery", batch, &options);
                sleep(Duration::from_secs(4));
            }
        })
    };
    let all = BATCHES.iter().sum::<u32>();
    let unrecorded = all.checked_div(due_later).unwrap_or(0);
    let limit = Instant::now() + Duration::from_secs(240);
    let (mut waits, mut is_killed): (Option<Waits>, _) = (None, false);
    while Instant::now() < limit {
        if !is_killed && recorded() >= all as usize / 4 {
            worker.kill();
            (worker, is_killed) = (start_worker(), true);
        }
        // Beside it are the queues of delayed delivery.
        let is_it = |(queue, _): &(QueueSnapshot, _)| &*queue.queue == "celery";
        for (queue, span) in watch.poll().into_iter().filter(is_it) {
            assert_eq!(queue.system, System::Celery);
            waits = queue.flow.as_ref().and_then(|flow| flow.waits.clone());
            seen.push((queue.latency, span, unix()));
        }
        let counted = waits.as_ref().map_or(0, Waits::count);
        if recorded() + unrecorded as usize >= all as usize
            && counted >= u64::from(all) - u64::from(all) / 20
        {
            break;
        }
        sleep(Duration::from_secs(1));
    }
    sending.join().unwrap();
    drop(worker);
    assert!(is_killed);

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
    // A channel that is closed soon after it was used may take its last counts with it, and what a
    // killed worker held is delivered again.
    let few = u64::from(all) / 20;
    let counted = waits.count();
    assert!(counted.abs_diff(all.into()) <= few, "{counted} of {all}");
    let within = |bound: f64| true_waits.partition_point(|wait| *wait <= bound) as u64;
    // These waited, and nobody wrote down for how long.
    let more = u64::from(unrecorded) + HELD;
    for (bound, counted) in waits.buckets() {
        let least = within(bound - NOTED_SECS).saturating_sub(few);
        let most = within(bound + NOTED_SECS) + more;
        assert!(
            (least..=most).contains(&counted),
            "up to {bound}: {counted}, {least} to {most}"
        );
    }
    let mean = waits.sum() / waits.count() as f64;
    let true_mean = true_waits.iter().sum::<f64>() / true_waits.len() as f64;
    let p95 = true_waits[true_waits.len() * 95 / 100];
    let (least, most) = quantile(&waits, 0.95);
    eprintln!(
        "waits, {kind}: mean {mean:.2} s, truly {true_mean:.2} s; p95 between {least:.2} and {most:.2} s, \
         truly {p95:.2} s"
    );
    assert!(
        least - NOTED_SECS <= p95 && p95 <= most + NOTED_SECS,
        "{least} {most} {p95}"
    );
    // Arrivals and departures are dated by the middle of spans of 2 to 8 s, of which there are few.
    assert!((mean - true_mean).abs() < 2.5, "{mean} {true_mean}");
}

/// The bucket in which a quantile is.
fn quantile(waits: &Waits, share: f64) -> (f64, f64) {
    let rank = share * waits.count() as f64;
    let mut least = 0.0;
    for (bound, within) in waits.buckets() {
        if within as f64 >= rank {
            return (least, bound);
        }
        least = bound;
    }
    (least, f64::INFINITY)
}

#[test]
fn tasks_in_a_classic_queue_wait_as_long_as_they_say() {
    compare("classic", &json!({}), 50);
}

#[test]
fn tasks_in_a_quorum_queue_wait_as_long_as_they_say() {
    compare(
        "quorum",
        &json!({"task_acks_late": true, "task_default_queue_type": "quorum"}),
        0,
    );
}
