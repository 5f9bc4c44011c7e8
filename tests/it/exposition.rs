//! Whatever name a queue has, the exposition stays valid: for promtool, for the parser of
//! prometheus_client, for a real Prometheus.

use crate::support::http;
use crate::support::process::{PATIENCE, eventually};
use crate::support::prometheus::{Prometheus, promtool_check_metrics};
use crate::support::python::{Celery, Rq, python_with_input};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};
use serde_json::Value;
use std::collections::BTreeSet;

/// Names that a broker can have, and how they are shown.
fn names() -> Vec<(Vec<u8>, String)> {
    let same = |name: &str| (name.as_bytes().to_vec(), name.to_owned());
    vec![
        same("plain"),
        same("with \"quotes\""),
        same("with \\backslash\\"),
        same("with\nnewline\n"),
        same("ends with backslash\\"),
        same("\\n is no newline"),
        same("carriage\rreturn\ttab\u{1}\u{7f}"),
        same("{a=\"b\"} 1 # EOF"),
        same(" spaces "),
        same("ünïcödé/日本語/🦀\u{2028}\u{85}"),
        same("a/b%2Fc?d=e&f#g"),
        same(&"long".repeat(16 << 10)),
        (
            b"not utf-8 \xff\xfe\xc3".to_vec(),
            "not utf-8 \\xff\\xfe\\xc3".to_owned(),
        ),
        (b"nul\0byte".to_vec(), "nul\\x00byte".to_owned()),
    ]
}

/// A list, an RQ queue and a Celery queue of each name, with one job each.
fn redis() -> Redis {
    let redis = Redis::start(RedisOptions::default());
    let mut connection = redis.connection();
    let mut run = |command: &mut redis::Cmd| command.exec(&mut connection).unwrap();
    for (name, _) in names() {
        run(redis::cmd("RPUSH")
            .arg([b"list:", name.as_slice()].concat())
            .arg("x"));
        let queue = [b"rq:queue:", name.as_slice()].concat();
        run(redis::cmd("SADD").arg("rq:queues").arg(&queue));
        run(redis::cmd("RPUSH").arg(&queue).arg("id"));
        let binding = [name.as_slice(), b"\x06\x16\x06\x16", name.as_slice()].concat();
        run(redis::cmd("SADD").arg("_kombu.binding.x").arg(binding));
        run(redis::cmd("LPUSH").arg(&name).arg("{}"));
    }
    redis
}

fn start(redis: &Redis) -> Tailback {
    let config = quick(&redis.url()) + "[brokers.main.redis.list]\nkeys = ['list:*']\n";
    let tailback = Tailback::start_config(&config);
    let wanted = 3 * names().len();
    tailback.wait_until("all queues", PATIENCE, |metrics| {
        metrics.get("tailback_broker_queues", &[]) == Some(wanted as f64)
    });
    tailback
}

/// The (system, queue) pairs that there must be.
fn wanted() -> BTreeSet<(String, String)> {
    let pair = |system: &str, name: String| (system.to_owned(), name);
    names()
        .into_iter()
        .flat_map(|(_, shown)| {
            [
                pair("list", format!("list:{shown}")),
                pair("rq", shown.clone()),
                pair("celery", shown),
            ]
        })
        .collect()
}

