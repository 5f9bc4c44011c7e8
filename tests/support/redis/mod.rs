//! Real Redis servers, and what is made of several.

mod monitor;
mod sets;

pub use monitor::Monitor;
pub use sets::{Cluster, Sentinel};

use super::certificates::Certificates;
use super::process::{Process, eventually, free_port, run};
use redis::{Cmd, Connection, FromRedisValue};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const READY: Duration = Duration::from_secs(20);

/// How a server is to be set up; the default is a plain one without password on TCP.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Password of the default user.
    pub password: Option<String>,
    /// ACL rules of further users, without the leading `user`: `me on >pw ~* +@read`.
    pub users: Vec<String>,
    pub tls: Tls,
    /// Further lines of redis.conf.
    pub config: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tls {
    #[default]
    Off,
    On,
    /// Only for clients with a certificate of the CA.
    WithClientCertificate,
}

/// One redis-server. It keeps nothing on disk: a restarted one is empty.
pub struct Redis {
    pub port: u16,
    pub options: RedisOptions,
    pub certificates: Option<Certificates>,
    process: Process,
    dir: TempDir,
}

impl Redis {
    pub fn start(options: RedisOptions) -> Self {
        Self::start_on(free_port(), options)
    }

    fn start_on(port: u16, options: RedisOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let certificates = (options.tls != Tls::Off).then(|| Certificates::make(dir.path()));
        let config = config(port, &options, certificates.as_ref(), dir.path());
        std::fs::write(dir.path().join("redis.conf"), config).unwrap();
        let process = spawn("redis-server", dir.path(), &[]);
        let mut redis = Self {
            port,
            options,
            certificates,
            process,
            dir,
        };
        redis.wait_ready();
        redis
    }

    /// `redis://…` or `rediss://…` with the default user's password and database 0.
    pub fn url(&self) -> String {
        self.url_as(
            &self
                .options
                .password
                .as_ref()
                .map_or(String::new(), |pw| format!(":{pw}")),
        )
    }

    /// The same with other credentials: `user:password`, or an empty text for none.
    pub fn url_as(&self, credentials: &str) -> String {
        let scheme = if self.options.tls == Tls::Off {
            "redis"
        } else {
            "rediss"
        };
        let at = if credentials.is_empty() { "" } else { "@" };
        format!("{scheme}://{credentials}{at}127.0.0.1:{}/0", self.port)
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Every server also listens here, whatever it does on TCP.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// A place for files of the test that has this server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Runs `redis-cli` as the default user and returns what it prints.
    pub fn cli(&self, args: &[&str]) -> String {
        run(&mut self.cli_command(args)).trim_end().to_owned()
    }

    fn cli_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("redis-cli");
        command
            .arg("-s")
            .arg(self.socket())
            .arg("--no-auth-warning")
            .arg("-e");
        if let Some(password) = &self.options.password {
            command.args(["-a", password]);
        }
        command.args(args);
        command
    }

    /// A connection of the default user, for everything that a command line cannot say.
    pub fn connection(&self) -> Connection {
        let password = self.options.password.as_ref();
        let pass = password.map_or(String::new(), |password| format!("?pass={password}"));
        let url = format!("redis+unix://{}{pass}", self.socket().display());
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }

    /// Runs one command on a connection of its own.
    pub fn query<T: FromRedisValue>(&self, command: &Cmd) -> T {
        command.query(&mut self.connection()).unwrap()
    }

    /// No client gets an answer for `duration`, all stay connected.
    pub fn pause(&self, duration: Duration) {
        self.cli(&["CLIENT", "PAUSE", &duration.as_millis().to_string(), "ALL"]);
    }

    /// Kills the server; its port refuses connections from then on.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops the process without ending it: connections are accepted, nothing is answered.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    pub fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// Starts it again after [`Self::kill`], empty, on the same port.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn("redis-server", self.dir.path(), &[]);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let socket = self.socket();
        self.process.wait_ready(READY, |_| {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        eventually("Redis answers", READY, || {
            self.cli_ok(&["PING"]).then_some(())
        });
    }

    fn cli_ok(&self, args: &[&str]) -> bool {
        self.cli_command(args)
            .output()
            .is_ok_and(|output| output.status.success())
    }
}

fn spawn(name: &str, dir: &Path, args: &[&str]) -> Process {
    let mut command = Command::new("redis-server");
    command
        .arg(dir.join("redis.conf"))
        .args(args)
        .current_dir(dir);
    Process::spawn(name, &command, dir)
}

fn config(
    port: u16,
    options: &RedisOptions,
    certificates: Option<&Certificates>,
    dir: &Path,
) -> String {
    let mut lines = vec![
        "bind 127.0.0.1".to_owned(),
        "save \"\"".to_owned(),
        "appendonly no".to_owned(),
        format!("dir {}", dir.display()),
        format!("unixsocket {}", dir.join("redis.sock").display()),
    ];
    match certificates {
        None => lines.push(format!("port {port}")),
        Some(files) => lines.extend([
            "port 0".to_owned(),
            format!("tls-port {port}"),
            format!("tls-ca-cert-file {}", files.ca.display()),
            format!("tls-cert-file {}", files.server.display()),
            format!("tls-key-file {}", files.server_key.display()),
            match options.tls {
                Tls::WithClientCertificate => "tls-auth-clients yes".to_owned(),
                Tls::On | Tls::Off => "tls-auth-clients no".to_owned(),
            },
        ]),
    }
    lines.extend(
        options
            .password
            .iter()
            .map(|password| format!("requirepass {password}")),
    );
    lines.extend(options.users.iter().map(|user| format!("user {user}")));
    lines.extend(options.config.iter().cloned());
    lines.join("\n") + "\n"
}
