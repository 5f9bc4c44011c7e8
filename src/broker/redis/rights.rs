//! What a Redis must allow tailback: the commands that it sends, as the server's access control names
//! them. `tailback generate acl` writes the rule from here.

use super::command::commands;
use crate::layout::redis::{Bytes, Read, RefusalKind, Reply, Side};
use crate::model::{ErrorKind, PollFailure};
use redis::Cmd;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// For every server that holds queues. Each read is `layout::redis::Read`, and what the connection
/// itself needs.
pub const NEEDED: [&str; 32] = [
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
];

/// What tailback does without where it is refused: the server's version, its counters of calls, by which
/// jobs are counted that come and go between two polls, which run of the server it is, and a name in
/// `CLIENT LIST`.
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
            Read::Getrange(..) | Read::Pttl(..) | Read::Zcount(..) => {}
            Read::ZrangeByScore { .. } | Read::Xlen(..) | Read::XinfoStream(..) => {}
            Read::XinfoGroups(..) | Read::XpendingFirst(..) => {}
            Read::XrangeAfter(..) | Read::XrangeFrom(..) | Read::XrevrangeLast(..) => {}
            Read::Zrange(..) | Read::ZrangeLast(..) | Read::Exists(..) | Read::Type(..) => {}
            Read::Lpos { .. } | Read::Atomic(..) => {}
        }
    }
    all
}

/// Polls do as well without these: lists are searched for what is remembered by fetching elements, and
/// read without a transaction. `check` names them.
const REPLACED: [&str; 2] = ["lpos", "multi"];

/// The rights that reads were refused for on a connection, each until one like it is answered. Not
/// every poll asks for everything, so they are kept: a lasting fault is told once.
#[derive(Debug, Default)]
pub(super) struct Missing(BTreeSet<&'static str>);

impl Missing {
    pub(super) fn note(&mut self, reads: &[&Read], replies: &[Reply]) {
        for (read, reply) in reads.iter().zip(replies) {
            match refused(read, reply) {
                Some(right) => _ = self.0.insert(right),
                None if self.0.is_empty() || matches!(reply, Reply::Refused(_)) => {}
                None => {
                    for right in rights_of(read) {
                        self.0.remove(right.as_str());
                    }
                }
            }
        }
    }

    pub(super) fn fault(&self) -> Option<PollFailure> {
        let rights = self.0.iter().filter(|right| !REPLACED.contains(right));
        let rights: Vec<String> = rights.map(|right| format!("`{right}`")).collect();
        (!rights.is_empty()).then(|| PollFailure {
            kind: ErrorKind::Permission,
            message: format!(
                "the ACL user may not run {}, and what rests on it is missing; give it the rule \
                 that `tailback generate acl` writes",
                rights.join(", ")
            ),
        })
    }
}

/// The right that a read was refused for.
pub(super) fn refused(read: &Read, reply: &Reply) -> Option<&'static str> {
    let refusal = match reply {
        Reply::Loose(_) => return Some("multi"),
        Reply::Refused(refusal) => refusal,
        _ => return None,
    };
    // Keys that may not be read are another matter.
    let is_right = refusal.kind == RefusalKind::NotPermitted && refusal.message.contains("to run");
    if !is_right {
        return None;
    }
    // Of a transaction the server's words say which of its commands it was; of what has a
    // subcommand, those of Redis 6 say no more than the command.
    let is_single = !matches!(read, Read::Atomic(..));
    let right = rights_of(read)
        .into_iter()
        .find(|right| is_single || refusal.message.contains(&format!("'{right}'")))?;
    NEEDED.into_iter().find(|needed| *needed == right)
}

fn rights_of(read: &Read) -> Vec<String> {
    let commands = commands(read);
    commands
        .iter()
        .map(|(_, command)| right_of(command))
        .collect()
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
    use crate::layout::redis::Refusal;

    #[test]
    fn they_are_what_the_reads_and_the_connection_need() {
        let mut wanted: BTreeSet<String> = ["scan", "sscan", "select", "time"]
            .map(str::to_owned)
            .into();
        wanted.extend(probes().iter().flat_map(rights_of));
        let needed = NEEDED.map(str::to_owned);
        assert!(needed.is_sorted());
        assert_eq!(BTreeSet::from(needed), wanted);
    }

    fn refusal(command: &str) -> Reply {
        Reply::Refused(Refusal {
            kind: RefusalKind::NotPermitted,
            message: format!("NOPERM User t has no permissions to run the '{command}' command"),
        })
    }

    #[test]
    fn a_missing_right_is_told_until_a_read_like_it_is_answered() {
        let key: Bytes = b"k"[..].into();
        let (ttl, length) = (
            Read::Pttl(Bytes::clone(&key)),
            Read::Llen(Bytes::clone(&key)),
        );
        let mut missing = Missing::default();
        missing.note(&[&length], &[Reply::Int(1)]);
        assert_eq!(missing.fault(), None);
        missing.note(&[&ttl, &length], &[refusal("pttl"), Reply::Int(1)]);
        let fault = missing.fault().unwrap();
        assert_eq!(fault.kind, ErrorKind::Permission);
        assert!(
            fault.message.contains("may not run `pttl`,"),
            "{}",
            fault.message
        );
        missing.note(&[&length], &[Reply::Int(1)]);
        assert_eq!(missing.fault(), Some(fault));
        missing.note(&[&ttl], &[Reply::Int(-2)]);
        assert_eq!(missing.fault(), None);
    }

    #[test]
    fn of_a_transaction_the_command_that_was_refused_is_told_and_what_can_be_replaced_is_not() {
        let key: Bytes = b"k"[..].into();
        let within = vec![
            Read::Llen(Bytes::clone(&key)),
            Read::Lindex(Bytes::clone(&key), 0),
        ];
        let atomic = Read::Atomic(key, within);
        assert_eq!(refused(&atomic, &refusal("lindex")), Some("lindex"));
        assert_eq!(refused(&atomic, &refusal("exec")), Some("exec"));
        assert_eq!(refused(&atomic, &refusal("get")), None);
        let mut missing = Missing::default();
        missing.note(&[&atomic], &[Reply::Loose(Vec::new())]);
        assert_eq!(missing.fault(), None);
    }

    #[test]
    fn keys_that_may_not_be_read_are_no_missing_right() {
        let read = Read::Pttl(b"k"[..].into());
        let reply = Reply::Refused(Refusal {
            kind: RefusalKind::NotPermitted,
            message: "NOPERM No permissions to access a key".into(),
        });
        assert_eq!(refused(&read, &reply), None);
        // As Redis 6 words it.
        let groups = Read::XinfoGroups(b"k"[..].into());
        assert_eq!(refused(&groups, &refusal("xinfo")), Some("xinfo|groups"));
    }
}
