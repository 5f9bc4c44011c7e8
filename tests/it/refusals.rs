//! States in which a Redis is there and refuses to read: each is named, nothing old or made up is
//! shown meanwhile, and it passes by itself.

use crate::support::process::{PATIENCE, eventually};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};

fn with_config(lines: &[&str]) -> Redis {
    Redis::start(RedisOptions {
        config: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..RedisOptions::default()
    })
}

/// Reads the list `jobs`.
fn watch(url: &str) -> Tailback {
    let config = format!("{}[brokers.main.redis.list]\nkeys = ['jobs']\n", quick(url));
    Tailback::start_config(&config)
}

/// Waits until a refusal in `words` is told, with the advice, and nothing old is shown any more.
fn assert_refused(tailback: &Tailback, words: &str, advice: &str) {
    tailback.wait_until(words, PATIENCE, |metrics| {
        metrics.get("tailback_broker_up", &[]) == Some(0.0)
            && metrics.get("tailback_poll_errors_total", &[("kind", "protocol")]) >= Some(1.0)
            && metrics.all("tailback_queue_jobs", &[]).is_empty()
    });
    let said = tailback.logged("ERROR").join("\n");
    assert!(said.contains(words) && said.contains(advice), "{said}");
}

#[test]
fn while_it_loads_its_data() {
    let redis = with_config(&["enable-debug-command yes"]);
    redis.cli(&["RPUSH", "jobs", "a", "b", "c"]);
    redis.cli(&["DEBUG", "POPULATE", "4000"]);
    let tailback = watch(&redis.url());
    tailback.wait_jobs("list", "jobs", "ready", 3);
    // A millisecond for each key, and clients are answered in between.
    redis.cli(&["CONFIG", "SET", "key-load-delay", "1000"]);
    redis.cli(&[
        "CONFIG",
        "SET",
        "loading-process-events-interval-bytes",
        "1024",
    ]);
    std::thread::scope(|scope| {
        scope.spawn(|| redis.cli(&["DEBUG", "RELOAD"]));
        assert_refused(&tailback, "LOADING", "it will pass");
    });
    tailback.wait_jobs("list", "jobs", "ready", 3);
}

#[test]
fn while_a_script_runs() {
    let redis = with_config(&["busy-reply-threshold 50"]);
    redis.cli(&["RPUSH", "jobs", "a", "b", "c"]);
    let tailback = watch(&redis.url());
    tailback.wait_jobs("list", "jobs", "ready", 3);
    std::thread::scope(|scope| {
        // It is killed, or ends by itself should this test fail.
        scope.spawn(|| {
            let mut connection = redis.connection();
            redis::cmd("EVAL")
                .arg("local n = 0 while n < 1e10 do n = n + 1 end")
                .arg(0)
                .query::<()>(&mut connection)
                .unwrap_err();
        });
        assert_refused(&tailback, "BUSY", "SCRIPT KILL");
        redis.cli(&["SCRIPT", "KILL"]);
    });
    tailback.wait_jobs("list", "jobs", "ready", 3);
}

#[test]
fn a_replica_that_has_lost_its_master() {
    let redis = with_config(&["replica-serve-stale-data no"]);
    redis.cli(&["RPUSH", "jobs", "a", "b", "c"]);
    let tailback = watch(&redis.url());
    tailback.wait_jobs("list", "jobs", "ready", 3);
    // Nobody listens there.
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_refused(&tailback, "MASTERDOWN", "the replica has lost its master");
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    tailback.wait_jobs("list", "jobs", "ready", 3);
}

#[test]
fn a_cluster_without_its_slots() {
    let redis = with_config(&["cluster-enabled yes"]);
    let url = redis.url().replace("redis://", "redis+cluster://");
    let tailback = watch(&url);
    assert_refused(
        &tailback,
        "serves no slots",
        "not part of a working cluster",
    );
    // All slots are wanted, and there is but one.
    let slot = redis.cli(&["CLUSTER", "KEYSLOT", "jobs"]);
    redis.cli(&["CLUSTER", "ADDSLOTS", &slot]);
    let tailback = watch(&url);
    assert_refused(&tailback, "CLUSTERDOWN", "does not serve all slots");
    let slot: u16 = slot.parse().unwrap();
    let [before, after] = [slot - 1, slot + 1].map(|slot| slot.to_string());
    redis.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", &before, &after, "16383"]);
    eventually("the cluster is up", PATIENCE, || {
        let info = redis.cli(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok").then_some(())
    });
    redis.cli(&["RPUSH", "jobs", "a", "b", "c"]);
    tailback.wait_jobs("list", "jobs", "ready", 3);
}
