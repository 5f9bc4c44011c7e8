//! Connecting to a Redis of any topology: a single node, the master that Sentinel names, or every
//! master of a cluster.

use super::node::{Hello, Login, Node};
use super::session::{Session, SlotRange};
use crate::broker::BrokerError;
use crate::broker::tls::TlsContext;
use crate::broker::wire::{self, Meter};
use crate::config::{HostPort, Redis, RedisTopology};
use crate::model::ErrorKind;
use redis::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is needed to connect.
pub(super) struct Connector<'a> {
    pub(super) config: &'a Redis,
    pub(super) max_payload: u64,
    pub(super) meter: &'a Arc<Meter>,
}

// === impl Connector ===

impl Connector<'_> {
    pub(super) async fn connect(&self) -> Result<Session, BrokerError> {
        let login = Login {
            username: self.config.username.clone(),
            password: self.config.password.clone(),
            db: self.config.db,
        };
        match &self.config.topology {
            RedisTopology::Single(host) => {
                let mut node = self.node(host, &login).await?;
                let hello = node.hello().await;
                Ok(Session::new(vec![node], None, hello))
            }
            RedisTopology::Unix(path) => {
                let stream = wire::connect_unix(path, self.meter).await?;
                let place = format!("redis at {}", path.display());
                let mut node =
                    Node::open(stream, &login, self.max_payload, self.meter, place).await?;
                let hello = node.hello().await;
                Ok(Session::new(vec![node], None, hello))
            }
            RedisTopology::Sentinel {
                sentinels,
                master,
                username,
                password,
            } => {
                let sentinel_login = Login {
                    username: username.clone(),
                    password: password.clone(),
                    db: 0,
                };
                let (node, hello) = self
                    .master(sentinels, master, &sentinel_login, &login)
                    .await?;
                Ok(Session::new(vec![node], None, hello))
            }
            RedisTopology::Cluster(seeds) => self.cluster(seeds, &login).await,
        }
    }

    async fn node(&self, host: &HostPort, login: &Login) -> Result<Node, BrokerError> {
        let tls = self.config.tls.as_ref().map(TlsContext::load).transpose()?;
        let stream = wire::connect(host, tls.as_ref(), self.meter).await?;
        Node::open(
            stream,
            login,
            self.max_payload,
            self.meter,
            format!("redis at {host}"),
        )
        .await
    }

    /// Asks the sentinels in turn until one names a node that is a master.
    async fn master(
        &self,
        sentinels: &[HostPort],
        master: &str,
        sentinel_login: &Login,
        login: &Login,
    ) -> Result<(Node, Hello), BrokerError> {
        let mut last = None;
        for sentinel in sentinels {
            match self
                .master_by(sentinel, master, sentinel_login, login)
                .await
            {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(error),
            }
        }
        Err(last
            .unwrap_or_else(|| BrokerError::new(ErrorKind::Connect, "no sentinel is configured")))
    }

    async fn master_by(
        &self,
        sentinel: &HostPort,
        master: &str,
        sentinel_login: &Login,
        login: &Login,
    ) -> Result<(Node, Hello), BrokerError> {
        let mut asked = self.node(sentinel, sentinel_login).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer = asked.raw("sentinel", &question).await?;
        let Some((host, port)) = redis::from_redis_value::<Option<(String, u16)>>(answer)
            .ok()
            .flatten()
        else {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!("the sentinel {sentinel} knows no master named `{master}`"),
            ));
        };
        let address = HostPort { host, port };
        let mut node = self.node(&address, login).await?;
        let hello = node.hello().await;
        if hello.role.as_deref().is_some_and(|role| role != "master") {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!(
                    "the sentinel {sentinel} names {address} as the master of `{master}`, which \
                     is a replica; a failover is under way"
                ),
            ));
        }
        Ok((node, hello))
    }

    /// Learns the slots from the first seed that answers and connects to every master.
    async fn cluster(&self, seeds: &[HostPort], login: &Login) -> Result<Session, BrokerError> {
        let mut last = None;
        for seed in seeds {
            match self.cluster_from(seed, login).await {
                Ok(session) => return Ok(session),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            BrokerError::new(ErrorKind::Connect, "no cluster node is configured")
        }))
    }

    async fn cluster_from(&self, seed: &HostPort, login: &Login) -> Result<Session, BrokerError> {
        let mut first = self.node(seed, login).await?;
        let answer = first
            .raw("cluster", redis::cmd("CLUSTER").arg("SLOTS"))
            .await?;
        let masters = parse_slots(answer, seed);
        if masters.is_empty() {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!("redis at {seed} serves no slots: it is not part of a working cluster"),
            ));
        }
        let hello = first.hello().await;
        let mut nodes = Vec::with_capacity(masters.len());
        let mut slots = Vec::new();
        for (address, ranges) in masters {
            for (from, to) in ranges {
                slots.push(SlotRange {
                    from,
                    to,
                    node: nodes.len(),
                });
            }
            nodes.push(self.node(&address, login).await?);
        }
        slots.sort_by_key(|range| range.from);
        Ok(Session::new(nodes, Some(slots), hello))
    }
}

/// Masters and their slot ranges out of a `CLUSTER SLOTS` reply. An empty host means the node that
/// was asked.
fn parse_slots(answer: Value, seed: &HostPort) -> BTreeMap<HostPort, Vec<(u16, u16)>> {
    let mut masters: BTreeMap<HostPort, Vec<(u16, u16)>> = BTreeMap::new();
    let Value::Array(ranges) = answer else {
        return masters;
    };
    for range in ranges {
        let Value::Array(range) = range else { continue };
        let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = range.as_slice() else {
            continue;
        };
        let [host, Value::Int(port), ..] = master.as_slice() else {
            continue;
        };
        let host = match host {
            Value::BulkString(host) if !host.is_empty() => {
                String::from_utf8_lossy(host).into_owned()
            }
            _ => seed.host.clone(),
        };
        let (Ok(port), Ok(from), Ok(to)) = (
            u16::try_from(*port),
            u16::try_from(*from),
            u16::try_from(*to),
        ) else {
            continue;
        };
        masters
            .entry(HostPort { host, port })
            .or_default()
            .push((from, to));
    }
    masters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_ranges_are_gathered_by_master_and_an_empty_host_is_the_seed() {
        let seed = HostPort {
            host: "seed".into(),
            port: 1,
        };
        let range = |from, to, host: &str, port| {
            let master = vec![Value::BulkString(host.into()), Value::Int(port)];
            Value::Array(vec![Value::Int(from), Value::Int(to), Value::Array(master)])
        };
        let answer = Value::Array(vec![
            range(0, 5, "a", 7000),
            range(6, 9, "", 7001),
            range(10, 12, "a", 7000),
            Value::Nil,
        ]);
        let masters: Vec<_> = parse_slots(answer, &seed)
            .into_iter()
            .map(|(at, slots)| (at.to_string(), slots))
            .collect();
        assert_eq!(
            masters,
            [
                ("a:7000".into(), vec![(0, 5), (10, 12)]),
                ("seed:7001".into(), vec![(6, 9)])
            ]
        );
    }
}
