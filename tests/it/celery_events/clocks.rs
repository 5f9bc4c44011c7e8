//! Workers on hosts whose clocks are off.

use super::redis::{bind, config, redis};
use super::*;

#[test]
fn a_worker_whose_clock_is_off_tells_true_waits() {
    let redis = redis();
    let hosts = [("past", -40), ("future", 40)];
    for (host, _) in hosts {
        bind(&redis, host);
    }
    let tailback = Tailback::start_config(&config(&redis.url()));
    wait_listening(&tailback);
    let celery = telling(&redis.url());
    let _workers = hosts.map(|(host, ahead)| {
        let name = format!("w@{host}");
        let options = ["-c", "1", "-E", "-n", &name];
        celery.worker_with_clock(ahead, host, &options, redis.dir())
    });
    // A host that seems to be behind is believed after ten seconds; a beat comes every two.
    let beats = [("event", "worker")];
    tailback.wait_until("their clocks are known", PATIENCE, |metrics| {
        metrics.sum("tailback_events_total", &beats) >= 2.0 * 8.0
    });
    let times = |host: &str| redis.dir().join(host);
    for (host, _) in hosts {
        let times = times(host);
        celery.send(host, 40, &["--record", times.to_str().unwrap()]);
    }
    let count = "tailback_queue_sampled_wait_seconds_count";
    let metrics = tailback.wait_until("all waits are told", PATIENCE, |metrics| {
        hosts
            .iter()
            .all(|(host, _)| of_queue(metrics, count, host) == Some(40.0))
    });
    for (host, ahead) in hosts {
        let truth: Vec<f64> = recorded_waits(&times(host))
            .into_iter()
            .map(|wait| wait - f64::from(ahead))
            .collect();
        compare_waits(&metrics, host, &truth);
    }
    assert_eq!(metrics.sum("tailback_events_missed_total", &[]), 0.0);
}
