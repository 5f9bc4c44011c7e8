//! KEDA's external scaler as KEDA asks it: Google's gRPC client, real Redis, real Celery.

mod bad_news;
mod connections;

use crate::support::certificates::Certificates;
use crate::support::keda::Keda;
use crate::support::process::eventually;
use crate::support::python::Celery;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick, tailback};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// Polls the Redis often and answers KEDA.
fn config(url: &str) -> String {
    format!("[keda]\nlisten = '127.0.0.1:0'\n{}", quick(url))
}

#[test]
fn what_follows_from_the_metadata_needs_no_broker() {
    // Nobody listens there.
    let tailback = Tailback::start_config(&config("redis://127.0.0.1:1/0"));
    let keda = Keda::new(tailback.keda_address());
    assert_eq!(keda.health(), json!([{"serving": true}, {"serving": true}]));
    let good = json!({"queue": "Mail/EU", "scalerAddress": "tailback:9829"});
    let deep = json!({"queueFromEnv": "mail", "metric": "ready", "target": "2.5"});
    let spec = |name: &str, int: &str, float: f64| {
        json!({"metricSpecs": [
            {"metricName": name, "targetSize": int, "targetSizeFloat": float}
        ]})
    };
    let mut calls = vec![
        ("GetMetricSpec", &good),
        ("StreamMetricSpec", &good),
        ("GetMetricSpec", &deep),
        ("GetMetrics", &good),
        ("IsActive", &good),
    ];
    let wrong = [
        ("queue", json!({"broker": "main"})),
        ("queue", json!({"queue": "a[b"})),
        ("metric", json!({"queue": "a", "metric": "depth"})),
        ("target", json!({"queue": "a", "metric": "ready"})),
        ("target", json!({"queue": "a", "target": "0"})),
        ("target", json!({"queue": "a", "target": "NaN"})),
        (
            "activationTarget",
            json!({"queue": "a", "activationTarget": "-1"}),
        ),
        ("targetWait", json!({"queue": "a", "targetWait": "30"})),
        (
            "targetWait",
            json!({"queue": "a", "metric": "ready", "target": "1", "targetWait": "30s"}),
        ),
        (
            "slotsPerWorker",
            json!({"queue": "a", "slotsPerWorker": "0.5"}),
        ),
        ("system", json!({"queue": "a", "system": "cellery"})),
        ("target_wait", json!({"queue": "a", "target_wait": "30s"})),
    ];
    calls.extend(
        wrong
            .iter()
            .map(|(_, metadata)| ("GetMetricSpec", metadata)),
    );
    let answers = keda.ask(&calls);
    let required = spec("tailback-required-workers-mail-eu", "1", 1.0);
    assert_eq!(answers[..2], [required.clone(), required]);
    assert_eq!(answers[2], spec("tailback-ready-mail", "3", 2.5));
    for answer in &answers[3..5] {
        assert_eq!(answer["code"], "UNAVAILABLE", "{answer}");
    }
    for ((key, _), answer) in wrong.iter().zip(&answers[5..]) {
        assert_eq!(answer["code"], "INVALID_ARGUMENT", "{key}: {answer}");
        let details = answer["details"].as_str().unwrap();
        assert!(details.starts_with(&format!("{key} ")), "{key}: {details}");
    }
    let answers = keda.ask(&[("IsActive", &json!({"queue": "a", "broker": "mian"}))]);
    let details = "broker no broker is named \"mian\"; there are main";
    assert_eq!(
        answers[0],
        json!({"code": "INVALID_ARGUMENT", "details": details})
    );
}

#[test]
fn a_push_stream_wakes_with_the_first_job_and_ends_well() {
    let redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url());
    let mut tailback = Tailback::start_config(&config(&redis.url()));
    let keda = Keda::new(tailback.keda_address());
    let metadata = json!({"queue": "mail", "system": "celery"});
    // There is no such queue yet.
    let watching = keda.watch(&metadata, redis.dir());
    assert_eq!(keda.is_active(&metadata), Err("NOT_FOUND".to_owned()));
    let told = |stream: &crate::support::process::Process| -> Vec<Value> {
        let output = stream.stdout();
        let lines = output.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    celery.send("mail", 1, &[]);
    eventually("the stream tells of the new queue", SOON, || {
        (told(&watching).last()?["result"] == true).then_some(())
    });
    redis.cli(&["DEL", "mail"]);
    eventually("the stream tells that it is empty", SOON, || {
        (told(&watching).last()?["result"] == false).then_some(())
    });
    assert_eq!(keda.is_active(&metadata), Ok(false));

    let before = told(&watching).len();
    let (sent, _) = celery.send("mail", 1, &[]);
    let first = eventually("the stream wakes", SOON, || {
        told(&watching).get(before).cloned()
    });
    assert_eq!(first["result"], true);
    let after = first["at"].as_f64().unwrap() - sent;
    println!("awake {after:.3} s after the job was sent, polls are 0.2 s apart");
    assert!(after < 0.2 + 0.5, "{after}");
    // It goes on to say so.
    eventually("it repeats", Duration::from_secs(15), || {
        (told(&watching).len() > before + 1).then_some(())
    });
    assert!(tailback.stop("TERM").success());
    eventually("the stream ends", SOON, || {
        (told(&watching).last()? == &json!({"end": "OK"})).then_some(())
    });
}

