//! How old numbers are, on a broker that refreshes its statistics every 5 s, as they all do.

use super::flow::{Watch, unix};
use super::*;
use std::thread::sleep;
use tailback::model::{Latency, QueueSnapshot};

const KINDS: [&str; 2] = ["classic", "quorum"];

fn snapshot<'a>(
    seen: &'a [(QueueSnapshot, Option<tailback::model::flow::Span>)],
    queue: &str,
) -> &'a QueueSnapshot {
    let is_it = |(each, _): &&(QueueSnapshot, _)| &*each.queue == queue;
    &seen.iter().find(is_it).unwrap().0
}

#[test]
fn a_depth_was_true_within_its_age_and_that_of_a_queue_with_an_objective_is_true_now() {
    let rabbit = RabbitMq::start(RabbitMqOptions {
        statistics_interval_ms: 5000,
        ..RabbitMqOptions::default()
    });
    let vhost = rabbit.vhost();
    for kind in KINDS {
        for queue in ["fast", "slow"] {
            let arguments = json!({"x-queue-type": kind});
            rabbit.declare(&vhost, &format!("{queue}-{kind}"), &arguments);
        }
    }
    let keys = "declare_objectives = true\n[[objectives]]\nqueue = \"fast-*\"\nwait = \"10s\"";
    let mut watch = Watch::with(&rabbit, &vhost, keys);
    let client = Client::new(&rabbit.url(&vhost));
    let names = |queue: &str| KINDS.map(|kind| format!("{queue}-{kind}"));

    // Since when each queue has held so many.
    let mut depths = vec![(unix(), 0_u64)];
    let mut lags: Vec<f64> = Vec::new();
    let start = Instant::now();
    let mut round = 0_u32;
    while start.elapsed() < Duration::from_secs(35) {
        round += 1;
        let before = depths.last().unwrap().1;
        let (more, less) = (1 + round * 7 % 5, round * 3 % 4);
        for queue in names("fast").iter().chain(&names("slow")) {
            client.publish(queue, more, None);
        }
        let less = u64::from(less).min(before);
        for queue in names("fast").iter().chain(&names("slow")) {
            for _ in 0..less {
                client.ack(client.take(queue));
            }
        }
        let depth = before + u64::from(more) - less;
        depths.push((unix(), depth));
        let seen = watch.poll();
        let polled = unix();
        for queue in names("fast") {
            let fast = snapshot(&seen, &queue);
            assert_eq!(fast.jobs.ready, Some(depth), "{queue}");
            assert!(fast.ready_age < Duration::from_secs(5), "{queue}");
        }
        for queue in names("slow") {
            let slow = snapshot(&seen, &queue);
            // A new queue is not empty but unknown.
            let Some(ready) = slow.jobs.ready else {
                continue;
            };
            let from = polled - slow.ready_age.as_secs_f64();
            // While a round is going on, anything between may be seen.
            let was_true = depths.windows(2).any(|pair| {
                let [(_, a), (until, b)] = [pair[0], pair[1]];
                until >= from && (a.min(b)..=a.max(b) + 5).contains(&ready)
            });
            assert!(was_true, "{queue}: {ready} at {polled}, {depths:?}");
            let last = depths.iter().rev().find(|(_, depth)| *depth == ready);
            lags.extend(last.map(|(at, _)| polled - at));
        }
        sleep(Duration::from_millis(1500));
    }
    lags.sort_by(f64::total_cmp);
    let worst = lags.last().unwrap();
    eprintln!("{} depths, up to {worst:.1} s old", lags.len());
    assert!(*worst > 2.0, "these statistics are not old: {lags:?}");

    // A backlog that is purged is gone at the next poll, by depth and by age.
    for queue in names("fast").iter().chain(&names("slow")) {
        let path = format!("/api/queues/{vhost}/{queue}/contents");
        rabbit.api("DELETE", &path, None);
    }
    let purged = unix();
    let seen = watch.poll();
    for queue in names("fast") {
        let fast = snapshot(&seen, &queue);
        assert_eq!((fast.jobs.ready, fast.latency), (Some(0), Latency::Empty));
    }
    // The others follow when their statistics do; until then their age is that of a time before.
    let mut is_gone = false;
    while !is_gone {
        let asked = unix();
        assert!(asked < purged + 30.0);
        let seen = watch.poll();
        is_gone = names("slow").iter().all(|queue| {
            let min = match snapshot(&seen, queue).latency {
                Latency::Empty => 0.0,
                Latency::Known { age, .. } => age.min.as_secs_f64(),
                Latency::Unknown(reason) => panic!("{queue}: {reason:?}"),
            };
            assert!(min == 0.0 || asked < purged + 11.0, "{queue}: {min}");
            min == 0.0
        });
        sleep(Duration::from_millis(700));
    }
    eprintln!("purged: shown after {:.1} s", unix() - purged);
}
