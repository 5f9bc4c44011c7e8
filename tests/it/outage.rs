//! What goes wrong with a Redis: `up` falls, stale series go, everything comes back by itself, and
//! the log says it once.

use crate::support::http;
use crate::support::process::PATIENCE;
use crate::support::python::Celery;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};
use std::time::Duration;

/// Long enough for several polls, failed ones with their pauses included.
const SOME_POLLS: Duration = Duration::from_secs(3);

fn config(redis: &Redis) -> String {
    quick(&redis.url()) + "[brokers.main.redis.list]\nkeys = ['jobs', 'others']\n"
}

fn with_jobs(redis: &Redis) -> Tailback {
    redis.cli(&["RPUSH", "jobs", "a", "b", "c"]);
    let tailback = Tailback::start_config(&config(redis));
    tailback.wait_jobs("list", "jobs", "ready", 3);
    tailback
}

fn wait_down(tailback: &Tailback) {
    tailback.wait_until("down", PATIENCE, |metrics| {
        metrics.get("tailback_broker_up", &[]) == Some(0.0)
    });
    let metrics = tailback.wait_until("stale series are gone", PATIENCE, |metrics| {
        metrics.all("tailback_queue_jobs", &[]).is_empty()
    });
    let about_queues = metrics
        .samples
        .iter()
        .filter(|sample| sample.name.starts_with("tailback_queue_"));
    assert_eq!(about_queues.count(), 0, "{}", metrics.text);
    // What is true all the same is still said.
    assert!(
        metrics
            .get("tailback_broker_last_success_timestamp_seconds", &[])
            .is_some()
    );
    assert!(metrics.get("tailback_poll_interval_seconds", &[]).is_some());
}

/// Neither the process that we sit beside nor its orchestrator may suffer from a broker's outage.
fn assert_alive_and_honest(tailback: &Tailback) {
    assert_eq!(tailback.get("/live").status, 200);
    assert_eq!(tailback.get("/ready").status, 200);
    assert_eq!(tailback.get("/api/v1/queues/main/list/jobs").status, 503);
    let brokers = tailback.json("/api/v1/brokers");
    assert_eq!(brokers["brokers"][0]["up"], false, "{brokers}");
    assert!(
        brokers["brokers"][0]["last_error"]["message"].is_string(),
        "{brokers}"
    );
}

/// Down once and up once; the second line of an error is one of another kind.
fn assert_said_once(tailback: &Tailback) {
    let down = tailback.logged("ERROR");
    assert!((1..=2).contains(&down.len()), "{down:#?}");
    let up: Vec<String> = tailback
        .logged("WARN")
        .into_iter()
        .filter(|line| line.contains("up again"))
        .collect();
    assert_eq!(up.len(), 1, "{up:#?}");
}

fn errors(tailback: &Tailback, kind: &str) -> f64 {
    tailback
        .metrics()
        .sum("tailback_poll_errors_total", &[("kind", kind)])
}

#[test]
fn killed_and_started_again() {
    let mut redis = Redis::start(RedisOptions::default());
    let tailback = with_jobs(&redis);
    redis.kill();
    wait_down(&tailback);
    assert_alive_and_honest(&tailback);
    std::thread::sleep(SOME_POLLS);
    assert!(errors(&tailback, "connect") >= 2.0);
    redis.restart();
    // It came back empty: the queue is known, and nothing waits in it.
    let metrics = tailback.wait_until("up again", PATIENCE, |metrics| {
        metrics.get("tailback_broker_up", &[]) == Some(1.0)
    });
    assert_eq!(metrics.jobs("list", "jobs", "ready"), Some(0.0));
    redis.cli(&["RPUSH", "jobs", "a"]);
    tailback.wait_jobs("list", "jobs", "ready", 1);
    assert_said_once(&tailback);
}

#[test]
fn not_there_at_the_start() {
    let mut redis = Redis::start(RedisOptions::default());
    redis.kill();
    let tailback = Tailback::start_config(&config(&redis));
    tailback.wait_until("down", PATIENCE, |metrics| {
        metrics.get("tailback_broker_up", &[]) == Some(0.0)
    });
    assert_eq!(tailback.get("/live").status, 200);
    // The first round is over, if badly.
    tailback.wait_until("an error", PATIENCE, |metrics| {
        metrics.sum("tailback_poll_errors_total", &[]) >= 1.0
    });
    assert_eq!(tailback.get("/ready").status, 200);
    redis.restart();
    redis.cli(&["RPUSH", "jobs", "a"]);
    tailback.wait_jobs("list", "jobs", "ready", 1);
}

