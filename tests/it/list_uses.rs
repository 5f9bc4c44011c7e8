//! Real lists used in other ways than first in, first out, by simple clients: tailback recognises
//! it or says bounds that hold, and never a wrong age.

use crate::support::process::{PATIENCE, eventually};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};
use redis::{Connection, Pipeline};
use serde_json::Value;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::{SystemTime, UNIX_EPOCH};

mod order;

const KEY: &str = "jobs";

/// A list whose elements are pushed at the left and taken at the right, and what is in it: the last
/// one is the head.
struct Used {
    tailback: Tailback,
    redis: Redis,
    connection: Connection,
    waiting: VecDeque<Job>,
    number: usize,
}

#[derive(Clone)]
struct Job {
    payload: String,
    /// It was pushed between these two.
    pushed: (f64, f64),
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

impl Used {
    /// It is empty when tailback comes.
    fn new() -> Self {
        Self::holding(0)
    }

    /// So many are there when tailback comes.
    fn holding(before: usize) -> Self {
        Self::watched(before, Redis::url)
    }

    /// The same under a URL of one's own.
    fn watched(before: usize, url: impl FnOnce(&Redis) -> String) -> Self {
        let redis = Redis::start(RedisOptions::default());
        let mut connection = redis.connection();
        let payloads: Vec<String> = (0..before)
            .map(|job| format!("{{\"old\": {job}}}"))
            .collect();
        let began = now();
        for payloads in payloads.chunks(10_000) {
            let mut push = redis::cmd("LPUSH");
            push.arg(KEY).arg(payloads);
            push.exec(&mut connection).unwrap();
        }
        let pushed = (began, now());
        let list = format!("[brokers.main.redis.list]\nkeys = ['{KEY}']\n");
        let tailback = Tailback::start_config(&(quick(&url(&redis)) + &list));
        tailback.wait_jobs("list", KEY, "ready", before as u64);
        let jobs = payloads.into_iter().rev();
        Self {
            tailback,
            connection,
            redis,
            waiting: jobs.map(|payload| Job { payload, pushed }).collect(),
            number: 0,
        }
    }

    /// Runs what `ask` writes down as one transaction, so that no poll sees a part of it. Then jobs
    /// that are new in the list have been pushed in that time.
    fn change(&mut self, ask: impl FnOnce(&mut Pipeline, &mut Vec<Job>, &mut usize)) {
        let mut transaction = redis::pipe();
        transaction.atomic();
        let mut jobs: Vec<Job> = self.waiting.drain(..).collect();
        ask(&mut transaction, &mut jobs, &mut self.number);
        let before = now();
        transaction.exec(&mut self.connection).unwrap();
        let after = now();
        for job in &mut jobs {
            if job.pushed.0.is_nan() {
                job.pushed = (before, after);
            }
        }
        self.waiting = jobs.into();
        let length: usize = redis::cmd("LLEN")
            .arg(KEY)
            .query(&mut self.connection)
            .unwrap();
        assert_eq!(length, self.waiting.len());
    }

    /// What tailback says after a poll that began after the last change; it is held against the
    /// truth.
    fn seen(&self) -> Value {
        let path = format!("/api/v1/queues/main/list/{KEY}");
        let read = || {
            let answer = self.tailback.get(&path);
            let body = (answer.status == 200).then(|| answer.json())?;
            let at = body["observed_timestamp_seconds"].as_f64()?;
            Some((at, body))
        };
        let (changed, mut polls) = (now(), Vec::new());
        let body = eventually("two more polls", PATIENCE, || {
            let (at, body) = read()?;
            if at > changed && !polls.contains(&at) {
                polls.push(at);
            }
            // The first may have begun before.
            (polls.len() > 1).then_some(body)
        });
        let at = body["observed_timestamp_seconds"].as_f64().unwrap();
        assert_eq!(body["jobs"]["ready"], self.waiting.len(), "{body}");
        let oldest = self.waiting.iter().map(|job| job.pushed);
        let Some(oldest) = oldest.min_by(|a, b| a.0.total_cmp(&b.0)) else {
            assert_eq!(body["latency_seconds"], 0.0, "{body}");
            return body;
        };
        let (least, most) = (at - oldest.1, at - oldest.0);
        let of = |name: &str| body[name].as_f64();
        if let Some(min) = of("latency_min_seconds") {
            assert!(min <= most + 0.01, "{most} {body}");
        }
        match of("latency_max_seconds") {
            Some(max) => assert!(least <= max + 0.01, "{least} {body}"),
            None => {
                let reason = &body["latency_max_unknown_reason"];
                assert!(reason.is_string(), "{body}");
            }
        }
        let (min, max) = (of("latency_min_seconds"), of("latency_max_seconds"));
        eprintln!(
            "{min:?} <= {least:.3} <= {max:?}, {}",
            body["flow"]["basis"]
        );
        body
    }

