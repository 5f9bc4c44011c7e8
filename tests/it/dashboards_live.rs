//! Every query of the dashboards, asked of a real Prometheus that scrapes two tailbacks, which watch the
//! demo and other real workers on real brokers.

use crate::support::grafana::{Dashboard, Query, fill, text};
use crate::support::node::Bull;
use crate::support::process::{PATIENCE, Process, eventually};
use crate::support::prometheus::{Prometheus, Series};
use crate::support::python::{Celery, Rq};
use crate::support::rabbitmq::RabbitMq;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::root;
use crate::support::ruby::Sidekiq;
use crate::support::tailback::Tailback;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A queue must have been watched for a minute before anything is said of its demand.
const LONG: Duration = Duration::from_secs(120);

/// The demo's producer and workers.
fn start_demo(redis: &Redis) -> Vec<Process> {
    let start = |name: &str, args: &[&str]| {
        let mut command = Command::new(root().join(".venv/bin/python"));
        command.args(args).env("BROKER_URL", redis.url());
        command.env("PYTHONPATH", root().join("demo"));
        command.envs([("PYTHONDONTWRITEBYTECODE", "1"), ("C_FORCE_ROOT", "1")]);
        Process::spawn(name, &command, redis.dir())
    };
    let producer = root().join("demo/producer.py");
    let mut all = vec![start("producer", &[producer.to_str().unwrap()])];
    for queue in ["emails", "invoices", "reports"] {
        let name = format!("{queue}@demo");
        let args = [
            "-m", "celery", "-A", "app", "worker", "-Q", queue, "-n", &name,
        ];
        let options = [
            "-c",
            "2",
            "-P",
            "threads",
            "--without-gossip",
            "--without-mingle",
        ];
        all.push(start(queue, &[args.as_slice(), &options].concat()));
    }
    all
}

/// What the demo does not show: systems that tell more, and things that go wrong.
fn start_others(redis: &Redis, rabbit: &Celery, never: &Path) -> impl Sized + use<> {
    let url = redis.url();
    let never = never.to_str().unwrap();
    Rq::V3.client(&url, &["schedule", "mail", "1", "3600"]);
    Rq::V3.client(
        &url,
        &["send", "mail", "1", "--task", "hold", "--arg", never],
    );
    Celery::new(&url)
        .writing_enqueue_times()
        .send("waiting", 7, &[]);
    rabbit.send("celery", 20, &[]);
    let sidekiq = Sidekiq::new(&url);
    sidekiq.client(&["send", "default", "3", "Fail"]);
    (
        Rq::V3.worker(&url, &["mail"], &[], redis.dir()),
        Rq::V3.worker(&url, &["mail"], &["--name", "second"], redis.dir()),
        Bull::Six.worker(&url, "videos", 2, redis.dir()),
        sidekiq.worker(&["default"], 2, redis.dir()),
        rabbit.worker("celery", &["-c", "1"], redis.dir()),
    )
}

/// Work goes on arriving until `stop`.
fn produce(redis: &Redis, rabbit: &Celery, stop: &AtomicBool) {
    let url = redis.url();
    let times = redis.dir().join("times");
    while !stop.load(Ordering::Relaxed) {
        let times = times.to_str().unwrap();
        Rq::V3.client(
            &url,
            &["send", "mail", "4", "--task", "timed", "--arg", times],
        );
        Rq::V3.client(&url, &["send", "mail", "1", "--task", "fail"]);
        let retried = (&json!({"times": 1}), &json!({"attempts": 2, "priority": 3}));
        Bull::Six.send(&url, "videos", 3, "fail", retried);
        rabbit.send("celery", 5, &[]);
    }
}

fn config(redis: &Redis, rabbit: &RabbitMq, vhost: &str) -> String {
    format!(
        "[defaults]\ninterval = '500ms'\ndiscovery_interval = '1s'\n\
         [brokers.redis.redis]\nurl = '{}'\n\
         [brokers.rabbitmq.rabbitmq]\nurl = '{}'\nmanagement_url = 'http://{}'\n\
         [[objectives]]\nqueue = '*'\nwait = '2s'\nratio = 0.9\nservice_time = '100ms'\n",
        redis.url(),
        rabbit.url(vhost),
        rabbit.management,
    )
}

