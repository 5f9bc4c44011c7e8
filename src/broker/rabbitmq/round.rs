//! One poll's way from rows to observations: who claims which row, which queues are exported, and
//! what each observation's window is.

use super::naming::display;
use crate::config::QueueFilter;
use crate::layout::rabbitmq::{Kind, Layout, QueueRow, Vhost, is_internal};
use crate::model::{Head, Observation, System, Timestamp, Window};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How old a number of the management API may be: a queue tells its own at most every 5 s
/// (`collect_statistics_interval`), and the lengths shown are those of the last whole 5 s sample.
/// Seen: up to 9.6 s.
pub(super) const STATISTICS_AGE: Duration = Duration::from_secs(11);

/// Decides which queues are exported.
pub(super) struct Selection {
    pub(super) layouts: Vec<(System, Box<dyn Layout>)>,
    pub(super) filter: QueueFilter,
    pub(super) with_internal: bool,
    pub(super) max_queues: usize,
}

/// A queue to be exported: rows of one vhost that one layout claimed under one name.
pub(super) struct Member {
    pub(super) vhost: usize,
    pub(super) displayed: Arc<str>,
    layout: usize,
    rows: Vec<QueueRow>,
    /// The one of them in which jobs wait, if it is known which. In a stream nothing does, and a
    /// declare does not count those who read it.
    waiting: Option<usize>,
    window: Window,
    /// When the depth was read through AMQP, if it was.
    declared: Option<Window>,
}

/// The queues of one poll.
#[derive(Default)]
pub(super) struct Roster {
    pub(super) members: Vec<Member>,
    /// Queues of which a part could not be read this time.
    pub(super) kept: Vec<(System, Arc<str>)>,
    /// Queues over `max_queues`.
    pub(super) over_limit: u64,
}

/// What was read of a vhost.
pub(super) struct Read {
    pub(super) rows: BTreeMap<String, QueueRow>,
    /// Names of rows that are there, but could not be read this time.
    pub(super) unread: HashSet<String>,
    pub(super) window: Window,
}

impl Selection {
    /// Adds the queues of the next vhost, in the order of their names, so that the same queues are
    /// left out at every poll.
    pub(super) fn add(
        &self,
        roster: &mut Roster,
        (at, name): (usize, &str),
        read: Read,
        facts: &Vhost,
    ) {
        let mut groups: BTreeMap<(String, usize), Vec<QueueRow>> = BTreeMap::new();
        for row in read
            .rows
            .into_values()
            .filter(|row| self.with_internal || !is_internal(row))
        {
            let claim = self
                .layouts
                .iter()
                .enumerate()
                .find_map(|(index, (_, layout))| Some((layout.claim(&row, facts)?, index)));
            // With `layouts` restricted to some, a queue may be nobody's.
            if let Some(key) = claim {
                groups.entry(key).or_default().push(row);
            }
        }
        for ((queue, layout), rows) in groups {
            let displayed = display(at, name, &queue);
            if !self.filter.accepts(&displayed) {
                continue;
            }
            if roster.members.len() + roster.kept.len() >= self.max_queues {
                roster.over_limit += 1;
                continue;
            }
            let holds_jobs = |row: &QueueRow| row.name == queue && row.kind != Kind::Stream;
            let waiting = rows.iter().position(holds_jobs);
            let has_unread = rows.iter().any(|row| read.unread.contains(&row.name));
            let member = Member {
                vhost: at,
                displayed,
                layout,
                rows,
                waiting,
                window: read.window,
                declared: None,
            };
            if has_unread {
                let seen = self.observe(&member);
                roster
                    .kept
                    .extend(seen.map(|seen| (seen.system, seen.queue)));
            } else {
                roster.members.push(member);
            }
        }
    }

    pub(super) fn system(&self, member: &Member) -> Option<System> {
        Some(self.layouts.get(member.layout)?.0)
    }

    pub(super) fn observe(&self, member: &Member) -> Option<Observation> {
        let rows: Vec<&QueueRow> = member.rows.iter().collect();
        let (_, layout) = self.layouts.get(member.layout)?;
        let mut observation = layout.observe(&rows);
        observation.queue = Arc::clone(&member.displayed);
        let told = member.declared.unwrap_or(member.window);
        observation.ready_age = told.from.age_at(told.to);
        // A head's time is as old as the statistics, however fresh the depth.
        observation.window = match (member.declared, observation.head, &observation.flow) {
            (_, Head::Since { .. }, _) => member.window,
            (_, _, Some(flow)) => flow.span.on_brokers_clock(),
            (Some(declared), ..) => declared,
            (None, ..) => member.window,
        };
        Some(observation)
    }
}

impl Member {
    /// The queue in the broker in which its jobs wait.
    pub(super) fn waiting(&self) -> Option<&str> {
        Some(self.rows.get(self.waiting?)?.name.as_str())
    }

    /// Replaces what the statistics tell by what the queue itself has just told.
    pub(super) fn refresh(&mut self, ready: u64, consumers: u64, window: Window) {
        if let Some(row) = self.waiting.and_then(|at| self.rows.get_mut(at)) {
            row.ready = Some(ready);
            row.consumers = Some(consumers);
            if let Some(flow) = &mut row.flow {
                flow.refresh(ready);
            }
            self.declared = Some(window);
        }
    }
}

/// The window of numbers from the management API that was asked at `asked`.
pub(super) fn of_statistics(asked: Timestamp, answered: Timestamp) -> Window {
    Window {
        from: asked.minus(STATISTICS_AGE),
        to: answered,
    }
}
