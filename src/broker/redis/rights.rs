//! What a Redis must allow tailback: the commands that it sends, as the server's access control names
//! them. `tailback generate acl` writes the rule from here.

use super::command::commands;
use crate::layout::redis::{Bytes, Read, RefusalKind, Reply, Side};
use redis::Cmd;
use std::num::NonZeroU32;

/// For every server that holds queues. Each read is `layout::redis::Read`, and what the connection
/// itself needs.
pub const NEEDED: [&str; 33] = [
    "exec",
    "exists",
    "getrange",
    "hget",
    "hgetall",
    "hlen",
    "hmget",
    "hstrlen",
    "lindex",
    "llen",
    "lpos",
    "lrange",
    "memory|usage",
    "multi",
    "pttl",
    "scan",
    "scard",
    "select",
    "smembers",
    "sscan",
    "time",
    "type",
    "xinfo|groups",
    "xinfo|stream",
    "xlen",
    "xpending",
    "xrange",
    "xrevrange",
    "zcard",
    "zcount",
    "zrange",
    "zrangebyscore",
    "zscore",
];

/// What tailback does without where it is refused: the server's version, its counters of calls, by which
/// jobs are counted that come and go between two polls, and a name in `CLIENT LIST`.
pub const USEFUL: [&str; 3] = ["client|setname", "hello", "info"];

/// For the nodes of a cluster besides.
pub const CLUSTER: [&str; 1] = ["cluster|slots"];

/// For sentinels, and nothing else.
pub const SENTINEL: [&str; 1] = ["sentinel|get-master-addr-by-name"];

/// Each read once, of a key that nobody has: whether it is allowed. The transaction comes last, since
/// one that may be begun and not ended has no end.
pub(super) fn probes() -> Vec<Read> {
    let key: Bytes = b"tailback:check"[..].into();
    let one = NonZeroU32::MIN;
    let k = || Bytes::clone(&key);
    let all = vec![
        Read::Llen(k()),
        Read::Lindex(k(), 0),
        Read::Lrange(k(), 0, 1),
        Read::MemoryUsage(k()),
        Read::Hlen(k()),
        Read::Hget(k(), k()),
        Read::Hstrlen(k(), k()),
        Read::Hmget(k(), &["a"]),
        Read::Scard(k()),
        Read::Smembers(k()),
        Read::Zcard(k()),
        Read::Hgetall(k()),
        Read::Getrange(k(), 1),
        Read::Pttl(k()),
        Read::Zscore(k(), k()),
        Read::Zcount(k(), 0.0, 1.0),
        Read::ZrangeByScore {
            key: k(),
            min: 0.0,
            max: 1.0,
            limit: 1,
        },
        Read::Xlen(k()),
        Read::XinfoStream(k()),
        Read::XinfoGroups(k()),
        Read::Xpending(k(), k()),
        Read::XpendingFirst(k(), k(), 1),
        Read::XrangeAfter(k(), k(), 1),
        Read::XrangeFrom(k(), k(), 1),
        Read::XrevrangeLast(k()),
        Read::Zrange(k(), 0, 1),
        Read::ZrangeLast(k(), 1),
        Read::Exists(k()),
        Read::Type(k()),
        Read::Lpos {
            key: k(),
            element: k(),
            from: Side::Left,
            matches: one,
            limit: one,
        },
        Read::Atomic(k(), vec![Read::Llen(k())]),
    ];
    // Whoever adds a read comes by here.
    for read in &all {
        match read {
            Read::Llen(..) | Read::Lindex(..) | Read::Lrange(..) | Read::MemoryUsage(..) => {}
            Read::Hlen(..) | Read::Hget(..) | Read::Hstrlen(..) | Read::Hmget(..) => {}
            Read::Scard(..) | Read::Smembers(..) | Read::Zcard(..) | Read::Hgetall(..) => {}
            Read::Getrange(..) | Read::Pttl(..) | Read::Zscore(..) | Read::Zcount(..) => {}
            Read::ZrangeByScore { .. } | Read::Xlen(..) | Read::XinfoStream(..) => {}
            Read::XinfoGroups(..) | Read::Xpending(..) | Read::XpendingFirst(..) => {}
            Read::XrangeAfter(..) | Read::XrangeFrom(..) | Read::XrevrangeLast(..) => {}
            Read::Zrange(..) | Read::ZrangeLast(..) | Read::Exists(..) | Read::Type(..) => {}
            Read::Lpos { .. } | Read::Atomic(..) => {}
        }
    }
    all
}

/// The right that a probe was refused for.
pub(super) fn refused(read: &Read, reply: &Reply) -> Option<&'static str> {
    let refusal = match reply {
        Reply::Loose(_) => return Some("multi"),
        Reply::Refused(refusal) => refusal,
        _ => return None,
    };
    // Keys that may not be read are another matter: these are nobody's.
    let is_right = refusal.kind == RefusalKind::NotPermitted && refusal.message.contains("to run");
    if !is_right {
        return None;
    }
    let right = commands(read)
        .last()
        .map(|(_, command)| right_of(command))?;
    // What is refused within a transaction is refused by itself too.
    let is_named = !matches!(read, Read::Atomic(..)) || refusal.message.contains(&right);
    NEEDED
        .into_iter()
        .find(|needed| is_named && *needed == right)
}

/// What access control calls a command.
fn right_of(command: &Cmd) -> String {
    let mut words = command.args_iter().map(|arg| match arg {
        redis::Arg::Simple(word) => String::from_utf8_lossy(word).to_ascii_lowercase(),
        _ => String::new(),
    });
    let name = words.next().unwrap_or_default();
    let is_container = ["memory", "xinfo"].contains(&name.as_str());
    match words.next().filter(|_| is_container) {
        Some(what) => format!("{name}|{what}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn they_are_what_the_reads_and_the_connection_need() {
        let mut wanted: BTreeSet<String> = ["scan", "sscan", "select", "time"]
            .map(str::to_owned)
            .into();
        for (_, command) in probes().iter().flat_map(commands) {
            wanted.insert(right_of(&command));
        }
        let needed = NEEDED.map(str::to_owned);
        assert!(needed.is_sorted());
        assert_eq!(BTreeSet::from(needed), wanted);
    }
}
