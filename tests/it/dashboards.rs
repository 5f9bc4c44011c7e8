//! The shipped dashboards as files: Grafana's own model of them, its linter's rules, and links that lead
//! somewhere. `dashboards_live` asks their queries.

use crate::support::grafana::{Dashboard, text};
use crate::support::lint::lint;
use crate::support::python::python;
use crate::support::root;
use crate::support::tailback::{tailback, tailback_ok};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What Grafana writes and reads, and its model leaves out: properties of the data source's own.
const UNMODELLED: &[&str] = &[
    ".definition",
    ".step",
    ".tagKeys",
    ".textFormat",
    ".titleFormat",
    ".useValueForTime",
];

#[test]
fn grafana_knows_every_property() {
    for dashboard in Dashboard::shipped() {
        let path = root().join("dashboards").join(&dashboard.file);
        let lost = python("check_dashboard.py", &[path.to_str().unwrap()]);
        let lost: Vec<&str> = lost.as_array().unwrap().iter().map(text).collect();
        let is_modelled = |path: &&&str| !UNMODELLED.iter().any(|end| path.ends_with(end));
        let lost: Vec<_> = lost.iter().filter(is_modelled).collect();
        assert!(lost.is_empty(), "{}: {lost:#?}", dashboard.file);
    }
}

#[test]
fn a_property_that_grafana_does_not_know_is_found() {
    let mut dashboard = Dashboard::shipped().remove(0).json;
    dashboard["panels"][1]["options"]["colour"] = json!("blue");
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("wrong.json");
    std::fs::write(&path, dashboard.to_string()).unwrap();
    let lost = python("check_dashboard.py", &[path.to_str().unwrap()]);
    let mut lost = lost.as_array().unwrap().iter().map(text);
    assert!(lost.any(|path| path == ".panels[1].options.colour"));
}

#[test]
fn they_keep_the_linters_rules() {
    for dashboard in Dashboard::shipped() {
        let complaints = lint(&dashboard);
        assert!(complaints.is_empty(), "{}: {complaints:#?}", dashboard.file);
    }
}

#[test]
fn the_linter_finds_what_is_wrong() {
    type Break = fn(&mut Value);
    let broken: &[(&str, Break)] = &[
        ("uneditable-dashboard-rule", |it| {
            it["editable"] = json!(true)
        }),
        ("provisioning", |it| it["__inputs"] = json!([])),
        ("template-datasource-rule", |it| {
            variable(it, 0)["name"] = json!("ds")
        }),
        ("template-job-rule", |it| {
            variable(it, 1)["allValue"] = json!(".*")
        }),
        ("template-instance-rule", |it| {
            variable(it, 2)["multi"] = json!(false)
        }),
        ("template-on-time-change-reload", |it| {
            variable(it, 3)["refresh"] = json!(1)
        }),
        ("template-label-promql-rule", |it| {
            variable(it, 4)["query"]["query"] = json!("tailback_broker_up");
        }),
        ("panel-datasource-rule", |it| {
            panel(it)["datasource"]["uid"] = json!("abc")
        }),
        ("panel-title-description-rule", |it| {
            panel(it)["description"] = json!("")
        }),
        ("panel-units-rule", |it| {
            panel(it)["fieldConfig"]["defaults"]["unit"] = json!("seconds");
        }),
        ("panel-no-targets-rule", |it| {
            panel(it)["targets"] = json!([])
        }),
        ("target-rate-interval-rule", |it| {
            replace(it, "$__rate_interval", "5m")
        }),
        ("target-job-rule", |it| replace(it, "job=~\"$job\", ", "")),
        ("target-instance-rule", |it| {
            replace(it, "instance=~\"$instance\"", "")
        }),
        ("target-counter-agg-rule", |it| {
            replace(it, "rate(", "delta(")
        }),
        ("target-histogram-rule", |it| {
            replace(it, "histogram_quantile(", "quantile(")
        }),
        ("unknown is not zero", |it| {
            replace(it, "sum(", "vector(0) or sum(")
        }),
        ("recording rules", |it| {
            replace(it, "tailback_queue", "a:tailback_queue")
        }),
        ("legend", |it| {
            panel(it)["targets"][0]["legendFormat"] = json!("")
        }),
        ("layout", |it| panel(it)["gridPos"]["w"] = json!(5)),
        ("colours", |it| {
            panel(it)["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] = json!("red");
        }),
    ];
    for (rule, break_it) in broken {
        let mut all = Dashboard::shipped();
        let mut overview = all.remove(
            all.iter()
                .position(|it| it.file == "overview.json")
                .unwrap(),
        );
        break_it(&mut overview.json);
        let complaints = lint(&overview);
        let is_found = complaints
            .iter()
            .any(|complaint| complaint.starts_with(rule));
        assert!(is_found, "{rule}: {complaints:?}");
    }
}

fn variable(dashboard: &mut Value, index: usize) -> &mut Value {
    &mut dashboard["templating"]["list"][index]
}

/// The first that is no row.
fn panel(dashboard: &mut Value) -> &mut Value {
    &mut dashboard["panels"][1]
}

/// In all queries.
fn replace(dashboard: &mut Value, what: &str, by: &str) {
    for panel in dashboard["panels"].as_array_mut().unwrap() {
        for target in panel["targets"].as_array_mut().into_iter().flatten() {
            target["expr"] = json!(text(&target["expr"]).replace(what, by));
        }
    }
}

/// Every `url` within.
fn urls<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("url").and_then(Value::as_str));
            object.values().for_each(|value| urls(value, found));
        }
        Value::Array(all) => all.iter().for_each(|value| urls(value, found)),
        _ => {}
    }
}

