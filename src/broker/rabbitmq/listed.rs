//! A poll through the management API: all queues of all vhosts.

use super::join::join;
use super::management::{FEW_PAGES, Known, Listing, Management};
use super::prometheus;
use super::round::{self, Read, Roster};
use super::still::Marks;
use super::{Presence, RabbitMqSource, VhostState};
use crate::broker::BrokerError;
use crate::clock::{self, Now};
use crate::layout::rabbitmq::{QueueRow, Vhost, is_internal};
use crate::model::{DropReason, ErrorKind, PollFailure, PollSuccess, Window};
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;

/// So many polls pass before a list that was too slow in one piece is read so again.
const POLLS_IN_PAGES: u32 = 20;

/// What was read of one vhost.
struct Lists {
    /// `None` if they were known.
    exchanges: Option<HashMap<String, String>>,
    queues: Listing,
    asked: Now,
    answered: Now,
}

impl RabbitMqSource {
    /// Makes sure that the management API is there.
    pub(super) async fn reach_management(&mut self) -> Result<(), BrokerError> {
        let Some(management) = &mut self.management else {
            return Ok(());
        };
        let has_been_seen = matches!(self.presence, Presence::Seen { .. });
        let answer = management.overview().await.map_err(|mut error| {
            if error.kind == ErrorKind::Connect && !has_been_seen {
                error.message.push_str(
                    "; the management API has to be enabled (rabbitmq-plugins enable \
                     rabbitmq_management) and reachable (`management_url`)",
                );
            }
            error
        })?;
        let overview = answer.ok_or_else(|| {
            BrokerError::new(
                ErrorKind::Connect,
                "there is no management API at the configured address (404); enable it with \
                 rabbitmq-plugins enable rabbitmq_management, or check `management_url`",
            )
        })?;
        self.version = overview.version;
        self.cluster = overview.cluster;
        self.counts_messages = overview.counts_messages;
        self.is_single_node = overview.is_single_node;
        for state in &mut self.states {
            state.flows.set_single_node(overview.is_single_node);
        }
        self.presence = Presence::Seen { misses: 0 };
        Ok(())
    }

    pub(super) async fn read_exchanges(&mut self, at: usize) -> Result<(), BrokerError> {
        let until = self.listing_ends();
        let (Some(management), Some(vhost), Some(state)) = (
            &self.management,
            self.vhosts.get(at),
            self.states.get_mut(at),
        ) else {
            return Ok(());
        };
        state.exchanges = Some(management.exchanges(vhost, until).await?);
        Ok(())
    }

    /// Until when lists may be read that are begun now: so that what has been read by then can still
    /// be shown.
    pub(super) fn listing_ends(&self) -> Instant {
        clock::now().mono + self.listing_time
    }

    pub(super) async fn poll_management(&mut self) -> Result<PollSuccess, BrokerError> {
        if matches!(self.presence, Presence::Unknown) {
            self.reach_management().await?;
        }
        let until = self.listing_ends();
        let marks = self.read_marks(until).await;
        let Some(management) = &self.management else {
            return Ok(PollSuccess::default());
        };
        let states = (&self.vhosts[..], &self.states[..]);
        let lists = read_lists(management, states, marks.as_ref(), until).await;
        let told = self.read_supplement().await;
        let mut success = PollSuccess::default();
        let mut roster = Roster::default();
        let (mut read, mut undecodable) = (0, 0);
        for (at, reading) in lists.into_iter().enumerate() {
            let taken = match reading {
                Ok(mut lists) => {
                    if let (Some(scrape), Some(vhost)) = (&told, self.vhosts.get(at)) {
                        let is_whole = scrape.faults.is_empty();
                        let rows = &mut lists.queues.rows;
                        prometheus::supplement(rows, &scrape.told, (vhost, is_whole));
                    }
                    self.take_in(at, lists, marks.as_ref(), &mut roster).await
                }
                Err(error) => Err(error),
            };
            match taken {
                Ok((faulty, faults)) => {
                    read += 1;
                    undecodable += faulty;
                    success
                        .faults
                        .extend(faults.into_iter().map(PollFailure::from));
                }
                // One vhost that cannot be read leaves the others visible.
                Err(error) => {
                    if error.kind != ErrorKind::Permission {
                        self.keep(at, &mut roster);
                    }
                    success.faults.push(error.into());
                }
            }
        }
        if read == 0 {
            let is_refusal = |fault: &&PollFailure| fault.kind == ErrorKind::Permission;
            let worst = success.faults.iter().find(|fault| !is_refusal(fault));
            if let Some(fault) = worst.or(success.faults.first()) {
                return Err(BrokerError::new(fault.kind, fault.message.clone()));
            }
        }
        if undecodable > 0 {
            success.dropped.insert(DropReason::Unreadable, undecodable);
            success.faults.push(PollFailure {
                kind: ErrorKind::Decode,
                message: format!("{undecodable} rows of the list of queues have no name"),
            });
        }
        if let Err(error) = self.refresh(&mut roster).await {
            success.faults.push(error.into());
        }
        Ok(self.finish(success, roster))
    }

