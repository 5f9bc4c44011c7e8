//! What Kubernetes' HorizontalPodAutoscaler does with one external metric at each sync, as
//! `pkg/controller/podautoscaler` of Kubernetes 1.31 and later computes it: tolerance, `ceil`, stabilisation
//! windows, policies with their periods, limits. Times are seconds from any origin.

use serde::Deserialize;

/// What the metric is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Wanted is `ceil(metric / target)`.
    AverageValue(f64),
    /// Wanted is `ceil(ready pods · metric / target)`.
    Value(f64),
}

/// `spec.behavior`, with the defaults of `autoscaling/v2` for what is left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behavior {
    #[serde(default)]
    scale_up: Rules,
    #[serde(default)]
    scale_down: Rules,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rules {
    stabilization_window_seconds: Option<f64>,
    #[serde(default)]
    select_policy: SelectPolicy,
    policies: Option<Vec<Policy>>,
    tolerance: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum SelectPolicy {
    #[default]
    Max,
    Min,
    Disabled,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Policy {
    #[serde(rename = "type")]
    kind: PolicyKind,
    value: u32,
    period_seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum PolicyKind {
    Pods,
    Percent,
}

/// One HorizontalPodAutoscaler and what it remembers.
#[derive(Debug, Clone)]
pub struct Hpa {
    target: Target,
    limits: (u32, u32),
    up: Rules,
    down: Rules,
    /// What was wanted before stabilisation, and when.
    recommendations: Vec<(f64, u32)>,
    /// Pods that were added and taken away, and when.
    added: Vec<(f64, u32)>,
    removed: Vec<(f64, u32)>,
}

const TOLERANCE: f64 = 0.1;

impl Hpa {
    pub fn new(target: Target, behavior: &Behavior, min: u32, max: u32) -> Self {
        let default = |kind, value| Policy {
            kind,
            value,
            period_seconds: 15.0,
        };
        let filled = |rules: &Rules, window, policies| Rules {
            stabilization_window_seconds: rules.stabilization_window_seconds.or(Some(window)),
            policies: rules.policies.clone().or(Some(policies)),
            ..rules.clone()
        };
        let up = vec![
            default(PolicyKind::Pods, 4),
            default(PolicyKind::Percent, 100),
        ];
        let down = vec![default(PolicyKind::Percent, 100)];
        Self {
            target,
            limits: (min, max),
            up: filled(&behavior.scale_up, 0.0, up),
            down: filled(&behavior.scale_down, 300.0, down),
            recommendations: Vec::new(),
            added: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// One sync: how many pods there are to be. Without a metric, as many as there are.
    pub fn sync(&mut self, now: f64, current: u32, ready: u32, metric: Option<f64>) -> u32 {
        let (min, max) = self.limits;
        let wanted = match metric {
            _ if current > max => max,
            _ if current < min => min,
            None => return current,
            Some(metric) => {
                let wanted = self.wanted(metric, current, ready);
                let stable = self.stabilized(now, current, wanted);
                self.limited(now, current, stable)
            }
        };
        if wanted > current {
            self.added.push((now, wanted - current));
        } else if wanted < current {
            self.removed.push((now, current - wanted));
        }
        let longest = longest_period(&self.up).max(longest_period(&self.down));
        for events in [&mut self.added, &mut self.removed] {
            events.retain(|(at, _)| *at > now - longest);
        }
        wanted
    }

    /// `GetExternalPerPodMetricReplicas` and `GetExternalMetricReplicas`. A metric is told in
    /// thousandths.
    fn wanted(&self, metric: f64, current: u32, ready: u32) -> u32 {
        let metric = (metric * 1000.0).round() / 1000.0;
        let (ratio, wanted) = match self.target {
            Target::AverageValue(target) => {
                (metric / (target * f64::from(current)), metric / target)
            }
            Target::Value(target) => {
                let ratio = metric / target;
                let pods = if current == 0 { 1 } else { ready };
                (ratio, ratio * f64::from(pods))
            }
        };
        let down = self.down.tolerance.unwrap_or(TOLERANCE);
        let up = self.up.tolerance.unwrap_or(TOLERANCE);
        if current > 0 && (1.0 - down..=1.0 + up).contains(&ratio) {
            return current;
        }
        // A quotient that is whole but for the rounding of floating point is whole.
        (wanted - 1e-9).ceil() as u32
    }

    /// `stabilizeRecommendationWithBehaviors`.
    fn stabilized(&mut self, now: f64, current: u32, wanted: u32) -> u32 {
        let window = |rules: &Rules| now - rules.stabilization_window_seconds.unwrap_or(0.0);
        let (up_from, down_from) = (window(&self.up), window(&self.down));
        self.recommendations
            .retain(|(at, _)| *at > up_from.min(down_from));
        let within = |from: f64| {
            let all = self.recommendations.iter();
            let all = all.filter(move |(at, _)| *at > from);
            all.map(|(_, wanted)| *wanted)
        };
        let least = within(up_from).fold(wanted, u32::min);
        let most = within(down_from).fold(wanted, u32::max);
        self.recommendations.push((now, wanted));
        current.max(least).min(most)
    }

    /// `convertDesiredReplicasWithBehaviorRate`.
    fn limited(&self, now: f64, current: u32, wanted: u32) -> u32 {
        let (min, max) = self.limits;
        if wanted > current {
            let limit = self.limit(now, current, &self.up, true).max(current);
            wanted.min(max).min(limit)
        } else if wanted < current {
            let limit = self.limit(now, current, &self.down, false).min(current);
            wanted.max(min).max(limit)
        } else {
            wanted
        }
    }

    /// How far the policies of one direction let it go.
    fn limit(&self, now: f64, current: u32, rules: &Rules, is_up: bool) -> u32 {
        let widest = match rules.select_policy {
            SelectPolicy::Disabled => return current,
            SelectPolicy::Max => true,
            SelectPolicy::Min => false,
        };
        let changed = |events: &[(f64, u32)], period: f64| -> f64 {
            let recent = events.iter().filter(|(at, _)| *at > now - period);
            recent.map(|(_, pods)| f64::from(*pods)).sum()
        };
        let limits = rules.policies.iter().flatten().map(|policy| {
            let period = policy.period_seconds;
            let start =
                f64::from(current) - changed(&self.added, period) + changed(&self.removed, period);
            let value = f64::from(policy.value);
            match (policy.kind, is_up) {
                (PolicyKind::Pods, true) => start + value,
                (PolicyKind::Pods, false) => start - value,
                (PolicyKind::Percent, true) => (start * (1.0 + value / 100.0)).ceil(),
                (PolicyKind::Percent, false) => (start * (1.0 - value / 100.0)).trunc(),
            }
        });
        let limit = limits.reduce(if widest == is_up { f64::max } else { f64::min });
        limit.map_or(current, |limit| limit.max(0.0) as u32)
    }
}

fn longest_period(rules: &Rules) -> f64 {
    let periods = rules.policies.iter().flatten();
    periods
        .map(|policy| policy.period_seconds)
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests;