/// The shown time and the window of rates.
const WINDOWS: [(&str, &str); 2] = [("__rate_interval", "20s"), ("__range", "2m")];

/// Variables as Grafana fills them in where nothing has been chosen.
fn unchosen(dashboard: &Dashboard, prometheus: &Prometheus) -> Vec<(String, String)> {
    let mut filled: Vec<(String, String)> = WINDOWS
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    for variable in &dashboard.variables()[1..] {
        let name = text(&variable["name"]);
        let query = fill(text(&variable["query"]["query"]), &borrowed(&filled));
        let inner = query.strip_prefix("label_values(").unwrap();
        let (selector, label) = inner.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
        assert_eq!(label, name, "{query}");
        let values = eventually(&format!("values of {query}"), PATIENCE, || {
            Some(prometheus.label_values(selector, label)).filter(|values| !values.is_empty())
        });
        let value = match variable["allValue"].as_str() {
            Some(all) => all.to_owned(),
            None => format!("({})", values.join("|")),
        };
        filled.push((name.to_owned(), value));
    }
    filled
}

fn borrowed(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = variables.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// What Prometheus says as it would say it to Grafana.
fn ask(prometheus: &Prometheus, query: &Query<'_>, variables: &[(&str, &str)]) -> Vec<Series> {
    let promql = fill(query.expr, variables);
    assert!(!promql.contains('$'), "{promql}");
    if query.is_instant {
        prometheus.query_series(&promql)
    } else {
        prometheus.query_range(&promql, Duration::from_secs(30), Duration::from_secs(2))
    }
}

/// Why the answer cannot be drawn; nothing if it can.
fn fault(panel: &serde_json::Value, query: &Query<'_>, series: &[Series]) -> Option<String> {
    let values = || series.iter().flat_map(|series| &series.values);
    if values().next().is_none() {
        return Some("no data".to_owned());
    }
    if let Some(value) = values().find(|value| !value.is_finite()) {
        return Some(format!("{value}"));
    }
    // What the legend or the columns name must be there.
    let named: Vec<&str> = if query.kind == "table" {
        let order = panel["transformations"][1]["options"]["indexByName"].as_object();
        let columns = order.unwrap().keys().map(String::as_str);
        columns.filter(|name| !name.starts_with("Value")).collect()
    } else {
        let parts = query.legend.split("{{").skip(1);
        parts.map(|part| part.split_once("}}").unwrap().0).collect()
    };
    for one in series {
        if let Some(label) = named.iter().find(|label| !one.labels.contains_key(**label)) {
            return Some(format!("no label {label} in {:?}", one.labels));
        }
        if query.kind == "table" && one.labels.len() != named.len() {
            return Some(format!("rows would not merge: {:?}", one.labels));
        }
    }
    let names: BTreeSet<_> = series
        .iter()
        .map(|one| {
            named
                .iter()
                .map(|label| &one.labels[*label])
                .collect::<Vec<_>>()
        })
        .collect();
    if names.len() < series.len() {
        return Some("two series have one name".to_owned());
    }
    if query.format == "heatmap" {
        let bounds = series.iter().map(|one| one.labels["le"].parse::<f64>());
        let mut bounds: Vec<f64> = bounds.collect::<Result<_, _>>().ok()?;
        bounds.sort_by(f64::total_cmp);
        if bounds.len() < 5 || bounds.last() != Some(&f64::INFINITY) {
            return Some(format!("no histogram: {bounds:?}"));
        }
    }
    None
}

#[test]
fn what_cannot_be_drawn_is_found() {
    let dashboards = Dashboard::shipped();
    let queue = dashboards
        .iter()
        .find(|it| it.file == "queue.json")
        .unwrap();
    let panel_of = |kind: &str| queue.panels().find(|panel| panel["type"] == kind).unwrap();
    let series = |labels: &[(&str, &str)], values: &[f64]| Series {
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        values: values.to_vec(),
    };
    let fault_of = |kind: &str, series: &[Series]| {
        let panel = panel_of(kind);
        let query = &queue.queries_of(panel)[0];
        fault(panel, query, series).unwrap_or_default()
    };
    let one = |value: f64| series(&[], &[1.0, value]);
    assert_eq!(fault_of("timeseries", &[one(2.0)]), "");
    assert_eq!(fault_of("timeseries", &[]), "no data");
    assert_eq!(fault_of("timeseries", &[series(&[], &[])]), "no data");
    assert_eq!(fault_of("timeseries", &[one(f64::NAN)]), "NaN");
    let two = [one(1.0), one(2.0)];
    assert_eq!(fault_of("timeseries", &two), "two series have one name");
    let bucket = |le: &str| series(&[("le", le)], &[1.0]);
    let bounds = ["0.1", "1.0", "5.0", "30.0", "60.0"];
    let mut buckets: Vec<_> = bounds.map(bucket).into();
    assert!(fault_of("heatmap", &buckets).starts_with("no histogram"));
    buckets.push(bucket("+Inf"));
    assert_eq!(fault_of("heatmap", &buckets), "");
    buckets.push(one(1.0));
    assert!(fault_of("heatmap", &buckets).starts_with("no label le"));
}

#[test]
fn every_query_has_data_of_the_right_shape() {
    let (redis, rabbit) = (Redis::start(RedisOptions::default()), RabbitMq::shared());
    let vhost = rabbit.vhost();
    let on_rabbit = Celery::new(&rabbit.url(&vhost));
    let never = redis.dir().join("never");
    let _demo = start_demo(&redis);
    let _others = start_others(&redis, &on_rabbit, &never);
    let config = config(&redis, rabbit, &vhost);
    let replicas = [(); 2].map(|()| Tailback::start_config(&config));
    let prometheus = Prometheus::start(&replicas.each_ref().map(|tailback| tailback.address));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&redis, &on_rabbit, &stop));
        // The producer must end also if an assertion fails.
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(&prometheus);
            replicas_do_not_double(&prometheus);
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = checked {
            std::panic::resume_unwind(panic);
        }
    });
}

