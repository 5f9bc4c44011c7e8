//! What is under `deploy/`: rendered by kustomize, Helm and systemd's own tools, held to Kubernetes'
//! schemas and to the pod security standard `restricted`, and run as it says by the real program.

use crate::support::keda;
use crate::support::process::run;
use crate::support::python::{App, python_of};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{BINARY, Tailback};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

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

fn client(args: &[&str]) -> Value {
    python_of(&App::new().with("kubernetes"), "deploy_client.py", args)
}

fn path(relative: &str) -> String {
    let path = crate::support::root().join(relative);
    path.to_str().unwrap().to_owned()
}

/// The objects, of which nothing is wrong.
fn objects(rendered: &Value) -> Vec<Value> {
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

fn kustomize(folder: &str) -> Vec<Value> {
    let folder = path(&format!("deploy/kubernetes/{folder}"));
    objects(&client(&["kustomize", &folder]))
}

fn helm(values: &Value) -> Value {
    client(&["helm", &path(CHART), &values.to_string()])
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let same = objects.iter().filter(|object| object["kind"] == kind);
    same.collect()
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    let kinds = objects
        .iter()
        .map(|object| object["kind"].as_str().unwrap());
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort_unstable();
    kinds
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
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

fn tailback_of(deployment: &Value) -> &Value {
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

/// Runs the container's command, with its volumes in a folder and on free ports, on a real Redis that wants a
/// password.
fn runs(deployment: &Value, config: &str) {
    let redis = Redis::start(RedisOptions {
        password: Some("sesame".to_owned()),
        ..RedisOptions::default()
    });
    let dir = redis.dir();
    let at = |folder: &str| format!("{}{folder}", dir.display());
    for folder in [
        "/etc/tailback",
        "/run/secrets/tailback",
        "/var/lib/tailback",
    ] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for secret in ["redis-password", "rabbitmq-password"] {
        fs::write(at(&format!("/run/secrets/tailback/{secret}")), "sesame").unwrap();
    }
    let config = config
        .replace("/run/secrets/tailback", &at("/run/secrets/tailback"))
        .replace("/var/lib/tailback", &at("/var/lib/tailback"))
        .replace("redis.default.svc:6379", &redis.address().to_string())
        .replace("redis:6379", &redis.address().to_string())
        .replace("username = \"tailback\"\n", "");
    fs::write(at("/etc/tailback/tailback.toml"), config).unwrap();
    let args = list(&tailback_of(deployment)["args"]).iter().skip(1);
    let args: Vec<String> = args
        .map(|arg| arg.as_str().unwrap())
        .filter(|arg| !arg.starts_with("--listen") && !arg.starts_with("--keda-listen"))
        .map(|arg| arg.replace("/etc/tailback", &at("/etc/tailback")))
        .collect();
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    args.push("--keda-listen=127.0.0.1:0");
    let tailback = Tailback::start(&args);
    tailback.wait_until(
        "Redis is polled",
        std::time::Duration::from_secs(20),
        |metrics| {
            metrics
                .all("tailback_broker_up", &[])
                .iter()
                .any(|up| up.value == 1.0)
        },
    );
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = &tailback_of(deployment)[probe]["httpGet"]["path"];
        crate::support::tailback::wait_for("the probe succeeds", || {
            tailback.get(path.as_str().unwrap()).status == 200
        });
    }
    // Another broker of the configuration is not here, and that is all that is wrong.
    for error in tailback.logged("ERROR") {
        assert!(error.contains("rabbitmq.default.svc"), "{error}");
    }
}

/// The configuration that a Deployment mounts.
fn config(objects: &[Value]) -> String {
    let volumes = &of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["volumes"];
    let map = of_kind(objects, "ConfigMap")[0];
    let mounted = &list(volumes)[0]["configMap"]["name"];
    assert_eq!(mounted, &map["metadata"]["name"]);
    map["data"]["tailback.toml"].as_str().unwrap().to_owned()
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

#[test]
fn the_systemd_unit_is_sound_and_shut_in() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(path("deploy/systemd/tailback.service")).unwrap();
    let command = "ExecStart=/usr/local/bin/tailback run --config /etc/tailback/tailback.toml";
    assert!(text.contains(command));
    // The program has to be there for systemd to be content.
    let unit = dir.path().join("tailback.service");
    fs::write(&unit, text.replace("/usr/local/bin/tailback", BINARY)).unwrap();
    let analyze = |args: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        run(command
            .args(args)
            .arg(&unit)
            .env("SYSTEMD_LOG_LEVEL", "warning"))
    };
    assert_eq!(analyze(&["verify", "--man=no"]), "");
    // In tenths; 9.6 is what a service without any of it has.
    let told = analyze(&["security", "--offline=true", "--threshold=12", "--no-pager"]);
    let overall = told.lines().rfind(|line| line.contains("Overall exposure"));
    println!("{overall:?}");
    assert!(overall.unwrap().contains("OK"), "{told}");
    // The configuration that goes with it, with the credential where systemd puts it.
    let readme = fs::read_to_string(path("deploy/README.md")).unwrap();
    let toml = readme
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next();
    let credentials = "/run/credentials/tailback.service";
    let config = toml.unwrap();
    assert!(config.contains(credentials), "{config}");
    let config = config.replace(credentials, "/run/secrets/tailback");
    let deployment = json!({"spec": {"template": {"spec": {"containers": [{
        "name": "tailback",
        "args": ["run", "--config", "/etc/tailback/tailback.toml"],
        "livenessProbe": {"httpGet": {"path": "/live"}},
        "readinessProbe": {"httpGet": {"path": "/ready"}},
    }]}}}});
    runs(&deployment, &config);
}
