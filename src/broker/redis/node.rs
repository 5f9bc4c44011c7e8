//! One connection to one Redis node: pipelined batches of reads, each with its own outcome.

use super::calls::Calls;
use super::command::{self, commands, fault, width};
use super::guard::{Allowance, Guard};
use crate::broker::BrokerError;
use crate::broker::wire::{Meter, Stream};
use crate::layout::redis::{Read, Refusal, Reply};
use crate::model::{ErrorKind, Timestamp};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisResult, Value,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Commands in one pipeline at most: 500 queues with four reads each. Longer ones only make the
/// server's reply buffers grow.
const BATCH: usize = 2000;

/// Payload bytes that one pipeline may bring in at most.
const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// Who we say we are.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<crate::redact::Secret>,
    pub(super) db: u32,
}

pub(super) struct Node {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
    allowance: Allowance,
    meter: Arc<Meter>,
    /// Where this is, for messages.
    place: String,
    /// Whether the server tells us its statistics.
    tells_statistics: bool,
}

/// What `HELLO` tells of a node; empty before Redis 6.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: Option<String>,
    pub(super) role: Option<String>,
}

/// One page of a cursor's walk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) cursor: u64,
    pub(super) items: Vec<Vec<u8>>,
}

// === impl Node ===

impl Node {
    /// Logs in over a fresh stream.
    pub(super) async fn open(
        stream: Box<dyn Stream>,
        login: &Login,
        max_payload: u64,
        meter: &Arc<Meter>,
        place: String,
    ) -> Result<Self, BrokerError> {
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name()
            .set_db(i64::from(login.db));
        if let Some(username) = &login.username {
            info = info.set_username(username);
        }
        if let Some(password) = &login.password {
            info = info.set_password(password.expose());
        }
        let allowance = Allowance::default();
        let stream = Guard::new(stream, max_payload, allowance.clone());
        // Whoever calls us sets the time limit, over the whole poll.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
            .await
            .map_err(|error| fault(&place, &error))?;
        meter.count("connect", 1);
        let driver = tokio::spawn(driver);
        let mut node = Self {
            connection,
            driver,
            allowance,
            meter: Arc::clone(meter),
            place,
            tells_statistics: true,
        };
        // Only so that `CLIENT LIST` says who this is; a refusal does not matter.
        node.raw(
            "client",
            redis::cmd("CLIENT").arg("SETNAME").arg("tailback"),
        )
        .await
        .ok();
        Ok(node)
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// One reply a read, in their order.
    pub(super) async fn execute(&mut self, reads: &[&Read]) -> Result<Vec<Reply>, BrokerError> {
        let mut replies = Vec::with_capacity(reads.len());
        let mut rest = reads;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_len(rest));
            rest = after;
            let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
            let mut pipeline = Pipeline::with_capacity(batch.len());
            for (name, command) in batch.iter().flat_map(|read| commands(read)) {
                *counts.entry(name).or_default() += 1;
                pipeline.add_command(command);
            }
            counts
                .into_iter()
                .for_each(|(name, times)| self.meter.count(name, times));
            let mut results = self.send(&mut pipeline).await?.into_iter();
            for read in batch {
                let own: Vec<_> = results.by_ref().take(width(read)).collect();
                let reply = command::reply(read, own.into_iter());
                replies.push(reply.map_err(|error| self.fault(&error))?);
            }
        }
        Ok(replies)
    }

    /// Sends a pipeline; each command has an outcome of its own.
    async fn send(
        &mut self,
        pipeline: &mut Pipeline,
    ) -> Result<Vec<RedisResult<Value>>, BrokerError> {
        self.allowance.set(BATCH_BYTES);
        let results: Vec<RedisResult<Value>> = pipeline
            .ignore_errors()
            .query_async(&mut self.connection)
            .await
            .map_err(|error| self.fault(&error))?;
        if results.len() == pipeline.len() {
            Ok(results)
        } else {
            Err(self.out_of_step("a pipeline"))
        }
    }

    /// Sends one command of the connection's own needs.
    pub(super) async fn raw(
        &mut self,
        name: &'static str,
        command: &Cmd,
    ) -> Result<Value, BrokerError> {
        self.meter.count(name, 1);
        self.allowance.set(BATCH_BYTES);
        self.connection
            .send_packed_command(command)
            .await
            .map_err(|error| self.fault(&error))
            .and_then(|value| value.extract_error().map_err(|error| self.fault(&error)))
    }

    pub(super) async fn hello(&mut self) -> Hello {
        match self.raw("hello", &redis::cmd("HELLO")).await {
            Ok(Value::Array(fields)) => Hello::from_fields(&fields),
            _ => Hello::default(),
        }
    }

    /// How often the commands of interest have been called so far; `None` where that may not be
    /// asked.
    pub(super) async fn calls(&mut self) -> Result<Option<Calls>, BrokerError> {
        let text = self.info("commandstats").await?;
        Ok(text.map(|text| Calls::from_info(&text)))
    }

    /// What names this run of the server; `None` where that may not be asked.
    pub(super) async fn run_id(&mut self) -> Result<Option<String>, BrokerError> {
        let Some(text) = self.info("server").await? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&text);
        let id = text.lines().find_map(|line| line.strip_prefix("run_id:"));
        Ok(id.map(|id| id.trim().to_owned()))
    }

    /// One section of the server's statistics.
    async fn info(&mut self, section: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        if !self.tells_statistics {
            return Ok(None);
        }
        self.meter.count("info", 1);
        self.allowance.set(BATCH_BYTES);
        let question = redis::cmd("INFO").arg(section).take();
        let answer = self.connection.send_packed_command(&question).await;
        match answer.and_then(Value::extract_error) {
            Ok(Value::BulkString(text)) => Ok(Some(text)),
            // A right is missing, or it is no Redis that knows of this.
            Err(error) if error.is_io_error() || error.is_connection_dropped() => {
                Err(self.fault(&error))
            }
            _ => {
                self.tells_statistics = false;
                Ok(None)
            }
        }
    }

    /// The server's clock.
    pub(super) async fn time(&mut self) -> Result<Timestamp, BrokerError> {
        let value = self.raw("time", &redis::cmd("TIME")).await?;
        let (secs, micros): (i64, i64) =
            redis::from_redis_value(value).map_err(|_| self.out_of_step("TIME"))?;
        Ok(Timestamp::from_micros(
            secs.saturating_mul(1_000_000).saturating_add(micros),
        ))
    }

    /// One page of the walk over all keys, or why it is refused.
    pub(super) async fn scan(
        &mut self,
        cursor: u64,
        (pattern, of_type): (&[u8], Option<&'static str>),
        count: u32,
    ) -> Result<Result<Page, Refusal>, BrokerError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("SCAN").arg(cursor);
        if pattern != b"*" {
            pipeline.arg("MATCH").arg(pattern);
        }
        pipeline.arg("COUNT").arg(count);
        if let Some(of_type) = of_type {
            pipeline.arg("TYPE").arg(of_type);
        }
        self.meter.count("scan", 1);
        let mut pages = self.pages(&mut pipeline).await?;
        pages.pop().ok_or_else(|| self.out_of_step("SCAN"))
    }

    /// One page of each of several sets, in one pipeline, or why it is refused.
    pub(super) async fn sscan(
        &mut self,
        sets: &[(&[u8], u64)],
        count: u32,
    ) -> Result<Vec<Result<Page, Refusal>>, BrokerError> {
        let mut pipeline = Pipeline::with_capacity(sets.len());
        for (key, cursor) in sets {
            pipeline
                .cmd("SSCAN")
                .arg(*key)
                .arg(*cursor)
                .arg("COUNT")
                .arg(count);
        }
        self.meter.count("sscan", sets.len() as u64);
        self.pages(&mut pipeline).await
    }

    async fn pages(
        &mut self,
        pipeline: &mut Pipeline,
    ) -> Result<Vec<Result<Page, Refusal>>, BrokerError> {
        self.send(pipeline)
            .await?
            .into_iter()
            .map(|result| match result.and_then(Value::extract_error) {
                Ok(value) => page(value)
                    .map(Ok)
                    .ok_or_else(|| self.out_of_step("a scan")),
                Err(error) => command::refusal(error)
                    .map(Err)
                    .map_err(|error| self.fault(&error)),
            })
            .collect()
    }

    fn fault(&self, error: &redis::RedisError) -> BrokerError {
        fault(&self.place, error)
    }

    fn out_of_step(&self, what: &str) -> BrokerError {
        BrokerError::new(
            ErrorKind::Protocol,
            format!(
                "{}: {what} was not answered as Redis answers it; is this a Redis?",
                self.place
            ),
        )
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// How many of the reads go into the next pipeline: at least one, and one is never split.
fn batch_len(reads: &[&Read]) -> usize {
    let mut commands = 0;
    let fits = reads.iter().take_while(|read| {
        commands += width(read);
        commands <= BATCH
    });
    fits.count().max(1)
}

fn page(value: Value) -> Option<Page> {
    let (cursor, items): (Vec<u8>, Vec<Vec<u8>>) = redis::from_redis_value(value).ok()?;
    let cursor = std::str::from_utf8(&cursor).ok()?.parse().ok()?;
    Some(Page { cursor, items })
}

// === impl Hello ===

impl Hello {
    fn from_fields(fields: &[Value]) -> Self {
        let mut hello = Self::default();
        for pair in fields.chunks(2) {
            let [Value::BulkString(name), value] = pair else {
                continue;
            };
            let text = match value {
                Value::BulkString(text) => String::from_utf8(text.clone()).ok(),
                _ => None,
            };
            match name.as_slice() {
                b"version" => hello.version = text,
                b"role" => hello.role = text,
                _ => {}
            }
        }
        hello
    }
}
