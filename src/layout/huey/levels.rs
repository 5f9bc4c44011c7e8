//! The conversation about one queue with priorities: the first task of each level, one level after
//! the other.

use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply};
use crate::model::{Head, LatencySource, Reason, Timestamp};
use std::time::Duration;

/// Levels that are looked at.
const MAX_LEVELS: usize = 10;

/// A producer's clock may be ahead by so much.
const AHEAD: Duration = Duration::from_secs(60);

pub(super) struct Levels {
    key: Bytes,
    pub(super) ready: Result<u64, Refusal>,
    levels: Vec<Level>,
    /// The levels have come to an end.
    is_complete: bool,
    pub(super) refused: Option<Refusal>,
}

struct Level {
    score: f64,
    enqueued: Option<Timestamp>,
    tasks: u64,
}

impl Levels {
    pub(super) fn new(key: Bytes) -> Self {
        Self {
            key,
            ready: Ok(0),
            levels: Vec::new(),
            is_complete: false,
            refused: None,
        }
    }

    /// The two reads of the next round; none when all is known.
    pub(super) fn ask(&self) -> Option<[Read; 2]> {
        if self.is_complete || self.levels.len() >= MAX_LEVELS {
            return None;
        }
        let key = || Bytes::clone(&self.key);
        let (count, min) = match self.levels.last() {
            None => (Read::Zcard(key()), f64::NEG_INFINITY),
            Some(last) => (
                Read::Zcount(key(), last.score, last.score),
                last.score.next_up(),
            ),
        };
        let first = Read::ZrangeByScore {
            key: key(),
            min,
            max: f64::INFINITY,
            limit: 1,
        };
        Some([count, first])
    }

    pub(super) fn take(&mut self, count: Reply, first: Reply, now: Timestamp) {
        match self.levels.last_mut() {
            None => self.ready = count.count(),
            Some(last) => last.tasks = count.count().unwrap_or(0),
        }
        let hidden = match &first {
            Reply::Refused(refusal) => Some(refusal.clone()),
            Reply::Array(items) => items.iter().find_map(|item| match item {
                Reply::Refused(refusal) => Some(refusal.clone()),
                _ => None,
            }),
            _ => None,
        };
        let first = first.scored().unwrap_or_default().into_iter().next();
        match first {
            Some((member, score)) if self.levels.last().is_none_or(|last| score > last.score) => {
                self.levels.push(Level {
                    score,
                    enqueued: enqueued(&member, now),
                    tasks: 0,
                });
            }
            _ => self.is_complete = true,
        }
        if hidden.is_some() {
            self.refused = hidden;
        }
    }

    /// Tasks by priority, where all levels were seen.
    pub(super) fn priorities(&self) -> Vec<(u8, u64)> {
        if !self.is_complete || self.refused.is_some() {
            return Vec::new();
        }
        let levels = self.levels.iter().map(|level| {
            let priority = -level.score;
            let is_one = (0.0..=255.0).contains(&priority) && priority.fract() == 0.0;
            is_one.then_some((priority as u8, level.tasks))
        });
        levels.collect::<Option<_>>().unwrap_or_default()
    }

    /// The oldest of the first tasks of all levels.
    pub(super) fn head(&self) -> Head {
        if self.ready.as_ref().is_ok_and(|ready| *ready == 0) {
            return Head::Empty;
        }
        let unknown = Head::Unknown(match self.refused.as_ref().map(|refusal| refusal.kind) {
            Some(RefusalKind::TooLarge) => Reason::PayloadTooLarge,
            Some(RefusalKind::NotPermitted) => Reason::NotPermitted,
            Some(_) => Reason::Undecodable,
            None if self.levels.is_empty() => Reason::HeadMissing,
            None => Reason::Undecodable,
        });
        let heads = self.levels.iter().map(|level| match level.enqueued {
            Some(at) => Head::exactly(at, LatencySource::Message),
            None => unknown,
        });
        // Levels that were not looked at may hold older ones.
        let rest = match self.is_complete && self.refused.is_none() && !self.levels.is_empty() {
            true => Head::Empty,
            false => unknown,
        };
        heads.fold(rest, Head::or_older)
    }
}

/// When a task was enqueued, from its first eight bytes; none where they are no such time.
fn enqueued(member: &[u8], now: Timestamp) -> Option<Timestamp> {
    const YEAR_2001: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);
    let micros = u64::from_be_bytes(*member.first_chunk()?);
    let at = Timestamp::from_micros(i64::try_from(micros).ok()?);
    (YEAR_2001..=now.plus(AHEAD)).contains(&at).then_some(at)
}
