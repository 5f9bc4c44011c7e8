//! `[http]` and `[keda]`: where tailback answers, and whom.

use super::access::read_secret;
use super::environment::Environment;
use super::fault::Placed;
use super::reader::Table;
use super::{Http, Keda, ServerTls};
use std::net::{Ipv4Addr, SocketAddr};

/// The least that can be called a secret: tokens are made by machines.
const SHORTEST_SECRET: usize = 16;

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9828)),
            bearer_token: None,
            api_key: None,
            open_metrics: false,
        }
    }
}

impl Default for Keda {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9829)),
            tls: None,
        }
    }
}

pub(super) fn read_http(table: Table<'_>, env: &Environment) -> Http {
    let defaults = Http::default();
    let listen = address(&table, defaults.listen);
    let [bearer_token, api_key] = [
        ["bearer_token_file", "bearer_token_env"],
        ["api_key_file", "api_key_env"],
    ]
    .map(|keys| {
        let secret = read_secret(&table, keys, env)?;
        let text = secret.value.expose();
        let is_header = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() < SHORTEST_SECRET || !is_header {
            let message = format!(
                "must hold at least {SHORTEST_SECRET} letters, digits and signs of ASCII, without \
                 spaces"
            );
            table.notes.fault(&secret.at, message);
        }
        Some(secret.value)
    });
    let open_metrics = table.boolean("open_metrics");
    if let Some(open) = &open_metrics
        && open.value
        && bearer_token.is_none()
        && api_key.is_none()
    {
        let message = "needs a bearer token or an API key: without one everything is open";
        table.notes.fault(&open.at, message);
    }
    table.finish();
    Http {
        listen,
        bearer_token,
        api_key,
        open_metrics: open_metrics.is_some_and(|open| open.value),
    }
}

/// `None` without the table: then there is no server for KEDA.
pub(super) fn read_keda(table: Table<'_>) -> Option<Keda> {
    let listen = address(&table, Keda::default().listen);
    let is_present = table.is_present();
    let tls = read_tls(table.table("tls"));
    table.finish();
    is_present.then_some(Keda { listen, tls })
}

fn read_tls(table: Table<'_>) -> Option<ServerTls> {
    let [cert, key, client_ca] =
        ["cert_file", "key_file", "client_ca_file"].map(|key| table.text(key));
    for file in [&cert, &key, &client_ca].into_iter().flatten() {
        if file.value.is_empty() {
            table.notes.fault(&file.at, "must not be empty");
        }
    }
    if table.is_present() && (cert.is_none() || key.is_none()) {
        table.fault("needs `cert_file` and `key_file`");
    }
    table.finish();
    let path = |file: Placed<String>| file.value.into();
    Some(ServerTls {
        cert_file: path(cert?),
        key_file: path(key?),
        client_ca_file: client_ca.map(path),
    })
}

fn address(table: &Table<'_>, default: SocketAddr) -> SocketAddr {
    let Some(text) = table.text("listen") else {
        return default;
    };
    text.value.parse().unwrap_or_else(|_| {
        let message = format!("must be an IP address and a port, for example \"{default}\"");
        table.notes.fault(&text.at, message);
        default
    })
}