#[test]
fn paused() {
    let redis = Redis::start(RedisOptions::default());
    let tailback = with_jobs(&redis);
    redis.pause(Duration::from_secs(6));
    wait_down(&tailback);
    assert_alive_and_honest(&tailback);
    assert!(errors(&tailback, "timeout") >= 1.0);
    tailback.wait_jobs("list", "jobs", "ready", 3);
    assert_said_once(&tailback);
}

#[test]
fn frozen() {
    let redis = Redis::start(RedisOptions::default());
    let tailback = with_jobs(&redis);
    redis.freeze();
    wait_down(&tailback);
    assert_alive_and_honest(&tailback);
    std::thread::sleep(SOME_POLLS);
    redis.thaw();
    tailback.wait_jobs("list", "jobs", "ready", 3);
    assert_said_once(&tailback);
    // Polls did not pile up: one connection, or one more that is about to go.
    let clients = redis.cli(&["CLIENT", "LIST", "TYPE", "normal"]);
    assert!(clients.lines().count() <= 3, "{clients}");
}

/// Three jobs, watched by the user `tail` with the password `pw`.
fn watched_as_a_user() -> (Redis, Tailback) {
    let users = vec!["tail on >pw ~* +@all".to_owned()];
    let redis = Redis::start(RedisOptions {
        users,
        ..RedisOptions::default()
    });
    redis.cli(&["RPUSH", "jobs", "a", "b", "c"]);
    let config = config(&redis).replace("127.0.0.1", "tail:pw@127.0.0.1");
    let tailback = Tailback::start_config(&config);
    tailback.wait_jobs("list", "jobs", "ready", 3);
    (redis, tailback)
}

#[test]
fn rights_lost_and_given_back() {
    let (redis, tailback) = watched_as_a_user();
    redis.cli(&["ACL", "SETUSER", "tail", "-@all"]);
    tailback.wait_until("series are gone", PATIENCE, |metrics| {
        metrics.jobs("list", "jobs", "ready").is_none()
    });
    assert!(errors(&tailback, "permission") >= 1.0);
    std::thread::sleep(SOME_POLLS);
    redis.cli(&["ACL", "SETUSER", "tail", "+@all"]);
    tailback.wait_jobs("list", "jobs", "ready", 3);
    // Each thing that was refused once; a search for queues may have been refused as well as the polls.
    let logs = tailback.logs();
    let refused = logs.lines().filter(|line| line.contains("NOPERM"));
    let mut told: Vec<&str> = refused
        .map(|line| line.split_once("\"message\"").unwrap().1)
        .collect();
    let count = told.len();
    told.sort_unstable();
    told.dedup();
    assert!(count > 0 && told.len() == count, "{logs}");
}

#[test]
fn password_changed_and_changed_back() {
    let (redis, tailback) = watched_as_a_user();
    redis.cli(&["ACL", "SETUSER", "tail", "resetpass", ">other"]);
    redis.cli(&["CLIENT", "KILL", "USER", "tail"]);
    wait_down(&tailback);
    assert!(errors(&tailback, "auth") >= 1.0);
    assert!(!tailback.logs().contains("tail:pw"), "{}", tailback.logs());
    redis.cli(&["ACL", "SETUSER", "tail", "resetpass", ">pw"]);
    tailback.wait_jobs("list", "jobs", "ready", 3);
}

#[test]
fn a_key_of_another_type_concerns_its_queue_alone() {
    let redis = Redis::start(RedisOptions::default());
    let tailback = with_jobs(&redis);
    redis.cli(&["SET", "others", "no list"]);
    let metrics = tailback.wait_until("unreadable", PATIENCE, |metrics| {
        metrics.get(
            "tailback_broker_queues_dropped",
            &[("reason", "unreadable")],
        ) == Some(1.0)
    });
    assert_eq!(metrics.jobs("list", "others", "ready"), None);
    assert_eq!(metrics.jobs("list", "jobs", "ready"), Some(3.0));
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(1.0));
    std::thread::sleep(SOME_POLLS);
    let told = tailback.logs().matches("WRONGTYPE").count();
    assert_eq!(told, 1, "{}", tailback.logs());
    redis.cli(&["DEL", "others"]);
    redis.cli(&["RPUSH", "others", "x"]);
    tailback.wait_jobs("list", "others", "ready", 1);
}

