//! What of the options does not make sense, alone or together.

use super::{Flavour, Scaling};

pub(super) fn faults(scaling: &Scaling) -> Vec<String> {
    let mut faults = names(scaling);
    if scaling.queue.is_empty() {
        faults.push("--queue must not be empty".to_owned());
    }
    if scaling.max == 0 {
        faults.push("--max must be at least 1".to_owned());
    } else if scaling.min > scaling.max {
        let (min, max) = (scaling.min, scaling.max);
        faults.push(format!("--min {min} is above --max {max}"));
    }
    if scaling.target_wait.is_some_and(|wait| wait.is_zero()) {
        faults.push("--target-wait must be above 0s".to_owned());
    }
    if scaling.slots_per_worker == Some(0) {
        faults.push("--slots-per-worker must be at least 1".to_owned());
    }
    faults.extend(address(scaling));
    faults.extend(of_flavour(scaling));
    faults
}

/// Names of things in Kubernetes.
fn names(scaling: &Scaling) -> Vec<String> {
    let secrets = &scaling.secrets;
    let deployment = scaling.deployment();
    let names = [
        ("--deployment", Some(deployment.as_str())),
        ("--ca-secret", secrets.ca.as_deref()),
        ("--client-secret", secrets.client.as_deref()),
        ("--bearer-secret", secrets.bearer.as_deref()),
        ("--api-key-secret", secrets.api_key.as_deref()),
    ];
    let is_wrong = |name: &str, dots: bool, most: usize| {
        let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_inner = |byte: &u8| is_end(byte) || *byte == b'-' || dots && *byte == b'.';
        let bytes = name.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        !ends.is_some_and(|(first, last)| is_end(first) && is_end(last))
            || !bytes.iter().all(is_inner)
            || bytes.len() > most
    };
    let mut faults = Vec::new();
    for (option, name) in names {
        if let Some(name) = name.filter(|name| is_wrong(name, true, 253)) {
            let because = match scaling.deployment {
                None if option == "--deployment" => " (made of the queue's name)",
                _ => "",
            };
            faults.push(format!(
                "{option} {name:?}{because} is no name in Kubernetes: lower-case letters, digits, \
                 '-' and '.', with a letter or digit at both ends"
            ));
        }
    }
    if let Some(name) = scaling
        .namespace
        .as_deref()
        .filter(|name| is_wrong(name, false, 63))
    {
        faults.push(format!(
            "--namespace {name:?} is no name of a namespace: at most 63 lower-case letters, digits \
             and '-', with a letter or digit at both ends"
        ));
    }
    faults
}

fn address(scaling: &Scaling) -> Option<String> {
    let address = scaling.address.as_deref()?;
    let is_url = address.starts_with("http://") || address.starts_with("https://");
    let has_port = |address: &str| {
        let parts = address.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    let is_strange = address.chars().any(|c| c.is_whitespace() || c.is_control());
    match scaling.flavour {
        Flavour::External if is_url || !has_port(address) => Some(format!(
            "--address {address:?} must be HOST:PORT, as in tailback.default:9829"
        )),
        Flavour::MetricsApi | Flavour::Prometheus if !is_url => Some(format!(
            "--address {address:?} must be a URL, as in http://tailback.default:9828"
        )),
        _ if is_strange => Some(format!("--address {address:?} has a space in it")),
        _ => None,
    }
}

/// What one of the ways needs, and what it cannot do.
fn of_flavour(scaling: &Scaling) -> Vec<String> {
    let secrets = &scaling.secrets;
    let (name, is_external) = match scaling.flavour {
        Flavour::External => ("external", true),
        Flavour::MetricsApi => ("metrics-api", false),
        Flavour::Prometheus => ("prometheus", false),
    };
    let mut faults = Vec::new();
    let missing = [("--broker", &scaling.broker), ("--system", &scaling.system)];
    for (option, _) in missing
        .into_iter()
        .filter(|(_, given)| !is_external && given.is_none())
    {
        faults.push(format!(
            "{option} is needed with --flavour {name}: it is part of what is asked"
        ));
    }
    let mut cannot = |option: &str, is_given: bool, instead: &str| {
        if is_given {
            faults.push(format!(
                "{option} cannot be used with --flavour {name}: {instead}"
            ));
        }
    };
    if is_external {
        let instead = "gRPC is guarded by certificates (--ca-secret, --client-secret)";
        cannot("--bearer-secret", secrets.bearer.is_some(), instead);
        cannot("--api-key-secret", secrets.api_key.is_some(), instead);
    } else {
        let instead = "the `wait` of the queue's [[objectives]] counts";
        cannot("--target-wait", scaling.target_wait.is_some(), instead);
        let instead = "it is for gRPC";
        cannot("--ca-secret", secrets.ca.is_some(), instead);
        cannot("--client-secret", secrets.client.is_some(), instead);
        let is_glob = scaling.queue.contains(['*', '?', '[', '{']);
        let instead = "it asks for one queue; --flavour external adds up several";
        cannot("a glob as --queue", is_glob, instead);
    }
    if scaling.flavour == Flavour::Prometheus {
        let instead = "Prometheus knows no such key";
        cannot("--api-key-secret", secrets.api_key.is_some(), instead);
    }
    if secrets.bearer.is_some() && secrets.api_key.is_some() {
        faults.push("--bearer-secret and --api-key-secret: one of them is enough".to_owned());
    }
    faults
}
