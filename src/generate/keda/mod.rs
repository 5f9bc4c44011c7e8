//! KEDA's `ScaledObject` for the workers of one queue, and the `TriggerAuthentication` that it needs.
//! `docs/autoscaling.md` explains each line.

mod check;
mod trigger;

use super::yaml::Yaml;
use std::time::Duration;

/// By which way KEDA asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flavour {
    /// tailback itself, by gRPC.
    #[default]
    External,
    /// tailback's JSON API.
    MetricsApi,
    /// A Prometheus that scrapes tailback.
    Prometheus,
}

/// What is to be written.
#[derive(Debug, Clone, Default)]
pub struct Scaling {
    pub flavour: Flavour,
    pub broker: Option<String>,
    pub system: Option<String>,
    pub queue: String,
    /// The Deployment; default: the queue's name and `-worker`.
    pub deployment: Option<String>,
    pub namespace: Option<String>,
    pub min: u32,
    pub max: u32,
    /// In place of the objective's.
    pub target_wait: Option<Duration>,
    /// Jobs that one pod runs at the same time; default as the objective says.
    pub slots_per_worker: Option<u32>,
    /// Whom KEDA asks.
    pub address: Option<String>,
    pub secrets: Secrets,
}

/// Names of Kubernetes secrets.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// `ca.crt`: the authority of tailback's certificate.
    pub ca: Option<String>,
    /// `tls.crt` and `tls.key`: the certificate that KEDA shows.
    pub client: Option<String>,
    /// `token`
    pub bearer: Option<String>,
    /// `key`
    pub api_key: Option<String>,
}

/// `parameter`, the secret's name, the key in it.
type Credential<'a> = (&'static str, &'a str, &'static str);

impl Secrets {
    fn credentials(&self) -> Vec<Credential<'_>> {
        let all = [
            ("caCert", &self.ca, "ca.crt"),
            ("tlsClientCert", &self.client, "tls.crt"),
            ("tlsClientKey", &self.client, "tls.key"),
            ("bearerToken", &self.bearer, "token"),
            ("apiKey", &self.api_key, "key"),
        ];
        let given = all
            .into_iter()
            .filter_map(|(parameter, secret, key)| Some((parameter, secret.as_deref()?, key)));
        given.collect()
    }
}

/// The file, or all that is wrong with what was asked for, each with the option's name.
pub fn file(scaling: &Scaling) -> Result<String, Vec<String>> {
    let faults = check::faults(scaling);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut yaml = Yaml::default();
    yaml.comment("Written by `tailback generate keda`; docs/autoscaling.md explains each line.");
    head(&mut yaml, scaling, "ScaledObject");
    yaml.table("spec", |yaml| spec(yaml, scaling));
    let credentials = scaling.secrets.credentials();
    if !credentials.is_empty() {
        yaml.document();
        head(&mut yaml, scaling, "TriggerAuthentication");
        yaml.table("spec", |yaml| {
            yaml.table("secretTargetRef", |yaml| {
                for (parameter, secret, key) in credentials {
                    yaml.item(|yaml| {
                        yaml.word("parameter", parameter);
                        yaml.name("name", secret);
                        yaml.name("key", key);
                    });
                }
            });
        });
    }
    Ok(yaml.finish())
}

fn head(yaml: &mut Yaml, scaling: &Scaling, kind: &str) {
    yaml.word("apiVersion", "keda.sh/v1alpha1");
    yaml.word("kind", kind);
    yaml.table("metadata", |yaml| {
        yaml.name("name", &scaling.deployment());
        if let Some(namespace) = &scaling.namespace {
            yaml.name("namespace", namespace);
        }
    });
}

fn spec(yaml: &mut Yaml, scaling: &Scaling) {
    yaml.table("scaleTargetRef", |yaml| {
        yaml.name("name", &scaling.deployment())
    });
    yaml.number("minReplicaCount", scaling.min);
    yaml.number("maxReplicaCount", scaling.max);
    yaml.number("pollingInterval", 15);
    yaml.number("cooldownPeriod", 300);
    yaml.table("fallback", |yaml| {
        yaml.number("failureThreshold", 3);
        yaml.number("replicas", scaling.min.max(1));
        yaml.word("behavior", "currentReplicasIfHigher");
    });
    yaml.table("advanced", |yaml| {
        yaml.table("horizontalPodAutoscalerConfig", |yaml| {
            yaml.table("behavior", |yaml| {
                yaml.table("scaleUp", |yaml| policy(yaml, 0, "Pods"));
                yaml.table("scaleDown", |yaml| policy(yaml, 30, "Percent"));
            });
        });
    });
    yaml.table("triggers", |yaml| {
        for trigger in trigger::triggers(scaling) {
            yaml.item(|yaml| trigger.write(yaml, scaling));
        }
    });
}

/// A hundred of the kind every 15 seconds, by the highest or lowest wish of so many seconds.
fn policy(yaml: &mut Yaml, window: u32, kind: &str) {
    yaml.number("stabilizationWindowSeconds", window);
    yaml.table("policies", |yaml| {
        yaml.item(|yaml| {
            yaml.word("type", kind);
            yaml.number("value", 100);
            yaml.number("periodSeconds", 15);
        });
    });
}

impl Scaling {
    /// The Deployment's name, which the objects have too.
    fn deployment(&self) -> String {
        self.deployment.clone().unwrap_or_else(|| {
            let plain = |letter: char| match letter.to_ascii_lowercase() {
                letter @ ('a'..='z' | '0'..='9') => letter,
                _ => '-',
            };
            let name: String = self.queue.chars().map(plain).take(50).collect();
            format!("{}-worker", name.trim_matches('-'))
        })
    }
}

#[cfg(test)]
mod tests;