    fn push(&mut self, count: usize) {
        self.change(|pipe, jobs, number| push(pipe, jobs, number, count));
    }

    fn take(&mut self, count: usize) {
        self.change(|pipe, jobs, _| take(pipe, jobs, count));
    }
}

fn push(pipe: &mut Pipeline, jobs: &mut Vec<Job>, number: &mut usize, count: usize) {
    for _ in 0..count {
        *number += 1;
        push_one(pipe, jobs, format!("{{\"job\": {number}}}"));
    }
}

fn push_one(pipe: &mut Pipeline, jobs: &mut Vec<Job>, payload: String) {
    pipe.lpush(KEY, &payload).ignore();
    let pushed = (f64::NAN, f64::NAN);
    jobs.insert(0, Job { payload, pushed });
}

fn take(pipe: &mut Pipeline, jobs: &mut Vec<Job>, count: usize) {
    pipe.rpop(KEY, NonZeroUsize::new(count)).ignore();
    jobs.truncate(jobs.len() - count);
}

fn basis(body: &Value) -> &str {
    body["flow"]["basis"].as_str().unwrap()
}

#[test]
fn a_list_that_goes_round_with_brpoplpush_has_a_lower_bound() {
    let mut list = Used::new();
    list.push(12);
    assert_eq!(basis(&list.seen()), "curve");
    // By one, by several, and as others come.
    for (times, more) in [(1, 0), (5, 0), (3, 2)] {
        list.change(|pipe, jobs, number| {
            push(pipe, jobs, number, more);
            for _ in 0..times {
                pipe.cmd("BRPOPLPUSH").arg(KEY).arg(KEY).arg(1).ignore();
                let head = jobs.pop().unwrap();
                jobs.insert(0, head);
            }
        });
        let body = list.seen();
        assert_eq!(basis(&body), "unordered", "{times} {body}");
        assert!(body["latency_max_seconds"].is_null(), "{times} {body}");
    }
}

#[test]
fn a_list_that_goes_round_by_several_at_once_is_recognised_at_the_first_time() {
    let mut list = Used::new();
    list.push(12);
    list.seen();
    list.change(|pipe, jobs, _| {
        for _ in 0..5 {
            pipe.cmd("RPOPLPUSH").arg(KEY).arg(KEY).ignore();
            let head = jobs.pop().unwrap();
            jobs.insert(0, head);
        }
    });
    assert_eq!(basis(&list.seen()), "unordered");
}

#[test]
fn a_list_used_last_in_first_out_has_a_lower_bound() {
    let mut list = Used::new();
    list.push(9);
    list.seen();
    for (more, taken) in [(0, 2), (3, 4), (1, 3), (2, 1)] {
        list.change(|pipe, jobs, number| {
            push(pipe, jobs, number, more);
            for _ in 0..taken {
                pipe.lpop(KEY, None).ignore();
                jobs.remove(0);
            }
        });
        let body = list.seen();
        assert_eq!(basis(&body), "unordered", "{body}");
    }
}

#[test]
fn jobs_that_are_all_alike_have_bounds_that_hold() {
    let mut list = Used::new();
    let alike = |pipe: &mut Pipeline, jobs: &mut Vec<Job>| {
        push_one(pipe, jobs, "{\"class\":\"Slow\",\"args\":[10]}".to_owned());
    };
    list.change(|pipe, jobs, _| (0..3).for_each(|_| alike(pipe, jobs)));
    list.seen();
    // One is taken and another comes: the list looks as before.
    for _ in 0..4 {
        list.change(|pipe, jobs, _| {
            take(pipe, jobs, 1);
            alike(pipe, jobs);
        });
        let body = list.seen();
        assert_eq!(body["flow"]["counts"], "lower_bound", "{body}");
    }
    // Alone in the list: only that it was there before tells that it may be another by now.
    list.take(3);
    list.seen();
    for _ in 0..3 {
        list.change(|pipe, jobs, _| alike(pipe, jobs));
        list.seen();
        list.change(|pipe, jobs, _| {
            take(pipe, jobs, 1);
            alike(pipe, jobs);
        });
        list.seen();
        list.take(1);
        list.seen();
    }
}

#[test]
fn a_list_drained_and_refilled_between_two_polls_holds_only_new_jobs() {
    let mut list = Used::new();
    list.push(5);
    list.seen();
    let before = now();
    list.change(|pipe, jobs, number| {
        take(pipe, jobs, 5);
        push(pipe, jobs, number, 7);
    });
    let body = list.seen();
    assert_eq!(basis(&body), "curve", "{body}");
    // The last poll before was at most that long before.
    let at = body["observed_timestamp_seconds"].as_f64().unwrap();
    let max = body["latency_max_seconds"].as_f64().unwrap();
    assert!(max <= at - before + 5.0, "{before} {body}");
    assert_eq!(body["enqueued_total"], 12, "{body}");
}

#[test]
fn a_list_that_is_deleted_is_empty_and_what_comes_then_is_new() {
    let mut list = Used::new();
    let delete = |pipe: &mut Pipeline, jobs: &mut Vec<Job>| {
        pipe.del(KEY).ignore();
        jobs.clear();
    };
    list.push(50);
    list.seen();
    list.change(|pipe, jobs, _| delete(pipe, jobs));
    list.seen();
    list.push(3);
    assert_eq!(basis(&list.seen()), "curve");
    // And at once.
    list.change(|pipe, jobs, number| {
        delete(pipe, jobs);
        push(pipe, jobs, number, 2);
    });
    assert_eq!(basis(&list.seen()), "curve");
    assert_eq!(list.redis.cli(&["LLEN", KEY]), "2");
}

#[test]
fn what_a_server_has_lost_counts_as_removed_and_not_as_started() {
    let mut list = Used::new();
    list.push(30);
    list.seen();
    list.take(5);
    list.seen();
    // It keeps nothing on a disk.
    list.redis.kill();
    list.redis.restart();
    list.connection = list.redis.connection();
    list.waiting.clear();
    let body = list.seen();
    assert_eq!(body["started_total"], 5, "{body}");
    assert_eq!(body["flow"]["waits_count"], 5, "{body}");
    assert_eq!(body["flow"]["removed_total"], 25, "{body}");
    list.push(2);
    list.take(2);
    assert_eq!(list.seen()["started_total"], 7);
}

#[test]
fn what_is_put_back_at_the_head_has_a_lower_bound_until_it_is_gone() {
    let mut list = Used::new();
    list.push(8);
    list.seen();
    let taken: Vec<Job> = list.waiting.iter().rev().take(3).cloned().collect();
    list.take(3);
    assert_eq!(basis(&list.seen()), "curve");
    // In the order in which they were taken: so the last one is now the next.
    list.change(|pipe, jobs, _| {
        for job in taken {
            pipe.rpush(KEY, &job.payload).ignore();
            jobs.push(job);
        }
    });
    let body = list.seen();
    assert!(body["latency_max_seconds"].is_null(), "{body}");
    assert_eq!(body["redelivered_total"], 3, "{body}");
    list.take(1);
    let body = list.seen();
    assert!(body["latency_max_seconds"].is_null(), "{body}");
    list.take(7);
    list.push(1);
    list.seen();
}

#[test]
fn a_backlog_of_100_000_from_before_has_a_lower_bound_until_what_came_since_is_at_the_head() {
    let mut list = Used::holding(100_000);
    let cold = |list: &Used| {
        let body = list.seen();
        assert_eq!(basis(&body), "cold", "{body}");
        assert!(body["latency_max_seconds"].is_null(), "{body}");
        assert_eq!(
            body["latency_seconds"], body["latency_min_seconds"],
            "{body}"
        );
        body["latency_min_seconds"].as_f64().unwrap()
    };
    let first = cold(&list);
    list.push(50);
    assert!(cold(&list) > first);
    list.take(99_990);
    cold(&list);
    list.take(10);
    let body = list.seen();
    assert_eq!(basis(&body), "curve", "{body}");
    assert_eq!(body["started_total"], 100_000, "{body}");
    // Nothing is known of how long they waited, but that they did.
    assert_eq!(body["flow"]["censored_total"], 100_000, "{body}");
    assert_eq!(body["flow"]["waits_count"], 0, "{body}");
    list.take(50);
    assert_eq!(list.seen()["flow"]["waits_count"], 50);
}

#[test]
fn jobs_too_large_to_be_remembered_have_bounds_that_hold_and_are_not_fetched() {
    let mut list = Used::new();
    let bytes = |list: &Used| {
        let labels = [("direction", "received")];
        list.tailback
            .metrics()
            .sum("tailback_broker_bytes_total", &labels)
    };
    let large = |pipe: &mut Pipeline, jobs: &mut Vec<Job>, number: &mut usize, count| {
        for _ in 0..count {
            *number += 1;
            push_one(pipe, jobs, format!("{number}{}", "x".repeat(100_000)));
        }
    };
    list.change(|pipe, jobs, number| large(pipe, jobs, number, 20));
    list.seen();
    let before = bytes(&list);
    for _ in 0..8 {
        list.change(|pipe, jobs, number| {
            take(pipe, jobs, 2);
            large(pipe, jobs, number, 3);
        });
        list.seen();
    }
    let fetched = bytes(&list) - before;
    assert!(fetched < 100_000.0, "{fetched} bytes");
}
