//! Real producers and workers: the scripts in `tests/clients`, run by the Python of `.venv`.

use super::process::{Process, run};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which RQ a script imports; nothing else differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rq {
    V2,
    V3,
}

/// Runs a script of `tests/clients` to its end and returns the JSON in its last line.
pub fn python(script: &str, args: &[&str]) -> Value {
    last_json(&run(&mut command(script, args, Rq::V3)))
}

/// The same with a choice of RQ.
pub fn python_rq(rq: Rq, script: &str, args: &[&str]) -> Value {
    last_json(&run(&mut command(script, args, rq)))
}

/// Starts a script that goes on running.
pub fn spawn(name: &str, script: &str, args: &[&str], dir: &Path) -> Process {
    Process::spawn(name, &command(script, args, Rq::V3), dir)
}

/// Starts a Celery worker of `tests/clients/celery_app.py` and waits until it consumes.
/// `options` are those of `celery worker`: `["-c", "2", "--prefetch-multiplier", "4"]`.
pub fn celery_worker(broker: &str, queue: &str, options: &[&str], dir: &Path) -> Process {
    let mut command = module("celery", Rq::V3);
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
        .args([
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ])
        .args(["-n", &format!("{}@localhost", name_of(queue))])
        .args(options)
        .env("BROKER_URL", broker);
    let mut process = Process::spawn(&format!("worker-{}", name_of(queue)), &command, dir);
    process.wait_ready(super::process::PATIENCE, |process| {
        process.output().contains(" ready.")
    });
    process
}

/// Starts an RQ worker on `queues` and waits until it listens.
pub fn rq_worker(rq: Rq, url: &str, queues: &[&str], options: &[&str], dir: &Path) -> Process {
    let mut command = module("rq.cli", rq);
    command
        .args(["worker", "--url", url])
        .args(options)
        .args(queues);
    let name = format!("rq-worker-{}", name_of(&queues.join("-")));
    let mut process = Process::spawn(&name, &command, dir);
    process.wait_ready(super::process::PATIENCE, |process| {
        process.output().contains("Listening on")
    });
    process
}

/// Runs a script with `input` on its standard input and returns the JSON in its last line.
pub fn python_with_input(script: &str, args: &[&str], input: &[u8]) -> Value {
    let mut child = command(script, args, Rq::V3)
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
    assert!(output.status.success(), "{script} failed:\n{stderr}");
    last_json(&String::from_utf8_lossy(&output.stdout))
}

fn command(script: &str, args: &[&str], rq: Rq) -> Command {
    let mut command = interpreter(rq);
    command.arg(clients().join(script)).args(args);
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

fn last_json(output: &str) -> Value {
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
