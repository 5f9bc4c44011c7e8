//! `make demo` does what it says, and leaves nothing behind.

use crate::support::process::{PATIENCE, Process};
use crate::support::tailback::BINARY;
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
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("tailback-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
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
