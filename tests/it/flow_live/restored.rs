//! What a dead worker held comes back after the visibility timeout.

use super::*;
use crate::support::process::PATIENCE;
use crate::support::tailback::wait_for;

#[test]
fn what_is_restored_after_the_visibility_timeout_has_a_lower_bound() {
    let redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url())
        .settings(&json!({"task_acks_late": true}))
        .transport_options(&restoring_after(1));
    let tailback = Tailback::start_config(&quick(&redis.url()));
    let mut worker = celery.worker("flow", &["-c", "2"], redis.dir());
    tailback.wait_jobs("celery", "flow", "ready", 0);
    let never = json!(redis.dir().join("never")).to_string();
    let (oldest, _) = celery.send("flow", 20, &["--task", "hold", "--arg", &never]);
    // Two processes with a prefetch of four each.
    let metrics = tailback.wait_jobs("celery", "flow", "ready", 12);
    assert_eq!(metrics.jobs("celery", "flow", "in_progress"), Some(8.0));
    assert_eq!(tailback.json(QUEUE)["flow"]["basis"], "curve");
    worker.kill();
    // Any other worker puts back what has been held for too long, also what is not of its queues.
    let _other = celery.worker("other", &["-c", "1"], redis.dir());
    tailback.wait_until("they are back", PATIENCE, |metrics| {
        metrics.jobs("celery", "flow", "ready") == Some(20.0)
    });
    let body = tailback.json(QUEUE);
    println!("{body}");
    assert_eq!(body["flow"]["basis"], "put_back", "{body}");
    assert_eq!(body["redelivered_total"], 8, "{body}");
    let at = body["observed_timestamp_seconds"].as_f64().unwrap();
    let min = body["latency_min_seconds"].as_f64().unwrap();
    assert!(
        0.0 < min && min <= at - oldest,
        "{min} of {} {body}",
        at - oldest
    );
    assert!(body["latency_max_seconds"].is_null(), "{body}");
    assert!(body["latency_max_unknown_reason"].is_string(), "{body}");
    // Whoever takes them: what came after them is known as before.
    for _ in 0..8 {
        redis.cli(&["RPOP", "flow"]);
    }
    wait_for("the others' bounds", || {
        tailback.json(QUEUE)["flow"]["basis"] == "curve"
    });
    let body = tailback.json(QUEUE);
    let max = body["latency_max_seconds"].as_f64().unwrap();
    let at = body["observed_timestamp_seconds"].as_f64().unwrap();
    assert!(max >= at - oldest - 1.0, "{max} of {} {body}", at - oldest);
}
