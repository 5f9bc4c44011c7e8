//! What rendered objects have to be: sound, shut in, and ports and probes those of tailback.

use crate::support::keda;
use serde_json::{Value, json};

/// The objects, of which nothing is wrong.
pub(super) fn objects(rendered: &Value) -> Vec<Value> {
    let objects = rendered["objects"].as_array();
    let objects = objects.unwrap_or_else(|| panic!("{rendered}")).clone();
    assert_eq!(rendered["faults"], json!([]));
    assert_eq!(keda::faults(&objects), Vec::<String>::new());
    for object in of_kind(&objects, "Deployment") {
        assert_restricted(&object["spec"]["template"]["spec"]);
        assert_runs_tailback(object);
    }
    assert_ports(&objects);
    objects
}

pub(super) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let same = objects.iter().filter(|object| object["kind"] == kind);
    same.collect()
}

pub(super) fn kinds(objects: &[Value]) -> Vec<&str> {
    let kinds = objects
        .iter()
        .map(|object| object["kind"].as_str().unwrap());
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort_unstable();
    kinds
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The configuration that a Deployment mounts.
pub(super) fn config(objects: &[Value]) -> String {
    let volumes = &of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["volumes"];
    let map = of_kind(objects, "ConfigMap")[0];
    let mounted = &list(volumes)[0]["configMap"]["name"];
    assert_eq!(mounted, &map["metadata"]["name"]);
    map["data"]["tailback.toml"].as_str().unwrap().to_owned()
}

/// The pod security standard `restricted`, as far as it concerns a pod without host access.
fn assert_restricted(pod: &Value) {
    for host in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
        assert_eq!(pod[host], Value::Null, "{pod}");
    }
    let allowed = [
        "configMap",
        "emptyDir",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in list(&pod["volumes"]) {
        let mut kind = volume.as_object().unwrap().keys();
        assert!(
            kind.any(|kind| allowed.contains(&kind.as_str())),
            "{volume}"
        );
    }
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in list(&pod["containers"]) {
        let own = &container["securityContext"];
        let of_either = |key: &str| match &own[key] {
            Value::Null => pod["securityContext"][key].clone(),
            set => set.clone(),
        };
        assert_eq!(of_either("runAsNonRoot"), true, "{container}");
        assert!(of_either("runAsUser").as_u64().unwrap() > 0);
        assert_eq!(
            of_either("seccompProfile"),
            json!({"type": "RuntimeDefault"})
        );
        assert_eq!(own["allowPrivilegeEscalation"], false);
        assert_eq!(own["readOnlyRootFilesystem"], true);
        assert_eq!(own["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(own["privileged"], Value::Null);
        for part in ["/resources/requests/memory", "/resources/limits/memory"] {
            assert!(container.pointer(part).is_some(), "{part}: {container}");
        }
    }
}

pub(super) fn tailback_of(deployment: &Value) -> &Value {
    let containers = list(&deployment["spec"]["template"]["spec"]["containers"]);
    let ours = containers.iter().find(|each| each["name"] == "tailback");
    ours.unwrap()
}

/// Its probes ask paths that there are, on a port that it names.
fn assert_runs_tailback(deployment: &Value) {
    let container = tailback_of(deployment);
    assert_eq!(container["args"][0], "run");
    for (probe, path) in [("livenessProbe", "/live"), ("readinessProbe", "/ready")] {
        let ask = &container[probe]["httpGet"];
        assert_eq!(ask, &json!({"path": path, "port": "metrics"}));
    }
    assert_eq!(
        container["ports"][0],
        json!({"name": "metrics", "containerPort": 9828})
    );
}

/// What reaches the Service reaches a port of the pod, and the policy lets it.
fn assert_ports(objects: &[Value]) {
    for service in of_kind(objects, "Service") {
        let deployment = of_kind(objects, "Deployment")[0];
        let selector = service["spec"]["selector"].as_object().unwrap();
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert!(selector.iter().all(|(key, value)| &labels[key] == value));
        let ports = list(&tailback_of(deployment)["ports"]);
        let served = list(&service["spec"]["ports"]);
        let names = |ports: &[Value], key: &str| -> Vec<Value> {
            ports.iter().map(|port| port[key].clone()).collect()
        };
        assert_eq!(names(served, "targetPort"), names(ports, "name"));
        assert_eq!(names(served, "port"), names(ports, "containerPort"));
        for policy in of_kind(objects, "NetworkPolicy") {
            let rules = list(&policy["spec"]["ingress"]).iter();
            let open: Vec<Value> = rules.map(|rule| rule["ports"][0]["port"].clone()).collect();
            assert_eq!(open, names(ports, "containerPort"));
            let names = &policy["spec"]["egress"][0]["to"][0]["podSelector"]["matchLabels"];
            assert_eq!(names, &json!({"k8s-app": "kube-dns"}));
            let chosen = policy["spec"]["podSelector"]["matchLabels"].as_object();
            assert!(
                chosen
                    .unwrap()
                    .iter()
                    .all(|(key, value)| &labels[key] == value)
            );
        }
        for monitor in of_kind(objects, "ServiceMonitor") {
            assert_eq!(monitor["spec"]["endpoints"][0]["port"], "metrics");
            let chosen = monitor["spec"]["selector"]["matchLabels"].as_object();
            let labels = &service["metadata"]["labels"];
            assert!(
                chosen
                    .unwrap()
                    .iter()
                    .all(|(key, value)| &labels[key] == value)
            );
        }
    }
}
