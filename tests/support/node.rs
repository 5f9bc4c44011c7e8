//! Real producers and workers of BullMQ and Bull: `tests/clients/node/bull.js`, run by node.

use super::process::{PATIENCE, Process, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Which library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bull {
    Four,
    Five,
    Six,
}

/// A worker that tells what it does.
pub struct Worker(Process);

/// A start as the worker sees it, in ms: since when the job was ready, when it asked for it and when
/// it had it.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    pub ready: f64,
    pub at: f64,
    pub by: f64,
}

impl Bull {
    const fn version(self) -> &'static str {
        match self {
            Self::Four => "4",
            Self::Five => "5",
            Self::Six => "6",
        }
    }

    fn command(self, url: &str, queue: &str, args: &[&str]) -> Command {
        let folder = super::root().join("tests/clients/node");
        let modules = folder.join("node_modules");
        assert!(
            modules.exists(),
            "no {}: run `make setup`",
            modules.display()
        );
        let mut command = Command::new("node");
        command
            .arg(folder.join("bull.js"))
            .args([self.version(), url, queue])
            .args(args);
        command
    }

    /// Runs one command of `bull.js` and returns the library's own counts after it.
    pub fn client(self, url: &str, queue: &str, args: &[&str]) -> Value {
        let output = run(&mut self.command(url, queue, args));
        let line = output.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}):\n{output}"))
    }

    /// Adds `count` jobs of one kind; how long after their time, in ms, they may have been there.
    pub fn send(
        self,
        url: &str,
        queue: &str,
        count: u32,
        job: &str,
        (data, opts): (&Value, &Value),
    ) -> f64 {
        let count = count.to_string();
        let (data, opts) = (data.to_string(), opts.to_string());
        let told = self.client(url, queue, &["send", &count, job, &data, &opts]);
        told["took"].as_f64().unwrap()
    }

    /// Starts a worker and waits until it works.
    pub fn worker(self, url: &str, queue: &str, concurrency: u32, dir: &Path) -> Worker {
        let concurrency = concurrency.to_string();
        let command = self.command(url, queue, &["worker", &concurrency]);
        let name = format!("bull{}-{queue}", self.version());
        let mut process = Process::spawn(&name, &command, dir);
        process.wait_ready(PATIENCE, |process| process.output().contains("ready"));
        Worker(process)
    }
}

impl Worker {
    fn lines(&self) -> Vec<Value> {
        let output = self.0.stdout();
        output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub fn starts(&self) -> Vec<Start> {
        let lines = self.lines();
        let starts = lines.iter().filter(|line| line.get("start").is_some());
        starts
            .map(|line| Start {
                ready: line["ready"].as_f64().unwrap(),
                at: line["at"].as_f64().unwrap(),
                by: line["by"].as_f64().unwrap(),
            })
            .collect()
    }

    /// How many jobs have ended so.
    pub fn ended(&self, status: &str) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| line["status"] == status).count()
    }
}
