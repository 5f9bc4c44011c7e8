//! What is under `deploy/`: rendered by kustomize, Helm and systemd's own tools, held to Kubernetes'
//! schemas and to the pod security standard `restricted`, and run as it says by the real program.

mod helm;
mod kustomize;
mod objects;
mod systemd;

use crate::support::python::{App, python_of};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::Tailback;
use objects::{list, tailback_of};
use serde_json::Value;
use std::fs;

fn client(args: &[&str]) -> Value {
    python_of(&App::new().with("kubernetes"), "deploy_client.py", args)
}

fn path(relative: &str) -> String {
    let path = crate::support::root().join(relative);
    path.to_str().unwrap().to_owned()
}

/// Runs the container's command, with its volumes in a folder and on free ports, on a real Redis that wants a
/// password.
fn runs(deployment: &Value, config: &str) {
    let redis = Redis::start(RedisOptions {
        password: Some("sesame".to_owned()),
        ..RedisOptions::default()
    });
    let dir = redis.dir();
    let at = |folder: &str| format!("{}{folder}", dir.display());
    for folder in [
        "/etc/tailback",
        "/run/secrets/tailback",
        "/var/lib/tailback",
    ] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for secret in ["redis-password", "rabbitmq-password"] {
        fs::write(at(&format!("/run/secrets/tailback/{secret}")), "sesame").unwrap();
    }
    let config = config
        .replace("/run/secrets/tailback", &at("/run/secrets/tailback"))
        .replace("/var/lib/tailback", &at("/var/lib/tailback"))
        .replace("redis.default.svc:6379", &redis.address().to_string())
        .replace("redis:6379", &redis.address().to_string())
        .replace("username = \"tailback\"\n", "");
    fs::write(at("/etc/tailback/tailback.toml"), config).unwrap();
    let args = list(&tailback_of(deployment)["args"]).iter().skip(1);
    let args: Vec<String> = args
        .map(|arg| arg.as_str().unwrap())
        .filter(|arg| !arg.starts_with("--listen") && !arg.starts_with("--keda-listen"))
        .map(|arg| arg.replace("/etc/tailback", &at("/etc/tailback")))
        .collect();
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    args.push("--keda-listen=127.0.0.1:0");
    let tailback = Tailback::start(&args);
    tailback.wait_until(
        "Redis is polled",
        std::time::Duration::from_secs(20),
        |metrics| {
            metrics
                .all("tailback_broker_up", &[])
                .iter()
                .any(|up| up.value == 1.0)
        },
    );
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = &tailback_of(deployment)[probe]["httpGet"]["path"];
        crate::support::tailback::wait_for("the probe succeeds", || {
            tailback.get(path.as_str().unwrap()).status == 200
        });
    }
    // Another broker of the configuration is not here, and that is all that is wrong.
    for error in tailback.logged("ERROR") {
        assert!(error.contains("rabbitmq.default.svc"), "{error}");
    }
}
