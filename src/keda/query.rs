//! What a ScaledObject asks for: the metadata of its trigger, checked.

use super::Refused;
use crate::model::System;
use globset::{GlobBuilder, GlobMatcher};
use std::collections::HashMap;
use std::time::Duration;

/// What is asked, and of which queues.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) broker: Option<String>,
    pub(super) system: Option<System>,
    pub(super) queue: String,
    pub(super) pattern: GlobMatcher,
    pub(super) metric: Metric,
    /// What the autoscaler divides the metric by, or keeps it at.
    pub(super) target: f64,
    /// With no more ready jobs than this and none in progress, workers are not needed.
    pub(super) activation_target: f64,
    /// In place of the objective's wait.
    pub(super) target_wait: Option<Duration>,
    /// In place of the objective's.
    pub(super) slots_per_worker: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    RequiredWorkers,
    Latency,
    ExpectedWait,
    Ready,
}

const KEYS: [&str; 8] = [
    "broker",
    "system",
    "queue",
    "metric",
    "target",
    "activationTarget",
    "targetWait",
    "slotsPerWorker",
];

impl Metric {
    const ALL: [Self; 4] = [
        Self::RequiredWorkers,
        Self::Latency,
        Self::ExpectedWait,
        Self::Ready,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::RequiredWorkers => "required_workers",
            Self::Latency => "latency_seconds",
            Self::ExpectedWait => "expected_wait_seconds",
            Self::Ready => "ready",
        }
    }
}

impl Query {
    /// Reads a trigger's metadata. KEDA sends all of it, with keys of its own among them, and those
    /// with the suffix `FromEnv` with the value that it has found.
    pub(super) fn read(metadata: &HashMap<String, String>) -> Result<Self, Refused> {
        refuse_misspelt(metadata)?;
        let get = |key: &'static str| {
            let text = metadata.get(key);
            let text = text.or_else(|| metadata.get(&format!("{key}FromEnv")));
            text.filter(|text| !text.is_empty()).map(String::as_str)
        };
        let queue = get("queue").ok_or(Refused::invalid("queue", "is needed: a name or a glob"))?;
        let pattern = GlobBuilder::new(queue).build();
        let pattern = pattern.map_err(|error| Refused::invalid("queue", error.to_string()))?;
        let metric = get("metric").map_or(Ok(Metric::RequiredWorkers), |text| {
            one_of("metric", text, Metric::ALL, Metric::as_str)
        })?;
        let only_of_workers = ["targetWait", "slotsPerWorker"];
        for key in only_of_workers.into_iter().filter(|key| get(key).is_some()) {
            if metric != Metric::RequiredWorkers {
                let message = "means something with the metric required_workers only";
                return Err(Refused::invalid(key, message));
            }
        }
        let system = get("system").map(|text| one_of("system", text, System::ALL, System::as_str));
        let target = match (get("target"), metric) {
            (Some(text), _) => number("target", text, f64::MIN_POSITIVE)?,
            // The metric is the number of workers itself.
            (None, Metric::RequiredWorkers) => 1.0,
            (None, _) => {
                let message = format!("is needed with the metric {}", metric.as_str());
                return Err(Refused::invalid("target", message));
            }
        };
        let wait = get("targetWait").map(|text| wait("targetWait", text));
        let slots = get("slotsPerWorker").map(|text| number("slotsPerWorker", text, 1.0));
        let activation = get("activationTarget").map(|text| number("activationTarget", text, 0.0));
        Ok(Self {
            broker: get("broker").map(str::to_owned),
            system: system.transpose()?,
            queue: queue.to_owned(),
            pattern: pattern.compile_matcher(),
            metric,
            target,
            activation_target: activation.transpose()?.unwrap_or(0.0),
            target_wait: wait.transpose()?,
            slots_per_worker: slots.transpose()?,
        })
    }

    /// The metric's name: letters, digits and dashes, as the names of external metrics must be.
    pub(super) fn metric_name(&self) -> String {
        let plain = |letter: char| match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => letter,
            _ => '-',
        };
        let words = ["tailback", self.metric.as_str(), &self.queue];
        let name: String = words.join("-").chars().map(plain).take(60).collect();
        name.trim_end_matches('-').to_owned()
    }
}

/// A key that differs from one of ours only in its spelling would otherwise be taken for KEDA's.
fn refuse_misspelt(metadata: &HashMap<String, String>) -> Result<(), Refused> {
    let plain = |key: &str| key.replace(['_', '-'], "").to_ascii_lowercase();
    for key in metadata.keys() {
        let bare = key.strip_suffix("FromEnv").unwrap_or(key);
        if KEYS.contains(&bare) {
            continue;
        }
        if let Some(meant) = KEYS.into_iter().find(|known| plain(known) == plain(bare)) {
            return Err(Refused::invalid(key, format!("is written {meant}")));
        }
    }
    Ok(())
}

fn one_of<T: Copy, const N: usize>(
    key: &str,
    text: &str,
    all: [T; N],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Refused> {
    let found = all.into_iter().find(|each| name(*each) == text);
    found.ok_or_else(|| {
        let names = all.map(name).join(", ");
        Refused::invalid(key, format!("must be one of {names}, not {text:?}"))
    })
}

fn number(key: &str, text: &str, least: f64) -> Result<f64, Refused> {
    let number: Option<f64> = text.trim().parse().ok();
    let is_good = |number: &f64| number.is_finite() && *number >= least;
    number.filter(is_good).ok_or_else(|| {
        let least = match least {
            f64::MIN_POSITIVE => "above 0".to_owned(),
            least => format!("of at least {least}"),
        };
        Refused::invalid(key, format!("must be a number {least}, not {text:?}"))
    })
}

fn wait(key: &str, text: &str) -> Result<Duration, Refused> {
    let wait = humantime::parse_duration(text.trim());
    wait.ok().filter(|wait| !wait.is_zero()).ok_or_else(|| {
        let message = format!("must be a duration with its unit, as in 30s, not {text:?}");
        Refused::invalid(key, message)
    })
}
