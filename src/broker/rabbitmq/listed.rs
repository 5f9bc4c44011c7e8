//! A poll through the management API: all queues of all vhosts.

use super::round::{self, Roster};
use super::{Presence, RabbitMqSource};
use crate::broker::BrokerError;
use crate::clock;
use crate::layout::rabbitmq::{Vhost, is_internal};
use crate::model::{DropReason, ErrorKind, PollFailure, PollSuccess};
use std::collections::HashSet;

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
        self.counts_messages = overview.counts_messages;
        self.is_single_node = overview.is_single_node;
        for state in &mut self.states {
            state.flows.set_single_node(overview.is_single_node);
        }
        self.presence = Presence::Seen { misses: 0 };
        Ok(())
    }

    pub(super) async fn read_exchanges(&mut self, at: usize) -> Result<(), BrokerError> {
        let (Some(management), Some(vhost), Some(state)) = (
            &mut self.management,
            self.vhosts.get(at),
            self.states.get_mut(at),
        ) else {
            return Ok(());
        };
        state.exchanges = Some(management.exchanges(vhost).await?);
        Ok(())
    }

    pub(super) async fn poll_management(&mut self) -> Result<PollSuccess, BrokerError> {
        if matches!(self.presence, Presence::Unknown) {
            self.reach_management().await?;
        }
        let mut success = PollSuccess::default();
        let mut roster = Roster::default();
        let (mut read, mut undecodable) = (0, 0);
        for at in 0..self.vhosts.len() {
            match self.read_vhost(at, &mut roster).await {
                Ok((faulty, fault)) => {
                    read += 1;
                    undecodable += faulty;
                    success.faults.extend(fault.map(PollFailure::from));
                }
                // A vhost that this user cannot see leaves the others visible.
                Err(error) if error.kind == ErrorKind::Permission => {
                    success.faults.push(error.into())
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(first) = success.faults.first().filter(|_| read == 0) {
            return Err(BrokerError::new(first.kind, first.message.clone()));
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
        Ok(self.finish(success, &roster))
    }

    /// Adds the queues of one vhost; how many of its rows could not be read, and what was wrong with
    /// the histories.
    async fn read_vhost(
        &mut self,
        at: usize,
        roster: &mut Roster,
    ) -> Result<(u64, Option<BrokerError>), BrokerError> {
        let mut are_exchanges_new = false;
        if self
            .states
            .get(at)
            .is_some_and(|state| state.exchanges.is_none())
        {
            self.read_exchanges(at).await?;
            are_exchanges_new = true;
        }
        let (Some(management), Some(vhost), Some(state)) = (
            &mut self.management,
            self.vhosts.get(at),
            self.states.get(at),
        ) else {
            return Ok((0, None));
        };
        let asked = clock::now();
        let mut listing = management.queues(vhost, &state.known).await?;
        let answered = clock::now();
        let window = round::of_statistics(asked.wall, answered.wall);
        let known: HashSet<String> = listing
            .rows
            .values()
            .filter(|row| !is_internal(row))
            .map(|row| row.name.clone())
            .collect();
        // Whose a new queue is shows in exchanges that may be as new.
        let has_new = !state.known.is_empty() && !known.is_subset(&state.known);
        if has_new && !are_exchanges_new {
            self.read_exchanges(at).await?;
        }
        if let Some(state) = self.states.get_mut(at) {
            state.known = known;
        }
        let rows = &mut listing.rows;
        let times = (asked.mono, answered.mono);
        let fault = self.add_flows(at, rows, times).await;
        let (Some(vhost), Some(state)) = (self.vhosts.get(at), self.states.get_mut(at)) else {
            return Ok((0, None));
        };
        let exchanges = state.exchanges.take().unwrap_or_default();
        let facts = Vhost::of(exchanges, listing.rows.values());
        self.selection
            .add(roster, (at, vhost), listing.rows, &facts, window);
        roster.over_limit += listing.unread;
        state.exchanges = Some(facts.exchanges);
        Ok((listing.undecodable, fault))
    }
}
