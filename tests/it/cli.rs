//! The command line: help, exit codes, `check`, signals.

use crate::support::process::free_port;
use crate::support::python::{Celery, Rq};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, tailback, tailback_ok};
use std::process::Output;
use tempfile::TempDir;

fn code(args: &[&str]) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = tailback(args);
    (
        status.code(),
        format!(
            "{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        ),
    )
}

#[test]
fn help_and_version() {
    let help = tailback_ok(&["--help"]);
    for word in [
        "run",
        "check",
        "completions",
        "--listen",
        "--config",
        "TAILBACK_BROKERS",
    ] {
        assert!(help.contains(word), "no {word}: {help}");
    }
    assert_eq!(
        tailback_ok(&["--version"]).trim(),
        format!("tailback {}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            tailback_ok(&["completions", shell]).contains("tailback"),
            "{shell}"
        );
    }
}

#[test]
fn wrong_usage_is_64() {
    for args in [
        vec!["--no-such-option"],
        vec!["run"],
        vec!["check"],
        vec!["run", "http://127.0.0.1/"],
        vec!["run", "--config", "/does/not/exist.toml"],
        vec!["run", "redis://127.0.0.1:1/0", "--listen", "nowhere"],
    ] {
        let (code, said) = code(&args);
        assert_eq!(code, Some(64), "{args:?}: {said}");
        assert!(!said.is_empty(), "{args:?}");
    }
}

#[test]
fn all_faults_of_a_configuration_are_told_with_their_place() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("config.toml");
    let path = path.to_str().unwrap();
    let config = "[http]\nlisten = 'here'\n[brokers.main.redis]\nurl = 'redis://:hunter2@h/0'\n\
                  intervall = '1s'\ntimeout = '5'\n";
    std::fs::write(path, config).unwrap();
    let (code, said) = code(&["run", "--config", path]);
    assert_eq!(code, Some(64), "{said}");
    for place in [":2:", ":5:", ":6:"] {
        assert!(
            said.contains(&format!("{path}{place}")),
            "no {place}: {said}"
        );
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn an_address_in_use_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let (code, said) = code(&["run", "redis://127.0.0.1:1/0", "--listen", &listen]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&listen), "{said}");
}

#[test]
fn check_tells_what_it_finds() {
    let redis = Redis::start(RedisOptions::default());
    Celery::new(&redis.url()).send("emails", 3, &[]);
    Rq::V3.client(&redis.url(), &["send", "mail", "2"]);
    let (code, said) = code(&["check", &redis.url()]);
    assert_eq!(code, Some(0), "{said}");
    let row = |queue: &str| {
        let cells = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut rows = said.lines().map(cells);
        rows.find(|cells| cells.get(1).is_some_and(|name| name == queue))
            .unwrap_or_else(|| panic!("no {queue}: {said}"))
    };
    assert_eq!(row("emails")[..3], ["celery", "emails", "3"]);
    assert_eq!(row("mail")[..3], ["rq", "mail", "2"]);
    assert!(row("mail").contains(&"message".to_owned()));
}

#[test]
fn check_of_an_unreachable_broker_is_69() {
    let url = format!("redis://:hunter2@127.0.0.1:{}/0", free_port());
    let (code, said) = code(&["check", &url]);
    assert_eq!(code, Some(69), "{said}");
    assert!(
        said.contains("connect") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn check_of_itself_asks_the_running_one() {
    let redis = Redis::start(RedisOptions::default());
    let mut running = Tailback::start(&[&redis.url()]);
    let listen = running.address.to_string();
    let (alive, said) = code(&["check", "--self", "--listen", &listen]);
    assert_eq!(alive, Some(0), "{said}");
    running.stop("TERM");
    let (gone, said) = code(&["check", "--self", "--listen", &listen]);
    assert_eq!(gone, Some(1), "{said}");
}

#[test]
fn brokers_from_the_environment() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    let tailback = Tailback::start_with(&[], &[("TAILBACK_BROKERS", &url)]);
    tailback.wait_up();
}

#[test]
fn signals_end_it_well() {
    for signal in ["TERM", "INT"] {
        let mut redis = Redis::start(RedisOptions::default());
        let mut running = Tailback::start(&[&redis.url()]);
        running.wait_up();
        let asked = std::time::Instant::now();
        assert!(running.stop(signal).success(), "{}", running.logs());
        assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
        // Also while the broker is away.
        let mut running = Tailback::start(&[&redis.url()]);
        redis.kill();
        assert!(running.stop(signal).success(), "{}", running.logs());
    }
}

#[test]
fn logs_are_json_where_there_is_no_terminal() {
    let redis = Redis::start(RedisOptions {
        password: Some("hunter2".to_owned()),
        ..Default::default()
    });
    let mut running = Tailback::start(&[&redis.url()]);
    running.wait_up();
    running.stop("TERM");
    let lines = running.log_lines();
    assert!(lines.len() >= 3, "{lines:?}");
    for line in &lines {
        assert!(
            line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    let everything = running.logs();
    assert!(!everything.contains("hunter2"), "{everything}");
}

#[test]
fn the_password_is_nowhere() {
    let redis = Redis::start(RedisOptions {
        password: Some("hunter2".to_owned()),
        ..Default::default()
    });
    let running = Tailback::start(&[&redis.url()]);
    running.wait_up();
    for path in ["/metrics", "/api/v1/brokers", "/api/v1/queues", "/"] {
        let answer = running.get(path);
        assert!(
            !String::from_utf8_lossy(&answer.body).contains("hunter2"),
            "{path}"
        );
    }
}
