//! `[brokers.NAME.rabbitmq]`: where the RabbitMQ is and what to read of it.

use super::access::{Credentials, or_fault, parse_url, read_tls};
use super::environment::Environment;
use super::fault::Placed;
use super::reader::Table;
use super::selection::read_queue_globs;
use super::url::{BrokerUrl, decode};
use super::values::Texts;
use super::{HostPort, HttpApi, Objectives, RabbitMq, systems};
use crate::redact::Secret;

/// The schemes of AMQP URLs.
pub(super) const SCHEMES: [&str; 2] = ["amqp", "amqps"];

/// User and password of RabbitMQ's clients where none are given.
const GUEST: &str = "guest";
const DEFAULT_DECLARE_LIMIT: u32 = 100;

/// What all the AMQP URLs say together.
struct Nodes {
    tls: bool,
    hosts: Vec<HostPort>,
    vhost: String,
    /// The first one, for user and password.
    url: BrokerUrl,
}

/// Reads the keys of a RabbitMQ other than those that all brokers have. `None` means that a fault
/// has been noted.
pub(super) fn read(table: &Table<'_>, env: &Environment) -> Option<RabbitMq> {
    let urls = one_or_several(table, "url", "urls");
    let management_urls = one_or_several(table, "management_url", "management_urls");
    let prometheus_urls = one_or_several(table, "prometheus_url", "prometheus_urls");
    let management_wanted = table.boolean("management");
    let prometheus_wanted = table.boolean("prometheus");
    let credentials = Credentials::read(table, ["username", "password_file", "password_env"], env);
    let vhosts = table.texts("vhosts");
    let declare = read_queue_globs(table, "declare");
    let by_objective = table.boolean("declare_objectives");
    let declare_limit = table.integer("declare_limit", 0..=10_000);
    let internal_queues = table
        .boolean("internal_queues")
        .is_some_and(|wanted| wanted.value);
    let celery = systems::read_celery_on_rabbitmq(table);

    if urls.is_none() && !table.has("url") && !table.has("urls") {
        table.fault("has no `url`, for example url = \"amqp://localhost:5672/%2f\"");
    }
    let nodes = urls.as_ref().and_then(|urls| read_nodes(table, urls));
    let management = read_api(table, management_urls.as_ref(), "/api");
    let prometheus = read_api(table, prometheus_urls.as_ref(), "/metrics");
    for (wanted, urls, name) in [
        (&management_wanted, &management_urls, "management API"),
        (&prometheus_wanted, &prometheus_urls, "Prometheus plugin"),
    ] {
        if let (Some(Placed { value: false, at }), Some(_)) = (wanted, urls) {
            let message = format!("cannot be false while there is a URL of the {name}");
            table.notes.fault(at, message);
        }
    }
    let uses_https = [&management, &prometheus]
        .iter()
        .any(|api| matches!(api, Some(HttpApi::Nodes { tls: true, .. })));
    let encrypted = nodes.as_ref().map(|nodes| nodes.tls || uses_https);
    let tls = read_tls(
        table,
        encrypted,
        "`amqps://`, or `https://` for the management API",
    );
    let (username, password) = credentials.join(table, nodes.as_ref().map(|nodes| &nodes.url));
    let vhosts = vhosts.and_then(|vhosts| check_vhosts(table, vhosts));

    let Nodes {
        tls: amqp_tls,
        hosts: nodes,
        vhost,
        ..
    } = nodes?;
    let api = |wanted, has_urls, written, ports| match (wanted, has_urls) {
        (Some(Placed { value: false, .. }), _) => Some(HttpApi::Off),
        (_, true) => written,
        (_, false) => Some(api_beside(&nodes, amqp_tls, ports)),
    };
    // Behind another port may be another broker than the one whose plugin has the usual port.
    let usual = if amqp_tls { 5671 } else { 5672 };
    let is_usual = nodes.iter().all(|node| node.port == usual);
    let has_urls = management_urls.is_some();
    let management = api(management_wanted, has_urls, management, (15672, 15671))?;
    let prometheus = match prometheus_urls {
        None if !is_usual => HttpApi::Off,
        urls => api(
            prometheus_wanted,
            urls.is_some(),
            prometheus,
            (15692, 15691),
        )?,
    };
    Some(RabbitMq {
        nodes,
        amqp_tls,
        management,
        prometheus,
        username: username.unwrap_or_else(|| GUEST.to_owned()),
        password: password.unwrap_or_else(|| Secret::new(GUEST)),
        vhosts: vhosts.unwrap_or_else(|| vec![vhost]),
        tls,
        declare,
        // They are read when the brokers' names are known.
        declare_objectives: by_objective
            .is_some_and(|wanted| wanted.value)
            .then(Objectives::default),
        declare_limit: declare_limit
            .and_then(|limit| u32::try_from(limit.value).ok())
            .unwrap_or(DEFAULT_DECLARE_LIMIT),
        internal_queues,
        celery,
    })
}

/// The URLs of the key `one` or of the key `several`.
fn one_or_several(table: &Table<'_>, one: &'static str, several: &'static str) -> Option<Texts> {
    let (single, list) = (table.text(one), table.texts(several));
    if let (true, Some(list)) = (table.has(one), &list) {
        table
            .notes
            .fault(&list.at, format!("cannot be used together with `{one}`"));
    }
    if let Some(list) = &list
        && list.value.is_empty()
    {
        table.notes.fault(&list.at, "must have at least one URL");
    }
    match single {
        Some(url) => Some(Placed {
            at: url.at.clone(),
            value: vec![url],
        }),
        None => list,
    }
}

