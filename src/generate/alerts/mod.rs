//! Prometheus rules: what is recorded, what wakes somebody, and what keeps quiet meanwhile.
//!
//! Objectives are metrics, so the rules hold for all of them, and changing one needs no new rules.
//! Replicas of tailback see the same queues: every expression takes the largest of what they say,
//! never the sum.

mod recording;
mod rules;

use super::yaml::Yaml;
use recording::RECORDINGS;
use rules::ALERTS;

/// For whom the rules are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A file for Prometheus' `rule_files`.
    Prometheus,
    /// A `PrometheusRule` for the Prometheus Operator.
    PrometheusRule,
    /// The rules of Alertmanager by which one alert keeps others quiet.
    Alertmanager,
}

/// Where the annotations point.
#[derive(Debug, Clone)]
pub struct Links {
    /// The runbooks; an alert's section is added as `#alertname`.
    pub runbooks: String,
    /// Grafana, without a slash at its end; empty: links are paths within it.
    pub grafana: String,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            runbooks: "docs/runbooks.md".to_owned(),
            grafana: String::new(),
        }
    }
}

/// A rule that records.
struct Recording {
    name: &'static str,
    expr: String,
}

/// A rule that alerts.
struct Alert {
    name: &'static str,
    /// Whether it wakes somebody, waits for the morning, or is for a channel.
    severity: Severity,
    expr: String,
    /// Tells apart alerts of one name: the window over which they judge.
    window: Option<&'static str>,
    /// How long it must hold, and how long it stays after it no longer does: an interrupted alert is
    /// one alert.
    hold: &'static str,
    keep: Option<&'static str>,
    /// What it is about.
    about: About,
    summary: &'static str,
    description: &'static str,
}

/// The loudest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Critical,
    Warning,
    Info,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Queue,
    /// A queue, or all queues of a system together.
    System,
    Broker,
    Tailback,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl About {
    /// Which dashboard shows more, with its variables set.
    const fn dashboard(self) -> &'static str {
        match self {
            Self::Queue => {
                "/d/tailback-queue?var-broker={{ $labels.broker | urlquery }}&var-system={{ $labels.system | urlquery }}&var-queue={{ $labels.queue | urlquery }}"
            }
            Self::System => {
                "/d/{{ if $labels.queue }}tailback-queue{{ else }}tailback-broker{{ end }}?var-broker={{ $labels.broker | urlquery }}&var-system={{ $labels.system | urlquery }}{{ with $labels.queue }}&var-queue={{ . | urlquery }}{{ end }}"
            }
            Self::Broker => "/d/tailback-broker?var-broker={{ $labels.broker | urlquery }}",
            Self::Tailback => "/d/tailback-broker",
        }
    }
}

/// Names of all alerts.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALERTS.iter().map(|alert| alert.name)
}

/// The whole file.
pub fn file(form: Form, links: &Links) -> String {
    let mut yaml = Yaml::default();
    let command = match form {
        Form::Prometheus => "prometheus",
        Form::PrometheusRule => "prometheus-rule",
        Form::Alertmanager => "alertmanager",
    };
    yaml.comment(&format!(
        "Written by `tailback generate alerts --form {command}`."
    ));
    match form {
        Form::Prometheus => groups(&mut yaml, links),
        Form::PrometheusRule => {
            yaml.word("apiVersion", "monitoring.coreos.com/v1");
            yaml.word("kind", "PrometheusRule");
            yaml.table("metadata", |yaml| {
                yaml.word("name", "tailback");
                yaml.table("labels", |yaml| {
                    yaml.word("app.kubernetes.io/name", "tailback");
                });
            });
            yaml.table("spec", |yaml| groups(yaml, links));
        }
        Form::Alertmanager => inhibitions(&mut yaml),
    }
    yaml.finish()
}

