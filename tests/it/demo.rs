//! `make demo` and `tailback demo` do what they say, and leave nothing behind.

use crate::support::process::{PATIENCE, Process};
use crate::support::prometheus::promtool_check_metrics;
use crate::support::tailback::{BINARY, Tailback};
use std::process::Command;
use tempfile::TempDir;

#[test]
fn the_demo_shows_waiting_jobs_and_ends_with_all_that_it_started() {
    let dir = TempDir::new().unwrap();
    let root = crate::support::root();
    let mut command = Command::new(root.join(".venv/bin/python"));
    // Its own temporary folders are in ours.
    command
        .arg(root.join("demo/demo.py"))
        .env("TAILBACK", BINARY)
        .env("TMPDIR", dir.path());
    let mut demo = Process::spawn("demo", &command, dir.path());
    let row = |demo: &Process, queue: &str| {
        let output = demo.stdout();
        let row = output.lines().rev().find(|line| line.starts_with(queue))?;
        Some(
            row.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    let waits = |row: Option<Vec<String>>| {
        row.is_some_and(|row| row[1].parse::<u32>().is_ok_and(|ready| ready > 0))
    };
    demo.wait_ready(PATIENCE, |demo| waits(row(demo, "emails")));
    demo.wait_ready(PATIENCE, |demo| waits(row(demo, "invoices")));
    let started = children(demo.pid());
    // Redis, the producer, three workers, tailback.
    assert!(started.len() >= 6, "{started:?}\n{}", demo.output());
    demo.signal("INT");
    assert!(demo.wait(PATIENCE).success(), "{}", demo.output());
    for (pid, command) in started {
        let command_now = command_of(pid).unwrap_or_default();
        assert_ne!(command_now, command, "still runs");
    }
    let left = crate::support::folders_left(dir.path());
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn simulated_queues_are_told_as_real_ones_and_called_simulated() {
    let tailback = Tailback::demo();
    // Of any free port that which it has got, and only when it can be opened.
    let page = format!("Open http://{}/ or", tailback.address);
    assert!(tailback.logs().contains(&page), "{}", tailback.logs());
    let queue = |system, queue| [("broker", "demo"), ("system", system), ("queue", queue)];
    // What carries times, and what is inferred.
    for (system, name) in [("rq", "invoices"), ("celery", "emails")] {
        tailback.wait_until("jobs start", PATIENCE, |metrics| {
            metrics.get("tailback_queue_wait_seconds_count", &queue(system, name)) > Some(3.0)
                && metrics.get("tailback_queue_started_total", &queue(system, name)) > Some(3.0)
                && metrics
                    .get("tailback_queue_latency_max_seconds", &queue(system, name))
                    .is_some()
        });
    }
    let metrics = tailback.metrics();
    assert_eq!(metrics.get("tailback_broker_up", &[]), Some(1.0));
    let info = metrics.get("tailback_broker_info", &[("kind", "simulated")]);
    assert_eq!(info, Some(1.0));
    assert_eq!(metrics.get("tailback_broker_queues", &[]), Some(5.0));
    assert!(
        metrics
            .all("tailback_broker_commands_total", &[])
            .is_empty()
    );
    for latency in metrics.all("tailback_queue_latency_seconds", &[]) {
        let labels: Vec<_> = latency
            .labels
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let least = metrics
            .get("tailback_queue_latency_min_seconds", &labels)
            .unwrap();
        let most = metrics.get("tailback_queue_latency_max_seconds", &labels);
        assert!(
            least <= latency.value && most.is_none_or(|most| latency.value <= most),
            "{latency:?}"
        );
    }
    assert_eq!(promtool_check_metrics(&tailback.get("/metrics").body), "");
    let page = tailback.get("/").text();
    assert!(
        page.contains("its queues are simulated in this process"),
        "{page}"
    );
}

/// The processes that the demo has started, without the one that watches over the demo.
fn children(parent: u32) -> Vec<(u32, String)> {
    let list = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let pids = list
        .split_whitespace()
        .map(|pid| pid.parse::<u32>().unwrap());
    pids.filter_map(|pid| Some((pid, command_of(pid)?)))
        .filter(|(_, command)| !command.contains("watched.sh"))
        .collect()
}

/// The command line; `None` for a process that is no more.
fn command_of(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .ok()
        .filter(|line| !line.is_empty())
}
