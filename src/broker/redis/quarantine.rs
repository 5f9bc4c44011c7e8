//! Keys whose payload was too large. A reply that the guard drops has still cost the broker and the
//! network, so what was refused once is not asked for again for a while, and ever more rarely.

use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

const MIN_PAUSE: Duration = Duration::from_secs(10);
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// Beyond so many keys the ones whose pause is over are forgotten.
const MANY: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Quarantine {
    keys: HashMap<Bytes, Pause>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    length: Duration,
    until: Instant,
}

/// What is left of some reads to send, and where their replies go.
#[derive(Debug)]
pub(super) struct Screened {
    pub(super) reads: Vec<Read>,
    /// For each of the original reads.
    fates: Vec<Fate>,
}

#[derive(Debug)]
enum Fate {
    Sent,
    /// Answered without asking.
    Held,
    /// Sent without these parts.
    Thinned(Vec<usize>),
}

impl Quarantine {
    /// Takes out what must not be asked now. `None`: nothing, which is the usual case.
    pub(super) fn screen(&self, reads: &[Read], now: Instant) -> Option<Screened> {
        if !reads.iter().any(|read| self.holds(read, now)) {
            return None;
        }
        let mut screened = Screened {
            reads: Vec::new(),
            fates: Vec::new(),
        };
        for read in reads {
            let fate = match read {
                read if !self.holds(read, now) => {
                    screened.reads.push(read.clone());
                    Fate::Sent
                }
                Read::Atomic(key, parts) => {
                    let (held, kept): (Vec<_>, Vec<_>) = parts
                        .iter()
                        .enumerate()
                        .partition(|(_, part)| has_payload(part));
                    let kept = kept.into_iter().map(|(_, part)| part.clone()).collect();
                    screened.reads.push(Read::Atomic(Bytes::clone(key), kept));
                    Fate::Thinned(held.into_iter().map(|(index, _)| index).collect())
                }
                _ => Fate::Held,
            };
            screened.fates.push(fate);
        }
        Some(screened)
    }

    fn holds(&self, read: &Read, now: Instant) -> bool {
        !self.keys.is_empty()
            && has_payload(read)
            && self
                .keys
                .get(read.key())
                .is_some_and(|pause| now < pause.until)
    }

    /// Learns from the replies which keys to leave alone, and for how long.
    pub(super) fn learn(&mut self, reads: &[Read], replies: &[Reply], now: Instant) {
        for (read, reply) in reads
            .iter()
            .zip(replies)
            .filter(|(read, _)| has_payload(read))
        {
            if is_too_large(reply) {
                let length = self
                    .keys
                    .get(read.key())
                    .map_or(MIN_PAUSE, |pause| (pause.length * 2).min(MAX_PAUSE));
                let pause = Pause {
                    length,
                    until: now + length,
                };
                self.keys.insert(Bytes::clone(read.key()), pause);
            } else if !self.keys.is_empty() {
                self.keys.remove(read.key());
            }
        }
        if self.keys.len() > MANY {
            self.keys.retain(|_, pause| now < pause.until);
        }
    }
}

impl Screened {
    /// Puts the replies together with what was not asked.
    pub(super) fn restore(self, replies: Vec<Reply>) -> Vec<Reply> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil);
        self.fates
            .into_iter()
            .map(|fate| match fate {
                Fate::Sent => next(),
                Fate::Held => too_large(),
                Fate::Thinned(missing) => match next() {
                    Reply::Array(parts) => Reply::Array(thicken(parts, &missing)),
                    Reply::Loose(parts) => Reply::Loose(thicken(parts, &missing)),
                    other => other,
                },
            })
            .collect()
    }
}

/// The parts with a refusal at each of the places that are missing.
fn thicken(parts: Vec<Reply>, missing: &[usize]) -> Vec<Reply> {
    let total = parts.len() + missing.len();
    let mut parts = parts.into_iter();
    (0..total)
        .map(|place| {
            if missing.contains(&place) {
                too_large()
            } else {
                parts.next().unwrap_or(Reply::Nil)
            }
        })
        .collect()
}

fn too_large() -> Reply {
    Reply::Refused(Refusal {
        kind: RefusalKind::TooLarge,
        message: "it was larger than max_payload_bytes a moment ago".into(),
    })
}

fn is_too_large(reply: &Reply) -> bool {
    match reply {
        Reply::Refused(refusal) => refusal.kind == RefusalKind::TooLarge,
        Reply::Array(parts) | Reply::Loose(parts) => parts.iter().any(is_too_large),
        _ => false,
    }
}

/// Whether the reply can hold something that somebody else has made as large as they liked.
fn has_payload(read: &Read) -> bool {
    match read {
        Read::Lindex(..)
        | Read::Lrange(..)
        | Read::Hget(..)
        | Read::Hmget(..)
        | Read::Smembers(_)
        | Read::Zrange(..)
        | Read::ZrangeLast(..)
        | Read::ZrangeByScore { .. }
        | Read::Hgetall(_)
        | Read::Getrange(..)
        | Read::XinfoStream(_)
        | Read::XrangeAfter(..)
        | Read::XrevrangeLast(_) => true,
        Read::Atomic(_, parts) => parts.iter().any(has_payload),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn key(name: &str) -> Bytes {
        name.as_bytes().into()
    }

    #[test]
    fn what_was_too_large_is_left_alone_ever_longer_and_then_tried_again() {
        let reads = [
            Read::Lindex(key("a"), -1),
            Read::Llen(key("a")),
            Read::Lindex(key("b"), -1),
        ];
        let (mut quarantine, mut now) = (Quarantine::default(), clock::now().mono);
        assert!(quarantine.screen(&reads, now).is_none());
        let small = || Reply::Bytes(b"x".to_vec());
        for pause in [10, 20, 40] {
            quarantine.learn(&reads, &[too_large(), Reply::Int(1), small()], now);
            now += Duration::from_secs(pause - 1);
            let screened = quarantine.screen(&reads, now).unwrap();
            assert_eq!(screened.reads, reads[1..]);
            let replies = screened.restore(vec![Reply::Int(1), small()]);
            assert_eq!(replies, [too_large(), Reply::Int(1), small()]);
            now += Duration::from_secs(1);
            assert!(quarantine.screen(&reads, now).is_none());
        }
        quarantine.learn(&reads, &[small(), Reply::Int(1), small()], now);
        assert!(quarantine.keys.is_empty());
    }

    #[test]
    fn a_transaction_is_sent_without_its_payloads() {
        let parts = vec![
            Read::Lindex(key("a"), -1),
            Read::Llen(key("a")),
            Read::Lindex(key("a"), 0),
        ];
        let reads = [Read::Atomic(key("a"), parts)];
        let (mut quarantine, now) = (Quarantine::default(), clock::now().mono);
        let replies = [Reply::Array(vec![too_large(), Reply::Int(9), Reply::Nil])];
        quarantine.learn(&reads, &replies, now);
        let screened = quarantine.screen(&reads, now).unwrap();
        assert_eq!(
            screened.reads,
            [Read::Atomic(key("a"), vec![Read::Llen(key("a"))])]
        );
        assert_eq!(
            screened.restore(vec![Reply::Array(vec![Reply::Int(9)])]),
            [Reply::Array(vec![too_large(), Reply::Int(9), too_large()])]
        );
    }
}
