//! Why numbers of the JSON API are null.

use serde_json::Value;
use std::collections::BTreeMap;

/// Which field says why these are null, before `unknown_reasons` and `null_reason` do.
const BESIDE: [(&str, &str); 8] = [
    ("jobs.", "jobs_unknown_reason"),
    ("latency_max_seconds", "latency_max_unknown_reason"),
    ("latency_", "latency_unknown_reason"),
    ("drain_seconds", "drain_unknown_reason"),
    ("expected_wait_seconds", "drain_unknown_reason"),
    ("required_workers", "required_workers_unknown_reason"),
    ("demand.slots", "required_workers_unknown_reason"),
    ("demand.workers", "required_workers_unknown_reason"),
];

/// What a number is said to be null for if nothing is wrong.
pub const UNTOLD: &str =
    "the job system does not write it down for each queue, or it has not been seen yet";

/// The reason of everything that is null in the body of a queue, by its path. Panics where there is
/// none, or where one is given for nothing.
pub fn reasons(body: &Value) -> BTreeMap<String, String> {
    let mut nulls = Vec::new();
    collect("", body, &mut nulls);
    let single = body["unknown_reasons"].as_object().unwrap();
    for path in single.keys() {
        assert!(nulls.contains(path), "{path} is not null: {body}");
    }
    let mut is_general_used = false;
    let mut all = BTreeMap::new();
    for path in nulls {
        let beside = BESIDE
            .iter()
            .filter(|(start, _)| path.starts_with(start))
            .find_map(|(_, field)| body[field].as_str());
        let reason = beside.or_else(|| single.get(&path)?.as_str());
        let reason = reason.or_else(|| {
            is_general_used = true;
            body["null_reason"].as_str()
        });
        let reason = reason.unwrap_or_else(|| panic!("nothing says why {path} is null: {body}"));
        all.insert(path, reason.to_owned());
    }
    // A state of `jobs` may have both.
    let is_needed = is_general_used || body["jobs_unknown_reason"].is_string();
    assert!(is_needed || body["null_reason"].is_null(), "{body}");
    all
}

fn collect(path: &str, value: &Value, nulls: &mut Vec<String>) {
    match value {
        Value::Null if !path.ends_with("_reason") => nulls.push(path.to_owned()),
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                collect(&path, value, nulls);
            }
        }
        _ => {}
    }
}
