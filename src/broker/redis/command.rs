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
        Read::Hgetall(key) => ("hgetall", key_command("HGETALL", key)),
        Read::Getrange(key, bytes) => {
            let last = i64::from((*bytes).clamp(1, Read::MAX_TEXT)) - 1;
            (
                "getrange",
                key_command("GETRANGE", key).arg(0).arg(last).take(),
            )
        }
        Read::Pttl(key) => ("pttl", key_command("PTTL", key)),
        Read::Zcount(key, min, max) => (
            "zcount",
            key_command("ZCOUNT", key)
                .arg(score(*min))
                .arg(score(*max))
                .take(),
        ),
        Read::ZrangeByScore {
            key,
            min,
            max,
            limit,
        } => {
            let mut command = key_command("ZRANGEBYSCORE", key);
            command.arg(score(*min)).arg(score(*max)).arg("WITHSCORES");
            let limit = (*limit).min(Read::MAX_ELEMENTS);
            (
                "zrangebyscore",
                command.arg("LIMIT").arg(0).arg(limit).take(),
            )
        }
        Read::Xlen(key) => ("xlen", key_command("XLEN", key)),
        Read::XinfoStream(key) => ("xinfo", xinfo("STREAM", key)),
        Read::XinfoGroups(key) => ("xinfo", xinfo("GROUPS", key)),
        Read::XpendingFirst(key, group, count) => {
            let mut command = key_command("XPENDING", key);
            command.arg(&**group).arg("-").arg("+");
            let count = (*count).clamp(1, Read::MAX_ELEMENTS);
            ("xpending", command.arg(count).take())
        }
        Read::XrangeAfter(key, id, count) => {
            // An exclusive start is known from Redis 6.2 on; ids are followed by the next one.
            let mut command = key_command("XRANGE", key);
            command.arg(next_id(id)).arg("+").arg("COUNT");
            let count = (*count).clamp(1, Read::MAX_ELEMENTS);
            ("xrange", command.arg(count).take())
        }
        Read::XrangeFrom(key, id, count) => {
            let mut command = key_command("XRANGE", key);
            let count = (*count).clamp(1, Read::MAX_ELEMENTS);
            command.arg(&**id).arg("+").arg("COUNT");
            ("xrange", command.arg(count).take())
        }
        Read::XrevrangeLast(key) => {
            let mut command = key_command("XREVRANGE", key);
            command.arg("+").arg("-").arg("COUNT");
            ("xrevrange", command.arg(1).take())
        }
        Read::Zrange(key, from, to) => (
            "zrange",
            key_command("ZRANGE", key)
                .arg(*from)
                .arg(*to)
                .arg("WITHSCORES")
                .take(),
        ),
        Read::ZrangeLast(key, count) => {
            let count = i64::from((*count).clamp(1, Read::MAX_ELEMENTS));
            let mut command = key_command("ZRANGE", key);
            (
                "zrange",
                command.arg(-count).arg(-1).arg("WITHSCORES").take(),
            )
        }
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

fn xinfo(what: &'static str, key: &[u8]) -> Cmd {
    Cmd::new().arg("XINFO").arg(what).arg(key).take()
}

/// A score as Redis reads it.
fn score(score: f64) -> String {
    if score == f64::INFINITY {
        "+inf".to_owned()
    } else if score == f64::NEG_INFINITY {
        "-inf".to_owned()
    } else {
        score.to_string()
    }
}

/// The id that follows a stream's id; one that is no id as it is, which Redis then refuses.
fn next_id(id: &[u8]) -> Vec<u8> {
    let next = || {
        let (ms, sequence) = std::str::from_utf8(id).ok()?.split_once('-')?;
        let (ms, sequence): (u64, u64) = (ms.parse().ok()?, sequence.parse().ok()?);
        Some(match sequence.checked_add(1) {
            Some(sequence) => format!("{ms}-{sequence}"),
            None => format!("{}-0", ms.checked_add(1)?),
        })
    };
    next().map_or_else(|| id.to_vec(), String::into_bytes)
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
pub(super) fn refusal(error: RedisError) -> Result<Refusal, RedisError> {
    let kind = match error.code() {
        Some("NOPERM") => RefusalKind::NotPermitted,
        Some("WRONGTYPE") => RefusalKind::WrongType,
        Some(OVERSIZE) => RefusalKind::TooLarge,
        Some("ERR" | "NOGROUP") => RefusalKind::Other,
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
        Some("LOADING") => (
            ErrorKind::Protocol,
            "Redis is loading its data; it will pass",
        ),
        Some("BUSY") => (
            ErrorKind::Protocol,
            "a script of another client has been running for too long; SCRIPT KILL ends it",
        ),
        Some("MOVED" | "ASK") => (
            ErrorKind::Protocol,
            "this Redis is a cluster: use a redis+cluster:// URL (if it is one already, slots are \
             moving)",
        ),
        Some("CLUSTERDOWN") => (ErrorKind::Protocol, "the cluster does not serve all slots"),
        Some("MASTERDOWN") => (ErrorKind::Protocol, "the replica has lost its master"),
        // The client library keeps no code of what fails while it logs in, only the words.
        _ if words.contains("NOPERM") || words.contains("no permissions") => (
            ErrorKind::Permission,
            "the ACL user lacks a right; give it the rule that `tailback generate acl` writes",
        ),
        _ if words.contains("DB index") => (
            ErrorKind::Protocol,
            "there is no database of this number; check the URL",
        ),
        _ if words.contains("cluster support disabled") => (
            ErrorKind::Protocol,
            "this Redis is no cluster: use a redis:// URL",
        ),
        _ if words
            .to_ascii_lowercase()
            .contains("unknown command 'sentinel'") =>
        {
            (
                ErrorKind::Protocol,
                "this is no sentinel: use a redis:// URL, or the sentinels' port",
            )
        }
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
