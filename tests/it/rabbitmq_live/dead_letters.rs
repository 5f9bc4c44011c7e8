//! Queues that only dead letters come to, which no counter tells of, and consumers that take them.

use super::flow::{Watch, unix};
use super::*;
use std::collections::VecDeque;
use std::thread::sleep;
use tailback::model::Latency;

/// Dead letters, each with the time at which it came and the one at which it is to be taken.
struct Line {
    queue: String,
    source: String,
    /// How long a dead letter waits.
    wait: f64,
    /// When the next one comes.
    next: f64,
    waiting: VecDeque<f64>,
    /// Since when which one was the oldest.
    oldest: Vec<(f64, Option<f64>)>,
}

impl Line {
    /// What is due by now: one comes, one is taken.
    fn work(&mut self, client: &Client, goes_on: bool) {
        let now = unix();
        if goes_on && now > self.next {
            client.publish(&self.source, 1, None);
            client.reject(client.take(&self.source));
            self.waiting.push_back(now);
            self.next = now + 3.0 + self.wait / 3.0;
        }
        if self.waiting.front().is_some_and(|came| now > came + self.wait)
            // The broker may not have brought it yet.
            && let Some(tag) = client.get(&self.queue, false)
        {
            client.ack(tag);
            self.waiting.pop_front();
        }
        self.oldest.push((unix(), self.waiting.front().copied()));
    }

    /// The most that the oldest one had waited at any time since then.
    fn oldest_since(&self, since: f64) -> f64 {
        let from = self.oldest.partition_point(|(at, _)| *at < since);
        self.oldest[from.saturating_sub(1)..]
            .iter()
            .filter_map(|(at, came)| came.map(|came| at - came))
            .fold(0.0, f64::max)
    }
}

#[test]
fn a_queue_of_dead_letters_that_are_all_taken_is_empty() {
    // As RabbitMQ comes: most depths are older than most counts.
    let rabbit = RabbitMq::start(RabbitMqOptions {
        statistics_interval_ms: 5000,
        ..RabbitMqOptions::default()
    });
    let vhost = rabbit.vhost();
    let client = Client::new(&rabbit.url(&vhost));
    let line = |at: u32| {
        let (source, queue) = (format!("source-{at}"), format!("dead-{at}"));
        let to = json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue});
        rabbit.declare(&vhost, &source, &to);
        rabbit.declare(&vhost, &queue, &json!({}));
        Line {
            queue,
            source,
            wait: 1.0 + f64::from(at) * 0.7,
            next: 0.0,
            waiting: VecDeque::new(),
            oldest: Vec::new(),
        }
    };
    let mut lines: Vec<Line> = (0..14).map(line).collect();
    let mut watch = Watch::new(&rabbit, &vhost);
    // So that they are known, and known to be empty.
    for _ in 0..8 {
        watch.poll();
        sleep(Duration::from_millis(2500));
    }
    let (start, mut polled) = (Instant::now(), Instant::now());
    loop {
        for line in &mut lines {
            line.work(&client, start.elapsed() < Duration::from_secs(30));
        }
        sleep(Duration::from_millis(50));
        if polled.elapsed() < Duration::from_millis(2500) {
            continue;
        }
        polled = Instant::now();
        let seen = watch.poll();
        let mut not_empty = Vec::new();
        for line in &lines {
            let (queue, _) = seen
                .iter()
                .find(|(queue, _)| *queue.queue == *line.queue)
                .unwrap();
            if let Latency::Known { age, .. } = queue.latency {
                let most = line.oldest_since(unix() - 12.0);
                assert!(
                    age.min.as_secs_f64() <= most + 0.5,
                    "{}: {age:?}, truly {most}",
                    line.queue
                );
                not_empty.push((line.queue.clone(), queue.jobs.ready, age));
            }
        }
        let is_over = lines.iter().all(|line| line.waiting.is_empty());
        if is_over && start.elapsed() > Duration::from_secs(35) && not_empty.is_empty() {
            break;
        }
        assert!(start.elapsed() < 2 * SETTLED, "{not_empty:#?}");
    }
}
