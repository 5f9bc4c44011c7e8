//! On a real Redis.

use super::*;
use crate::support::http;
use crate::support::prometheus::Prometheus;
use crate::support::python::python_with_input;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::quick;
use serde_json::Value;

pub(super) fn redis() -> Redis {
    Redis::start(RedisOptions::default())
}

/// A queue that is found before its first task, so that its flow is known from the beginning.
pub(super) fn bind(redis: &Redis, queue: &str) {
    let member = format!("{queue}\u{6}\u{16}\u{6}\u{16}{queue}");
    redis.cli(&["SADD", &format!("_kombu.binding.{queue}"), &member]);
}

pub(super) fn config(url: &str) -> String {
    quick(url) + "[brokers.main.redis.celery]\nevents = true\n"
}

#[test]
fn what_celery_tells_on_redis_is_what_its_tasks_wrote_down() {
    let redis = redis();
    for queue in ["jobs", "retried", "later"] {
        bind(&redis, queue);
    }
    let tailback = Tailback::start_config(&config(&redis.url()));
    for queue in ["jobs", "retried", "later"] {
        tailback.wait_jobs("celery", queue, "ready", 0);
    }
    compare(&tailback, &telling(&redis.url()), redis.dir());
    // The flow model goes on counting every task. A retry that comes and goes between two polls may be
    // counted to this queue.
    let metrics = tailback.metrics();
    let all = of_queue(&metrics, "tailback_queue_wait_seconds_count", "jobs").unwrap();
    assert!((153.0..=155.0).contains(&all), "{all}");
    assert_eq!(
        of_queue(&metrics, "tailback_queue_gaps_total", "jobs"),
        Some(0.0)
    );
}

#[test]
fn events_that_come_twice_on_redis_change_nothing() {
    let redis = redis();
    let tailback = Tailback::start_config(&config(&redis.url()));
    compare_twice_told(&tailback, &telling(&redis.url()), redis.dir());
}

#[test]
fn a_task_is_the_example_of_its_bucket() {
    let redis = redis();
    bind(&redis, "jobs");
    let tailback = Tailback::start_config(&config(&redis.url()));
    tailback.wait_jobs("celery", "jobs", "ready", 0);
    let prometheus = Prometheus::start(&[tailback.address]);
    let celery = telling(&redis.url());
    wait_listening(&tailback);
    let _worker = celery.worker("jobs", &["-c", "1", "-E"], redis.dir());
    celery.send("jobs", 20, &["--task", "sleep", "--arg", "0.1"]);
    tailback.wait_until("all have run", PATIENCE, |metrics| {
        of_queue(metrics, "tailback_queue_run_seconds_count", "jobs") == Some(20.0)
    });
    // Prometheus asks for OpenMetrics; the older format has no exemplars.
    assert!(!tailback.get("/metrics").text().contains(" # {"));
    let headers = [("Accept", "application/openmetrics-text; version=1.0.0")];
    let answer = http::request(tailback.address, "GET", "/metrics", &headers, b"").unwrap();
    let text = answer.text();
    let parsed = python_with_input("parse_exposition.py", &["openmetrics"], text.as_bytes());
    let mut seen = Vec::new();
    for sample in parsed.as_array().unwrap() {
        let (name, exemplar) = (sample[0].as_str().unwrap(), &sample[3]);
        if exemplar.is_null() {
            continue;
        }
        let id = exemplar[0]["task_id"].as_str().unwrap();
        assert_eq!(id.len(), 36, "{sample}");
        let bound: f64 = sample[1]["le"].as_str().unwrap().parse().unwrap();
        assert!(exemplar[1].as_f64().unwrap() <= bound, "{sample}");
        seen.push(name.to_owned());
    }
    seen.sort_unstable();
    seen.dedup();
    println!("exemplars on {seen:?}");
    for name in ["wait", "sampled_wait", "run"] {
        let name = format!("tailback_queue_{name}_seconds_bucket");
        assert!(seen.contains(&name), "{name}: {seen:?}");
    }
    let now = unix_now();
    crate::support::process::eventually("exemplars in Prometheus", PATIENCE, || {
        let path = format!(
            "/api/v1/query_exemplars?query=tailback_queue_run_seconds_bucket&start={}&end={}",
            now - 60.0,
            now + 60.0
        );
        let answer: Value = http::get(prometheus.address, &path).json();
        let series = answer["data"].as_array()?;
        let first = series.first()?["exemplars"].as_array()?.first()?.clone();
        let id = first["labels"]["task_id"].as_str()?;
        (id.len() == 36).then_some(())
    });
    assert_eq!(prometheus.last_scrape_error(), "");
}

#[test]
fn without_sendings_tasks_are_counted_and_their_queues_are_not_guessed() {
    let redis = redis();
    bind(&redis, "jobs");
    let tailback = Tailback::start_config(&config(&redis.url()));
    wait_listening(&tailback);
    tailback.wait_jobs("celery", "jobs", "ready", 0);
    let celery = Celery::new(&redis.url());
    celery.send("jobs", 10, &[]);
    let _worker = celery.worker("jobs", &["-c", "1", "-E"], redis.dir());
    let metrics = tailback.wait_until("all have run", PATIENCE, |metrics| {
        of_task(metrics, "tailback_task_succeeded_total", "noop") == Some(10.0)
    });
    for name in [
        "sampled_wait_seconds_count",
        "run_seconds_count",
        "failures_total",
    ] {
        let name = format!("tailback_queue_{name}");
        assert_eq!(of_queue(&metrics, &name, "jobs"), None, "{name}");
    }
    assert_eq!(missed(&metrics, "unmatched"), 10.0);
    tailback.wait_until("the flow model has them", PATIENCE, |metrics| {
        of_queue(metrics, "tailback_queue_wait_seconds_count", "jobs") == Some(10.0)
    });
}

#[test]
fn a_worker_that_dies_and_its_successor() {
    let redis = redis();
    let tailback = Tailback::start_config(&config(&redis.url()));
    wait_listening(&tailback);
    let celery = telling(&redis.url());
    let release = redis.dir().join("release");
    let arg = json!(release).to_string();
    let mut worker = celery.worker("jobs", &["-c", "2", "-E"], redis.dir());
    celery.send("jobs", 2, &["--task", "hold", "--arg", &arg]);
    let busy = |wanted: f64| {
        tailback.wait_until(&format!("{wanted} are busy"), PATIENCE, |metrics| {
            of_queue(metrics, "tailback_queue_busy_workers", "jobs") == Some(wanted)
        });
    };
    busy(2.0);
    tailback.wait_until("the worker itself says so", PATIENCE, |metrics| {
        metrics.get("tailback_system_busy_workers", &[]) == Some(2.0)
    });
    worker.kill();
    // Nothing is said of its tasks while nobody says that he is alive.
    tailback.wait_until("nobody is alive", PATIENCE, |metrics| {
        metrics.get("tailback_events_workers", &[]).is_none()
            && of_queue(metrics, "tailback_queue_busy_workers", "jobs").is_none()
    });
    let _worker = celery.worker("jobs", &["-c", "2", "-E"], redis.dir());
    busy(0.0);
    std::fs::write(&release, "").unwrap();
    celery.send("jobs", 3, &["--task", "hold", "--arg", &arg]);
    let metrics = tailback.wait_until("the others have run", PATIENCE, |metrics| {
        of_task(metrics, "tailback_task_succeeded_total", "hold") == Some(3.0)
    });
    assert_eq!(
        of_task(&metrics, "tailback_task_started_total", "hold"),
        Some(5.0)
    );
}
