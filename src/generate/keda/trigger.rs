//! What KEDA asks, by each of the three ways.

use super::{Flavour, Scaling};
use crate::generate::yaml::Yaml;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a path's segment needs not to be escaped for.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// More jobs a pod than there will ever be: the trigger asks for one pod at most.
const NEVER: &str = "1000000000";

pub(super) struct Trigger {
    kind: &'static str,
    metadata: Vec<(&'static str, String)>,
}

pub(super) fn triggers(scaling: &Scaling) -> Vec<Trigger> {
    let metadata = match scaling.flavour {
        Flavour::External => vec![external(scaling)],
        Flavour::MetricsApi => metrics_api(scaling),
        Flavour::Prometheus => prometheus(scaling),
    };
    let kind = match scaling.flavour {
        // Pushes, so that the first job wakes a worker at once.
        Flavour::External if scaling.min == 0 => "external-push",
        Flavour::External => "external",
        Flavour::MetricsApi => "metrics-api",
        Flavour::Prometheus => "prometheus",
    };
    let triggers = metadata.into_iter();
    triggers
        .map(|metadata| Trigger { kind, metadata })
        .collect()
}

type Metadata = Vec<(&'static str, String)>;

fn external(scaling: &Scaling) -> Metadata {
    let mut metadata = vec![("scalerAddress", scaling.address())];
    if scaling.secrets.ca.is_some() || scaling.secrets.client.is_some() {
        metadata.push(("enableTLS", "true".to_owned()));
    }
    let wait = scaling
        .target_wait
        .map(|wait| humantime::format_duration(wait).to_string());
    let slots = scaling.slots_per_worker.map(|slots| slots.to_string());
    let given = [
        ("broker", scaling.broker.clone()),
        ("system", scaling.system.clone()),
        ("queue", Some(scaling.queue.clone())),
        ("metric", Some("required_workers".to_owned())),
        ("targetWait", wait),
        ("slotsPerWorker", slots),
        ("activationTarget", Some("0".to_owned())),
    ];
    let given = given.into_iter();
    metadata.extend(given.filter_map(|(key, value)| Some((key, value?))));
    metadata
}

fn metrics_api(scaling: &Scaling) -> Vec<Metadata> {
    let names = scaling.names();
    let path = names.map(|(_, name)| utf8_percent_encode(name, SEGMENT).to_string());
    let url = format!("{}/api/v1/queues/{}", scaling.address(), path.join("/"));
    let ask = |location: &str, target: String, activation: &str| {
        let mut metadata = vec![("url", url.clone())];
        if scaling.secrets.bearer.is_some() {
            metadata.push(("authMode", "bearer".to_owned()));
        } else if scaling.secrets.api_key.is_some() {
            metadata.push(("authMode", "apiKey".to_owned()));
        }
        metadata.extend([
            ("valueLocation", location.to_owned()),
            ("targetValue", target),
            ("activationTargetValue", activation.to_owned()),
        ]);
        metadata
    };
    // The number for workers of so many slots, or the one for those of the objective.
    let (location, target) = match scaling.slots_per_worker {
        Some(slots) => ("required_workers", slots.to_string()),
        None => ("demand.workers", "1".to_owned()),
    };
    match scaling.min {
        0 => vec![
            ask(location, target, NEVER),
            ask("demand.unfinished_jobs", NEVER.to_owned(), "0"),
        ],
        _ => vec![ask(location, target, "0")],
    }
}

fn prometheus(scaling: &Scaling) -> Vec<Metadata> {
    let labels = scaling.names().map(|(label, name)| {
        // The escapes of JSON are those of PromQL.
        format!("{label}={}", serde_json::Value::from(name))
    });
    let labels = labels.join(", ");
    let ask = |query: String, threshold: String, activation: &str| {
        let mut metadata = vec![("serverAddress", scaling.address())];
        if scaling.secrets.bearer.is_some() {
            metadata.push(("authModes", "bearer".to_owned()));
        }
        metadata.extend([
            ("query", query),
            ("threshold", threshold),
            ("activationThreshold", activation.to_owned()),
            ("ignoreNullValues", "false".to_owned()),
        ]);
        metadata
    };
    let slots = scaling.slots_per_worker.unwrap_or(1).to_string();
    let required = format!("max(tailback_queue_required_workers{{{labels}}})");
    let jobs = |state: &str| format!("max(tailback_queue_jobs{{{labels}, state=\"{state}\"}})");
    let ready = jobs("ready");
    // Where nothing tells of running jobs, only a waiting one is a reason to wake, and none to sleep.
    let unfinished = format!("{ready} + {} or {ready} > 0", jobs("in_progress"));
    match scaling.min {
        0 => vec![
            ask(required, slots, NEVER),
            ask(unfinished, NEVER.to_owned(), "0"),
        ],
        _ => vec![ask(required, slots, "0")],
    }
}

impl Scaling {
    fn address(&self) -> String {
        let host = format!(
            "tailback.{}",
            self.namespace.as_deref().unwrap_or("default")
        );
        let given = self.address.as_deref();
        match (given, self.flavour) {
            (Some(given), _) => given.trim_end_matches('/').to_owned(),
            (None, Flavour::External) => format!("{host}:9829"),
            (None, Flavour::MetricsApi) => format!("http://{host}:9828"),
            (None, Flavour::Prometheus) => "http://prometheus-operated.monitoring:9090".to_owned(),
        }
    }

    /// The labels of the queue.
    fn names(&self) -> [(&'static str, &str); 3] {
        [
            ("broker", self.broker.as_deref().unwrap_or_default()),
            ("system", self.system.as_deref().unwrap_or_default()),
            ("queue", &self.queue),
        ]
    }
}

impl Trigger {
    pub(super) fn write(&self, yaml: &mut Yaml, scaling: &Scaling) {
        yaml.word("type", self.kind);
        yaml.word("metricType", "AverageValue");
        yaml.table("metadata", |yaml| {
            for (key, value) in &self.metadata {
                yaml.name(key, value);
            }
        });
        if !scaling.secrets.credentials().is_empty() {
            yaml.table("authenticationRef", |yaml| {
                yaml.name("name", &scaling.deployment());
            });
        }
    }
}
