//! A restart with the state file, without it, and with one that is no good.

use crate::support::metrics::Metrics;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick, wait_for};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const JOBS: [(&str, &str); 1] = [("queue", "jobs")];

struct Bench {
    redis: Redis,
    dir: TempDir,
    /// When each job was pushed, oldest first, as far as it was not taken.
    pushed: Vec<Instant>,
    number: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            redis: Redis::start(RedisOptions::default()),
            dir: TempDir::new().unwrap(),
            pushed: Vec::new(),
            number: 0,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn push(&mut self, count: u64) {
        for _ in 0..count {
            self.number += 1;
            let job = format!("{{\"job\": {}}}", self.number);
            self.redis.cli(&["LPUSH", "jobs", &job]);
            self.pushed.push(Instant::now());
        }
    }

    fn pop(&mut self, count: usize) {
        for _ in 0..count {
            self.redis.cli(&["RPOP", "jobs"]);
        }
        self.pushed.drain(..count);
    }

    fn start(&self, state: Option<&Path>) -> Tailback {
        let state = state.map_or(String::new(), |path| {
            format!("[state]\npath = '{}'\ninterval = '1s'\n", path.display())
        });
        Tailback::start_config(&format!(
            "{state}{}\n[brokers.main.redis.list]\nkeys = ['jobs']\n",
            quick(&self.redis.url())
        ))
    }

    /// Waits until all jobs are seen; minimum, truth and maximum of the latency.
    fn latency(&self, tailback: &Tailback) -> (f64, f64, Option<f64>) {
        let metrics = tailback.wait_jobs("list", "jobs", "ready", self.pushed.len() as u64);
        let truth = self.pushed[0].elapsed().as_secs_f64();
        let min = get(&metrics, "tailback_queue_latency_min_seconds").unwrap_or(0.0);
        (
            min,
            truth,
            get(&metrics, "tailback_queue_latency_max_seconds"),
        )
    }
}

fn get(metrics: &Metrics, name: &str) -> Option<f64> {
    metrics.get(name, &JOBS)
}

/// A scrape shows the last poll, which is up to an interval old.
fn assert_known((min, truth, max): (f64, f64, Option<f64>), width: f64) {
    let max = max.expect("an upper bound");
    eprintln!("{min} <= {truth} <= {max}");
    assert!(min <= truth && truth <= max + 0.5, "{min} {truth} {max}");
    assert!(max - min < width, "{min} {max}");
}

#[test]
fn a_restart_goes_on_with_what_is_known_and_without_the_file_it_is_cold() {
    let mut bench = Bench::new();
    let path = bench.path();
    let mut first = bench.start(Some(&path));
    first.wait_up();
    bench.push(5);
    first.wait_jobs("list", "jobs", "ready", 5);
    std::thread::sleep(Duration::from_millis(1500));
    bench.push(20);
    assert_known(bench.latency(&first), 1.0);
    bench.pop(2);
    let before = first.wait_jobs("list", "jobs", "ready", 23);
    let enqueued = get(&before, "tailback_queue_enqueued_total").unwrap();
    assert_eq!(enqueued, 25.0);
    assert!(first.stop("TERM").success());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Meanwhile the last of the first five are taken, and others come.
    bench.push(4);
    bench.pop(4);
    std::thread::sleep(Duration::from_millis(1500));

    let mut second = bench.start(Some(&path));
    assert_known(bench.latency(&second), 1.0);
    let after = second.metrics();
    assert_eq!(get(&after, "tailback_queue_enqueued_total"), Some(29.0));
    assert_eq!(get(&after, "tailback_queue_started_total"), Some(6.0));
    let waits = "tailback_queue_wait_seconds_count";
    assert_eq!(get(&after, waits), Some(6.0), "{}", after.text);
    // SIGKILL: what was written last still serves, with counters that begin anew.
    std::thread::sleep(Duration::from_millis(1500));
    second.stop("KILL");
    bench.push(1);
    let third = bench.start(Some(&path));
    assert_known(bench.latency(&third), 1.0);
    let after = third.metrics();
    assert!(get(&after, "tailback_queue_enqueued_total") < Some(25.0));
    assert!(
        third.logged("WARN").is_empty(),
        "{:?}",
        third.logged("WARN")
    );

    let cold = bench.start(None);
    let (min, truth, max) = bench.latency(&cold);
    assert!(min < truth && max.is_none(), "{min} {truth} {max:?}");
}