fn groups(yaml: &mut Yaml, links: &Links) {
    yaml.table("groups", |yaml| {
        yaml.item(|yaml| {
            yaml.word("name", "tailback-recording");
            yaml.table("rules", |yaml| {
                for rule in RECORDINGS.iter() {
                    yaml.item(|yaml| {
                        yaml.word("record", rule.name);
                        yaml.text("expr", &rule.expr);
                    });
                }
            });
        });
        yaml.item(|yaml| {
            yaml.word("name", "tailback-alerts");
            yaml.table("rules", |yaml| {
                for alert in ALERTS.iter() {
                    yaml.item(|yaml| write(yaml, alert, links));
                }
            });
        });
    });
}

fn write(yaml: &mut Yaml, alert: &Alert, links: &Links) {
    yaml.word("alert", alert.name);
    yaml.text("expr", &alert.expr);
    yaml.word("for", alert.hold);
    if let Some(keep) = alert.keep {
        yaml.word("keep_firing_for", keep);
    }
    yaml.table("labels", |yaml| {
        yaml.word("severity", alert.severity.as_str());
        if let Some(window) = alert.window {
            yaml.word("window", window);
        }
    });
    let anchor = alert.name.to_ascii_lowercase();
    yaml.table("annotations", |yaml| {
        yaml.text("summary", alert.summary);
        yaml.text("description", alert.description);
        yaml.text("runbook_url", &format!("{}#{anchor}", links.runbooks));
        let dashboard = alert.about.dashboard();
        yaml.text("dashboard_url", &format!("{}{dashboard}", links.grafana));
    });
}

/// The labels that one queue's alerts have in common.
const QUEUE: &[&str] = &["broker", "system", "queue"];

/// One cause, one message: while an alert of the left fires, those on the right with the same labels are
/// quiet. What wakes somebody is never kept quiet by what does not.
const INHIBITIONS: &[(&str, &[&str], &[&str])] = &[
    ("TailbackAbsent", &["TailbackDown"], &[]),
    (
        "TailbackBrokerUnreachable",
        &["TailbackCollectionStale", "TailbackQueuesDropped"],
        &["broker"],
    ),
    (
        "TailbackQueueNoConsumers",
        &[
            "TailbackQueueStalled",
            "TailbackQueueOldestJobOverdue",
            "TailbackQueueWaitBudgetBurn",
            "TailbackQueueBacklogGrowing",
            "TailbackQueueDrainTimeHigh",
        ],
        QUEUE,
    ),
    (
        "TailbackQueueStalled",
        &[
            "TailbackQueueOldestJobOverdue",
            "TailbackQueueWaitBudgetBurn",
            "TailbackQueueBacklogGrowing",
            "TailbackQueueDrainTimeHigh",
        ],
        QUEUE,
    ),
    (
        "TailbackQueueOldestJobOverdue",
        &[
            "TailbackQueueWaitBudgetBurn",
            "TailbackQueueBacklogGrowing",
            "TailbackQueueDrainTimeHigh",
        ],
        QUEUE,
    ),
    (
        "TailbackQueuePaused",
        &["TailbackQueueBacklogGrowing"],
        QUEUE,
    ),
];

/// Of a budget that burns over several windows, the shorter one says all that the longer one does.
const WINDOWS: [(&str, &str); 3] = [("1h", "6h|1d|3d"), ("6h", "1d|3d"), ("1d", "3d")];

fn inhibitions(yaml: &mut Yaml) {
    yaml.comment("Put this into alertmanager.yml: one cause, one message.");
    yaml.table("inhibit_rules", |yaml| {
        for (source, targets, equal) in INHIBITIONS {
            yaml.item(|yaml| {
                yaml.texts("source_matchers", &[&format!("alertname = {source}")]);
                let targets = targets.join("|");
                yaml.texts("target_matchers", &[&format!("alertname =~ \"{targets}\"")]);
                yaml.texts("equal", equal);
            });
        }
        for (shorter, longer) in WINDOWS {
            yaml.item(|yaml| {
                let burn = "alertname = TailbackQueueWaitBudgetBurn";
                yaml.texts("source_matchers", &[burn, &format!("window = {shorter}")]);
                let longer = format!("window =~ \"{longer}\"");
                yaml.texts("target_matchers", &[burn, &longer]);
                yaml.texts("equal", QUEUE);
            });
        }
    });
}

#[cfg(test)]
mod tests;
