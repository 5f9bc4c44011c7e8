//! Real Sidekiq clients and workers: the scripts in `tests/clients`, run by the system's Ruby.

use super::process::{PATIENCE, Process, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Sidekiq on one Redis.
#[derive(Debug, Clone)]
pub struct Sidekiq {
    url: String,
    namespace: &'static str,
}

impl Sidekiq {
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            namespace: "",
        }
    }

    /// With redis-namespace, as Sidekiq 6 and older may have it.
    pub fn namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = namespace;
        self
    }

    /// Runs one command of `sidekiq_client.rb` and returns Sidekiq's own counts after it.
    pub fn client(&self, args: &[&str]) -> Value {
        let mut command = self.command("ruby");
        command.arg("sidekiq_client.rb").args(args);
        let output = run(&mut command);
        let line = output.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}):\n{output}"))
    }

    /// Starts a process with some threads for `queues` and waits until it is up.
    pub fn worker(&self, queues: &[&str], threads: u32, dir: &Path) -> Process {
        let mut command = self.command("sidekiq");
        command.args(["-r", "./sidekiq_app.rb", "-c", &threads.to_string()]);
        for queue in queues {
            command.args(["-q", queue]);
        }
        let name = format!("sidekiq-{}", queues.join("-"));
        let mut process = Process::spawn(&name, &command, dir);
        process.wait_ready(PATIENCE, |process| process.output().contains("Running in "));
        process
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(super::root().join("tests/clients"))
            .env("REDIS_URL", &self.url)
            .env("SIDEKIQ_NAMESPACE", self.namespace);
        command
    }
}
