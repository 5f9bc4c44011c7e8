//! A real RabbitMQ node with its management API, as ordinary processes of the test's user.

use super::certificates::Certificates;
use super::http::{self, Response};
use super::process::{PATIENCE, Process, free_port};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// The administrator of every node; `guest`, as after an installation.
const ADMIN: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

#[derive(Debug, Clone)]
pub struct RabbitMqOptions {
    /// How often the node refreshes the numbers of its management API. RabbitMQ's default is 5000.
    pub statistics_interval_ms: u32,
    /// Plugins next to none; without `rabbitmq_management` there is no management API.
    pub plugins: Vec<&'static str>,
    /// Clients must show a certificate, on both ways.
    pub mutual_tls: bool,
    /// Further lines of rabbitmq.conf.
    pub config: Vec<String>,
}

impl Default for RabbitMqOptions {
    fn default() -> Self {
        Self {
            statistics_interval_ms: 1000,
            plugins: vec!["rabbitmq_management"],
            mutual_tls: false,
            config: Vec::new(),
        }
    }
}

/// One node. What is durable survives [`RabbitMq::kill`] and [`RabbitMq::restart`].
pub struct RabbitMq {
    pub amqp: SocketAddr,
    pub amqps: SocketAddr,
    pub management: SocketAddr,
    pub management_tls: SocketAddr,
    /// Where the plugin `rabbitmq_prometheus` listens, if it is enabled.
    pub prometheus: SocketAddr,
    pub certificates: Certificates,
    command: Command,
    options: RabbitMqOptions,
    /// `None` while it is killed.
    process: Option<Process>,
    epmd_port: u16,
    /// `None` for a node that has joined another, whose it shares.
    _epmd: Option<Process>,
    dir: TempDir,
}

