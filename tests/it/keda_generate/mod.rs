//! `tailback generate keda`: Kubernetes takes what it writes, and whoever asks as it says gets the number.

mod ways;

use crate::support::keda;
use crate::support::root;
use crate::support::tailback::{tailback, tailback_ok};
use serde_json::{Value, json};
use std::fs;

/// The objects that the command writes.
fn generate(args: &[&str]) -> Vec<Value> {
    let all = [&["generate", "keda"], args].concat();
    keda::parse(&tailback_ok(&all))
}

/// The parts of the manual in one language.
fn manual(language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/autoscaling.md")).unwrap();
    let fence = format!("```{language}\n");
    let parts = text.split(fence.as_str()).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn kubernetes_takes_what_is_written() {
    let named = [
        "--queue",
        "a/b",
        "--broker",
        "main",
        "--system",
        "rq",
        "--deployment",
        "web.a",
    ];
    let with = |more: &[&'static str]| generate(&[&named, more].concat());
    let mut objects = generate(&["--queue", "mail"]);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["spec"]["triggers"][0]["type"], "external-push");
    let guarded = with(&[
        "--namespace",
        "jobs",
        "--min",
        "2",
        "--max",
        "9",
        "--target-wait",
        "90s",
        "--slots-per-worker",
        "4",
        "--ca-secret",
        "ca",
        "--client-secret",
        "pair",
    ]);
    let trigger = &guarded[0]["spec"]["triggers"][0];
    assert_eq!(
        trigger,
        &json!({"type": "external", "metricType": "AverageValue",
            "metadata": {"scalerAddress": "tailback.jobs:9829", "enableTLS": "true", "broker": "main",
                "system": "rq", "queue": "a/b", "metric": "required_workers", "targetWait": "1m 30s",
                "slotsPerWorker": "4", "activationTarget": "0"},
            "authenticationRef": {"name": "web.a"}})
    );
    assert_eq!(
        guarded[1]["spec"]["secretTargetRef"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    objects.extend(guarded);
    for more in [
        &["--flavour", "metrics-api"] as &[_],
        &[
            "--flavour",
            "metrics-api",
            "--min",
            "1",
            "--bearer-secret",
            "token",
        ],
        &[
            "--flavour",
            "metrics-api",
            "--api-key-secret",
            "key",
            "--slots-per-worker",
            "3",
        ],
        &["--flavour", "prometheus"],
        &[
            "--flavour",
            "prometheus",
            "--min",
            "1",
            "--bearer-secret",
            "token",
        ],
    ] {
        objects.extend(with(more));
    }
    assert_eq!(objects.len(), 11);
    let shown: Vec<Value> = manual("yaml")
        .iter()
        .flat_map(|part| keda::parse(part))
        .collect();
    let whole = shown
        .into_iter()
        .filter(|object| object["kind"].is_string());
    objects.extend(whole);
    assert_eq!(objects.len(), 13);
    assert_eq!(keda::faults(&objects), [] as [String; 0]);

    // What is wrong is found.
    let mut wrong = objects.swap_remove(0);
    wrong["spec"]["maxReplicas"] = json!(3);
    wrong["spec"]["minReplicaCount"] = json!("0");
    let faults = keda::faults(&[wrong]);
    assert_eq!(faults.len(), 2, "{faults:?}");

    let refused = tailback(&[
        "generate",
        "keda",
        "--queue",
        "mail",
        "--flavour",
        "prometheus",
    ]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(64), 0));
    assert!(
        said.contains("--broker is needed") && said.contains("--system is needed"),
        "{said}"
    );
    let refused = tailback(&["generate", "keda", "--queue", "mail", "--system", "cellery"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert!(
        said.contains("celery") && said.contains("rabbitmq"),
        "{said}"
    );
}