#[test]
fn garbage_where_a_message_should_be_leaves_the_depth() {
    let redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url()).writing_enqueue_times();
    let started = std::time::Instant::now();
    celery.send("emails", 2, &[]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("celery", "emails", "ready", 2);
    for garbage in [
        "not json",
        "{\"headers\":",
        "[1,2,3]",
        "null",
        "{\"headers\":{\"eta\":7}}",
    ] {
        redis.cli(&["RPUSH", "emails", garbage]);
        let depth: u64 = redis.cli(&["LLEN", "emails"]).parse().unwrap();
        let metrics = tailback.wait_jobs("celery", "emails", "ready", depth);
        let labels = [("queue", "emails")];
        // It has no age of its own, and has not come in turn: how old the others are is not known.
        assert_eq!(
            metrics.get("tailback_queue_latency_max_seconds", &labels),
            None,
            "{garbage}"
        );
        assert_eq!(
            metrics.get("tailback_broker_up", &[]),
            Some(1.0),
            "{garbage}"
        );
        let queue = tailback.json("/api/v1/queues/main/celery/emails");
        let least = queue["latency_min_seconds"].as_f64().unwrap_or(0.0);
        assert!(least <= started.elapsed().as_secs_f64(), "{queue}");
        let reason = [
            &queue["latency_unknown_reason"],
            &queue["latency_max_unknown_reason"],
        ];
        assert!(reason.iter().any(|reason| reason.is_string()), "{queue}");
    }
    // The workers would choke on it, too; once it is gone, the next message is read again.
    redis.cli(&["LTRIM", "emails", "0", "1"]);
    tailback.wait_until("a latency again", PATIENCE, |metrics| {
        metrics
            .get("tailback_queue_latency_seconds", &[("queue", "emails")])
            .is_some()
    });
}

#[test]
fn a_payload_of_50_megabytes_is_not_fetched() {
    const SIZE: usize = 50 << 20;
    let redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url()).writing_enqueue_times();
    celery.send("alone", 1, &["--payload", &SIZE.to_string()]);
    // One among many small ones, next to run.
    celery.send("among", 200, &[]);
    let huge: Vec<u8> = vec![b'x'; SIZE];
    let _: u64 = redis.query(redis::cmd("RPUSH").arg("among").arg(huge));
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("celery", "among", "ready", 201);
    assert_eq!(metrics.jobs("celery", "alone", "ready"), Some(1.0));
    std::thread::sleep(SOME_POLLS);
    let metrics = tailback.metrics();
    assert_eq!(
        metrics.get("tailback_broker_up", &[]),
        Some(1.0),
        "{}",
        tailback.logs()
    );
    for queue in ["alone", "among"] {
        let max = metrics.get("tailback_queue_latency_max_seconds", &[("queue", queue)]);
        assert_eq!(max, None, "{queue}");
    }
    // Nothing identifies the only job, so it may be another one by now.
    let alone = tailback.json("/api/v1/queues/main/celery/alone");
    assert!(alone["latency_seconds"].is_null(), "{alone}");
    let reason = alone["latency_unknown_reason"].as_str().unwrap();
    assert!(reason.contains("max_payload_bytes"), "{alone}");
    // The small ones behind it show that nothing has left: it has waited as long as they were seen.
    let among = tailback.json("/api/v1/queues/main/celery/among");
    assert!(
        among["latency_seconds"]
            .as_f64()
            .is_none_or(|age| age < 30.0),
        "{among}"
    );
    let received = metrics
        .get("tailback_broker_bytes_total", &[("direction", "received")])
        .unwrap();
    // Once, to find out; not at each of the many polls since.
    assert!(received < 1.5 * SIZE as f64, "{received} bytes");
    let peak = tailback.peak_rss_bytes();
    assert!(peak < 40 << 20, "{peak} bytes");
}

#[test]
fn a_reader_in_bad_times_is_answered_at_once() {
    let redis = Redis::start(RedisOptions::default());
    let tailback = with_jobs(&redis);
    redis.freeze();
    for _ in 0..20 {
        let asked = std::time::Instant::now();
        assert_eq!(http::get(tailback.address, "/metrics").status, 200);
        assert!(
            asked.elapsed() < Duration::from_millis(500),
            "{:?}",
            asked.elapsed()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
