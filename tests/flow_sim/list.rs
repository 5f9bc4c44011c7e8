//! A Redis with the lists of one Celery queue in memory, which answers the reads of the layout and
//! counts what they would cost.

use std::collections::VecDeque;
use tailback::layout::redis::{Read, Reply, Side};

/// A message: its number among the arrivals, whether it was put back, and when it was sent if it
/// says so, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Message {
    pub id: usize,
    pub redelivered: bool,
    pub sent: Option<i64>,
}

#[derive(Debug, Default)]
pub struct Lists {
    /// By key; the head is at the back, as with LPUSH and BRPOP.
    lists: Vec<(Vec<u8>, VecDeque<Message>)>,
    pub commands: u64,
    pub bytes: u64,
    pub scanned: u64,
}

impl Message {
    fn bytes(self) -> Vec<u8> {
        let mut headers = Vec::new();
        if self.redelivered {
            headers.push(r#""redelivered": true"#.to_owned());
        }
        if let Some(sent) = self.sent {
            headers.push(format!(r#""enqueued_at": {:.6}"#, sent as f64 / 1e6));
        }
        format!(
            r#"{{"body": "{}", "headers": {{{}}}, "properties": {{}}}}"#,
            self.id,
            headers.join(", ")
        )
        .into()
    }
}

impl Lists {
    pub fn new(keys: &[&[u8]]) -> Self {
        Self {
            lists: keys
                .iter()
                .map(|key| (key.to_vec(), VecDeque::new()))
                .collect(),
            ..Self::default()
        }
    }

    /// The list of a level: 0 is the first in order.
    pub fn level(&mut self, level: usize) -> &mut VecDeque<Message> {
        &mut self.lists[level].1
    }

    pub fn heads(&self) -> impl Iterator<Item = Message> + '_ {
        self.lists
            .iter()
            .filter_map(|(_, list)| list.back().copied())
    }

    pub fn answer(&mut self, read: &Read) -> Reply {
        if let Read::Atomic(_, reads) = read {
            self.commands += 2;
            return Reply::Array(reads.iter().map(|read| self.answer(read)).collect());
        }
        self.commands += 1;
        let empty = VecDeque::new();
        let list = self
            .lists
            .iter()
            .find(|(key, _)| **key == **read.key())
            .map_or(&empty, |(_, list)| list);
        let len = list.len() as i64;
        let at = |index: i64| usize::try_from(if index < 0 { index + len } else { index }).ok();
        let reply = match read {
            Read::Llen(_) => Reply::Int(len),
            Read::MemoryUsage(_) if len == 0 => Reply::Nil,
            Read::MemoryUsage(_) => Reply::Int(1000 * len),
            Read::Lindex(_, index) => at(*index)
                .and_then(|index| list.get(index))
                .map_or(Reply::Nil, |message| Reply::Bytes(message.bytes())),
            Read::Lpos {
                element,
                from,
                matches,
                limit,
                ..
            } => {
                let limit = limit.get() as usize;
                let is_it = |message: &&Message| message.bytes() == **element;
                // Only the number is compared first: it is most of the work.
                let found = match from {
                    Side::Left => list.iter().take(limit).position(|m| is_it(&m)),
                    Side::Right => list
                        .iter()
                        .rev()
                        .take(limit)
                        .position(|m| is_it(&m))
                        .map(|place| list.len() - 1 - place),
                };
                assert!((1..=2).contains(&matches.get()));
                let looked_at = match (found, from) {
                    (Some(index), Side::Left) => index + 1,
                    (Some(index), Side::Right) => list.len() - index,
                    (None, _) => limit.min(list.len()),
                };
                self.scanned += looked_at as u64;
                self.bytes += element.len() as u64;
                Reply::Array(
                    found
                        .map(|index| Reply::Int(index as i64))
                        .into_iter()
                        .collect(),
                )
            }
            Read::Zcard(_) => Reply::Int(0),
            Read::Lrange(..) | Read::Zrange(..) => Reply::Array(Vec::new()),
            other => panic!("{other:?}"),
        };
        if let Reply::Bytes(bytes) = &reply {
            self.bytes += bytes.len() as u64;
        }
        reply
    }
}
