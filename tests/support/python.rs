//! Real producers and workers: the scripts in `tests/clients`, run by the Python of `.venv`.

use super::process::{PATIENCE, Process, run};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A real Celery application (`tests/clients/celery_app.py`) on one broker.
#[derive(Debug, Clone)]
pub struct Celery {
    broker: String,
    environment: Vec<(&'static str, String)>,
}

impl Celery {
    pub fn new(broker: &str) -> Self {
        Self {
            broker: broker.to_owned(),
            environment: Vec::new(),
        }
    }

    /// With kombu transport options.
    pub fn transport_options(mut self, options: &Value) -> Self {
        self.environment
            .push(("TRANSPORT_OPTIONS", options.to_string()));
        self
    }

    /// With further Celery settings.
    pub fn settings(mut self, settings: &Value) -> Self {
        self.environment
            .push(("CELERY_SETTINGS", settings.to_string()));
        self
    }

    /// Its publishers write `enqueued_at` into the headers of every message, by the code that the
    /// documentation prints.
    pub fn writing_enqueue_times(self) -> Self {
        self.stamping(&printed_in("docs/latency.md"))
    }

    /// Its publishers run this code first.
    pub fn stamping(mut self, code: &str) -> Self {
        self.environment.push(("STAMPING", code.to_owned()));
        self
    }

    /// Sends `count` tasks to a queue; `options` are those of `celery_client.py send`. Returns
    /// the Unix times before and after.
    pub fn send(&self, queue: &str, count: u32, options: &[&str]) -> (f64, f64) {
        let count = count.to_string();
        let mut args = vec!["send", queue, &count];
        args.extend(options);
        let sent = self.client(&args);
        (
            sent["before"].as_f64().unwrap(),
            sent["after"].as_f64().unwrap(),
        )
    }

    /// How many messages wait according to Celery's own library.
    pub fn depth(&self, queue: &str) -> u64 {
        self.client(&["depth", queue])[queue].as_u64().unwrap()
    }

    /// Removes all that wait in a queue, as Celery does it. How many there were.
    pub fn purge(&self, queue: &str) -> u64 {
        self.client(&["purge", queue])["purged"].as_u64().unwrap()
    }

    /// Starts a worker and waits until it consumes. `options` are those of `celery worker`:
    /// `["-c", "2", "--prefetch-multiplier", "4"]`.
    pub fn worker(&self, queue: &str, options: &[&str], dir: &Path) -> Process {
        let command = self.worker_command(queue, options);
        let name = format!("worker-{}", name_of(queue));
        await_worker(Process::spawn(&name, &command, dir))
    }

    fn worker_command(&self, queue: &str, options: &[&str]) -> Command {
        let mut command = module("celery", Rq::V3);
        let name = name_of(queue);
        command
            .args([
                "-A",
                "celery_app",
                "worker",
                "--loglevel",
                "INFO",
                "-Q",
                queue,
            ])
            .args(["--without-gossip", "--without-mingle"])
            .args(["-n", &format!("{name}@localhost")])
            .args(options);
        // Heartbeats are events, and those are wanted with -E only.
        if !options.contains(&"-E") {
            command.arg("--without-heartbeat");
        }
        self.environ(&mut command);
        command
    }

    /// The same on a host whose clock is off by so many seconds.
    pub fn worker_with_clock(
        &self,
        ahead: i32,
        queue: &str,
        options: &[&str],
        dir: &Path,
    ) -> Process {
        let worker = self.worker_command(queue, options);
        let mut command = Command::new("faketime");
        command.args(["-f", &format!("{ahead:+}s")]);
        command.arg(worker.get_program()).args(worker.get_args());
        command.envs(
            worker
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        command.current_dir(clients());
        // Timers go on as they are.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        await_worker(Process::spawn("worker-faketime", &command, dir))
    }

    /// Publishes every event of the broker a second time, as long as it lives.
    pub fn echo_events(&self, dir: &Path) -> Process {
        let mut command = script("celery_events.py", &["echo"], Rq::V3);
        self.environ(&mut command);
        let mut process = Process::spawn("echo", &command, dir);
        process.wait_ready(PATIENCE, |process| process.output().contains("listening"));
        process
    }

    /// Tells, as a process on `host`, that so many tasks were sent to a queue.
    pub fn tell_sent(&self, host: &str, queue: &str, count: u32, options: &[&str]) {
        let count = count.to_string();
        let mut args = vec!["flood", host, queue, &count];
        args.extend(options);
        let mut command = script("celery_events.py", &args, Rq::V3);
        self.environ(&mut command);
        run(&mut command);
    }

    fn client(&self, args: &[&str]) -> Value {
        let mut command = script("celery_client.py", args, Rq::V3);
        self.environ(&mut command);
        last_json(&run(&mut command))
    }

    fn environ(&self, command: &mut Command) {
        command.env("BROKER_URL", &self.broker);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
    }
}

/// The only Python that a text of this repository prints, as it is printed.
pub fn printed_in(text: &str) -> String {
    let text = std::fs::read_to_string(super::root().join(text)).unwrap();
    let blocks: Vec<&str> = text.split("```python\n").skip(1).collect();
    let [block] = blocks.as_slice() else {
        panic!("{} blocks of Python", blocks.len());
    };
    let (code, _) = block.split_once("```").unwrap();
    code.to_owned()
}

/// Waits until a worker consumes.
fn await_worker(mut worker: Process) -> Process {
    worker.wait_ready(PATIENCE, |worker| worker.output().contains(" ready."));
    worker
}

/// Which RQ; nothing else differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rq {
    V2,
    V3,
}

impl Rq {
    /// Runs one command of `rq_client.py` and returns RQ's own counts after it.
    pub fn client(self, url: &str, args: &[&str]) -> Value {
        let mut all = vec![url];
        all.extend(args);
        last_json(&run(&mut script("rq_client.py", &all, self)))
    }

