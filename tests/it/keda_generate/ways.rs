//! Whoever asks as it is written gets the number: over gRPC, the JSON API and a real Prometheus.

use super::{generate, manual};
use crate::support::keda::{self, Keda};
use crate::support::process::{eventually, run};
use crate::support::prometheus::Prometheus;
use crate::support::python::Celery;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const TOKEN: &str = "a-token-of-some-length";
const KEY: &str = "a-key-of-some-length";

fn triggers(objects: &[Value]) -> Vec<Value> {
    objects[0]["spec"]["triggers"].as_array().unwrap().clone()
}

/// What one trigger gives, of which kind it may be.
fn answers(keda: &Keda, triggers: &[Value]) -> Vec<Value> {
    let secrets = json!({"bearerToken": TOKEN, "apiKey": KEY});
    match triggers[0]["type"].as_str() {
        Some("external" | "external-push") => {
            let metadata = &triggers[0]["metadata"];
            let (value, active) = (keda.value(metadata), keda.is_active(metadata));
            match (value, active) {
                (Ok(value), Ok(active)) => vec![json!({"value": value, "active": active})],
                (value, active) => vec![json!({"error": format!("{value:?} {active:?}")})],
            }
        }
        _ => keda::ask(triggers, &secrets),
    }
}

/// 300 jobs of a second wait, in 30 s they are to be started.
#[test]
fn each_way_of_asking_gives_the_number() {
    let mut redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url());
    celery.send("eu/mail", 300, &[]);
    redis.cli(&["LPUSH", "plain", "a", "b", "c"]);
    let config = redis.dir().join("config.toml");
    std::fs::write(
        &config,
        format!(
            "[http]\nbearer_token_env = 'T'\napi_key_env = 'K'\nopen_metrics = true\n\
             [keda]\nlisten = '127.0.0.1:0'\n{}list.keys = ['plain']\n\
             [[objectives]]\nqueue = '*'\nwait = '30s'\nservice_time = '1s'\nslots_per_worker = 2\n",
            quick(&redis.url())
        ),
    )
    .unwrap();
    let tailback = Tailback::start_with(
        &["--config", config.to_str().unwrap()],
        &[("T", TOKEN), ("K", KEY)],
    );
    let prometheus = Prometheus::start(&[tailback.address]);
    let keda = Keda::new(tailback.keda_address());
    let (api, prom) = (
        format!("http://{}", tailback.address),
        format!("http://{}", prometheus.address),
    );
    let grpc = tailback.keda_address().to_string();
    let asked = |system: &str, queue: &str, more: &[&str]| {
        let named = ["--queue", queue, "--broker", "main", "--system", system];
        let named = [&named as &[&str], &["--deployment", "w"]].concat();
        triggers(&generate(&[&named, more].concat()))
    };
    let external = |system: &str, queue: &str, more: &[&str]| {
        asked(system, queue, &[&["--address", &grpc], more].concat())
    };
    let by_api = |system: &str, queue: &str, more: &[&str]| {
        let args = ["--flavour", "metrics-api", "--address", &api];
        asked(system, queue, &[&args, more].concat())
    };
    let by_prometheus = |system: &str, queue: &str, more: &[&str]| {
        let args = ["--flavour", "prometheus", "--address", &prom];
        asked(system, queue, &[&args, more].concat())
    };
    let bearer: &[&str] = &["--bearer-secret", "s"];
    let key: &[&str] = &["--api-key-secret", "s"];
    let two: &[&str] = &["--slots-per-worker", "2"];
    let ways = |system: &str, queue: &str| {
        [
            external(system, queue, &[]),
            by_api(system, queue, bearer),
            by_api(system, queue, key),
            by_prometheus(system, queue, two),
        ]
    };
    let mail = ways("celery", "eu/mail");
    let waiting = |value: f64| json!({"value": value, "active": true});
    eventually("the demand is known", Duration::from_secs(90), || {
        (answers(&keda, &mail[0]) == [waiting(5.0)]).then_some(())
    });
    // The number of pods is the value over the target: 10 slots, two a pod.
    let unfinished = waiting(300.0);
    let never = |value: f64| json!({"value": value, "active": false});
    assert_eq!(answers(&keda, &mail[1]), [never(5.0), unfinished.clone()]);
    assert_eq!(answers(&keda, &mail[2]), [never(5.0), unfinished.clone()]);
    wait_for("Prometheus has it", || {
        answers(&keda, &mail[3]) == [never(10.0), unfinished.clone()]
    });
    assert_eq!(mail[3][0]["metadata"]["threshold"], "2");
    assert_eq!(mail[1][0]["metadata"]["targetValue"], "1");
    // Options count, and with a pod at least one trigger is enough.
    let sooner = external("celery", "eu/mail", &["--target-wait", "10s"]);
    assert_eq!(answers(&keda, &sooner), [waiting(15.0)]);
    let roomy = external("celery", "eu/mail", &["--slots-per-worker", "4"]);
    assert_eq!(answers(&keda, &roomy), [waiting(2.5)]);
    let slots = by_api(
        "celery",
        "eu/mail",
        &[bearer, &["--min", "1"], two].concat(),
    );
    assert_eq!(answers(&keda, &slots), [waiting(10.0)]);
    assert_eq!(slots[0]["metadata"]["targetValue"], "2");
    as_keda_reads_them(&tailback, &slots[0]);
    queries_of_the_manual_tell_it_too(&prometheus);
    assert_eq!(script_of_the_manual(redis.dir(), &api, KEY), ["5"]);
    assert_eq!(
        script_of_the_manual(redis.dir(), &api, TOKEN),
        [] as [&str; 0]
    );

    // Nothing tells of running jobs of a plain list: with none waiting, nobody may go.
    let plain = ways("list", "plain");
    let last = |way: &[Value]| answers(&keda, way).pop().unwrap();
    for way in &plain[1..] {
        assert_eq!(last(way), waiting(3.0));
    }
    assert_eq!(keda.is_active(&plain[0][0]["metadata"]), Ok(true));
    redis.cli(&["DEL", "plain"]);
    // And a queue that is known to be empty needs none.
    celery.purge("eu/mail");
    tailback.wait_jobs("list", "plain", "ready", 0);
    tailback.wait_jobs("celery", "eu/mail", "ready", 0);
    wait_for("Prometheus has it too", || last(&mail[3]) == never(0.0));
    for way in &plain {
        assert!(last(way)["error"].is_string(), "{way:?}");
    }
    assert_eq!(answers(&keda, &mail[0]), [never(0.0)]);
    for way in &mail[1..] {
        assert_eq!(answers(&keda, way), [never(0.0), never(0.0)]);
    }

    // Without the broker, each of them is an error, and none is zero.
    redis.kill();
    wait_for("the broker is missed", || {
        last(&mail[0])["error"].is_string()
    });
    wait_for("Prometheus misses it", || {
        last(&mail[3])["error"].is_string()
    });
    for way in &mail {
        for answer in answers(&keda, way) {
            assert!(answer["error"].is_string(), "{way:?}: {answer}");
        }
    }
    assert_eq!(
        script_of_the_manual(redis.dir(), &api, KEY),
        [] as [&str; 0]
    );
    let spec = keda.ask(&[("GetMetricSpec", &mail[0][0]["metadata"])]);
    assert_eq!(spec[0]["metricSpecs"][0]["targetSizeFloat"], 1.0);
}

