//! What goes wrong must not look like less work: in none of these may an answer make an autoscaler
//! take workers away.

use super::{SOON, config};
use crate::support::keda::Keda;
use crate::support::process::{Process, eventually, free_port};
use crate::support::python::Celery;
use crate::support::rabbitmq::RabbitMq;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

const OBJECTIVE: &str = "
[[objectives]]
queue = '*'
wait = '30s'
service_time = '1s'
";

/// What a sampling client has heard: each time the three answers.
fn samples(process: &Process) -> Vec<Value> {
    let output = process.stdout();
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The value that a sample tells, or the code of the error.
fn value(sample: &Value) -> Result<f64, String> {
    let answer = &sample["GetMetrics"];
    match answer["code"].as_str() {
        Some(code) => Err(code.to_owned()),
        None => Ok(answer["metricValues"][0]["metricValueFloat"]
            .as_f64()
            .unwrap()),
    }
}

/// 300 jobs of a second wait, in 30 s they are to be started: 10 slots, whatever happens to us.
#[test]
fn a_backlog_stays_a_backlog_whatever_happens_to_us_and_to_the_broker() {
    let mut redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url());
    celery.send("work", 300, &[]);
    let ports = [free_port(), free_port()];
    let start = |port: u16| {
        let config = config(&redis.url()).replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
        Tailback::start_config(&format!("{config}{OBJECTIVE}"))
    };
    let metadata = json!({"queue": "work", "broker": "main", "system": "celery"});
    // Two replicas, asked in turn.
    let mut replicas = ports.map(start);
    let clients =
        [0, 1].map(|each| Keda::new(replicas[each].keda_address()).sample(&metadata, redis.dir()));
    let last = |each: usize| samples(&clients[each]).pop().unwrap();
    let both_know = || [0, 1].iter().all(|each| value(&last(*each)).is_ok());
    eventually("both know the demand", Duration::from_secs(90), || {
        both_know().then_some(())
    });
    assert_eq!([0, 1].map(|each| value(&last(each))), [Ok(10.0), Ok(10.0)]);
    let queue = replicas[0].json("/api/v1/queues/main/celery/work");
    assert_eq!(queue["required_workers"], json!(10.0));
    assert_eq!(
        queue["demand"],
        json!({"slots": 10.0, "workers": 10.0, "arrivals_per_second": 0.0,
            "service_time_seconds": 1.0, "service_time_source": "configured", "unfinished_jobs": 300})
    );
    let metrics = replicas[0].metrics();
    let slots = metrics.get("tailback_queue_required_workers", &[("queue", "work")]);
    assert_eq!(slots, Some(10.0));
    // More slots a worker, or a nearer deadline.
    let keda = Keda::new(replicas[0].keda_address());
    let asked = |key: &str, text: &str| {
        let mut metadata = metadata.clone();
        metadata[key] = json!(text);
        keda.value(&metadata)
    };
    assert_eq!(asked("slotsPerWorker", "4"), Ok(2.5));
    assert_eq!(asked("targetWait", "10s"), Ok(30.0));

    // A restart in the middle of the backlog.
    assert!(replicas[0].stop("TERM").success());
    let before = samples(&clients[0]).len();
    replicas[0] = start(ports[0]);
    replicas[0].wait_jobs("celery", "work", "ready", 300);
    wait_for("the new process is heard", || {
        let heard = samples(&clients[0]).split_off(before);
        heard
            .iter()
            .filter(|heard| heard["IsActive"]["result"] == true)
            .count()
            > 5
    });
    assert_eq!(value(&last(0)), Err("UNAVAILABLE".to_owned()));

    // The broker freezes, comes back, and goes.
    redis.freeze();
    let is_lost = || (value(&last(1)) == Err("UNAVAILABLE".to_owned())).then_some(());
    eventually("the numbers are stale", SOON, is_lost);
    redis.thaw();
    eventually("it is back", SOON, || {
        (value(&last(1)) == Ok(10.0)).then_some(())
    });
    redis.kill();
    eventually("the broker is missed", SOON, is_lost);
    let sample = last(1);
    assert_eq!(sample["IsActive"]["code"], "UNAVAILABLE");
    assert_eq!(
        sample["GetMetricSpec"]["metricSpecs"][0]["metricName"],
        "tailback-required-workers-work"
    );

    let all: Vec<Value> = clients.iter().flat_map(samples).collect();
    let told = all
        .iter()
        .filter(|sample| value(sample) == Ok(10.0))
        .count();
    let refused = all.iter().filter(|sample| value(sample).is_err()).count();
    println!(
        "{} samples: {told} told 10 slots, {refused} were refused",
        all.len()
    );
    assert_eq!(told + refused, all.len(), "something else was told");
    assert!(told > 20 && refused > 20);
    assert!(
        all.iter()
            .all(|sample| sample["IsActive"]["result"] != false)
    );
}

#[test]
fn a_deleted_queue_is_unknown_and_one_that_counts_anew_is_not_idle() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    let url = rabbit.url(&vhost);
    let config = format!(
        "[keda]\nlisten = '127.0.0.1:0'\n[defaults]\ninterval = '200ms'\ntimeout = '5s'\n\
         discovery_interval = '1s'\n[brokers.main.rabbitmq]\nurl = '{url}'\n\
         management_url = 'http://{}'\n{OBJECTIVE}",
        rabbit.management
    );
    let tailback = Tailback::start_config(&config);
    let keda = Keda::new(tailback.keda_address());
    let metadata = json!({"queue": "work", "metric": "ready", "target": "5"});
    let fill = |jobs: usize| {
        rabbit.declare(&vhost, "work", &json!({}));
        (0..jobs).for_each(|_| rabbit.publish(&vhost, "work", "hello", &json!({})));
    };
    let delete = || rabbit.api("DELETE", &format!("/api/queues/{vhost}/work"), None);
    fill(30);
    tailback.wait_jobs("rabbitmq", "work", "ready", 30);
    assert_eq!(keda.value(&metadata), Ok(30.0));
    assert_eq!(keda.is_active(&metadata), Ok(true));
    let enqueued = |tailback: &Tailback| {
        let metrics = tailback.metrics();
        metrics.get("tailback_queue_enqueued_total", &[("queue", "work")])
    };
    wait_for("arrivals are counted", || enqueued(&tailback) == Some(30.0));

    delete();
    wait_for("it is gone", || {
        keda.value(&metadata) == Err("NOT_FOUND".to_owned())
    });
    assert_eq!(keda.is_active(&metadata), Err("NOT_FOUND".to_owned()));
    // The same name again, whose counters begin at nothing.
    let sampling = keda.sample(&metadata, tailback.dir());
    fill(7);
    tailback.wait_jobs("rabbitmq", "work", "ready", 7);
    wait_for("it is told again", || {
        samples(&sampling)
            .last()
            .is_some_and(|sample| value(sample) == Ok(7.0))
    });
    let required = json!({"queue": "work"});
    assert_eq!(keda.value(&required), Err("UNAVAILABLE".to_owned()));
}
