//! The folders' arrows of `docs/ARCHITECTURE.md`: who may use whom.

use std::fs;
use std::path::{Path, PathBuf};

/// For each folder, the modules of this crate that it may use besides itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &["clock"]),
    ("layout", &["model", "config"]),
    ("config", &["model", "redact"]),
    ("broker", &["model", "layout", "config", "redact", "clock"]),
    (
        "state_file",
        &["model", "config", "broker", "redact", "clock"],
    ),
    (
        "poll",
        &[
            "model",
            "config",
            "broker",
            "metrics",
            "clock",
            "state_file",
        ],
    ),
    ("metrics", &["model", "clock"]),
    ("http", &["model", "metrics", "redact", "human", "clock"]),
    ("keda", &["model", "clock"]),
    ("top", &["human"]),
    ("generate", &["metrics"]),
];

/// Crates that do I/O or know the time, which pure folders must do without.
const IMPURE: &[&str] = &[
    "tokio::net",
    "tokio::fs",
    "TcpStream",
    "std::fs",
    "use redis::",
    "use hyper",
    "use lapin",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\n").next().unwrap().to_owned();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        ["tests", "tests.rs", "testing", "testing.rs"].contains(&&*name)
    })
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn every_folder_uses_only_what_its_arrow_allows() {
    for (folder, allowed) in ARROWS {
        for path in sources(&src().join(folder))
            .into_iter()
            .filter(|path| !is_test(path))
        {
            for part in code(&path).split("crate::").skip(1) {
                let module: String = part
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                // `pub(in crate::x)` and macros aside, a module name is all that can follow.
                assert!(
                    module == *folder || allowed.contains(&module.as_str()) || module.is_empty(),
                    "{} uses crate::{module}; {folder} may use {allowed:?}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn pure_folders_do_no_io() {
    for folder in ["model", "layout", "metrics", "generate"] {
        for path in sources(&src().join(folder))
            .into_iter()
            .filter(|path| !is_test(path))
        {
            let code = code(&path);
            for name in IMPURE {
                assert!(!code.contains(name), "{} uses {name}", path.display());
            }
        }
    }
}

#[test]
fn every_layout_file_has_a_row() {
    let helpers = [
        "mod", "glob", "heads", "marker", "name", "prefix", "rabbitmq", "redis", "running",
        "tally", "testing",
    ];
    let table = fs::read_to_string(src().join("layout/mod.rs")).unwrap();
    for entry in fs::read_dir(src().join("layout")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let bound = table.contains(&format!("{name}::bind"))
            || table.contains(&format!("{name}::redis::bind"));
        assert!(
            bound || helpers.contains(&name.as_str()),
            "layout/{name} has no row in LAYOUTS"
        );
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (manifest, reasons) = (read("Cargo.toml"), read("docs/ARCHITECTURE.md"));
    let reasons = reasons.split("## Dependencies").nth(1).unwrap();
    let dependencies = manifest.split("[dependencies]\n").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    for name in dependencies
        .lines()
        .filter_map(|line| line.split(" =").next())
    {
        let is_told = reasons
            .split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'))
            .any(|word| word == name);
        assert!(
            name.is_empty() || is_told,
            "{name} has no reason in docs/ARCHITECTURE.md"
        );
    }
}