fn check(prometheus: &Prometheus) {
    let until = Instant::now() + LONG;
    let dashboards = Dashboard::shipped();
    let mut asked = 0;
    for dashboard in &dashboards {
        let variables = unchosen(dashboard, prometheus);
        let variables = borrowed(&variables);
        for panel in dashboard.panels() {
            for query in dashboard.queries_of(panel) {
                asked += 1;
                loop {
                    let series = ask(prometheus, &query, &variables);
                    let Some(fault) = fault(panel, &query, &series) else {
                        break;
                    };
                    assert!(
                        Instant::now() < until,
                        "{}, {}: {fault}\n{}",
                        dashboard.file,
                        query.panel,
                        fill(query.expr, &variables)
                    );
                    std::thread::sleep(Duration::from_millis(300));
                }
            }
        }
        // When each of the processes has started, in ms.
        let starts = prometheus.query_series(&fill(dashboard.annotation("Restarts"), &variables));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() * 1e3;
        assert_eq!(starts.len(), 2, "{starts:?}");
        for start in starts.iter().flat_map(|start| &start.values) {
            assert!((now - 600e3..now).contains(start), "{start}, {now}");
        }
        prometheus.query_series(&fill(dashboard.annotation("Alerts"), &variables));
    }
    assert!(asked > 90, "{asked}");
}

/// Two instances see the queue, and it has seven jobs, in each dashboard that counts jobs.
fn replicas_do_not_double(prometheus: &Prometheus) {
    let mut counted = 0;
    for dashboard in Dashboard::shipped() {
        let mut variables = unchosen(&dashboard, prometheus);
        variables.retain(|(name, _)| name != "queue");
        variables.push(("queue".to_owned(), "waiting".to_owned()));
        for query in dashboard.queries() {
            if ["Jobs waiting", "Ready"].contains(&query.legend) {
                let series = ask(prometheus, &query, &borrowed(&variables));
                assert_eq!(series.len(), 1, "{series:?}");
                assert_eq!(series[0].values, [7.0], "{}", query.expr);
                counted += 1;
            }
        }
    }
    assert!(counted >= 4, "{counted}");
}
