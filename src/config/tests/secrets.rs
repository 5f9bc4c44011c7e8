//! No fault and no `Debug` shows a password.

use super::super::{Config, Environment};
use super::no_env;
use proptest::prelude::*;

const SECRET: &str = "hunter2Secret";

/// A configuration with every place that a password can be at.
fn with_secrets() -> String {
    format!(
        "[brokers.main.redis]
url = \"redis+sentinel://me:{SECRET}@s1,s2/mymaster\"
sentinel_password_env = \"SENTINEL\"
[brokers.second.redis]
url = \"rediss://:{SECRET}@cache/0\"
[brokers.events.rabbitmq]
url = \"amqp://me:{SECRET}@rabbit/%2f\"
[brokers.more.rabbitmq]
url = \"amqp://me@rabbit/%2f\"
password_env = \"RABBIT\"
"
    )
}

fn env() -> Environment {
    Environment::from_pairs([("SENTINEL", SECRET), ("RABBIT", SECRET)])
}

/// Everything that can be shown of a load.
fn shown(loaded: &Result<Config, super::super::Faults>) -> String {
    match loaded {
        Ok(config) => format!("{config:?} {config:#?}"),
        Err(faults) => format!("{faults} {faults:?}"),
    }
}

#[test]
fn debug_shows_no_password() {
    let loaded = Config::from_toml(&with_secrets(), "c.toml", &env());
    assert!(loaded.is_ok(), "{}", shown(&loaded));
    let shown = shown(&loaded) + &format!("{:?} {:#?}", env(), env());
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(shown.contains("***"), "{shown}");
}

#[test]
fn no_fault_shows_a_password() {
    let url = format!("redis://me:{SECRET}@host/0");
    let in_redis = |line: &str| format!("[brokers.main.redis]\nurl = 'redis://host'\n{line}\n");
    for text in [
        // Broken TOML.
        format!("[brokers.main.redis]\nurl = {url}\n"),
        format!("[brokers.main.redis]\nurl = \"{url}\n"),
        format!("[brokers.main.redis]\nurl = '{url}\" x\n"),
        format!("[brokers.main.redis]\nurl \"{url}\"\n"),
        format!("[brokers.main.redis]\nurl = '{url}'\nurl = '{url}'\n"),
        format!("[brokers.main.redis]\nurl = \"{url}\\q\"\n"),
        format!("{url}\n"),
        format!("[{url}]\n"),
        // URLs at the wrong place.
        format!("\"{url}\" = 1\n"),
        format!("[brokers.\"{url}\".redis]\nurl = 'redis://x'\n"),
        format!("[brokers.main.\"{url}\"]\n"),
        format!("[brokers]\nmain = '{url}'\n"),
        format!("[brokers.main.redis]\nurl = ['{url}']\n"),
        format!("[brokers.main.rabbitmq]\nurls = '{url}'\n"),
        format!("[brokers.main.rabbitmq]\nurl = '{url}'\nmanagement_url = '{url}'\n"),
        in_redis(&format!("layouts = '{url}'")),
        in_redis(&format!("layouts = ['{url}']")),
        in_redis(&format!("include = ['[{url}']")),
        in_redis(&format!("interval = '{url}'")),
        in_redis(&format!("celery.timestamp_paths = ['{url}']")),
        in_redis(&format!("tls.server_name = '{url}'")),
        format!("[http]\nlisten = '{url}'\n"),
        // A password in place of the name of where it is.
        in_redis(&format!("password = '{SECRET}'")),
        in_redis(&format!("password_env = '{SECRET}'")),
        in_redis(&format!("password_file = '{SECRET}'")),
        // URLs that are wrong in themselves.
        format!("[brokers.main.redis]\nurl = 'redis://me:{SECRET}/x@host/0'\n"),
        format!("[brokers.main.redis]\nurl = 'redis://me:{SECRET}#x@host/0'\n"),
        format!("[brokers.main.redis]\nurl = 'redis://me:{SECRET}?x@host/0'\n"),
        format!("[brokers.main.redis]\nurl = 'redis://me:{SECRET}'\n"),
        format!("[brokers.main.redis]\nurl = 'redis://{SECRET}@'\n"),
        format!("[brokers.main.redis]\nurl = 'redis://host/{SECRET}'\n"),
        format!("[brokers.main.redis]\nurl = 'redis://host/0?password={SECRET}'\n"),
        format!("[brokers.main.redis]\nurl = 'redsi://:{SECRET}@host/0'\n"),
        format!("[brokers.main.redis]\nurl = '{SECRET}'\n"),
    ] {
        let loaded = Config::from_toml(&text, "c.toml", &no_env());
        assert!(loaded.is_err(), "{text}");
        let shown = shown(&loaded);
        assert!(!shown.contains(SECRET), "{text}\n{shown}");
    }
    for url in [
        format!("redis://me:{SECRET}@ho st"),
        format!("redis://me:{SECRET}@host:99999"),
        format!("http://me:{SECRET}@host"),
        format!("amqp://me:{SECRET}@host?heartbeat=5"),
        SECRET.to_owned(),
    ] {
        let from_arguments = Config::from_urls(std::slice::from_ref(&url), &no_env());
        let env = Environment::from_pairs([("TAILBACK_BROKERS", &url)]);
        let from_variable = Config::load(None, &[], &env);
        for loaded in [from_arguments, from_variable] {
            assert!(loaded.is_err(), "{url}");
            assert!(
                !shown(&loaded).contains(SECRET),
                "{url}\n{}",
                shown(&loaded)
            );
        }
    }
}

