//! The shipped alert rules, held to their tests by a real promtool, and the tests to the rules: with any
//! threshold changed they must fail.

use crate::support::process::run;
use crate::support::root;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use tempfile::TempDir;

/// Rules as text: what comes before the alerts, and each alert.
fn parts(rules: &str) -> (String, Vec<String>) {
    let (before, alerts) = rules.split_once("      - alert: ").unwrap();
    let alerts = alerts.split("\n      - alert: ");
    let alerts = alerts.map(|alert| format!("      - alert: {}\n", alert.trim_end()));
    (before.to_owned(), alerts.collect())
}

/// The lines of an alert's expression.
fn expression(alert: &str) -> &str {
    let (_, rest) = alert.split_once("expr: ").unwrap();
    rest.split_once("\n        for: ").unwrap().0
}

/// The numbers of an expression that are compared or reckoned with; windows and names are not.
fn numbers(expr: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == ':';
    let mut found: Vec<&str> = expr
        .split(|c: char| !is_part(c))
        .filter(|word| word.parse::<f64>().is_ok())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The expression with every such number in it replaced.
fn with_number(expr: &str, number: &str, other: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == ':';
    let (mut out, mut word) = (String::new(), String::new());
    for c in expr.chars().chain(['\n']) {
        if is_part(c) {
            word.push(c);
            continue;
        }
        out.push_str(if word == number { other } else { &word });
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

fn passes(rules: &str, tests: &Path) -> bool {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("tailback.yaml"), rules).unwrap();
    fs::copy(tests, dir.path().join("test.yaml")).unwrap();
    let mut promtool = Command::new("promtool");
    promtool
        .args(["test", "rules", "test.yaml"])
        .current_dir(dir.path());
    promtool.output().unwrap().status.success()
}

#[test]
fn the_rules_are_right_and_do_what_their_tests_say() {
    let alerts = root().join("alerts");
    for args in [
        ["check", "rules", "tailback.yaml"].as_slice(),
        &["test", "rules", "tailback.test.yaml", "budget.test.yaml"],
    ] {
        run(Command::new("promtool").args(args).current_dir(&alerts));
    }
}

/// What promtool knows is only the rules; the rest is held to the operator's own schema. Prometheus 3 is not
/// packaged by Debian or anyone else whose packages the tests install, but its grammar is.
#[test]
fn the_custom_resource_wraps_the_same_groups_and_prometheus_3_can_read_them() {
    let file = root().join("alerts/tailback.prometheusrule.yaml");
    let resource = fs::read_to_string(&file).unwrap();
    let rules = fs::read_to_string(root().join("alerts/tailback.yaml")).unwrap();
    let (_, spec) = resource.split_once("\nspec:\n").unwrap();
    let groups = spec.lines().map(|line| line.strip_prefix("  ").unwrap());
    assert_eq!(
        groups.collect::<Vec<_>>(),
        rules.lines().skip(1).collect::<Vec<_>>()
    );
    let script = root().join("tests/clients/node/rules.mjs");
    let told = run(Command::new("node").arg(script).arg(file));
    let count = rules.matches("        expr: ").count();
    assert_eq!(told.trim(), count.to_string());
}

#[test]
fn a_changed_threshold_fails_the_tests() {
    let dir = root().join("alerts");
    let rules = fs::read_to_string(dir.join("tailback.yaml")).unwrap();
    let (before, alerts) = parts(&rules);
    let mut changes = Vec::new();
    for (index, alert) in alerts.iter().enumerate() {
        let name = alert
            .split_once("- alert: ")
            .unwrap()
            .1
            .lines()
            .next()
            .unwrap();
        let expr = expression(alert);
        for number in numbers(expr) {
            let value: f64 = number.parse().unwrap();
            let others = if value == 0.0 {
                [2.0, -1.0]
            } else {
                [value * 1.5, value * 0.5]
            };
            for other in others {
                let changed = with_number(expr, number, &other.to_string());
                assert_ne!(changed, expr);
                let is_budget = name.ends_with("BudgetBurn");
                // The long tests ask for these alone, so the others only cost time.
                let all = alerts.iter().enumerate().filter_map(|(at, kept)| {
                    let is_asked = !is_budget || kept.contains(name);
                    let kept = if at == index {
                        alert.replace(expr, &changed)
                    } else {
                        kept.clone()
                    };
                    is_asked.then_some(kept)
                });
                let rules = format!("{before}{}", all.collect::<String>());
                let tests = if is_budget {
                    "budget.test.yaml"
                } else {
                    "tailback.test.yaml"
                };
                changes.push((name, number, other, rules, tests));
            }
        }
    }
    assert!(changes.len() > 60, "{}", changes.len());
    let survivors = Mutex::new(Vec::new());
    let queue = Mutex::new(changes.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((name, number, other, rules, tests)) = queue.lock().unwrap().next()
                    else {
                        return;
                    };
                    if passes(rules, &dir.join(tests)) {
                        survivors.lock().unwrap().push((*name, *number, *other));
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().unwrap();
    assert!(survivors.is_empty(), "{survivors:?}");
}
