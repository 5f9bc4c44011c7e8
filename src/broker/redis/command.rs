//! [`Read`]s as Redis commands, replies as [`Reply`]s, and errors by what can be done about them.

use super::guard::OVERSIZE;
use crate::broker::BrokerError;
use crate::layout::redis::{Read, Refusal, RefusalKind, Reply, Side};
use crate::model::ErrorKind;
use redis::{Cmd, RedisError, Value};

/// How many commands a read takes.
pub(super) fn width(read: &Read) -> usize {
    match read {
        Read::Atomic(_, reads) => reads.len() + 2,
        _ => 1,
    }
}

/// The commands of a read, each with the name by which it is counted.
pub(super) fn commands(read: &Read) -> Vec<(&'static str, Cmd)> {
    match read {
        Read::Atomic(_, reads) => std::iter::once(("multi", redis::cmd("MULTI")))
            .chain(reads.iter().map(command))
            .chain(std::iter::once(("exec", redis::cmd("EXEC"))))
            .collect(),
        read => vec![command(read)],
    }
}

fn command(read: &Read) -> (&'static str, Cmd) {
    match read {
        Read::Llen(key) => ("llen", key_command("LLEN", key)),
        Read::Lindex(key, index) => ("lindex", key_command("LINDEX", key).arg(*index).take()),
        Read::Lrange(key, from, to) => (
            "lrange",
            key_command("LRANGE", key).arg(*from).arg(*to).take(),
        ),
        Read::MemoryUsage(key) => (
            "memory",
            Cmd::new().arg("MEMORY").arg("USAGE").arg(&**key).take(),
        ),
        Read::Hlen(key) => ("hlen", key_command("HLEN", key)),
        Read::Hget(key, field) => ("hget", key_command("HGET", key).arg(&**field).take()),
        Read::Hstrlen(key, field) => ("hstrlen", key_command("HSTRLEN", key).arg(&**field).take()),
        Read::Hmget(key, fields) => ("hmget", key_command("HMGET", key).arg(*fields).take()),
        Read::Scard(key) => ("scard", key_command("SCARD", key)),
        Read::Smembers(key) => ("smembers", key_command("SMEMBERS", key)),
        Read::Zcard(key) => ("zcard", key_command("ZCARD", key)),
        Read::ZcountFrom(key, min) => (
            "zcount",
            key_command("ZCOUNT", key).arg(*min).arg("+inf").take(),
        ),
        Read::Zrange(key, from, to) => (
            "zrange",
            key_command("ZRANGE", key)
                .arg(*from)
                .arg(*to)
                .arg("WITHSCORES")
                .take(),
        ),
        Read::Exists(key) => ("exists", key_command("EXISTS", key)),
        Read::Type(key) => ("type", key_command("TYPE", key)),
        Read::Lpos {
            key,
            element,
            from,
            matches,
            limit,
        } => {
            let rank = match from {
                Side::Left => 1,
                Side::Right => -1,
            };
            let mut command = key_command("LPOS", key);
            command.arg(&**element).arg("RANK").arg(rank);
            command.arg("COUNT").arg(matches.get());
            // Zero would be no limit at all.
            let limit = limit.get().min(Read::MAX_SCAN);
            ("lpos", command.arg("MAXLEN").arg(limit).take())
        }
        // One inside another is not a transaction of its own.
        Read::Atomic(key, _) => ("exists", key_command("EXISTS", key)),
    }
}

fn key_command(name: &'static str, key: &[u8]) -> Cmd {
    let mut command = Cmd::with_capacity(5, name.len() + key.len() + 32);
    command.arg(name).arg(key);
    command
}

