//! Celery: priorities, times, what workers hold.

use super::{Release, queue, redis, unix_now};
use crate::support::process::PATIENCE;
use crate::support::python::{Celery, printed_in};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick, wait_for};
use serde_json::{Value, json};

#[test]
fn celery_priorities_are_summed_and_told_apart() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    celery.send("emails", 3, &[]);
    celery.send("emails", 2, &["--priority", "3"]);
    celery.send("emails", 1, &["--priority", "5"]);
    celery.send("emails", 4, &["--priority", "9"]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("celery", "emails", "ready", 10);
    assert_eq!(celery.depth("emails"), 10);
    for (priority, jobs) in [("0", 3.0), ("3", 3.0), ("6", 0.0), ("9", 4.0)] {
        let labels = [("queue", "emails"), ("priority", priority)];
        assert_eq!(
            metrics.get("tailback_queue_priority_jobs", &labels),
            Some(jobs),
            "{priority}"
        );
    }
    // Celery's messages carry no time of their own: tailback knows for how long it has watched.
    let latency = "tailback_queue_latency_seconds";
    let metrics = tailback.wait_until("a lower bound", PATIENCE, |metrics| {
        queue(metrics, latency, "emails") > Some(0.5)
    });
    assert_eq!(
        queue(&metrics, "tailback_queue_latency_max_seconds", "emails"),
        None
    );
    let labels = [("queue", "emails"), ("source", "flow")];
    assert_eq!(
        metrics.get("tailback_queue_source_info", &labels),
        Some(1.0)
    );
}

#[test]
fn celery_latency_is_the_age_of_the_oldest_message_with_a_time() {
    let redis = redis();
    let (before, after) = Celery::new(&redis.url())
        .writing_enqueue_times()
        .send("stamped", 5, &[]);
    let (before_whole, after_whole) =
        Celery::new(&redis.url()).send("seconds", 2, &["--timestamp"]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("celery", "stamped", "ready", 5);
    let asked = unix_now();
    // A poll from before `asked` may be up to an interval old.
    let metrics = tailback.metrics();
    for (name, before, after, doubt) in [
        ("stamped", before, after, 0.1),
        ("seconds", before_whole - 1.0, after_whole, 1.1),
    ] {
        let get = |metric: &str| {
            queue(&metrics, metric, name).unwrap_or_else(|| panic!("no {metric} of {name}"))
        };
        let latency = get("tailback_queue_latency_seconds");
        assert!(
            latency > asked - after - 1.0,
            "{name}: {latency} but sent {}",
            asked - after
        );
        assert!(latency < unix_now() - before, "{name}: {latency}");
        let (min, max) = (
            get("tailback_queue_latency_min_seconds"),
            get("tailback_queue_latency_max_seconds"),
        );
        assert!(
            min <= latency && latency <= max && max - min < doubt,
            "{min} {latency} {max}"
        );
        let oldest = get("tailback_queue_oldest_job_timestamp_seconds");
        assert!((before..after + 1.0).contains(&oldest), "{name}: {oldest}");
        let labels = [("queue", name), ("source", "message")];
        assert_eq!(
            metrics.get("tailback_queue_source_info", &labels),
            Some(1.0)
        );
    }
}

#[test]
fn celery_messages_carry_their_time_with_the_code_that_the_documentation_prints() {
    let redis = redis();
    let tailback = Tailback::start_config(&quick(&redis.url()));
    for (queue, text) in [("page", "docs/latency.md"), ("readme", "README.md")] {
        let celery = Celery::new(&redis.url()).stamping(&printed_in(text));
        let (before, after) = celery.send(queue, 1, &[]);
        tailback.wait_jobs("celery", queue, "ready", 1);
        let message = redis.cli(&["LINDEX", queue, "0"]);
        let message: Value = serde_json::from_str(&message).unwrap();
        let sent = message["headers"]["enqueued_at"].as_f64();
        let sent = sent.unwrap_or_else(|| panic!("{text}: no time in {message}"));
        assert!((before..=after).contains(&sent), "{text}: {sent}");
        let body = tailback.json(&format!("/api/v1/queues/main/celery/{queue}"));
        assert_eq!(body["flow"]["basis"], "timestamp", "{text}: {body}");
        assert_eq!(body["source"], "message", "{text}: {body}");
    }
}

#[test]
fn celery_tasks_due_later_are_scheduled_not_ready() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    celery.send("later", 2, &["--countdown", "3600"]);
    celery.send("later", 3, &[]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("celery", "later", "scheduled", 2);
    assert_eq!(metrics.jobs("celery", "later", "ready"), Some(3.0));
    let due = queue(
        &metrics,
        "tailback_queue_next_due_timestamp_seconds",
        "later",
    )
    .unwrap();
    assert!((due - unix_now() - 3600.0).abs() < 60.0, "{due}");
}

#[test]
fn celery_worker_with_early_acknowledgement_holds_what_it_prefetched() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    let release = Release::new(&redis);
    celery.send("work", 14, &["--task", "hold", "--arg", &release.json()]);
    let options = ["-c", "2", "--prefetch-multiplier", "4"];
    let mut worker = celery.worker("work", &options, redis.dir());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    // 2 run and are nowhere in Redis, 8 are prefetched, 4 wait.
    let metrics = tailback.wait_jobs("celery", "work", "in_progress", 8);
    assert_eq!(metrics.jobs("celery", "work", "ready"), Some(4.0));
    assert_eq!(celery.depth("work"), 4);
    celery.send("work", 2, &["--countdown", "3600"]);
    tailback.wait_jobs("celery", "work", "ready", 6);
    release.now();
    // The rest is done; the tasks due later stay in the worker, and the empty queue stays known.
    let metrics = tailback.wait_jobs("celery", "work", "scheduled", 2);
    let metrics = if metrics.jobs("celery", "work", "in_progress") == Some(0.0) {
        metrics
    } else {
        tailback.wait_jobs("celery", "work", "in_progress", 0)
    };
    assert_eq!(metrics.jobs("celery", "work", "ready"), Some(0.0));
    assert_eq!(
        queue(&metrics, "tailback_queue_latency_seconds", "work"),
        Some(0.0)
    );
    // At its end the worker puts them back at the head of the list, where they still do not wait.
    worker.signal("TERM");
    worker.wait(PATIENCE);
    celery.send("work", 1, &[]);
    let metrics = tailback.wait_jobs("celery", "work", "ready", 1);
    assert_eq!(celery.depth("work"), 3);
    assert_eq!(metrics.jobs("celery", "work", "scheduled"), Some(2.0));
}

