use super::*;
use crate::metrics::CATALOG;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// With `UPDATE_GENERATED=1` this writes the files.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn the_committed_files_are_what_is_generated() {
    let update = std::env::vars_os().any(|(name, _)| name == "UPDATE_GENERATED");
    for (name, form) in [
        ("tailback.yaml", Form::Prometheus),
        ("tailback.prometheusrule.yaml", Form::PrometheusRule),
        ("alertmanager.yaml", Form::Alertmanager),
    ] {
        let path = root().join("alerts").join(name);
        let want = file(form, &Links::default());
        if update {
            std::fs::write(&path, want).unwrap();
        } else {
            let is = std::fs::read_to_string(&path).unwrap();
            assert_eq!(
                is, want,
                "run `UPDATE_GENERATED=1 cargo test --lib generate`"
            );
        }
    }
}

/// What looks like a metric in an expression.
fn metrics(expr: &str) -> Vec<String> {
    expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with("tailback_") || word.contains(':'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn expressions_ask_for_metrics_that_exist() {
    let exprs = RECORDINGS
        .iter()
        .map(|rule| &rule.expr)
        .chain(ALERTS.iter().map(|alert| &alert.expr));
    let mut asked = 0;
    for metric in exprs.flat_map(|expr| metrics(expr)) {
        let known = CATALOG
            .iter()
            .any(|def| metric == def.name || metric.strip_suffix("_bucket") == Some(def.name))
            || RECORDINGS.iter().any(|rule| rule.name == metric);
        assert!(known, "{metric}");
        asked += 1;
    }
    assert!(asked > 40, "{asked}");
}

#[test]
fn every_alert_has_its_section_among_the_runbooks() {
    let text = std::fs::read_to_string(root().join("docs/runbooks.md")).unwrap();
    for alert in ALERTS.iter() {
        let heading = format!("\n## {}\n", alert.name);
        assert!(text.contains(&heading), "{}", alert.name);
    }
    for heading in text.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(names().any(|name| name == heading), "{heading}");
    }
}

/// How loud the alert of this name is, over its several windows.
fn severities(name: &str) -> Vec<Severity> {
    let alerts = ALERTS.iter().filter(|alert| alert.name == name);
    alerts.map(|alert| alert.severity).collect()
}

#[test]
fn inhibitions_name_alerts_and_keep_nothing_quiet_that_is_louder() {
    for (source, targets, equal) in INHIBITIONS {
        for target in *targets {
            let (cause, quiet) = (severities(source), severities(target));
            assert!(
                cause.iter().max().unwrap() <= quiet.iter().min().unwrap(),
                "{source} {target}"
            );
        }
        assert_eq!(*equal == QUEUE, source.starts_with("TailbackQueue"));
    }
    let windows: Vec<_> = ALERTS.iter().filter_map(|alert| alert.window).collect();
    for (at, (shorter, longer)) in WINDOWS.iter().enumerate() {
        assert_eq!(windows[at], *shorter);
        assert_eq!(windows[at + 1..].join("|"), *longer);
    }
}
