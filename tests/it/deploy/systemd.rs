//! The unit for systemd.

use super::{path, runs};
use crate::support::process::run;
use crate::support::tailback::BINARY;
use serde_json::json;
use std::fs;
use std::process::Command;

#[test]
fn the_systemd_unit_is_sound_and_shut_in() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(path("deploy/systemd/tailback.service")).unwrap();
    let command = "ExecStart=/usr/local/bin/tailback run --config /etc/tailback/tailback.toml";
    assert!(text.contains(command));
    // The program has to be there for systemd to be content.
    let unit = dir.path().join("tailback.service");
    fs::write(&unit, text.replace("/usr/local/bin/tailback", BINARY)).unwrap();
    let analyze = |args: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        run(command
            .args(args)
            .arg(&unit)
            .env("SYSTEMD_LOG_LEVEL", "warning"))
    };
    assert_eq!(analyze(&["verify", "--man=no"]), "");
    // In tenths; 9.6 is what a service without any of it has.
    let told = analyze(&["security", "--offline=true", "--threshold=12", "--no-pager"]);
    let overall = told.lines().rfind(|line| line.contains("Overall exposure"));
    println!("{overall:?}");
    assert!(overall.unwrap().contains("OK"), "{told}");
    // The configuration that goes with it, with the credential where systemd puts it.
    let readme = fs::read_to_string(path("deploy/README.md")).unwrap();
    let toml = readme
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next();
    let credentials = "/run/credentials/tailback.service";
    let config = toml.unwrap();
    assert!(config.contains(credentials), "{config}");
    let config = config.replace(credentials, "/run/secrets/tailback");
    let deployment = json!({"spec": {"template": {"spec": {"containers": [{
        "name": "tailback",
        "args": ["run", "--config", "/etc/tailback/tailback.toml"],
        "livenessProbe": {"httpGet": {"path": "/live"}},
        "readinessProbe": {"httpGet": {"path": "/ready"}},
    }]}}}});
    runs(&deployment, &config);
}