/// That of prometheus-adapter, filled in as it does, and Nomad's.
fn queries_of_the_manual_tell_it_too(prometheus: &Prometheus) {
    let yaml: Vec<Value> = manual("yaml")
        .iter()
        .flat_map(|part| keda::parse(part))
        .collect();
    let rules = yaml.iter().find_map(|object| object.get("externalRules"));
    let adapter = rules.unwrap()[0]["metricsQuery"]
        .as_str()
        .unwrap()
        .replace("<<.Series>>", "tailback_queue_required_workers")
        .replace(
            "<<.LabelMatchers>>",
            "broker=\"main\",system=\"celery\",queue=\"eu/mail\"",
        );
    let hcl = manual("hcl").remove(0);
    let (_, nomad) = hcl.split_once("query  = \"").unwrap();
    let nomad = nomad.lines().next().unwrap().trim_end_matches('"');
    let nomad = nomad.replace("'mail'", "'eu/mail'");
    for (query, wanted) in [(adapter, 10.0), (nomad, 3.0)] {
        let values: Vec<f64> = prometheus
            .query(&query)
            .iter()
            .map(|sample| sample.value)
            .collect();
        assert_eq!(values, [wanted], "{query}");
    }
}

/// How many tasks the script asks for, with a command of our own in place of Amazon's.
fn script_of_the_manual(dir: &Path, api: &str, key: &str) -> Vec<String> {
    let (told, aws) = (dir.join("told"), dir.join("aws"));
    fs::write(&told, "").unwrap();
    fs::write(
        &aws,
        format!("#!/bin/sh\necho \"$*\" >> {}\n", told.display()),
    )
    .unwrap();
    fs::set_permissions(&aws, fs::Permissions::from_mode(0o755)).unwrap();
    let script = manual("sh").remove(0);
    let queue = format!("celery/eu%2Fmail?api_key={key}");
    let script = script.replace("celery/mail", &queue);
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("TAILBACK", api);
    run(command.env("PATH", format!("{}:{path}", dir.display())));
    let told = fs::read_to_string(&told).unwrap();
    let start = "ecs update-service --cluster jobs --service mail-worker --desired-count ";
    told.lines()
        .map(|line| line.strip_prefix(start).unwrap().to_owned())
        .collect()
}

