//! Who decides how many workers there are: the same in the bench with real workers and in the
//! simulation.

use super::hpa::{Behavior, Hpa, Target};
use serde_json::{Value, json};

/// What an autoscaler is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Nothing,
    /// Age of the oldest ready job.
    Latency,
    Ready,
    RequiredWorkers,
}

#[derive(Debug, Clone)]
pub enum Scaler {
    /// As many as there are.
    Fixed,
    Hpa(Box<Hpa>),
    Step(Step),
}

/// A step rule as of cloud alarms: every 30 s, five more while the oldest job is older than 10 s, five
/// fewer once it is younger than 1 s.
#[derive(Debug, Clone)]
pub struct Step {
    limits: (u32, u32),
    last: f64,
}

pub struct Competitor {
    /// The word on the command line.
    pub key: &'static str,
    pub name: &'static str,
    pub signal: Signal,
    /// At the beginning of a simulated day; for good where nothing is scaled.
    pub pods: u32,
    target: Option<Target>,
    behavior: fn() -> Value,
}

/// What `tailback generate keda` and `docs/autoscaling.md` advise: up at once, down after half a minute.
pub fn advised() -> Value {
    let at_once = json!([{"type": "Pods", "value": 100, "periodSeconds": 15}]);
    json!({
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": at_once},
        "scaleDown": {"stabilizationWindowSeconds": 30},
    })
}

/// Kubernetes' own.
fn default() -> Value {
    json!({})
}

pub const COMPETITORS: [Competitor; 8] = [
    Competitor {
        key: "none",
        name: "no scaling",
        signal: Signal::Nothing,
        // Of a day these cost as much as `required_workers`.
        pods: 9,
        target: None,
        behavior: default,
    },
    Competitor {
        key: "none-peak",
        name: "no scaling, enough for the busiest hour",
        signal: Signal::Nothing,
        pods: 15,
        target: None,
        behavior: default,
    },
    Competitor {
        key: "latency",
        name: "latency, Value 30",
        signal: Signal::Latency,
        pods: 1,
        target: Some(Target::Value(30.0)),
        behavior: default,
    },
    Competitor {
        key: "step",
        name: "step rule on latency",
        signal: Signal::Latency,
        pods: 1,
        target: None,
        behavior: default,
    },
    Competitor {
        key: "depth",
        name: "depth, AverageValue 5",
        signal: Signal::Ready,
        pods: 1,
        target: Some(Target::AverageValue(5.0)),
        behavior: default,
    },
    Competitor {
        key: "depth-advised",
        name: "depth, AverageValue 5, our `behavior`",
        signal: Signal::Ready,
        pods: 1,
        target: Some(Target::AverageValue(5.0)),
        behavior: advised,
    },
    Competitor {
        key: "required-default",
        name: "required_workers, default `behavior`",
        signal: Signal::RequiredWorkers,
        pods: 1,
        target: Some(Target::AverageValue(1.0)),
        behavior: default,
    },
    Competitor {
        key: "required",
        name: "required_workers",
        signal: Signal::RequiredWorkers,
        pods: 1,
        target: Some(Target::AverageValue(1.0)),
        behavior: advised,
    },
];

// === impl Competitor ===

impl Competitor {
    pub fn find(key: &str) -> Option<&'static Self> {
        COMPETITORS.iter().find(|competitor| competitor.key == key)
    }

    pub fn scaler(&self, min: u32, max: u32) -> Scaler {
        match (self.signal, self.target) {
            (Signal::Nothing, _) => Scaler::Fixed,
            (_, None) => Scaler::Step(Step {
                limits: (min, max),
                last: f64::NEG_INFINITY,
            }),
            (_, Some(target)) => {
                let behavior: Behavior = serde_json::from_value((self.behavior)())
                    .expect("the behaviors above are of Kubernetes' form");
                Scaler::Hpa(Box::new(Hpa::new(target, &behavior, min, max)))
            }
        }
    }

    /// What a ScaledObject would ask tailback for.
    pub fn metadata(&self, queue: &str) -> Option<Value> {
        let target = match self.target {
            Some(Target::AverageValue(target) | Target::Value(target)) => target,
            None => 1.0,
        };
        let metric = match self.signal {
            Signal::Nothing => return None,
            Signal::Latency => "latency_seconds",
            Signal::Ready => "ready",
            Signal::RequiredWorkers => "required_workers",
        };
        Some(json!({"queue": queue, "metric": metric, "target": target.to_string()}))
    }
}

// === impl Scaler ===

impl Scaler {
    /// One sync: how many pods there are to be.
    pub fn sync(&mut self, now: f64, current: u32, ready: u32, metric: Option<f64>) -> u32 {
        match self {
            Self::Fixed => current,
            Self::Hpa(hpa) => hpa.sync(now, current, ready, metric),
            Self::Step(step) => step.sync(now, current, metric),
        }
    }
}

impl Step {
    fn sync(&mut self, now: f64, current: u32, latency: Option<f64>) -> u32 {
        let (min, max) = self.limits;
        let wanted = match latency {
            Some(latency) if latency > 10.0 => current.saturating_add(5),
            Some(latency) if latency < 1.0 => current.saturating_sub(5),
            _ => current,
        };
        let wanted = wanted.clamp(min, max);
        if wanted == current || now < self.last + 30.0 {
            return current;
        }
        self.last = now;
        wanted
    }
}
