//! The program itself, as its users run it.

use super::http::{self, Response};
use super::metrics::Metrics;
use super::process::{Process, eventually, run};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_tailback");
const READY: Duration = Duration::from_secs(20);

/// A running `tailback run` on a free port.
pub struct Tailback {
    pub address: SocketAddr,
    process: Process,
    dir: TempDir,
}

impl Tailback {
    /// `tailback run ARGS… --listen 127.0.0.1:0`, where `args` are URLs and options; waits for the
    /// port only, not for brokers.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// The same with variables in its otherwise empty environment.
    pub fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::launch(TempDir::new().unwrap(), "run", args, variables)
    }

    /// `tailback demo`.
    pub fn demo() -> Self {
        Self::launch(TempDir::new().unwrap(), "demo", &[], &[])
    }

    /// With a configuration file of this text.
    pub fn start_config(config: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, config).unwrap();
        let path = path.to_str().unwrap().to_owned();
        Self::launch(dir, "run", &["--config", &path], &[])
    }

    fn launch(dir: TempDir, name: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(BINARY);
        command
            .arg(name)
            .args(args)
            .args(["--listen", "127.0.0.1:0"]);
        command
            .env_remove("TAILBACK_BROKERS")
            .envs(variables.iter().copied());
        let mut process = Process::spawn("tailback", &command, dir.path());
        process.wait_ready(READY, |process| listening(&process.output()).is_some());
        let address = listening(&process.output()).unwrap();
        Self {
            address,
            process,
            dir,
        }
    }

    /// What `/metrics` says now.
    pub fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::parse(&answer.text())
    }

    pub fn get(&self, path: &str) -> Response {
        http::get(self.address, path)
    }

    /// The JSON that a path answers with status 200.
    pub fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Scrapes until `wanted` holds and returns that scrape; panics after `limit` with the last
    /// scrape and the logs.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Metrics) -> bool,
    ) -> Metrics {
        let until = std::time::Instant::now() + limit;
        loop {
            let metrics = self.metrics();
            if wanted(&metrics) {
                return metrics;
            }
            assert!(
                std::time::Instant::now() < until,
                "waited {limit:?} in vain: {what}\n--- /metrics\n{}\n--- logs\n{}",
                queue_lines(&metrics.text),
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for a good poll of the only broker, or of all.
    pub fn wait_up(&self) -> Metrics {
        self.wait_until("the brokers are up", READY, |metrics| {
            let up = metrics.all("tailback_broker_up", &[]);
            !up.is_empty() && up.iter().all(|sample| sample.value == 1.0)
        })
    }

    /// Waits until the queue is exported with this many jobs in `state`.
    pub fn wait_jobs(&self, system: &str, queue: &str, state: &str, wanted: u64) -> Metrics {
        let what = format!("{system} queue {queue} has {wanted} jobs {state}");
        self.wait_until(&what, READY, |metrics| {
            metrics.jobs(system, queue, state) == Some(wanted as f64)
        })
    }

    /// Everything logged so far.
    pub fn logs(&self) -> String {
        self.process.output()
    }

    /// The log lines, parsed. Not on a terminal, so they are JSON.
    pub fn log_lines(&self) -> Vec<Value> {
        let logs = self.logs();
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: log line {line:?}"))
        };
        logs.lines().map(parse).collect()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The log lines of one level: `ERROR`, `WARN`, …
    pub fn logged(&self, level: &str) -> Vec<String> {
        let lines = self.log_lines();
        let at_level = lines.iter().filter(|line| line["level"] == level);
        at_level.map(Value::to_string).collect()
    }

    /// The most memory that it has had resident so far.
    pub fn peak_rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Where it answers KEDA.
    pub fn keda_address(&self) -> SocketAddr {
        bound(&self.logs(), "keda.listen").unwrap()
    }

    /// A place for files of the test that has this program.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sends a signal (`TERM`, `INT`, …) and waits for the end.
    pub fn stop(&mut self, signal: &str) -> ExitStatus {
        self.process.signal(signal);
        self.process.wait(READY)
    }
}

/// A configuration that polls one Redis often, so that tests do not wait. Ends inside
/// `[brokers.main.redis]`.
pub fn quick(url: &str) -> String {
    format!(
        "[defaults]\ninterval = '200ms'\ntimeout = '1s'\nstale_after = '1500ms'\n\
         discovery_interval = '1s'\n[brokers.main.redis]\nurl = '{url}'\n"
    )
}

/// The same with patience: an unoptimised build takes a while for 10,000 queues.
pub fn patient(url: &str) -> String {
    quick(url)
        .replace("interval = '200ms'", "interval = '1s'")
        .replace("timeout = '1s'", "timeout = '10s'")
        .replace("stale_after = '1500ms'", "stale_after = '30s'")
}

/// Runs `tailback ARGS…` to its end, without a terminal.
pub fn tailback(args: &[&str]) -> Output {
    Command::new(BINARY)
        .args(args)
        .env_remove("TAILBACK_BROKERS")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The same, with standard output where it must succeed.
pub fn tailback_ok(args: &[&str]) -> String {
    run(Command::new(BINARY)
        .args(args)
        .env_remove("TAILBACK_BROKERS"))
}

/// Waits until a condition of the test's own holds.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    eventually(what, READY, || condition().then_some(()));
}

/// The address that it has bound, from its log.
fn listening(logs: &str) -> Option<SocketAddr> {
    bound(logs, "listen")
}

fn bound(logs: &str, field: &str) -> Option<SocketAddr> {
    // The last line may be half written.
    logs.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|line| {
            let fields = line.get("fields").unwrap_or(&line);
            fields.get(field)?.as_str()?.parse().ok()
        })
}

/// The lines that tell most, where a whole scrape would drown the reason of a failure.
fn queue_lines(text: &str) -> String {
    let telling = [
        "tailback_queue_jobs{",
        "tailback_broker_up",
        "tailback_poll_errors",
        "latency",
    ];
    let lines = text.lines().filter(|line| {
        !line.starts_with('#') && telling.iter().any(|telling| line.contains(telling))
    });
    lines.take(200).collect::<Vec<_>>().join("\n")
}