/// Paths and selectors beyond those that are written, secrets in each place, and what KEDA must refuse.
fn as_keda_reads_them(tailback: &Tailback, trigger: &Value) {
    let with = |changes: &[(&str, &str)]| {
        let mut trigger = trigger.clone();
        for (key, value) in changes {
            trigger["metadata"][*key] = json!(value);
        }
        trigger
    };
    let url = trigger["metadata"]["url"].as_str().unwrap();
    let metrics = format!("http://{}/metrics", tailback.address);
    let selector = "tailback_queue_required_workers{queue=\"eu/mail\",system=\"celery\"}";
    let good = [
        (with(&[("valueLocation", "jobs.ready")]), 300.0),
        (with(&[("valueLocation", "demand.slots")]), 10.0),
        (with(&[("authMode", "apiKey")]), 10.0),
        (with(&[("authMode", "apiKey"), ("method", "query")]), 10.0),
        (
            with(&[
                ("url", &metrics),
                ("format", "prometheus"),
                ("valueLocation", selector),
            ]),
            10.0,
        ),
    ];
    let bad = [
        with(&[("valueLocation", "paused")]),
        with(&[("valueLocation", "latency")]),
        with(&[("valueLocation", "source")]),
        with(&[("authMode", "")]),
        with(&[("url", &url.replace("eu%2Fmail", "eu%2Fmial"))]),
        with(&[("url", &url.replace("eu%2Fmail", "eu/mail"))]),
    ];
    let secrets = json!({"bearerToken": TOKEN, "apiKey": KEY});
    let (triggers, values): (Vec<Value>, Vec<f64>) = good.into_iter().unzip();
    let answers = keda::ask(&triggers, &secrets);
    let told: Vec<_> = answers
        .iter()
        .map(|answer| answer["value"].as_f64())
        .collect();
    let wanted: Vec<_> = values.into_iter().map(Some).collect();
    assert_eq!(told, wanted, "{answers:?}");
    for answer in keda::ask(&bad, &secrets) {
        assert!(answer["error"].is_string(), "{answer}");
    }
    let wrong = json!({"bearerToken": KEY, "apiKey": TOKEN});
    let [_, _, key, query, _] = &triggers[..] else {
        unreachable!()
    };
    for answer in keda::ask(&[trigger.clone(), key.clone(), query.clone()], &wrong) {
        assert!(
            answer["error"].as_str().unwrap().contains("401"),
            "{answer}"
        );
    }
}
