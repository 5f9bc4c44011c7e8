//! The layouts bound to one Redis and the queues known of each. No I/O.

use super::price::Prices;
use super::schedule::{Activity, Pace};
use crate::config::{Broker, Layouts, QueueFilter};
use crate::layout::redis::{Bytes, Layout, QueueRef};
use crate::layout::{self, name};
use crate::model::System;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Catalogue {
    pub(super) layouts: Vec<Bound>,
    filter: QueueFilter,
    max_queues: usize,
    forget_after: Duration,
}

/// One layout with its queues.
pub(super) struct Bound {
    pub(super) system: System,
    pub(super) layout: Box<dyn Layout>,
    pub(super) prices: Prices,
    known: BTreeMap<Bytes, Known>,
}

struct Known {
    shown: Arc<str>,
    /// When a registry last named it, or a job was last in it.
    last_seen: Instant,
    pace: Pace,
}

/// What a poll has learned of one queue, besides its observation.
pub(super) struct Sighting {
    pub(super) layout: usize,
    pub(super) raw: Bytes,
    /// Which observation it belongs to.
    pub(super) observation: Option<usize>,
    /// A queue with jobs in it is alive, whether or not a registry still names it.
    pub(super) has_jobs: bool,
    /// It is read at every poll.
    pub(super) is_awake: bool,
    pub(super) fingerprint: u64,
}

// === impl Catalogue ===

impl Catalogue {
    pub(super) fn new(broker: &Broker, redis: &crate::config::Redis) -> Self {
        let layouts = layout::LAYOUTS
            .iter()
            .filter(|row| match &broker.layouts {
                Layouts::Auto => true,
                Layouts::Only(systems) => systems.contains(&row.system),
            })
            .filter_map(|row| {
                let bind = row.redis?;
                Some(Bound {
                    system: row.system,
                    layout: bind(redis, broker.poll.max_payload_bytes),
                    prices: Prices::default(),
                    known: BTreeMap::new(),
                })
            })
            .collect();
        Self {
            layouts,
            filter: broker.queues.clone(),
            max_queues: broker.poll.max_queues,
            forget_after: broker.poll.forget_after,
        }
    }

    /// Notes that a queue exists, unless the configuration leaves it out.
    pub(super) fn learn(&mut self, layout: usize, raw: &[u8], at: Instant) {
        let Some(bound) = self.layouts.get_mut(layout) else {
            return;
        };
        if let Some(known) = bound.known.get_mut(raw) {
            known.last_seen = at;
            return;
        }
        let shown = name::shown(raw);
        if self.filter.accepts(&shown) {
            let known = Known {
                shown: shown.into(),
                last_seen: at,
                pace: Pace::UNREAD,
            };
            bound.known.insert(raw.into(), known);
        }
    }

    /// Notes what a poll has shown of a queue, and tells what to expect of it.
    pub(super) fn note(&mut self, sighting: &Sighting, at: Instant) -> Activity {
        let bound = self.layouts.get_mut(sighting.layout);
        let Some(known) = bound.and_then(|bound| bound.known.get_mut(&sighting.raw)) else {
            return Activity::Unread;
        };
        known.pace.note(at, sighting.is_awake, sighting.fingerprint);
        if sighting.has_jobs {
            known.last_seen = at;
        }
        known.pace.activity()
    }

    /// Drops what nothing has named for too long.
    pub(super) fn forget(&mut self, now: Instant) {
        for bound in &mut self.layouts {
            bound.known.retain(|_, known| {
                now.saturating_duration_since(known.last_seen) <= self.forget_after
            });
        }
    }

    /// The queues that are polled, by layout, and how many are over the limit. Which ones stay does not
    /// change from poll to poll: the first by system and name.
    pub(super) fn polled(&self) -> (Vec<Vec<(QueueRef, Pace)>>, u64) {
        let mut left = self.max_queues;
        let mut over = 0;
        let polled = self
            .layouts
            .iter()
            .map(|bound| {
                let take = left.min(bound.known.len());
                left -= take;
                over += (bound.known.len() - take) as u64;
                bound
                    .known
                    .iter()
                    .take(take)
                    .map(|(raw, known)| {
                        let queue = QueueRef {
                            raw: Arc::clone(raw),
                            shown: Arc::clone(&known.shown),
                        };
                        (queue, known.pace)
                    })
                    .collect()
            })
            .collect();
        (polled, over)
    }
}
