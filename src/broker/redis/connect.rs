//! Connecting to a Redis of any topology: a single node, the master that Sentinel names, or every
//! master of a cluster.

use super::node::{Hello, Login, Node};
use super::quarantine::Quarantine;
use super::session::{Session, SlotRange};
use crate::broker::BrokerError;
use crate::broker::tls::TlsContext;
use crate::broker::wire::{self, Meter};
use crate::config::{HostPort, Redis, RedisTopology, Sentinels};
use crate::model::ErrorKind;
use redis::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What is needed to connect.
pub(super) struct Connector<'a> {
    pub(super) config: &'a Redis,
    pub(super) max_payload: u64,
    pub(super) meter: &'a Arc<Meter>,
    pub(super) quarantine: &'a Arc<Mutex<Quarantine>>,
}

/// A connection before anything is said over it, and where it leads.
type Stream = (Box<dyn wire::Stream>, String);

// === impl Connector ===

impl Connector<'_> {
    pub(super) async fn connect(&self) -> Result<Session, BrokerError> {
        let login = Login {
            username: self.config.username.clone(),
            password: self.config.password.clone(),
            db: self.config.db,
        };
        let (node, hello) = match &self.config.topology {
            RedisTopology::Single(_) | RedisTopology::Unix(_) => {
                let mut node = self.log_in(self.stream().await?, &login).await?;
                let hello = node.hello().await;
                (node, hello)
            }
            RedisTopology::Sentinel(sentinels) => {
                let master = |sentinel| self.master_by(sentinel, sentinels, &login);
                first(&sentinels.hosts, master).await?
            }
            // The first seed that answers tells of every master.
            RedisTopology::Cluster(seeds) => {
                return first(seeds, |seed| self.cluster_from(seed, &login)).await;
            }
        };
        Ok(Session::new(vec![node], None, hello, self.quarantine))
    }

    /// A stream to the server and where it leads: of a cluster to any node, which is enough for a
    /// connection that does not read keys, since messages reach all of them.
    pub(super) async fn stream(&self) -> Result<Stream, BrokerError> {
        match &self.config.topology {
            RedisTopology::Unix(path) => {
                let stream = wire::connect_unix(path, self.meter).await?;
                Ok((stream, format!("redis at {}", path.display())))
            }
            RedisTopology::Single(host) => self.dial(host).await,
            RedisTopology::Cluster(seeds) => first(seeds, |seed| self.dial(seed)).await,
            RedisTopology::Sentinel(sentinels) => {
                let stream = |sentinel| async move {
                    let address = self.address_by(sentinel, sentinels).await?;
                    self.dial(&address).await
                };
                first(&sentinels.hosts, stream).await
            }
        }
    }

    async fn dial(&self, host: &HostPort) -> Result<Stream, BrokerError> {
        let tls = self.config.tls.as_ref().map(TlsContext::load).transpose()?;
        let stream = wire::connect(host, tls.as_ref(), self.meter).await?;
        Ok((stream, format!("redis at {host}")))
    }

    async fn log_in(&self, (stream, place): Stream, login: &Login) -> Result<Node, BrokerError> {
        Node::open(stream, login, self.max_payload, self.meter, place).await
    }

    async fn node(&self, host: &HostPort, login: &Login) -> Result<Node, BrokerError> {
        self.log_in(self.dial(host).await?, login).await
    }

    /// What a sentinel says is the master's address.
    async fn address_by(
        &self,
        sentinel: &HostPort,
        Sentinels {
            master,
            username,
            password,
            ..
        }: &Sentinels,
    ) -> Result<HostPort, BrokerError> {
        let login = Login {
            username: username.clone(),
            password: password.clone(),
            db: 0,
        };
        let mut asked = self.node(sentinel, &login).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer = asked.raw("sentinel", &question).await?;
        match redis::from_redis_value::<Option<(String, u16)>>(answer) {
            Ok(Some((host, port))) => Ok(HostPort { host, port }),
            _ => Err(BrokerError::new(
                ErrorKind::Protocol,
                format!("the sentinel {sentinel} knows no master named `{master}`"),
            )),
        }
    }

    async fn master_by(
        &self,
        sentinel: &HostPort,
        sentinels: &Sentinels,
        login: &Login,
    ) -> Result<(Node, Hello), BrokerError> {
        let address = self.address_by(sentinel, sentinels).await?;
        let mut node = self.node(&address, login).await?;
        let hello = node.hello().await;
        if hello.role.as_deref().is_some_and(|role| role != "master") {
            return Err(BrokerError::new(
                ErrorKind::Protocol,
                format!(
                    "the sentinel {sentinel} names {address} as the master of `{}`, which is a \
                     replica; a failover is under way",
                    sentinels.master
                ),
            ));
        }
        Ok((node, hello))
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
        Ok(Session::new(nodes, Some(slots), hello, self.quarantine))
    }
}

/// The first good answer of several hosts, asked in turn; else why the last gave none.
async fn first<'a, T, Answer: Future<Output = Result<T, BrokerError>>>(
    hosts: &'a [HostPort],
    ask: impl Fn(&'a HostPort) -> Answer,
) -> Result<T, BrokerError> {
    let mut last = BrokerError::new(ErrorKind::Connect, "no host is configured");
    for host in hosts {
        match ask(host).await {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
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
