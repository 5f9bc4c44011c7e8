//! Child processes that cannot outlive the tests, however these end.
//!
//! Each child leads a process group of its own, in which a small shell (`scripts/watched.sh`) waits
//! for the end of a pipe that only the test process holds. Dropping the handle, a panic, Ctrl-C and
//! `kill -9` of the test run all close the pipe, and the shell then kills the whole group: also a
//! worker's forks.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long the slowest client may take to be ready while the machine is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running child with its output in files.
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    killed: bool,
}

impl Process {
    /// Starts `command`; its output goes to files in `dir`, a temporary folder, which is removed
    /// where nobody is left to do so.
    pub fn spawn(name: &str, command: &Command, dir: &Path) -> Self {
        let stdout = dir.join(format!("{name}.out"));
        let stderr = dir.join(format!("{name}.err"));
        assert!(
            dir.starts_with(std::env::temp_dir()),
            "{} is not temporary",
            dir.display()
        );
        let mut watched = Command::new(super::root().join("scripts/watched.sh"));
        watched.arg(dir).arg(command.get_program());
        watched.args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => watched.env(key, value),
                None => watched.env_remove(key),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            watched.current_dir(dir);
        }
        let child = watched
            .stdin(Stdio::piped())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
            killed: false,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has printed so far, standard output first.
    pub fn output(&self) -> String {
        self.stdout() + &self.stderr()
    }

    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// Sends a signal (`TERM`, `INT`, `STOP`, …) to the process alone, not to its children.
    pub fn signal(&self, signal: &str) {
        kill(signal, &self.pid().to_string());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() >= until {
                panic!(
                    "{} still runs after {limit:?}:\n{}",
                    self.name,
                    self.output()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it and all of its children at once.
    pub fn kill(&mut self) {
        // Until then the watchdog is in the group, so the number is nobody else's.
        if !self.killed {
            self.killed = true;
            kill("KILL", &format!("-{}", self.pid()));
            self.child.wait().ok();
        }
    }

    /// Waits until `ready` answers true, and fails with the output if the process ends before.
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + limit;
        while !ready(self) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", self.name, self.output());
            }
            if Instant::now() >= until {
                panic!(
                    "{} is not ready after {limit:?}:\n{}",
                    self.name,
                    self.output()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kill(signal: &str, target: &str) {
    let script = format!("kill -s {signal} -- {target}");
    Command::new("sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Runs a command to its end and returns its standard output; panics with everything if it fails.
pub fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run {command:?}: {error}; `make setup` installs what is missing")
        });
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// Asks again and again until there is an answer; panics after `limit` with what was wanted.
pub fn eventually<T>(wanted: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited {limit:?} in vain: {wanted}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// A port that nothing listens on now and that this test run has not handed out before. It is below
/// the range that the system hands out itself, so that no outgoing connection takes it before the
/// server does, and so is the port + 10000 on which a Redis Cluster node listens as well.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test runs at the same time begin at different places.
    let start = std::process::id().wrapping_mul(97);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(start.wrapping_add(step) % 12_000).unwrap();
        let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}