#[test]
fn every_name_survives_every_parser() {
    let redis = redis();
    let tailback = start(&redis);
    let answer = tailback.get("/metrics");
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    assert_eq!(promtool_check_metrics(&answer.body), "");

    let ours: BTreeSet<(String, String)> = tailback
        .metrics()
        .all("tailback_queue_jobs", &[("state", "ready")])
        .iter()
        .map(|sample| {
            (
                sample.labels["system"].clone(),
                sample.labels["queue"].clone(),
            )
        })
        .collect();
    assert_eq!(ours, wanted());

    let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
    let open = http::request(tailback.address, "GET", "/metrics", &accept, b"").unwrap();
    assert!(
        open.header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    for (format, body) in [(vec![], answer.body), (vec!["openmetrics"], open.body)] {
        let samples = python_with_input("parse_exposition.py", &format, &body);
        let theirs: BTreeSet<(String, String)> = samples
            .as_array()
            .unwrap()
            .iter()
            .filter(|sample| sample[0] == "tailback_queue_jobs" && sample[1]["state"] == "ready")
            .map(|sample| {
                let label = |name: &str| sample[1][name].as_str().unwrap().to_owned();
                (label("system"), label("queue"))
            })
            .collect();
        assert_eq!(theirs, wanted(), "{format:?}");
    }
}

#[test]
fn compressed_is_the_same_and_bounds_of_buckets_have_a_decimal_point() {
    let redis = redis();
    let tailback = start(&redis);
    for accept in ["text/plain", "application/openmetrics-text; version=1.0.0"] {
        let headers = [("Accept", accept), ("Accept-Encoding", "gzip")];
        let answer = http::request(tailback.address, "GET", "/metrics", &headers, b"").unwrap();
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{accept}");
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(answer.body.as_slice());
        std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
        assert_eq!(text.ends_with("# EOF\n"), accept.contains("openmetrics"));
        let format = if accept.contains("openmetrics") {
            vec!["openmetrics"]
        } else {
            vec![]
        };
        let samples = python_with_input("parse_exposition.py", &format, text.as_bytes());
        let bounds = samples.as_array().unwrap().iter();
        let bounds: BTreeSet<_> = bounds
            .filter_map(|sample| sample[1]["le"].as_str())
            .collect();
        assert!(bounds.len() > 3, "{bounds:?}");
        assert!(
            bounds.iter().all(|le| le.contains('.') || *le == "+Inf"),
            "{bounds:?}"
        );
    }
}

#[test]
fn every_name_has_its_page_in_the_api() {
    let redis = redis();
    let tailback = start(&redis);
    for (system, name) in wanted() {
        let encoded =
            percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
        let path = format!("/api/v1/queues/main/{system}/{encoded}");
        if name.len() > 1000 {
            // A server may refuse a request line as long as this, but must say so.
            assert!([200, 414, 431].contains(&tailback.get(&path).status));
            continue;
        }
        let queue: Value = tailback.json(&path);
        assert_eq!(queue["queue"], name.as_str());
        assert_eq!(queue["jobs"]["ready"], 1);
    }
    assert_eq!(tailback.get("/api/v1/queues/main/list/none").status, 404);
    assert_eq!(tailback.get("/api/v1/queues/none/list/none").status, 404);
}

#[test]
fn a_real_prometheus_scrapes_every_name() {
    let redis = redis();
    let tailback = start(&redis);
    let prometheus = Prometheus::start(&[tailback.address]);
    eventually("a scrape with every name", PATIENCE, || {
        let series = prometheus.query("tailback_queue_jobs{state=\"ready\"}");
        let theirs: BTreeSet<(String, String)> = series
            .iter()
            .map(|sample| {
                (
                    sample.labels["system"].clone(),
                    sample.labels["queue"].clone(),
                )
            })
            .collect();
        (theirs == wanted()).then_some(())
    });
    assert_eq!(prometheus.last_scrape_error(), "");
}

#[test]
fn prometheus_sees_what_real_workers_do() {
    let redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url()).writing_enqueue_times();
    let release = redis.dir().join("release");
    let path = serde_json::json!(release).to_string();
    celery.send("work", 8, &["--task", "hold", "--arg", &path]);
    let _worker = celery.worker(
        "work",
        &["-c", "1", "--prefetch-multiplier", "2"],
        redis.dir(),
    );
    Rq::V3.client(&redis.url(), &["send", "mail", "5"]);
    let tailback = Tailback::start(&[&redis.url()]);
    let prometheus = Prometheus::start(&[tailback.address]);
    let value = |promql: &str| prometheus.query(promql).first().map(|sample| sample.value);
    eventually("Celery's and RQ's jobs", PATIENCE, || {
        (value("tailback_queue_jobs{system='celery',queue='work',state='ready'}") == Some(5.0)
            && value("tailback_queue_jobs{system='celery',queue='work',state='in_progress'}")
                == Some(2.0)
            && value("tailback_queue_jobs{system='rq',queue='mail',state='ready'}") == Some(5.0)
            && value("tailback_queue_latency_seconds{queue='work'}") > Some(0.0)
            && value("min(tailback_broker_up)") == Some(1.0))
        .then_some(())
    });
    std::fs::write(&release, "").unwrap();
    eventually("the queue is drained, not gone", PATIENCE, || {
        (value("tailback_queue_jobs{queue='work',state='ready'}") == Some(0.0)
            && value("tailback_queue_latency_seconds{queue='work'}") == Some(0.0))
        .then_some(())
    });
    assert_eq!(prometheus.last_scrape_error(), "");
}