/// The reply to one read, from the results of its commands. An error here is this read's alone.
pub(super) fn reply(
    read: &Read,
    mut results: impl ExactSizeIterator<Item = Result<Value, RedisError>>,
) -> Result<Reply, RedisError> {
    let Read::Atomic(..) = read else {
        return results.next().map_or(Ok(Reply::Nil), reply_to_one);
    };
    let multi = results.next().map_or(Ok(Reply::Nil), reply_to_one)?;
    let last = results.len().saturating_sub(1);
    let mut within = Vec::with_capacity(last);
    for result in results.by_ref().take(last) {
        within.push(reply_to_one(result)?);
    }
    if let Reply::Refused(_) = multi {
        // No transaction: then each command was answered by itself.
        return Ok(Reply::Loose(within));
    }
    // A command that was not let into the transaction says why; its end says only that it failed.
    let refused = within
        .into_iter()
        .find(|reply| matches!(reply, Reply::Refused(_)));
    match (refused, results.next()) {
        (Some(refused), _) => Ok(refused),
        (None, Some(result)) => reply_to_one(result),
        (None, None) => Ok(Reply::Nil),
    }
}

fn reply_to_one(result: Result<Value, RedisError>) -> Result<Reply, RedisError> {
    match result {
        Ok(Value::ServerError(error)) => refusal(RedisError::from(error)).map(Reply::Refused),
        Ok(value) => Ok(plain(value)),
        Err(error) => refusal(error).map(Reply::Refused),
    }
}

fn plain(value: Value) -> Reply {
    match value {
        Value::Int(number) => Reply::Int(number),
        Value::BulkString(bytes) => Reply::Bytes(bytes),
        Value::SimpleString(text) => Reply::Bytes(text.into_bytes()),
        Value::Okay => Reply::Bytes(b"OK".to_vec()),
        Value::Array(values) => Reply::Array(values.into_iter().map(plain).collect()),
        Value::ServerError(error) => match refusal(RedisError::from(error)) {
            Ok(refusal) => Reply::Refused(refusal),
            Err(_) => Reply::Nil,
        },
        // RESP3 kinds, which a RESP2 connection does not bring.
        _ => Reply::Nil,
    }
}

/// A refusal of a single read; `Err` where the error concerns the whole connection.
fn refusal(error: RedisError) -> Result<Refusal, RedisError> {
    let kind = match error.code() {
        Some("NOPERM") => RefusalKind::NotPermitted,
        Some("WRONGTYPE") => RefusalKind::WrongType,
        Some(OVERSIZE) => RefusalKind::TooLarge,
        Some("ERR") => RefusalKind::Other,
        _ => return Err(error),
    };
    Ok(Refusal {
        kind,
        message: words(&error),
    })
}

/// The server's words, or the client library's.
fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

/// A fault of the whole connection, with what to do about it.
pub(super) fn fault(place: &str, error: &RedisError) -> BrokerError {
    let words = words(error);
    let (kind, advice) = match error.code() {
        Some("NOAUTH") => (ErrorKind::Auth, "set a user name and password"),
        Some("WRONGPASS") => (ErrorKind::Auth, "check the user name and password"),
        Some("NOPERM") => (
            ErrorKind::Permission,
            "the ACL user lacks a right; give it the rule in the README's section on security",
        ),
        Some("LOADING") => (
            ErrorKind::Protocol,
            "Redis is loading its data; it will pass",
        ),
        Some("READONLY") => (ErrorKind::Protocol, "this node is a replica"),
        Some("MOVED" | "ASK") => (
            ErrorKind::Protocol,
            "this Redis is a cluster: use a redis+cluster:// URL (if it is one already, slots are \
             moving)",
        ),
        Some("CLUSTERDOWN") => (ErrorKind::Protocol, "the cluster does not serve all slots"),
        Some("MASTERDOWN") => (ErrorKind::Protocol, "the replica has lost its master"),
        _ if error.kind() == redis::ErrorKind::AuthenticationFailed
            || error.detail().is_some_and(|detail| detail.contains("AUTH")) =>
        {
            (ErrorKind::Auth, "check the user name and password")
        }
        _ if error.is_timeout() => (ErrorKind::Timeout, "Redis did not answer in time"),
        _ if error.is_io_error() || error.is_connection_dropped() => (
            ErrorKind::Connect,
            "the connection broke; it will be made again",
        ),
        _ => (ErrorKind::Protocol, "Redis answered what was not expected"),
    };
    BrokerError::new(kind, format!("{place}: {words} ({advice})"))
}

/// Whether the answer says that keys live on another node than we thought.
pub(super) fn is_redirect(error: &RedisError) -> bool {
    matches!(error.code(), Some("MOVED" | "ASK"))
}