#[test]
fn celery_worker_with_late_acknowledgement_holds_what_it_runs() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    let release = Release::new(&redis);
    celery.send(
        "late",
        9,
        &["--task", "hold_late", "--arg", &release.json()],
    );
    let _worker = celery.worker(
        "late",
        &["-c", "2", "--prefetch-multiplier", "2"],
        redis.dir(),
    );
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let metrics = tailback.wait_jobs("celery", "late", "in_progress", 4);
    assert_eq!(metrics.jobs("celery", "late", "ready"), Some(5.0));
    release.now();
    tailback.wait_jobs("celery", "late", "in_progress", 0);
}

#[test]
fn celery_with_another_separator_steps_and_prefix() {
    let redis = redis();
    let options = json!({
        "sep": ":", "priority_steps": (0..10).collect::<Vec<_>>(), "global_keyprefix": "app/",
        "queue_order_strategy": "priority",
    });
    let celery = Celery::new(&redis.url()).transport_options(&options);
    celery.send("a", 2, &["--priority", "4"]);
    celery.send("a", 1, &["--priority", "7"]);
    let config = quick(&redis.url())
        + "[brokers.main.redis.celery]\nglobal_keyprefix = 'app/'\nseparator = ':'\n\
           priority_steps = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n";
    let tailback = Tailback::start_config(&config);
    let metrics = tailback.wait_jobs("celery", "a", "ready", 3);
    let labels = [("queue", "a"), ("priority", "7")];
    assert_eq!(
        metrics.get("tailback_queue_priority_jobs", &labels),
        Some(1.0)
    );
    // kombu 5.7 cannot count with a prefix itself: it looks for the queue without it.
    assert_eq!(redis.cli(&["LLEN", "app/a:4"]), "2");
}

