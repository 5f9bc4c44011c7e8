//! `[http]` and `[keda]`: who is answered, and where.

use super::{faults, load};
use crate::config::{Environment, Keda, ServerTls};

const BROKER: &str = "\n[brokers.a.redis]\nurl = 'redis://h'\n";

#[test]
fn keda_is_answered_where_its_table_is() {
    let keda = |text: &str| load(&format!("{text}{BROKER}")).keda;
    assert_eq!(keda(""), None);
    assert_eq!(keda("[keda]"), Some(Keda::default()));
    assert_eq!(Keda::default().listen.to_string(), "0.0.0.0:9829");
    let found = keda(
        "[keda]\nlisten = '[::1]:1'\n[keda.tls]\ncert_file = 'c'\nkey_file = 'k'\nclient_ca_file = 'a'",
    );
    let tls = ServerTls {
        cert_file: "c".into(),
        key_file: "k".into(),
        client_ca_file: Some("a".into()),
    };
    let listen = "[::1]:1".parse().unwrap();
    assert_eq!(
        found,
        Some(Keda {
            listen,
            tls: Some(tls)
        })
    );
}

#[test]
fn tls_without_a_certificate_is_no_tls() {
    let env = Environment::default();
    let text = format!("[keda.tls]\nclient_ca_file = 'a'{BROKER}");
    let message = "c.toml:1:7: keda.tls: needs `cert_file` and `key_file`";
    assert_eq!(faults(&text, &env), message);
}

#[test]
fn secrets_for_readers_come_from_elsewhere_and_are_long() {
    let env = Environment::from_pairs([
        ("TOKEN", "0123456789abcdef"),
        ("SHORT", "0123456789abcde"),
        ("SPACED", "0123456789 abcdef"),
    ]);
    let text = |keys: &str| format!("[http]\n{keys}{BROKER}");
    let config = super::Config::from_toml(&text("api_key_env = 'TOKEN'"), "c.toml", &env).unwrap();
    assert_eq!(config.http.api_key.unwrap().expose(), "0123456789abcdef");
    let long = "must hold at least 16 letters, digits and signs of ASCII, without spaces";
    for (keys, message) in [
        (
            "bearer_token_env = 'SHORT'",
            format!("2:20: http.bearer_token_env: {long}"),
        ),
        (
            "api_key_env = 'SPACED'",
            format!("2:15: http.api_key_env: {long}"),
        ),
        (
            "bearer_token_env = 'NONE'",
            "2:20: http.bearer_token_env: the environment variable of this name is not set".into(),
        ),
        (
            "open_metrics = true",
            "2:16: http.open_metrics: needs a bearer token or an API key: without one everything \
             is open"
                .into(),
        ),
    ] {
        assert_eq!(faults(&text(keys), &env), format!("c.toml:{message}"));
    }
}
