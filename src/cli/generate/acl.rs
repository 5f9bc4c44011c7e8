//! `generate acl`

use crate::broker::redis::rights;
use crate::generate::acl::{self, RabbitMqUser, RedisUser};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(in crate::cli) struct AclArgs {
    /// Of which broker.
    #[arg(value_enum, default_value_t = AclBroker::Redis)]
    broker: AclBroker,
    /// The user's name.
    #[arg(long, value_name = "NAME", default_value = "tailback")]
    user: String,
    /// Redis: globs of the keys that it may read.
    #[arg(long, value_name = "GLOB", num_args = 1.., default_value = "*")]
    keys: Vec<String>,
    /// Redis 6, where a user cannot be given the right to read keys alone.
    #[arg(long)]
    before_7: bool,
    /// RabbitMQ: virtual hosts that it may read.
    #[arg(long, value_name = "NAME", num_args = 1.., default_value = "/")]
    vhost: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AclBroker {
    /// A Redis or Valkey by itself, or one that sentinels watch.
    Redis,
    /// The nodes of a Redis Cluster.
    RedisCluster,
    /// The sentinels.
    RedisSentinel,
    Rabbitmq,
}

impl AclArgs {
    pub(super) fn rule(self) -> Result<String, Vec<String>> {
        let own: &[&str] = match self.broker {
            AclBroker::Redis => &[],
            AclBroker::RedisCluster => &rights::CLUSTER,
            AclBroker::RedisSentinel => {
                return acl::redis(&RedisUser {
                    name: self.user,
                    keys: Vec::new(),
                    rights: rights::SENTINEL.into(),
                    is_before_7: self.before_7,
                });
            }
            AclBroker::Rabbitmq => {
                return acl::rabbitmq(&RabbitMqUser {
                    name: self.user,
                    vhosts: self.vhost,
                });
            }
        };
        acl::redis(&RedisUser {
            name: self.user,
            keys: self.keys,
            rights: [&rights::NEEDED[..], &rights::USEFUL, own].concat(),
            is_before_7: self.before_7,
        })
    }
}
