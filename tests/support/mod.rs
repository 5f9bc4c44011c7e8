//! Real servers, real clients and the real binary for the live tests. Everything listens on free
//! loopback ports, keeps its files in temporary folders and ends with the test run.

#![allow(
    dead_code,
    reason = "a harness offers more than the tests of one day use"
)]

pub mod browser;
pub mod certificates;
pub mod grafana;
pub mod http;
pub mod keda;
pub mod lint;
pub mod metrics;
pub mod node;
pub mod nulls;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod rabbitmq;
pub mod recordings;
pub mod redis;
pub mod ruby;
pub mod tailback;
pub mod terminal;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder of the package, where the tests' own files are.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Folders of the demo's and the benches' child processes that are still in `dir`.
pub fn folders_left(dir: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("tailback-"))
        .collect()
}
