//! The configuration as a whole: what is accepted, what is refused and with which words.

mod example;
mod faults;
mod faults_of_files;
mod faults_of_urls;
mod objectives;
mod secrets;
mod serve;
mod urls;
mod values;

use super::{Broker, Config, Endpoint, Environment, RabbitMq, Redis};
use std::path::Path;

fn no_env() -> Environment {
    Environment::default()
}

fn load(text: &str) -> Config {
    Config::from_toml(text, "c.toml", &no_env()).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn only_broker(text: &str) -> Broker {
    let mut brokers = load(text).brokers;
    assert_eq!(brokers.len(), 1, "{text}");
    brokers.remove(0)
}

fn redis(lines: &str) -> Redis {
    match only_broker(&format!("[brokers.main.redis]\n{lines}")).endpoint {
        Endpoint::Redis(redis) => redis,
        Endpoint::RabbitMq(_) | Endpoint::Simulated => panic!("not a Redis"),
    }
}

fn rabbitmq(lines: &str) -> RabbitMq {
    match only_broker(&format!("[brokers.main.rabbitmq]\n{lines}")).endpoint {
        Endpoint::RabbitMq(rabbitmq) => rabbitmq,
        Endpoint::Redis(_) | Endpoint::Simulated => panic!("not a RabbitMQ"),
    }
}

fn faults(text: &str, env: &Environment) -> String {
    match Config::from_toml(text, "c.toml", env) {
        Ok(config) => panic!("accepted:\n{text}\n{config:?}"),
        Err(faults) => faults.to_string(),
    }
}

fn load_faults(file: Option<&Path>, urls: &[&str], env: &Environment) -> String {
    let urls: Vec<String> = urls.iter().map(|&url| url.to_owned()).collect();
    Config::load(file, &urls, env).unwrap_err().to_string()
}
