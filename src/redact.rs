//! Secrets that cannot be printed by accident, and URLs without their credentials.

use crate::config::{Endpoint, HttpApi, RedisTopology, Sentinels};
use std::fmt;
use url::Url;

/// A password or key. `Debug` and `Display` never show it; [`Secret::expose`] is the only way in,
/// so that every use can be found.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The URL as it may be shown: user name kept, password and query replaced.
pub fn url(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() && shown.set_password(Some("***")).is_err() {
        // Only a URL that cannot have a password refuses one; it then has none to hide.
        return format!("{}://***", url.scheme());
    }
    if shown.query().is_some() {
        shown.set_query(Some("***"));
    }
    shown.to_string()
}

/// Where a broker is, without credentials.
pub fn endpoint(endpoint: &Endpoint) -> String {
    let list = |hosts: &[crate::config::HostPort]| {
        hosts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    match endpoint {
        Endpoint::Redis(redis) => {
            let (s, db) = (
                if redis.tls.is_some() {
                    "rediss"
                } else {
                    "redis"
                },
                redis.db,
            );
            match &redis.topology {
                RedisTopology::Single(host) => format!("{s}://{host}/{db}"),
                RedisTopology::Unix(path) => format!("redis+unix://{}?db={db}", path.display()),
                RedisTopology::Sentinel(Sentinels { hosts, master, .. }) => {
                    format!("{s}+sentinel://{}/{master}/{db}", list(hosts))
                }
                RedisTopology::Cluster(nodes) => format!("{s}+cluster://{}", list(nodes)),
            }
        }
        Endpoint::RabbitMq(rabbit) => {
            let scheme = if rabbit.amqp_tls { "amqps" } else { "amqp" };
            let management = match &rabbit.management {
                HttpApi::Off => "no management API".to_owned(),
                HttpApi::Nodes { nodes, .. } => format!("management API {}", list(nodes)),
            };
            format!(
                "{scheme}://{}, {management}, virtual hosts {}",
                list(&rabbit.nodes),
                rabbit.vhosts.join(", ")
            )
        }
        Endpoint::Simulated => "none: its queues are simulated".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_url_keeps_its_user_and_loses_its_password() {
        let shown = url(&Url::parse("redis://me:hunter2@cache:6379/0?password=hunter2").unwrap());
        assert_eq!(shown, "redis://me:***@cache:6379/0?***");
    }
}
