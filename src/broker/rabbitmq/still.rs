//! Which of many queues need not be read again, because nothing has happened in them.
//!
//! To tell the statistics of a queue costs the broker 0.25 to 0.5 ms of its processor, whether it has
//! moved or not. What its process has worked costs a hundredth of that (the Prometheus plugin tells
//! it of all at once), and a process that has not worked has had no message, consumer or policy
//! come or go. Then the management API would tell the same row as before, so that row holds as of
//! now. Where a process has worked, the row is read, and again until it is sure that the broker has
//! noted all of it. Some of the others are read in turn, so that whatever should get past this
//! is of no long life.

use super::round::STATISTICS_AGE;
use crate::clock::Now;
use crate::layout::rabbitmq::QueueRow;
use crate::layout::rabbitmq::detailed::{Detailed, Mark};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// A row that is read so long after its queue has worked tells all that came of it: no number is
/// older than [`STATISTICS_AGE`].
const SETTLED: Duration = STATISTICS_AGE.saturating_add(Duration::from_secs(2));
/// After so many polls all queues have been read once more.
const TURN: usize = 20;
/// To read one queue costs twice what a row of the whole list does, and takes longer: with more to read
/// than one in so many, all are read.
const FEW: usize = 8;

/// What the broker says of the work of its queues.
pub(super) struct Marks {
    pub(super) told: Detailed,
    pub(super) asked: Now,
}

/// The queues of one vhost as they were read last.
#[derive(Debug, Default)]
pub(super) struct Watch {
    queues: HashMap<String, Watched>,
}

#[derive(Debug)]
struct Watched {
    row: QueueRow,
    read: Instant,
    mark: Mark,
    /// The last poll at which it was seen to have worked.
    worked: Instant,
}

/// How the queues of a vhost are read.
pub(super) struct Plan {
    /// The rows of those that are as they were.
    pub(super) still: BTreeMap<String, QueueRow>,
    /// Those that are to be read.
    pub(super) wanted: Vec<String>,
}

// === impl Watch ===

impl Watch {
    /// `None` if it is better to read all.
    pub(super) fn plan(
        &self,
        names: impl IntoIterator<Item = String>,
        vhost: &str,
        marks: &Marks,
    ) -> Option<Plan> {
        let (mut still, mut wanted) = (Vec::new(), Vec::new());
        for name in names {
            match self.queues.get(&name) {
                Some(queue) if queue.is_as_read(marks.told.mark(vhost, &name)) => {
                    still.push((name, queue));
                }
                _ => wanted.push(name),
            }
        }
        let count = still.len() + wanted.len();
        if wanted.len() > count / FEW {
            return None;
        }
        // First those that were not read in time before.
        wanted.sort_by_key(|name| self.queues.get(name).map(|queue| queue.read));
        still.sort_by_key(|(_, queue)| queue.read);
        let turn = still.len().min(count.div_ceil(TURN));
        wanted.extend(still.drain(..turn).map(|(name, _)| name));
        let rows = still.into_iter();
        Some(Plan {
            still: rows
                .map(|(name, queue)| (name, queue.row.clone()))
                .collect(),
            wanted,
        })
    }

    /// Takes the rows of a poll, of which those of `still` queues were not read.
    pub(super) fn learn(
        &mut self,
        rows: &BTreeMap<String, QueueRow>,
        still: &HashSet<String>,
        vhost: &str,
        marks: &Marks,
    ) {
        let now = marks.asked.mono;
        self.queues.retain(|name, _| rows.contains_key(name));
        for (name, row) in rows {
            if still.contains(name) {
                continue;
            }
            let Some(mark) = marks.told.mark(vhost, name) else {
                self.queues.remove(name);
                continue;
            };
            let before = self.queues.remove(name);
            let worked = match before {
                Some(before) if before.mark == mark && before.row == *row => before.worked,
                _ => now,
            };
            let queue = Watched {
                row: row.clone(),
                read: now,
                mark,
                worked,
            };
            self.queues.insert(name.clone(), queue);
        }
    }
}

impl Watched {
    fn is_as_read(&self, mark: Option<Mark>) -> bool {
        mark == Some(self.mark) && self.read.saturating_duration_since(self.worked) >= SETTLED
    }
}
