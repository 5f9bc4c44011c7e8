//! The Helm chart.

use super::objects::{config, kinds, list, objects, of_kind, tailback_of};
use super::{client, path, runs};
use serde_json::{Value, json};

const CHART: &str = "deploy/helm/tailback";

/// The smallest values that are enough.
fn url() -> Value {
    json!({"brokers": ["redis://redis:6379/0"]})
}

/// All that the chart can do.
fn everything() -> Value {
    json!({
        "config": "[brokers.main.redis]\nurl = \"redis://redis:6379/0\"\n\
            password_file = \"/run/secrets/tailback/redis-password\"\n\
            [[objectives]]\nqueue = \"*\"\nwait = \"30s\"\n",
        "existingSecret": "brokers",
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "state": {"enabled": true, "storageClass": "fast"},
        "imagePullSecrets": [{"name": "pull"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "jobs"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "jobs", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    })
}

fn helm(values: &Value) -> Value {
    client(&["helm", &path(CHART), &values.to_string()])
}

#[test]
fn helm_renders_what_kubernetes_takes_and_tailback_runs_with() {
    for values in [url(), everything()] {
        let found = client(&["lint", &path(CHART), &values.to_string()]);
        assert_eq!(found, json!({"found": []}));
    }
    let small = helm(&url());
    let notes = small["notes"][0].as_str().unwrap().to_owned();
    assert!(notes.contains("svc/mine-tailback 9828"), "{notes}");
    let small = objects(&small);
    assert_eq!(
        kinds(&small),
        ["Deployment", "NetworkPolicy", "Service", "ServiceAccount"]
    );
    let all = objects(&helm(&everything()));
    assert_eq!(all.len(), 7);
    let deployment = of_kind(&all, "Deployment")[0];
    let args = &tailback_of(deployment)["args"];
    let listen = ["run", "--listen=0.0.0.0:9828", "--keda-listen=0.0.0.0:9829"];
    assert_eq!(list(args)[..3], listen);
    let text = config(&all);
    assert!(text.contains("[state]"), "{text}");
    runs(deployment, &text);

    let mut plain = url();
    plain["keda"] = json!({"enabled": false});
    plain["networkPolicy"] = json!({"enabled": false});
    let plain = objects(&helm(&plain));
    assert_eq!(kinds(&plain), ["Deployment", "Service", "ServiceAccount"]);
    let ports = list(&of_kind(&plain, "Service")[0]["spec"]["ports"]);
    assert_eq!(ports.len(), 1);
}

#[test]
fn helm_refuses_values_that_are_wrong_and_says_which() {
    let with = |key: &str, value: Value| {
        let mut values = url();
        values[key] = value;
        values
    };
    for (values, said) in [
        (json!({}), "which broker is to be watched?"),
        (with("config", json!("[http]")), "not both"),
        (with("state", json!({"enabled": true})), "needs `config`"),
        (json!({"brokers": ["http://cache"]}), "/brokers/0"),
        (json!({"brokers": "redis://cache"}), "/brokers"),
        (with("replicas", json!(2)), "replicas"),
        (
            with("image", json!({"repository": ""})),
            "/image/repository",
        ),
        (with("image", json!({"pullPolicy": "always"})), "/image"),
        (
            with("serviceMonitor", json!({"interval": "15"})),
            "/serviceMonitor/interval",
        ),
        (
            with("networkPolicy", json!({"brokerPorts": [0]})),
            "/networkPolicy/brokerPorts",
        ),
        (
            with("resources", json!({"limits": {"memory": "128MB"}})),
            "/resources/limits",
        ),
        (with("keda", json!({"enabled": "yes"})), "/keda/enabled"),
    ] {
        let found = helm(&values);
        let refused = found["refused"].as_str();
        let refused = refused.unwrap_or_else(|| panic!("{values} is rendered: {found}"));
        assert!(refused.contains(said), "{values}: {refused}");
    }
}
