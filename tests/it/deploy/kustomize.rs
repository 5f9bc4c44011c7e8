//! The folders under `deploy/kubernetes/`.

use super::objects::{config, kinds, list, objects, of_kind, tailback_of};
use super::{client, path, runs};
use crate::support::keda;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::Tailback;
use serde_json::{Value, json};

fn kustomize(folder: &str) -> Vec<Value> {
    let folder = path(&format!("deploy/kubernetes/{folder}"));
    objects(&client(&["kustomize", &folder]))
}

#[test]
fn kustomize_renders_what_kubernetes_takes_and_tailback_runs_with() {
    let standalone = kustomize("standalone");
    let base = [
        "ConfigMap",
        "Deployment",
        "Namespace",
        "NetworkPolicy",
        "Service",
        "ServiceAccount",
    ];
    assert_eq!(kinds(&standalone), base);
    let levels = &of_kind(&standalone, "Namespace")[0]["metadata"]["labels"];
    assert_eq!(levels["pod-security.kubernetes.io/enforce"], "restricted");
    runs(of_kind(&standalone, "Deployment")[0], &config(&standalone));
    // Schemas that let everything pass would hold nothing.
    let mut wrong = of_kind(&standalone, "Deployment")[0].clone();
    wrong["spec"]["replica"] = json!(1);
    wrong["spec"]["replicas"] = json!("one");
    let faults = keda::faults(&[wrong]);
    assert!(faults.len() >= 2, "{faults:?}");

    let full = kustomize("examples/full");
    let more = [&base[..], &["PersistentVolumeClaim", "ServiceMonitor"]].concat();
    let mut found = kinds(&full);
    found.sort_by_key(|kind| more.iter().position(|other| other == kind));
    assert_eq!(found, more);
    let deployment = of_kind(&full, "Deployment")[0];
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    let text = config(&full);
    assert!(text.contains("[brokers.events.rabbitmq]"), "{text}");
    runs(deployment, &text);

    let beside = kustomize("examples/sidecar");
    let containers = &beside[0]["spec"]["template"]["spec"]["containers"];
    let names: Vec<&Value> = list(containers).iter().map(|each| &each["name"]).collect();
    assert_eq!(names, ["beat", "tailback"]);
    let redis = Redis::start(RedisOptions::default());
    let variable = &tailback_of(&beside[0])["env"][0];
    assert_eq!(variable["name"], "TAILBACK_BROKERS");
    let brokers = variable["value"].as_str().unwrap();
    let brokers = brokers.replace("redis.default.svc:6379", &redis.address().to_string());
    Tailback::start_with(&[], &[("TAILBACK_BROKERS", &brokers)]).wait_up();
}