#[test]
fn celery_messages_that_are_purged_have_not_started() {
    let redis = redis();
    let celery = Celery::new(&redis.url()).settings(&json!({"worker_prefetch_multiplier": 1}));
    celery.send("purged", 1, &[]);
    let tailback = Tailback::start_config(&quick(&redis.url()));
    tailback.wait_jobs("celery", "purged", "ready", 1);
    let flow = || {
        let body = tailback.json("/api/v1/queues/main/celery/purged");
        let of = |name: &str| body[name].as_u64().unwrap();
        let removed = body["flow"]["removed_total"].as_u64().unwrap();
        (of("enqueued_total"), of("started_total"), removed)
    };
    // Nobody works: not one of them can have started.
    celery.send("purged", 400, &[]);
    tailback.wait_jobs("celery", "purged", "ready", 401);
    assert_eq!(celery.purge("purged"), 401);
    tailback.wait_jobs("celery", "purged", "ready", 0);
    assert_eq!(flow(), (400, 0, 401));
    // Here some start while others are purged.
    let times = redis.dir().join("times");
    let options = ["-c", "2"];
    let _worker = celery.worker("purged", &options, redis.dir());
    celery.send("purged", 2000, &["--record", times.to_str().unwrap()]);
    let purged = celery.purge("purged");
    assert!(purged > 500, "{purged} were left of 2000");
    tailback.wait_jobs("celery", "purged", "in_progress", 0);
    let ran = || std::fs::read_to_string(&times).map_or(0, |times| times.lines().count() as u64);
    wait_for("the last of them", || ran() + purged == 2000);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (enqueued, started, removed) = flow();
    assert_eq!(enqueued, 2400);
    assert_eq!(started + removed, 2401);
    println!("{started} started, {} in truth", ran());
    // A few of the purged may have been about to be counted; none that ran is missing.
    assert!(
        (ran()..=ran() + 60).contains(&started),
        "{started} of {}",
        ran()
    );
}

#[test]
fn celery_flow_is_followed_where_redis_may_not_search_its_lists() {
    let rights = "%R~* -@all +@read -@dangerous +ping +hello +select +client|setname +time +multi \
                  +exec +info -lpos";
    let redis = Redis::start(RedisOptions {
        users: vec![format!("tail on >pw {rights}")],
        ..RedisOptions::default()
    });
    let celery = Celery::new(&redis.url());
    celery.send("old", 5, &[]);
    let tailback = Tailback::start_config(&quick(&redis.url_as("tail:pw")));
    tailback.wait_jobs("celery", "old", "ready", 5);
    let mut depth = 5;
    for (sent, taken) in [(60, 0), (300, 20), (0, 8)] {
        celery.send("old", sent, &[]);
        depth += u64::from(sent);
        // Between two polls no more may come and go than the few elements that are looked at.
        tailback.wait_jobs("celery", "old", "ready", depth);
        for _ in 0..taken {
            redis.cli(&["RPOP", "old"]);
        }
        depth -= taken;
        tailback.wait_jobs("celery", "old", "ready", depth);
        let body = tailback.json("/api/v1/queues/main/celery/old");
        assert_eq!(body["source"], "flow", "{body}");
        // The first five were there before.
        if taken > 0 {
            assert_eq!(body["flow"]["basis"], "curve", "{body}");
            let max = body["latency_max_seconds"].as_f64().unwrap();
            assert!(max < 30.0, "{max}");
        }
    }
    let body = tailback.json("/api/v1/queues/main/celery/old");
    assert_eq!(body["enqueued_total"], 360);
    assert_eq!(body["started_total"], 28);
    assert_eq!(body["flow"]["counts"], "exact");
    // It was tried once.
    let denied = redis.cli(&["ACL", "LOG"]);
    assert!(denied.starts_with("count\n1\n"), "{denied}");
    assert!(denied.contains("object\nlpos\n"), "{denied}");
}

#[test]
fn what_a_worker_gives_back_is_redelivered() {
    let redis = redis();
    let celery = Celery::new(&redis.url());
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let mut worker = celery.worker(
        "back",
        &["-c", "1", "--prefetch-multiplier", "4"],
        redis.dir(),
    );
    let release = Release::new(&redis);
    celery.send("back", 9, &["--task", "hold", "--arg", &release.json()]);
    // One runs, four are prefetched, four wait.
    let metrics = tailback.wait_jobs("celery", "back", "ready", 4);
    let redelivered = "tailback_queue_redelivered_total";
    assert_eq!(queue(&metrics, redelivered, "back"), Some(0.0));
    // A warm shutdown: the running task ends, the prefetched ones go back.
    worker.signal("TERM");
    wait_for("the worker stops", || {
        worker.output().contains("Warm shutdown")
    });
    release.now();
    worker.wait(PATIENCE);
    let metrics = tailback.wait_jobs("celery", "back", "ready", celery.depth("back"));
    let ready = metrics.jobs("celery", "back", "ready").unwrap();
    assert!(ready > 6.0, "{ready}");
    let given_back = queue(&metrics, redelivered, "back").unwrap();
    let truth = ready - 4.0;
    println!("{given_back} came back, truly {truth}");
    assert_eq!(given_back, truth);
}
