//! `make stack`: workers hang, and somebody is told through the shipped rules and inhibitions; they go on,
//! and that is told too.

use crate::support::grafana::{Dashboard, fill};
use crate::support::http;
use crate::support::process::{PATIENCE, Process, eventually, run};
use crate::support::root;
use crate::support::tailback::BINARY;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// The alert has to hold for 15 s, and the machine may be busy.
const LONG: Duration = Duration::from_secs(150);

/// Notifications as Alertmanager posts them.
#[derive(Clone, Default)]
struct Webhook(Arc<Mutex<Vec<Value>>>);

impl Webhook {
    fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let this = Self::default();
        let told = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if let Some(body) = body_of(&mut BufReader::new(&stream)) {
                    told.0.lock().unwrap().push(body);
                }
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).ok();
            }
        });
        (this, address)
    }

    /// The alert of this name and queue as it was told last in `status`.
    fn alert(&self, status: &str, name: &str, queue: &str) -> Option<Value> {
        let told = self.0.lock().unwrap();
        let alerts = told
            .iter()
            .rev()
            .flat_map(|told| told["alerts"].as_array().unwrap());
        let mut found = alerts.filter(|alert| {
            alert["status"] == status
                && alert["labels"]["alertname"] == name
                && alert["labels"]["queue"] == queue
        });
        found.next().cloned()
    }
}

fn body_of(reader: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

/// What comes after a word in what the stack prints.
fn told(stack: &Process, word: &str) -> String {
    let output = stack.stdout();
    let line = output
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(word));
    line.unwrap().split_whitespace().next().unwrap().to_owned()
}

fn address(stack: &Process, name: &str) -> SocketAddr {
    let url = told(stack, name);
    let address = url.trim_start_matches("http://").split('/').next();
    address.unwrap().parse().unwrap()
}

fn signal(name: &str, pid: &str) {
    run(Command::new("kill").args([&format!("-{name}"), pid]));
}

fn start(dir: &Path, webhook: SocketAddr) -> Process {
    let mut command = Command::new(root().join(".venv/bin/python"));
    command.arg(root().join("demo/stack.py"));
    command.args(["--hurry", "--any-port", "--webhook"]);
    command.arg(format!("http://{webhook}/"));
    // Its own temporary folders are in ours.
    command.env("TAILBACK", BINARY).env("TMPDIR", dir);
    let mut stack = Process::spawn("stack", &command, dir);
    stack.wait_ready(PATIENCE, |stack| stack.stdout().contains("Ctrl-C ends"));
    stack
}

/// A file that the stack has written for its servers.
fn written(dir: &Path, name: &str) -> PathBuf {
    let folders = std::fs::read_dir(dir).unwrap();
    let mut files = folders.map(|entry| entry.unwrap().path().join(name));
    files.find(|file| file.exists()).unwrap()
}

#[test]
fn hanging_workers_reach_the_webhook_and_then_are_resolved() {
    let dir = TempDir::new().unwrap();
    let (webhook, to) = Webhook::start();
    let mut stack = start(dir.path(), to);
    check_files(dir.path());
    let database = address(&stack, "Prometheus");
    let query = |promql: &str| {
        let promql = utf8_percent_encode(promql, NON_ALPHANUMERIC);
        let answer = http::get(database, &format!("/api/v1/query?query={promql}")).json();
        answer["data"]["result"].as_array().unwrap().clone()
    };
    eventually("jobs of all queues start", PATIENCE, || {
        (query("rate(tailback_queue_started_total[10s]) > 0").len() >= 2).then_some(())
    });
    let stalled = |status| webhook.alert(status, "TailbackQueueStalled", "emails");
    assert_eq!(stalled("firing"), None);

    let worker = told(&stack, "kill -STOP");
    signal("STOP", &worker);
    let alert = eventually("told that emails is stalled", LONG, || stalled("firing"));
    println!("{alert:#}");
    assert_eq!(alert["labels"]["severity"], "critical");
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.contains("emails"), "{summary}");
    let dashboard = alert["annotations"]["dashboard_url"].as_str().unwrap();
    let variables = "var-broker=demo&var-system=celery&var-queue=emails";
    assert!(dashboard.ends_with(variables), "{dashboard}");

    // What follows from it is kept quiet.
    eventually("the overdue job is inhibited", LONG, || {
        let alerts = http::get(address(&stack, "Alertmanager"), "/api/v2/alerts").json();
        let alerts = alerts.as_array().unwrap();
        let overdue = alerts.iter().find(|alert| {
            let labels = &alert["labels"];
            labels["alertname"] == "TailbackQueueOldestJobOverdue" && labels["queue"] == "emails"
        });
        let inhibitors = overdue?["status"]["inhibitedBy"].as_array().unwrap();
        (!inhibitors.is_empty()).then_some(())
    });
    let overdue = webhook.alert("firing", "TailbackQueueOldestJobOverdue", "emails");
    assert_eq!(overdue, None);

    // And the dashboards mark it.
    let emails = [
        ("broker", "demo"),
        ("system", "celery"),
        ("queue", "emails"),
    ];
    for dashboard in Dashboard::shipped() {
        let marks = query(&fill(dashboard.annotation("Alerts"), &emails));
        let mut marks = marks.iter().map(|mark| &mark["metric"]["alertname"]);
        let is_marked = marks.any(|name| name == "TailbackQueueStalled");
        assert!(is_marked, "{}", dashboard.file);
    }

    signal("CONT", &worker);
    eventually("told that it is over", LONG, || stalled("resolved"));
    stack.signal("INT");
    assert!(stack.wait(PATIENCE).success(), "{}", stack.output());
    let listens = [database, to].map(|address| TcpStream::connect(address).is_ok());
    assert_eq!(listens, [false, true], "Prometheus has ended");
}

/// The servers read what is shipped: all inhibitions, and the rules with shorter times.
fn check_files(dir: &Path) {
    let file = written(dir, "alertmanager.yml");
    let told = run(Command::new("amtool").arg("check-config").arg(file));
    let shipped = std::fs::read_to_string(root().join("alerts/alertmanager.yaml")).unwrap();
    let inhibitions = shipped.matches("- source_matchers").count();
    let inhibitions = format!("{inhibitions} inhibit rules");
    assert!(
        told.contains("SUCCESS") && told.contains(&inhibitions),
        "{told}"
    );

    let hurried = std::fs::read_to_string(written(dir, "tailback.yaml")).unwrap();
    let shipped = std::fs::read_to_string(root().join("alerts/tailback.yaml")).unwrap();
    let mut differ = 0;
    for (hurried, shipped) in hurried.lines().zip(shipped.lines()) {
        assert_eq!(without_durations(hurried), without_durations(shipped));
        differ += usize::from(hurried != shipped);
    }
    assert_eq!(hurried.lines().count(), shipped.lines().count());
    assert!(differ > 40, "{differ}");
}

fn without_durations(line: &str) -> String {
    let words = line.split_inclusive(['[', ']', ' ']);
    let is_duration = |word: &str| {
        let word = word.trim_end_matches([']', ')', ' ']);
        word.strip_suffix(['s', 'm', 'h', 'd'])
            .is_some_and(|number| number.parse::<u32>().is_ok())
    };
    words.filter(|word| !is_duration(word)).collect()
}
