//! KEDA's part: an autoscaler that asks over gRPC, with a client that is not ours.

use super::certificates::Certificates;
use super::process::{PATIENCE, Process, run};
use super::python::{self, App};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// The objects in a YAML file.
pub fn parse(yaml: &str) -> Vec<Value> {
    let app = App::new().with("api");
    let parsed = python::python_of_with_input(&app, "keda_triggers.py", &["parse"], yaml);
    parsed.as_array().unwrap().clone()
}

/// What Kubernetes would find wrong with objects: nothing, if they are as they should be.
pub fn faults(objects: &[Value]) -> Vec<String> {
    let script = super::root().join("tests/clients/node/kubernetes.js");
    let mut command = Command::new("node");
    command.arg(script);
    let faults = python::run_with_input(command, json!(objects).to_string().as_bytes());
    serde_json::from_value(faults).unwrap()
}

/// What KEDA gets for triggers that ask over HTTP, with these secrets.
pub fn ask(triggers: &[Value], secrets: &Value) -> Vec<Value> {
    let app = App::new().with("api");
    let (triggers, secrets) = (json!(triggers).to_string(), secrets.to_string());
    let answers = python::python_of(&app, "keda_triggers.py", &["ask", &triggers, &secrets]);
    answers.as_array().unwrap().clone()
}

/// Asks one external scaler.
pub struct Keda {
    address: String,
    environment: Vec<(&'static str, String)>,
}

impl Keda {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address: address.to_string(),
            environment: Vec::new(),
        }
    }

    /// With TLS, and with a certificate of its own if it is to have one.
    pub fn with_tls(mut self, certificates: &Certificates, own: bool) -> Self {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        self.environment.push(("CA", text(&certificates.ca)));
        if own {
            self.environment.push(("CERT", text(&certificates.client)));
            self.environment
                .push(("KEY", text(&certificates.client_key)));
        }
        self
    }

    /// The answers to some calls, each with its metadata: a message, or `code` and `details`.
    pub fn ask(&self, calls: &[(&str, &Value)]) -> Vec<Value> {
        let calls = json!(calls).to_string();
        python::last_json(&run(&mut self.command(&["ask", &calls])))
            .as_array()
            .unwrap()
            .clone()
    }

    /// The only value of the metric, or the code of the error.
    pub fn value(&self, metadata: &Value) -> Result<f64, String> {
        let answer = self.ask(&[("GetMetrics", metadata)]).remove(0);
        if let Some(code) = answer["code"].as_str() {
            return Err(code.to_owned());
        }
        let values = answer["metricValues"].as_array().unwrap();
        assert_eq!(values.len(), 1, "{answer}");
        let float = values[0]["metricValueFloat"].as_f64().unwrap();
        // 64-bit numbers are strings in protobuf's JSON.
        let int: f64 = values[0]["metricValue"].as_str().unwrap().parse().unwrap();
        assert_eq!(int, float.ceil(), "{answer}");
        Ok(float)
    }

    pub fn is_active(&self, metadata: &Value) -> Result<bool, String> {
        let answer = self.ask(&[("IsActive", metadata)]).remove(0);
        answer["result"]
            .as_bool()
            .ok_or_else(|| answer["code"].as_str().unwrap().to_owned())
    }

    pub fn health(&self) -> Value {
        python::last_json(&run(&mut self.command(&["health"])))
    }

    /// Keeps a push stream open; what comes is in its output, line by line.
    pub fn watch(&self, metadata: &Value, dir: &Path) -> Process {
        self.spawn("watch", metadata, dir)
    }

    /// Asks all the time; each time is a line of its output.
    pub fn sample(&self, metadata: &Value, dir: &Path) -> Process {
        self.spawn("sample", metadata, dir)
    }

    fn spawn(&self, what: &str, metadata: &Value, dir: &Path) -> Process {
        let command = self.command(&[what, &metadata.to_string()]);
        let name = format!("keda-{what}-{}", self.address.replace([':', '.'], "-"));
        let mut process = Process::spawn(&name, &command, dir);
        process.wait_ready(PATIENCE, |process| process.stdout().ends_with('\n'));
        process
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut all = vec![self.address.as_str()];
        all.extend(args);
        let mut command = python::script("keda_client.py", &all, python::Rq::V3);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }
}