#[test]
fn the_last_worker_lives_until_its_job_ends() {
    let redis = Redis::start(RedisOptions::default());
    let until = redis.dir().join("until");
    let celery = Celery::new(&redis.url());
    let _worker = celery.worker("jobs", &["-c", "1"], redis.dir());
    let tailback = Tailback::start_config(&config(&redis.url()));
    let keda = Keda::new(tailback.keda_address());
    let path = json!(until).to_string();
    celery.send("jobs", 1, &["--task", "hold_late", "--arg", &path]);
    tailback.wait_jobs("celery", "jobs", "in_progress", 1);
    tailback.wait_jobs("celery", "jobs", "ready", 0);
    let ready = json!({"queue": "jobs", "metric": "ready", "target": "5"});
    assert_eq!(keda.value(&ready), Ok(0.0));
    assert_eq!(keda.is_active(&ready), Ok(true));
    fs::write(&until, "").unwrap();
    tailback.wait_jobs("celery", "jobs", "in_progress", 0);
    assert_eq!(keda.is_active(&ready), Ok(false));

    // Globs add up counts and take the longest of times.
    celery.send("many.a", 3, &[]);
    celery.send("many.b", 4, &[]);
    tailback.wait_jobs("celery", "many.a", "ready", 3);
    tailback.wait_jobs("celery", "many.b", "ready", 4);
    let many = |metric: &str| json!({"queue": "many.*", "metric": metric, "target": "1"});
    assert_eq!(keda.value(&many("ready")), Ok(7.0));
    let few = json!({"queue": "many.*", "activationTarget": "6"});
    let enough = json!({"queue": "many.*", "activationTarget": "7"});
    assert_eq!(keda.is_active(&few), Ok(true));
    assert_eq!(keda.is_active(&enough), Ok(false));
    // No objective, and no deadline either.
    assert_eq!(
        keda.value(&many("required_workers")),
        Err("FAILED_PRECONDITION".to_owned())
    );
}

#[test]
fn tls_asks_for_a_certificate_where_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let tls = |client_ca: &str| {
        let [cert, key] =
            [&certificates.server, &certificates.server_key].map(|path| path.display());
        let keda = format!("[keda.tls]\ncert_file = '{cert}'\nkey_file = '{key}'\n{client_ca}");
        format!("{keda}\n{}", config("redis://127.0.0.1:1/0"))
    };
    let client_ca = format!("client_ca_file = '{}'", certificates.ca.display());
    let code = |tailback: &Tailback, own: Option<bool>| {
        let mut keda = Keda::new(tailback.keda_address());
        if let Some(own) = own {
            keda = keda.with_tls(&certificates, own);
        }
        let metadata = json!({"queue": "a"});
        let answer = keda.ask(&[("GetMetricSpec", &metadata)]).remove(0);
        answer["code"].as_str().unwrap_or("OK").to_owned()
    };
    let open = Tailback::start_config(&tls(""));
    assert_eq!(code(&open, Some(false)), "OK");
    assert_eq!(code(&open, None), "UNAVAILABLE");
    let mutual = Tailback::start_config(&tls(&client_ca));
    assert_eq!(code(&mutual, Some(true)), "OK");
    assert_eq!(code(&mutual, Some(false)), "UNAVAILABLE");
    // Bad ones are found at the start.
    fs::write(&certificates.server, "").unwrap();
    let bad = dir.path().join("bad.toml");
    fs::write(&bad, tls("")).unwrap();
    let output = tailback(&[
        "run",
        "--config",
        bad.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ]);
    let logs = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{logs}");
    assert!(logs.contains("tailback: keda.tls: cannot read"), "{logs}");
}
