//! What `tailback demo` runs: one broker that exists only in this process.

use super::{Config, Endpoint, Environment, Faults};

/// Which kind of broker it would be does not matter: it is never connected to.
const TEXT: &str = "
[http]
listen = '127.0.0.1:9828'

[brokers.demo.redis]
url = 'redis://simulated'

[[objectives]]
queue = 'reports'
wait = '5m'

[[objectives]]
queue = '*'
wait = '30s'
";

impl Config {
    /// Simulated queues, with objectives.
    pub fn simulated() -> Result<Self, Faults> {
        let mut config = Self::from_toml(TEXT, "demo", &Environment::default())?;
        for broker in &mut config.brokers {
            broker.endpoint = Endpoint::Simulated;
        }
        Ok(config)
    }
}
