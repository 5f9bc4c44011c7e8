//! Several servers together: behind Sentinels, as a Cluster.

use super::{READY, Redis, RedisOptions, spawn};
use crate::support::process::{Process, eventually, free_port, run};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A master `mymaster`, one replica and three sentinels that fail over within a second or two.
pub struct Sentinel {
    pub nodes: [Redis; 2],
    pub sentinels: Vec<SocketAddr>,
    processes: Vec<Process>,
    dirs: Vec<TempDir>,
}

impl Sentinel {
    pub fn start() -> Self {
        let master = Redis::start(RedisOptions::default());
        let replicaof = format!("replicaof 127.0.0.1 {}", master.port);
        let replica = Redis::start(RedisOptions {
            config: vec![replicaof, "repl-diskless-sync-delay 0".to_owned()],
            ..RedisOptions::default()
        });
        eventually("the replica is in sync", READY, || {
            replica
                .cli(&["INFO", "replication"])
                .contains("master_link_status:up")
                .then_some(())
        });
        let mut this = Self {
            nodes: [master, replica],
            sentinels: Vec::new(),
            processes: Vec::new(),
            dirs: Vec::new(),
        };
        for _ in 0..3 {
            this.add_sentinel();
        }
        eventually(
            "the sentinels know each other and the replica",
            READY,
            || {
                let known = this.ask("SENTINEL MASTER mymaster");
                (known.contains("num-other-sentinels\n2") && known.contains("num-slaves\n1"))
                    .then_some(())
            },
        );
        this
    }

    /// `redis+sentinel://…/mymaster/0`
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(SocketAddr::to_string).collect();
        format!("redis+sentinel://{}/mymaster/0", hosts.join(","))
    }

    /// Runs `redis-cli` at each of the sentinels.
    pub fn each(&self, args: &[&str]) {
        for sentinel in &self.sentinels {
            let port = sentinel.port().to_string();
            run(Command::new("redis-cli")
                .args(["-e", "-p", &port])
                .args(args));
        }
    }

    /// The node that the sentinels call master now.
    pub fn master(&self) -> &Redis {
        let port = self.master_port();
        self.nodes.iter().find(|node| node.port == port).unwrap()
    }

    /// Kills the master and waits until the sentinels have made the other node master.
    pub fn failover(&mut self) {
        let old = self.master_port();
        self.nodes
            .iter_mut()
            .find(|node| node.port == old)
            .unwrap()
            .kill();
        eventually(
            "the sentinels have a new master",
            Duration::from_secs(30),
            || {
                let new = self.master_port();
                if new == old {
                    return None;
                }
                self.nodes
                    .iter()
                    .find(|node| node.port == new)?
                    .cli(&["ROLE"])
                    .starts_with("master")
                    .then_some(())
            },
        );
    }

    fn master_port(&self) -> u16 {
        let address = self.ask("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster");
        address.lines().nth(1).unwrap().parse().unwrap()
    }

    fn ask(&self, command: &str) -> String {
        let port = self.sentinels[0].port().to_string();
        run(Command::new("redis-cli")
            .args(["-p", &port])
            .args(command.split(' ')))
    }

    fn add_sentinel(&mut self) {
        let dir = TempDir::new().unwrap();
        let port = free_port();
        let config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\n\
             sentinel monitor mymaster 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 2000\n\
             sentinel parallel-syncs mymaster 1\n",
            dir.path().display(),
            self.nodes[0].port
        );
        std::fs::write(dir.path().join("redis.conf"), config).unwrap();
        let mut process = spawn("sentinel", dir.path(), &["--sentinel"]);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        process.wait_ready(READY, |_| std::net::TcpStream::connect(address).is_ok());
        self.sentinels.push(address);
        self.processes.push(process);
        self.dirs.push(dir);
    }
}

/// Three masters without replicas that share the slots.
pub struct Cluster {
    pub nodes: Vec<Redis>,
}

impl Cluster {
    pub fn start() -> Self {
        let options = RedisOptions {
            config: vec![
                "cluster-enabled yes".to_owned(),
                "cluster-node-timeout 1000".to_owned(),
                "cluster-config-file nodes.conf".to_owned(),
            ],
            ..RedisOptions::default()
        };
        let this = Self {
            nodes: (0..3).map(|_| Redis::start(options.clone())).collect(),
        };
        let addresses = this.nodes.iter().map(|node| node.address().to_string());
        run(Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes"));
        for node in &this.nodes {
            eventually("the cluster is whole", READY, || {
                node.cli(&["CLUSTER", "INFO"])
                    .contains("cluster_state:ok")
                    .then_some(())
            });
        }
        this
    }

    /// `redis+cluster://…` of all nodes.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.address().to_string())
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Runs `redis-cli` following redirections.
    pub fn cli(&self, args: &[&str]) -> String {
        let port = self.nodes[0].port.to_string();
        run(Command::new("redis-cli")
            .args(["-c", "-e", "-p", &port])
            .args(args))
        .trim_end()
        .to_owned()
    }
}