    /// Adds the queues of one vhost; how many of its rows could not be read, and what was wrong with
    /// single pages and with the histories.
    async fn take_in(
        &mut self,
        at: usize,
        lists: Lists,
        marks: Option<&Marks>,
        roster: &mut Roster,
    ) -> Result<(u64, Vec<BrokerError>), BrokerError> {
        let Lists {
            exchanges,
            queues: mut listing,
            asked,
            answered,
        } = lists;
        let Some(state) = self.states.get_mut(at) else {
            return Ok((0, Vec::new()));
        };
        let marks = marks.filter(|_| listing.pages > FEW_PAGES);
        if let (Some(marks), Some(vhost)) = (marks, self.vhosts.get(at)) {
            let still = &listing.still;
            state.watch.learn(&listing.rows, still, vhost, marks);
        }
        state.in_pages = match state.in_pages {
            0 if listing.is_slow => POLLS_IN_PAGES,
            polls => polls.saturating_sub(1),
        };
        let are_exchanges_new = exchanges.is_some();
        if are_exchanges_new {
            state.exchanges = exchanges;
        }
        let mut unread = HashSet::new();
        if listing.fault.is_some() {
            for (name, row) in &state.known {
                if !listing.rows.contains_key(name) {
                    unread.insert(name.clone());
                    listing.rows.insert(name.clone(), row.clone());
                }
            }
        }
        let known: HashMap<String, QueueRow> = listing
            .rows
            .values()
            .filter(|row| !is_internal(row))
            .map(|row| (row.name.clone(), row.unread()))
            .collect();
        // Whose a new queue is shows in exchanges that may be as new.
        let has_new = known.keys().any(|name| !state.known.contains_key(name));
        if has_new && !state.known.is_empty() && !are_exchanges_new {
            self.read_exchanges(at).await?;
        }
        if let Some(state) = self.states.get_mut(at) {
            (state.known, state.pages) = (known, listing.pages);
        }
        let rows = &mut listing.rows;
        let times = (asked.mono, answered.mono);
        let faults = listing.fault.into_iter();
        let faults = faults
            .chain(self.add_flows(at, rows, times).await)
            .collect();
        let read = Read {
            rows: listing.rows,
            unread,
            window: round::of_statistics(asked.wall, answered.wall),
        };
        roster.over_limit += listing.unread;
        self.add(at, read, roster);
        Ok((listing.undecodable, faults))
    }

    /// The queues of a vhost that cannot be read now stay as they are, and become stale.
    fn keep(&mut self, at: usize, roster: &mut Roster) {
        let Some(state) = self.states.get(at) else {
            return;
        };
        let now = clock::now().wall;
        let read = Read {
            unread: state.known.keys().cloned().collect(),
            rows: state.known.clone().into_iter().collect(),
            window: Window { from: now, to: now },
        };
        self.add(at, read, roster);
    }

    fn add(&mut self, at: usize, read: Read, roster: &mut Roster) {
        if let (Some(vhost), Some(state)) = (self.vhosts.get(at), self.states.get_mut(at)) {
            let exchanges = state.exchanges.take().unwrap_or_default();
            let facts = Vhost::of(exchanges, read.rows.values());
            self.selection.add(roster, (at, vhost), read, &facts);
            state.exchanges = Some(facts.exchanges);
        }
    }
}

/// Reads the lists of all vhosts at once, so that none has to wait for another's.
async fn read_lists(
    management: &Management,
    (vhosts, states): (&[String], &[VhostState]),
    marks: Option<&Marks>,
    until: Instant,
) -> Vec<Result<Lists, BrokerError>> {
    let reading = vhosts.iter().zip(states).map(async |(vhost, state)| {
        let exchanges = match state.exchanges {
            Some(_) => None,
            None => Some(management.exchanges(vhost, until).await?),
        };
        let known = Known {
            rows: &state.known,
            pages: state.pages,
            in_pages: state.in_pages > 0,
        };
        // What has not been read again is as old as the word that nothing has changed.
        let asked = marks.map_or_else(clock::now, |marks| marks.asked);
        let queues = match marks {
            Some(marks) if known.pages > FEW_PAGES => {
                let watched = (&state.watch, marks);
                management.changed(vhost, &known, watched, until).await?
            }
            _ => management.queues(vhost, &known, until).await?,
        };
        Ok(Lists {
            exchanges,
            queues,
            asked,
            answered: clock::now(),
        })
    });
    join(reading.collect()).await
}
