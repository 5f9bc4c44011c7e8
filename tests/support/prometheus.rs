//! A real Prometheus that scrapes, and promtool.

use super::http;
use super::metrics::Sample;
use super::process::{Process, free_port};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub struct Prometheus {
    pub address: SocketAddr,
    process: Process,
    dir: TempDir,
}

impl Prometheus {
    /// Scrapes `/metrics` of each target twice a second.
    pub fn start(targets: &[SocketAddr]) -> Self {
        let dir = TempDir::new().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = dir.path().join("prometheus.yml");
        let targets: Vec<String> = targets
            .iter()
            .map(|target| format!("\"{target}\""))
            .collect();
        let text = format!(
            "global: {{scrape_interval: 500ms}}\n\
             scrape_configs: [{{job_name: tailback, static_configs: [{{targets: [{}]}}]}}]\n",
            targets.join(", ")
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .arg("--log.level=warn");
        let mut process = Process::spawn("prometheus", &command, dir.path());
        process.wait_ready(Duration::from_secs(30), |_| {
            http::request(address, "GET", "/-/ready", &[], b"")
                .is_ok_and(|answer| answer.status == 200)
        });
        Self {
            address,
            process,
            dir,
        }
    }

    /// The series of an instant query, without `__name__` in the labels.
    pub fn query(&self, promql: &str) -> Vec<Sample> {
        let rows = self.rows(&format!("query?query={}", encode(promql)), promql);
        rows.iter()
            .map(|row| {
                let (name, labels) = labels(row);
                let value = number(&row["value"]);
                Sample {
                    name,
                    labels,
                    value,
                }
            })
            .collect()
    }

    /// The same, each with its one value.
    pub fn query_series(&self, promql: &str) -> Vec<Series> {
        let samples = self.query(promql).into_iter();
        samples
            .map(|sample| Series {
                labels: sample.labels,
                values: vec![sample.value],
            })
            .collect()
    }

    /// The series of a query over the last `range`.
    pub fn query_range(&self, promql: &str, range: Duration, step: Duration) -> Vec<Series> {
        let end = std::time::UNIX_EPOCH.elapsed().unwrap();
        let path = format!(
            "query_range?query={}&start={}&end={}&step={}",
            encode(promql),
            (end - range).as_secs_f64(),
            end.as_secs_f64(),
            step.as_secs_f64()
        );
        let rows = self.rows(&path, promql);
        rows.iter()
            .map(|row| Series {
                labels: labels(row).1,
                values: row["values"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(number)
                    .collect(),
            })
            .collect()
    }

    /// The values of a label in the series that a selector chooses.
    pub fn label_values(&self, selector: &str, label: &str) -> Vec<String> {
        let path = format!("/api/v1/label/{label}/values?match[]={}", encode(selector));
        let answer = http::get(self.address, &path).json();
        assert_eq!(answer["status"], "success", "{selector}: {answer}");
        serde_json::from_value(answer["data"].clone()).unwrap()
    }

    fn rows(&self, path: &str, promql: &str) -> Vec<Value> {
        let answer = http::get(self.address, &format!("/api/v1/{path}")).json();
        assert_eq!(answer["status"], "success", "{promql}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// Why the last scrape of the first target failed; empty if it did not.
    pub fn last_scrape_error(&self) -> String {
        let answer = http::get(self.address, "/api/v1/targets").json();
        answer["data"]["activeTargets"][0]["lastError"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn log(&self) -> String {
        self.process.output()
    }
}

/// A series with its values over time.
#[derive(Debug)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub values: Vec<f64>,
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A series' name and its other labels.
fn labels(row: &Value) -> (String, BTreeMap<String, String>) {
    let mut labels: BTreeMap<String, String> =
        serde_json::from_value(row["metric"].clone()).unwrap();
    (labels.remove("__name__").unwrap_or_default(), labels)
}

/// The number of a time and a number.
fn number(pair: &Value) -> f64 {
    pair[1].as_str().unwrap().parse().unwrap()
}

/// `promtool check metrics`: what it complains about, empty if nothing.
pub fn promtool_check_metrics(exposition: &[u8]) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (`make setup`)");
    let mut stdin = child.stdin.take().unwrap();
    let input = exposition.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().ok();
    let mut complaints = String::from_utf8_lossy(&output.stdout).into_owned();
    complaints.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && complaints.is_empty() {
        complaints = format!("promtool ended with {}", output.status);
    }
    complaints
}