#[test]
fn one_of_two_processes_writes_and_what_is_configured_no_more_is_forgotten() {
    let bench = Bench::new();
    let path = bench.path();
    let start = |names: &[&str]| {
        let mut config = format!(
            "[defaults]\ninterval = '200ms'\n[state]\npath = '{}'\ninterval = '1s'\n",
            path.display()
        );
        for name in names {
            let url = bench.redis.url();
            config += &format!("[brokers.{name}.redis]\nurl = '{url}'\nlist.keys = ['jobs']\n");
        }
        Tailback::start_config(&config)
    };
    let written = || std::fs::read(&path).unwrap_or_default();
    let mut first = start(&["main", "gone"]);
    wait_for("both brokers are written", || {
        let text = String::from_utf8_lossy(&written()).into_owned();
        ["main", "gone"]
            .iter()
            .all(|name| text.contains(&format!("\"{name}\"")))
    });
    let second = start(&["main", "late"]);
    let warned = second.logged("WARN");
    let has = |warned: &[String], words: &str| warned.iter().any(|line| line.contains(words));
    assert!(has(&warned, "is written by another process"), "{warned:?}");
    assert!(
        has(&warned, "forgets what it knew of broker gone"),
        "{warned:?}"
    );
    second.wait_up();
    std::thread::sleep(Duration::from_millis(2500));
    let text = String::from_utf8_lossy(&written()).into_owned();
    assert!(
        text.contains("\"gone\"") && !text.contains("\"late\""),
        "{text}"
    );
    // It takes over when the other one is gone, however that went.
    first.stop("KILL");
    wait_for("the second writes", || {
        let text = String::from_utf8_lossy(&written()).into_owned();
        text.contains("\"late\"") && !text.contains("\"gone\"")
    });
    assert!(has(&second.logged("INFO"), "is written from now on"));
    let refused = |line: &&String| line.contains("is written by another process");
    assert_eq!(second.logged("WARN").iter().filter(refused).count(), 1);
}

#[test]
fn another_server_or_a_bad_file_is_cold_and_nothing_ends() {
    let mut bench = Bench::new();
    let path = bench.path();
    let mut first = bench.start(Some(&path));
    first.wait_up();
    bench.push(5);
    assert_known(bench.latency(&first), 1.0);
    assert!(first.stop("TERM").success());
    // A server on the same port that has other jobs under the same name.
    bench.redis.kill();
    bench.redis.restart();
    bench.pushed.clear();
    bench.push(3);
    std::thread::sleep(Duration::from_millis(1200));
    let mut second = bench.start(Some(&path));
    let (min, truth, max) = bench.latency(&second);
    assert!(min < truth && max.is_none(), "{min} {truth} {max:?}");
    assert!(second.stop("TERM").success());
    // The file damaged.
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut third = bench.start(Some(&path));
    assert_eq!(bench.latency(&third).2, None);
    let mut warned = third.logged("WARN");
    warned.retain(|line| !line.contains("the interval is stretched"));
    assert!(
        warned.len() == 1 && warned[0].contains("damaged") && warned[0].contains("state.bad-"),
        "{warned:?}"
    );
    assert!(!third.logs().contains("\\\"job\\\""), "{}", third.logs());
    assert!(third.stop("TERM").success());
    // A directory that is not there: said once, and no more comes of it.
    let nowhere = bench.dir.path().join("no/state");
    let mut fourth = bench.start(Some(&nowhere));
    fourth.wait_up();
    std::thread::sleep(Duration::from_millis(2500));
    let mut warned = fourth.logged("WARN");
    // A busy machine is none of its business.
    warned.retain(|line| !line.contains("the interval is stretched"));
    assert!(
        warned.len() == 1 && warned[0].contains("cannot be written"),
        "{warned:?}"
    );
    assert!(fourth.stop("TERM").success());
}
