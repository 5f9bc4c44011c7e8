//! Which histories to ask for.

use super::super::QueueRow;
use super::{Flows, Memory, clock, is_followable, is_surely_empty};
use std::collections::BTreeMap;

/// Histories to ask for: of these queues, so many seconds in such steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub names: Vec<String>,
    pub age: u32,
    pub step: u32,
}

/// Histories of this many queues in steps of a second are asked for at one poll, which takes 100 ms
/// of the broker's processor. Of what is beyond, the totals are taken, with wider bounds.
const MAX_RECENT: usize = 200;
/// Of so many the past is asked for at one poll.
const MAX_PAST: usize = 30;
/// As far back as the broker keeps steps of 5 s.
const PAST_SECS: u32 = 600;
const PAST_STEP: u32 = 5;
/// With more to catch up on than this, large steps will do.
const RECENT_SECS: u32 = 40;
impl Flows {
    /// The histories that are needed to make something of these rows, which were answered at `now`.
    pub fn wants(&self, rows: &BTreeMap<String, QueueRow>, now: f64) -> Vec<Want> {
        let (mut recent, mut past) = (Vec::new(), Vec::new());
        let mut age = 0;
        for row in rows.values().filter(|row| is_followable(row)) {
            let Some(totals) = row.totals() else {
                continue;
            };
            let secs = match self.queues.get(&row.name) {
                None if row.ready == Some(0) => continue,
                None => PAST_SECS,
                Some(Memory::Idle { totals: before, .. })
                    if *before == totals && row.ready == Some(0) =>
                {
                    continue;
                }
                Some(Memory::Idle { since, .. }) => match self.polled {
                    Some(polled) if is_surely_empty(*since, polled) => {
                        whole(now - polled.from + clock::NOTED_SECS + 2.0)
                    }
                    _ => PAST_SECS,
                },
                Some(Memory::Followed(flow)) if flow.totals() == totals => continue,
                Some(Memory::Followed(flow)) => self.clock.map_or(PAST_SECS, |clock| {
                    whole(clock.latest(now) - flow.seen() as f64 + 2.0)
                }),
            };
            if secs <= RECENT_SECS {
                age = age.max(secs);
                recent.push(row);
            } else {
                past.push(row);
            }
        }
        for (rows, most) in [(&mut recent, MAX_RECENT), (&mut past, MAX_PAST)] {
            if rows.len() > most {
                rows.sort_by_key(|row| std::cmp::Reverse(row.ready));
                rows.truncate(most);
            }
        }
        let want = |rows: Vec<&QueueRow>, age, step| Want {
            names: rows.into_iter().map(|row| row.name.clone()).collect(),
            age,
            step,
        };
        [want(recent, age, 1), want(past, PAST_SECS, PAST_STEP)]
            .into_iter()
            .filter(|want| !want.names.is_empty())
            .collect()
    }
}

/// Seconds, rounded up.
fn whole(secs: f64) -> u32 {
    // A float to integer cast saturates.
    secs.ceil().clamp(0.0, 1e6) as u32
}