impl RabbitMq {
    /// The node that all tests of this run share; start-up takes seconds. Use a [`Self::vhost`] of
    /// your own, and never stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RabbitMq> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(RabbitMqOptions::default()))
    }

    /// A node of the test's own.
    pub fn start(options: RabbitMqOptions) -> Self {
        Self::start_node(options, None)
    }

    /// A further node of the same cluster.
    pub fn start_member(&self) -> Self {
        let member = Self::start_node(self.options.clone(), Some(self));
        member.ctl(&["stop_app"]);
        member.ctl(&["join_cluster", &self.node_name()]);
        member.ctl(&["start_app"]);
        member
    }

    /// Its name in its cluster.
    pub fn node_name(&self) -> String {
        format!("tailback-{}@localhost", self.amqp.port())
    }

    fn start_node(options: RabbitMqOptions, first: Option<&Self>) -> Self {
        let dir = TempDir::new().unwrap();
        let certificates = Certificates::make(dir.path());
        let [amqp, amqps, management, management_tls, prometheus, dist] =
            [(); 6].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let epmd_port = first.map_or_else(free_port, |first| first.epmd_port);
        let mut this = Self {
            amqp,
            amqps,
            management,
            management_tls,
            prometheus,
            certificates,
            command: Command::new(server_script()),
            options,
            process: None,
            epmd_port,
            _epmd: first.is_none().then(|| start_epmd(epmd_port, dir.path())),
            dir,
        };
        if let Some(first) = first {
            // Who knows it is a member.
            let cookie = |node: &Self| node.dir.path().join(".erlang.cookie");
            std::fs::copy(cookie(first), cookie(&this)).unwrap();
        }
        this.configure(dist.port());
        this.restart();
        this
    }

    /// `amqp://guest:guest@…/vhost`
    pub fn url(&self, vhost: &str) -> String {
        self.url_as("guest:guest", vhost)
    }

    pub fn url_as(&self, credentials: &str, vhost: &str) -> String {
        let vhost = encode(vhost);
        format!("amqp://{credentials}@{}/{vhost}", self.amqp)
    }

    /// Makes a virtual host that no other test has, and returns its name.
    pub fn vhost(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.api("PUT", &format!("/api/vhosts/{name}"), Some(&json!({})));
        self.permit("guest", &name, (".*", ".*", ".*"));
        name
    }

    /// Makes a user. `tags` are `management`, `monitoring`, … or empty.
    pub fn user(&self, name: &str, password: &str, tags: &str) {
        let body = json!({"password": password, "tags": tags});
        self.api("PUT", &format!("/api/users/{name}"), Some(&body));
    }

    /// Sets a user's (configure, write, read) patterns in a virtual host.
    pub fn permit(&self, user: &str, vhost: &str, (configure, write, read): (&str, &str, &str)) {
        let body = json!({"configure": configure, "write": write, "read": read});
        self.api(
            "PUT",
            &format!("/api/permissions/{}/{user}", encode(vhost)),
            Some(&body),
        );
    }

    /// Declares a durable queue; `arguments` such as `{"x-queue-type": "quorum"}`.
    pub fn declare(&self, vhost: &str, queue: &str, arguments: &Value) {
        let body = json!({"durable": true, "auto_delete": false, "arguments": arguments});
        let path = format!("/api/queues/{}/{}", encode(vhost), encode(queue));
        self.api("PUT", &path, Some(&body));
    }

    /// Publishes `payload` to a queue through the default exchange.
    pub fn publish(&self, vhost: &str, queue: &str, payload: &str, properties: &Value) {
        let body = json!({
            "properties": properties, "routing_key": queue, "payload": payload,
            "payload_encoding": "string",
        });
        let path = format!("/api/exchanges/{}/amq.default/publish", encode(vhost));
        let answer = self.api("POST", &path, Some(&body)).json();
        assert_eq!(answer["routed"], true, "no queue {queue} in {vhost}");
    }

    /// Asks the management API as administrator; panics unless it agrees.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let body = body.map_or(Vec::new(), |body| body.to_string().into_bytes());
        let headers = [
            ("Authorization", ADMIN),
            ("Content-Type", "application/json"),
        ];
        let answer = http::request(self.management, method, path, &headers, &body).unwrap();
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer
    }

    /// Runs `rabbitmqctl`, where the management API cannot do something. Takes a second or two.
    pub fn ctl(&self, args: &[&str]) -> String {
        let mut command = Command::new(server_script().with_file_name("rabbitmqctl"));
        let envs = self
            .command
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?)));
        super::process::run(command.envs(envs).arg("--quiet").args(args))
    }

    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it after [`Self::kill`] with the same ports and data.
    pub fn restart(&mut self) {
        self.process = None;
        let mut process = Process::spawn("rabbitmq", &self.command, self.dir.path());
        process.wait_ready(PATIENCE, |process| {
            process.output().contains("completed with") && self.is_ready()
        });
        self.process = Some(process);
    }

    pub fn log(&self) -> String {
        self.process.as_ref().map_or(String::new(), Process::output)
    }

    fn is_ready(&self) -> bool {
        let answers = |address| std::net::TcpStream::connect(address).is_ok();
        let managed = self.options.plugins.contains(&"rabbitmq_management");
        answers(self.amqp)
            && (!managed || {
                let headers = [("Authorization", ADMIN)];
                http::request(self.management, "GET", "/api/overview", &headers, b"")
                    .is_ok_and(|answer| answer.status == 200)
            })
    }

    fn configure(&mut self, dist_port: u16) {
        let dir = self.dir.path().to_owned();
        std::fs::write(dir.join("rabbitmq.conf"), self.config()).unwrap();
        let plugins = format!("[{}].\n", self.options.plugins.join(","));
        std::fs::write(dir.join("enabled_plugins"), plugins).unwrap();
        let name = self.node_name();
        let command = &mut self.command;
        command
            // The cookie is in the home folder.
            .env("HOME", &dir)
            .env("RABBITMQ_NODENAME", name)
            .env("RABBITMQ_DIST_PORT", dist_port.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
            // Waiting schedulers spin by default, which is dear on two processors. The clean-up of
            // metrics, once in two minutes, loses the counts of channels that were closed just before:
            // no test could tell what was counted.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 2:2 +sbwt none +sbwtdcpu none -rabbit core_metrics_gc_interval 86400000",
            );
        for (variable, folder) in [
            ("RABBITMQ_MNESIA_BASE", "mnesia"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_SCHEMA_DIR", "schema"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
            ("RABBITMQ_PLUGINS_EXPAND_DIR", "plugins"),
        ] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
            command.env(variable, dir.join(folder));
        }
        command.env("RABBITMQ_PID_FILE", dir.join("pid"));
    }

    fn config(&self) -> String {
        let files = &self.certificates;
        let mut lines = vec![
            format!("listeners.tcp.1 = {}", self.amqp),
            format!("listeners.ssl.1 = {}", self.amqps),
            format!("ssl_options.cacertfile = {}", files.ca.display()),
            format!("ssl_options.certfile = {}", files.server.display()),
            format!("ssl_options.keyfile = {}", files.server_key.display()),
            "ssl_options.verify = verify_peer".to_owned(),
            format!(
                "ssl_options.fail_if_no_peer_cert = {}",
                self.options.mutual_tls
            ),
            format!(
                "collect_statistics_interval = {}",
                self.options.statistics_interval_ms
            ),
            "log.console = true".to_owned(),
            "log.file = false".to_owned(),
            "disk_free_limit.absolute = 10MB".to_owned(),
        ];
        if self.options.plugins.contains(&"rabbitmq_management") {
            lines.extend([
                "management.tcp.ip = 127.0.0.1".to_owned(),
                format!("management.tcp.port = {}", self.management.port()),
                "management.ssl.ip = 127.0.0.1".to_owned(),
                format!("management.ssl.port = {}", self.management_tls.port()),
                format!("management.ssl.cacertfile = {}", files.ca.display()),
                format!("management.ssl.certfile = {}", files.server.display()),
                format!("management.ssl.keyfile = {}", files.server_key.display()),
            ]);
            if self.options.mutual_tls {
                lines.extend([
                    "management.ssl.verify = verify_peer".to_owned(),
                    "management.ssl.fail_if_no_peer_cert = true".to_owned(),
                ]);
            }
        }
        if self.options.plugins.contains(&"rabbitmq_prometheus") {
            lines.extend([
                "prometheus.tcp.ip = 127.0.0.1".to_owned(),
                format!("prometheus.tcp.port = {}", self.prometheus.port()),
            ]);
        }
        lines.extend(self.options.config.iter().cloned());
        lines.join("\n") + "\n"
    }
}

/// The nodes find each other through epmd; ours has its own, so that it leaves none behind.
fn start_epmd(port: u16, dir: &Path) -> Process {
    let mut command = Command::new("epmd");
    command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
    let mut epmd = Process::spawn("epmd", &command, dir);
    epmd.wait_ready(PATIENCE, |_| {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    epmd
}

/// The script itself: Debian's wrapper in the path wants to become another user.
fn server_script() -> PathBuf {
    std::fs::read_dir("/usr/lib/rabbitmq/lib")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().join("sbin/rabbitmq-server"))
        .find(|path| path.exists())
        .expect("rabbitmq-server is installed (`make setup`)")
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