/// The dashboard at the end of a link has all the variables that the link sets.
fn leads_somewhere(url: &str, all: &[Dashboard]) {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let uid = path.strip_prefix("/d/").unwrap_or_else(|| panic!("{url}"));
    let found = all.iter().find(|dashboard| dashboard.uid() == uid);
    let dashboard = found.unwrap_or_else(|| panic!("{url}: no dashboard {uid}"));
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let set = match part.strip_prefix("var-") {
            Some(set) => set.split('=').next(),
            None => part
                .strip_prefix("${")
                .and_then(|set| set.split(':').next()),
        };
        let name = set.unwrap_or_else(|| panic!("{url}: {part}"));
        let is_known = name == "__url_time_range}" || dashboard.variable(name).is_some();
        assert!(is_known, "{url}: {uid} has no variable {name}");
    }
}

/// A template of an alert, with labels known or not; only what it links to matters.
fn rendered(template: &str, is_known: bool) -> String {
    let (mut out, mut is_shown) = (String::new(), true);
    for part in template.split("{{ ") {
        let (action, text) = part.split_once(" }}").unwrap_or(("", part));
        match action.split(' ').next() {
            Some("if" | "with") => is_shown = is_known,
            Some("else") => is_shown = !is_known,
            Some("end") => is_shown = true,
            _ => {}
        }
        if is_shown {
            out += text;
        }
    }
    out
}

#[test]
fn links_of_dashboards_and_alerts_lead_somewhere() {
    let all = Dashboard::shipped();
    for dashboard in &all {
        let mut found = Vec::new();
        urls(&dashboard.json, &mut found);
        let others = all.iter().filter(|other| other.uid() != dashboard.uid());
        for other in others {
            let url = format!("/d/{}", other.uid());
            assert!(
                found.contains(&url.as_str()),
                "{}: no link to {url}",
                dashboard.file
            );
        }
        found.iter().for_each(|url| leads_somewhere(url, &all));
    }
    let rules = std::fs::read_to_string(root().join("alerts/tailback.yaml")).unwrap();
    let links: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("dashboard_url: "))
        .collect();
    assert!(links.len() > 15, "{links:?}");
    for link in links {
        for is_known in [true, false] {
            leads_somewhere(&rendered(link.trim_matches(['"', '\'']), is_known), &all);
        }
    }
}

#[test]
fn they_are_printed_and_written() {
    let shipped =
        |file: &str| std::fs::read_to_string(root().join("dashboards").join(file)).unwrap();
    let printed = tailback_ok(&["generate", "dashboards", "queue"]);
    assert!(printed == shipped("queue.json"), "another queue.json");
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("new/folder");
    let told = tailback_ok(&["generate", "dashboards", "--dir", folder.to_str().unwrap()]);
    assert_eq!(told.lines().count(), 4, "{told}");
    for dashboard in Dashboard::shipped() {
        let written = std::fs::read_to_string(folder.join(&dashboard.file)).unwrap();
        assert!(
            written == shipped(&dashboard.file),
            "another {}",
            dashboard.file
        );
    }
    let nothing = tailback(&["generate", "dashboards"]);
    assert_eq!(nothing.status.code(), Some(64));
    let file = folder.join("overview.json");
    let no_folder = tailback(&["generate", "dashboards", "--dir", file.to_str().unwrap()]);
    assert_eq!(no_folder.status.code(), Some(1));
    let told = String::from_utf8_lossy(&no_folder.stderr);
    assert!(
        told.contains("cannot write") && told.contains("overview.json"),
        "{told}"
    );
}