/// Text that is likely to be nearly TOML.
fn toml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[brokers.main.redis]\n".to_owned()),
        Just("[brokers.b.rabbitmq]\n".to_owned()),
        Just("url = ".to_owned()),
        Just("urls = [".to_owned()),
        Just("interval = ".to_owned()),
        Just("\"".to_owned()),
        Just("'''".to_owned()),
        Just("\n".to_owned()),
        Just("= ".to_owned()),
        Just("redis://me:pw@host/0".to_owned()),
        Just("amqp://h".to_owned()),
        "[a-z]{1,8} = (-?[0-9]{1,20}|\"[^\"\n]{0,10}\"|\\[[0-9, ]*\\]|true|[0-9.]+)\n",
        "\\PC{0,6}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in toml_like()) {
        let shown = shown(&Config::from_toml(&text, "c.toml", &no_env()));
        prop_assert!(!shown.is_empty());
    }

    #[test]
    fn no_url_makes_the_reader_panic(scheme in "redis|unix|redis\\+sentinel|redis\\+cluster|amqps", rest in "[a-z0-9@:/?#%,=\\[\\]&.é ]{0,24}") {
        let url = format!("{scheme}://{rest}");
        let shown = shown(&Config::from_urls(&[url], &no_env()));
        prop_assert!(!shown.is_empty());
    }

    /// However a file with passwords is damaged, no fault shows one. Only damage by which the
    /// password would become the word on the left of a `=` is left out.
    #[test]
    fn a_damaged_file_shows_no_password(
        damage in prop::collection::vec((any::<prop::sample::Index>(), "[\"'\\[\\]#@:/,. \n\\\\{}]{0,2}", 0..3_usize), 1..4),
    ) {
        let mut text = with_secrets();
        for (at, put_in, leave_out) in damage {
            let mut letters: Vec<char> = text.chars().collect();
            let at = at.index(letters.len());
            let end = (at + leave_out).min(letters.len());
            letters.splice(at..end, put_in.chars());
            text = letters.into_iter().collect();
        }
        // A file that is still valid may have a user name where a password was.
        if let Err(faults) = Config::from_toml(&text, "c.toml", &env()) {
            let shown = format!("{faults} {faults:?}");
            prop_assert!(!shown.contains(SECRET), "{}\n{}", text, shown);
        }
    }
}
