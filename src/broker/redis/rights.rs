//! What a Redis must allow tailback: the commands that it sends, as the server's access control names
//! them. `tailback generate acl` writes the rule from here.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::redis::command::commands;
    use crate::layout::redis::{Bytes, Read, Side};
    use std::collections::BTreeSet;
    use std::num::NonZeroU32;

    fn every_read() -> Vec<Read> {
        let key: Bytes = b"key"[..].into();
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

    #[test]
    fn they_are_what_the_reads_and_the_connection_need() {
        let mut wanted: BTreeSet<String> = ["scan", "sscan", "select", "time"]
            .map(str::to_owned)
            .into();
        for (_, command) in every_read().iter().flat_map(commands) {
            let mut words = command.args_iter().map(|arg| match arg {
                redis::Arg::Simple(word) => String::from_utf8_lossy(word).to_ascii_lowercase(),
                _ => String::new(),
            });
            let name = words.next().unwrap();
            let is_container = ["memory", "xinfo"].contains(&name.as_str());
            wanted.insert(match words.next().filter(|_| is_container) {
                Some(what) => format!("{name}|{what}"),
                None => name,
            });
        }
        let needed = NEEDED.map(str::to_owned);
        assert!(needed.is_sorted());
        assert_eq!(BTreeSet::from(needed), wanted);
    }
}
