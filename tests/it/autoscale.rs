//! `make bench-autoscale` in small: real Celery workers are started and stopped by what tailback says
//! over gRPC.

use crate::support::process::run;
use crate::support::tailback::BINARY;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn workers_that_are_scaled_take_a_fan_out_sooner() {
    let dir = tempfile::tempdir().unwrap();
    let root = crate::support::root();
    let decide = decide(&root);
    let (found, picture) = (dir.path().join("found.json"), dir.path().join("found.svg"));
    let mut bench = Command::new(root.join(".venv/bin/python"));
    bench
        .arg(root.join("bench/autoscale/bench.py"))
        .args([Path::new("--tailback"), Path::new(BINARY)])
        .args([Path::new("--decide"), &decide])
        .args([Path::new("--json"), &found])
        .args([Path::new("--picture"), &picture])
        .arg("--quick")
        .env("TMPDIR", dir.path());
    let table = run(&mut bench);
    println!("{table}");
    let found: Value = serde_json::from_slice(&std::fs::read(found).unwrap()).unwrap();
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
    let (none, scaled) = (&found["rows"][0], &found["rows"][1]);
    assert_eq!(none["key"], "none");
    assert_eq!(scaled["key"], "required");
    assert_eq!(number(none, "most_pods"), 1.0);
    assert_eq!(number(scaled, "most_pods"), 8.0, "{table}");
    // Every job ran once for each of them.
    for result in found["results"].as_array().unwrap() {
        assert_eq!(result["starts"].as_array().unwrap().len(), 250);
    }
    for wait in ["max_wait", "mean_wait"] {
        assert!(number(scaled, wait) < number(none, wait), "{wait}: {table}");
    }
    let bound = number(&found["bound"], "max");
    assert!(number(none, "max_wait") > bound, "{table}");
    let drawn = std::fs::read_to_string(picture).unwrap();
    assert!(drawn.contains("required_workers"), "{drawn}");
    let left = crate::support::folders_left(dir.path());
    assert!(left.is_empty(), "{left:?}");
}

/// The example that decides, built if it is not: a test target alone does not build examples.
fn decide(root: &Path) -> PathBuf {
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--example", "autoscale"])
        .current_dir(root));
    let target = Path::new(BINARY).parent().unwrap();
    target.join("examples/autoscale")
}