    /// Starts a worker on `queues` and waits until it listens.
    pub fn worker(self, url: &str, queues: &[&str], options: &[&str], dir: &Path) -> Process {
        let mut process = self.spawn_worker(url, queues, options, dir);
        process.wait_ready(PATIENCE, |process| {
            process.output().contains("Listening on")
        });
        process
    }

    /// Lets a worker do all that waits and waits for its end.
    pub fn work_off(self, url: &str, queues: &[&str], dir: &Path) {
        let status = self
            .spawn_worker(url, queues, &["--burst"], dir)
            .wait(PATIENCE);
        assert!(status.success());
    }

    fn spawn_worker(self, url: &str, queues: &[&str], options: &[&str], dir: &Path) -> Process {
        let mut command = module("rq.cli", self);
        command
            .args(["worker", "--url", url])
            .args(options)
            .args(queues);
        let name = format!("rq-worker-{}", name_of(&queues.join("-")));
        Process::spawn(&name, &command, dir)
    }
}

/// Runs a script of `tests/clients` to its end and returns the JSON in its last line.
pub fn python(name: &str, args: &[&str]) -> Value {
    last_json(&run(&mut script(name, args, Rq::V3)))
}

/// A client of its own settings, by its environment.
#[derive(Debug, Clone, Default)]
pub struct App {
    environment: Vec<(&'static str, String)>,
    /// A folder of `.venv` that comes first on the path.
    folder: Option<&'static str>,
}

impl App {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn env(mut self, key: &'static str, value: &str) -> Self {
        self.environment.push((key, value.to_owned()));
        self
    }

    /// With the packages of another requirements file.
    pub fn with(mut self, folder: &'static str) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Starts `python -m MODULE ARGS…`, a worker.
    pub fn spawn(&self, name: &str, args: &[&str], dir: &Path) -> Process {
        let mut command = module(name, Rq::V3);
        self.environ(command.args(args));
        Process::spawn(name, &command, dir)
    }

    fn environ(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        if let Some(folder) = self.folder {
            let mut path = super::root().join(".venv").join(folder).into_os_string();
            path.push(":");
            path.push(clients());
            command.env("PYTHONPATH", path);
        }
    }
}

/// Runs a script of `tests/clients` with an environment and returns the JSON in its last line.
pub fn python_of(app: &App, name: &str, args: &[&str]) -> Value {
    let mut command = script(name, args, Rq::V3);
    app.environ(&mut command);
    last_json(&run(&mut command))
}

/// The same with `input` on its standard input.
pub fn python_of_with_input(app: &App, name: &str, args: &[&str], input: &str) -> Value {
    let mut command = script(name, args, Rq::V3);
    app.environ(&mut command);
    run_with_input(command, input.as_bytes())
}

/// Runs a script with `input` on its standard input and returns the JSON in its last line.
pub fn python_with_input(name: &str, args: &[&str], input: &[u8]) -> Value {
    run_with_input(script(name, args, Rq::V3), input)
}

/// Runs a command with `input` on its standard input and returns the JSON in its last line.
pub fn run_with_input(mut command: Command, input: &[u8]) -> Value {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().ok();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{stderr}");
    last_json(&String::from_utf8_lossy(&output.stdout))
}

pub fn script(name: &str, args: &[&str], rq: Rq) -> Command {
    let mut command = interpreter(rq);
    command.arg(clients().join(name)).args(args);
    command
}

fn module(module: &str, rq: Rq) -> Command {
    let mut command = interpreter(rq);
    command.args(["-m", module]).current_dir(clients());
    command
}

fn interpreter(rq: Rq) -> Command {
    let venv = super::root().join(".venv");
    let python = venv.join("bin/python");
    assert!(python.exists(), "no {}: run `make setup`", python.display());
    let mut command = Command::new(python);
    let mut path = clients().into_os_string();
    if rq == Rq::V2 {
        path.push(":");
        path.push(venv.join("rq2"));
    }
    command
        .env("PYTHONPATH", path)
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    // Celery warns loudly about root, which CI is.
    command.env("C_FORCE_ROOT", "1");
    command
}

fn clients() -> PathBuf {
    super::root().join("tests/clients")
}

pub fn last_json(output: &str) -> Value {
    let line = output.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}):\n{output}"))
}

/// A queue's name as part of a file name.
fn name_of(queue: &str) -> String {
    queue
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() {
                char
            } else {
                '-'
            }
        })
        .collect()
}