/// The URLs taken apart, each with one of the schemes; `None` if any is wrong.
fn parse_all(table: &Table<'_>, urls: &Texts, schemes: &[&str]) -> Option<Vec<BrokerUrl>> {
    let mut parsed = Vec::new();
    for written in &urls.value {
        let Some(url) = parse_url(table, written) else {
            continue;
        };
        if !schemes.contains(&url.scheme.as_str()) {
            let message = format!("must begin with {}", super::suggest::schemes(schemes));
            table.notes.fault(&written.at, message);
        } else if or_fault(table, &written.at, url.without_query()).is_some() {
            parsed.push(url);
        }
    }
    (parsed.len() == urls.value.len()).then_some(parsed)
}

fn read_nodes(table: &Table<'_>, urls: &Texts) -> Option<Nodes> {
    let mut nodes: Option<Nodes> = None;
    for (url, written) in parse_all(table, urls, &SCHEMES)?
        .into_iter()
        .zip(&urls.value)
    {
        let tls = url.scheme == "amqps";
        let hosts = or_fault(table, &written.at, url.hosts(if tls { 5671 } else { 5672 }))?;
        let vhost = or_fault(table, &written.at, vhost(&url))?;
        match &mut nodes {
            None => {
                nodes = Some(Nodes {
                    tls,
                    hosts,
                    vhost,
                    url,
                })
            }
            Some(first) => {
                let is_same = first.tls == tls
                    && first.vhost == vhost
                    && first.url.username == url.username
                    && first.url.password == url.password;
                if !is_same {
                    let message = "must have the same scheme, user, password and virtual host as \
                                   the first URL";
                    table.notes.fault(&written.at, message);
                }
                first.hosts.extend(hosts);
            }
        }
    }
    nodes
}

/// `/`, RabbitMQ's default, where the URL has no path or an empty one.
fn vhost(url: &BrokerUrl) -> Result<String, &'static str> {
    match url.path.as_deref() {
        None | Some("") => Ok("/".to_owned()),
        Some(path) => decode(path),
    }
}

/// The URLs of an API whose paths begin with `root`.
fn read_api(table: &Table<'_>, urls: Option<&Texts>, root: &str) -> Option<HttpApi> {
    let urls = urls?;
    let mut api: Option<(Vec<HostPort>, bool, String)> = None;
    for (url, written) in parse_all(table, urls, &["http", "https"])?
        .iter()
        .zip(&urls.value)
    {
        let tls = url.scheme == "https";
        let hosts = or_fault(table, &written.at, url.hosts(if tls { 443 } else { 80 }))?;
        let prefix = match path_prefix(url, root) {
            Ok(prefix) => prefix,
            Err(message) => {
                table.notes.fault(&written.at, message);
                return None;
            }
        };
        match &mut api {
            None => api = Some((hosts, tls, prefix)),
            Some((nodes, first_tls, first_prefix)) => {
                if (*first_tls, &*first_prefix) != (tls, &prefix) {
                    table.notes.fault(
                        &written.at,
                        "must have the same scheme and path as the first URL",
                    );
                }
                nodes.extend(hosts);
            }
        }
    }
    let (nodes, tls, path_prefix) = api?;
    Some(HttpApi::Nodes {
        nodes,
        tls,
        path_prefix,
    })
}

/// The path in front of `root`, without a slash at its end.
fn path_prefix(url: &BrokerUrl, root: &str) -> Result<String, String> {
    if url.username.is_some() || url.password.is_some() {
        let message = "must have no user name and password; those of the broker are used";
        return Err(message.to_owned());
    }
    match url.path.as_deref().unwrap_or("").trim_matches('/') {
        "" => Ok(String::new()),
        path if format!("/{path}").ends_with(root) => {
            Err(format!("must end before `{root}`, which is added"))
        }
        path => Ok(format!("/{path}")),
    }
}

/// The API of the AMQP hosts themselves, at its usual port without and with TLS.
fn api_beside(nodes: &[HostPort], tls: bool, (plain, encrypted): (u16, u16)) -> HttpApi {
    let port = if tls { encrypted } else { plain };
    let mut hosts: Vec<HostPort> = Vec::new();
    for node in nodes {
        let host = HostPort {
            host: node.host.clone(),
            port,
        };
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    HttpApi::Nodes {
        nodes: hosts,
        tls,
        path_prefix: String::new(),
    }
}

fn check_vhosts(table: &Table<'_>, written: Texts) -> Option<Vec<String>> {
    if written.value.is_empty() {
        table.notes.fault(
            &written.at,
            "must have at least one virtual host, for example [\"/\"]",
        );
    }
    let mut vhosts = Vec::new();
    for vhost in written.value {
        if vhost.value.is_empty() {
            table.notes.fault(
                &vhost.at,
                "must not be empty; the default virtual host is \"/\"",
            );
        } else if vhosts.contains(&vhost.value) {
            table.notes.fault(&vhost.at, "is listed twice");
        }
        vhosts.push(vhost.value);
    }
    (!vhosts.is_empty()).then_some(vhosts)
}
