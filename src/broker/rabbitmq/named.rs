//! Queues that the configuration names, through AMQP: beside the management API to have their
//! depth fresh, and in its place where it is absent.

use super::RabbitMqSource;
use super::amqp::Declared;
use super::naming;
use super::round::{Member, Read, Roster};
use crate::broker::BrokerError;
use crate::clock;
use crate::config::Objectives;
use crate::layout::rabbitmq::{QueueRow, Vhost};
use crate::model::{DropReason, ErrorKind, Objectives as _, PollSuccess, Window};
use std::collections::{BTreeMap, HashSet};

impl RabbitMqSource {
    /// Whether the depth of a queue is to be read afresh.
    fn is_declared(&self, member: &Member) -> bool {
        let by_objective = |objectives: &Objectives| {
            let system = self.selection.system(member)?;
            objectives.of(&self.name, system, &member.displayed)
        };
        member.waiting().is_some()
            && (self.declare.is_match(&*member.displayed)
                || (self.declare_objectives.as_ref())
                    .and_then(by_objective)
                    .is_some())
    }

    /// Reads the depth of those queues afresh.
    pub(super) async fn refresh(&mut self, roster: &mut Roster) -> Result<(), BrokerError> {
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        roster
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| self.is_declared(member))
            .take(self.declare_limit)
            .for_each(|(index, member)| wanted.entry(member.vhost).or_default().push(index));
        for (at, indices) in wanted {
            let Some(vhost) = self.vhosts.get(at) else {
                continue;
            };
            let names: Vec<String> = indices
                .iter()
                .filter_map(|index| roster.members.get(*index)?.waiting().map(str::to_owned))
                .collect();
            let asked = clock::now().wall;
            let declared = self.amqp.declare(vhost, &names).await?;
            let window = Window {
                from: asked,
                to: clock::now().wall,
            };
            let mut refused = None;
            for (index, declared) in indices.into_iter().zip(declared) {
                match (roster.members.get_mut(index), declared) {
                    (Some(member), Declared::Holds { ready, consumers }) => {
                        member.refresh(ready, consumers, window);
                    }
                    (_, Declared::Refused(error)) => refused = refused.or(Some(error)),
                    _ => {}
                }
            }
            if let Some(error) = refused {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads the queues that the configuration names through AMQP alone.
    pub(super) async fn poll_amqp(&mut self) -> Result<PollSuccess, BrokerError> {
        if self.literals.is_empty() {
            return Err(BrokerError::new(
                ErrorKind::Connect,
                "without the management API only queues can be read that `declare` or \
                 `include` name without wildcards, and there are none",
            ));
        }
        let mut success = PollSuccess::default();
        let mut roster = Roster::default();
        let mut by_vhost: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for displayed in self.literals.iter().take(self.declare_limit) {
            let (at, name) = naming::resolve(&self.vhosts, displayed);
            if self
                .states
                .get(at)
                .is_some_and(|state| !state.missing.contains(name))
            {
                by_vhost.entry(at).or_default().push(name.to_owned());
            }
        }
        roster.over_limit = self.literals.len().saturating_sub(self.declare_limit) as u64;
        let mut refused = 0;
        for (at, names) in by_vhost {
            let (Some(vhost), Some(state)) = (self.vhosts.get(at), self.states.get_mut(at)) else {
                continue;
            };
            let asked = clock::now().wall;
            let declared = self.amqp.declare(vhost, &names).await?;
            let window = Window {
                from: asked,
                to: clock::now().wall,
            };
            let mut rows = BTreeMap::new();
            for (name, declared) in names.into_iter().zip(declared) {
                match declared {
                    Declared::Holds { ready, consumers } => {
                        let mut row = QueueRow::named(name.as_str());
                        (row.ready, row.consumers) = (Some(ready), Some(consumers));
                        rows.insert(name, row);
                    }
                    Declared::Missing => {
                        state.missing.insert(name);
                    }
                    Declared::Refused(error) => {
                        refused += 1;
                        success.faults.push(error.into());
                    }
                }
            }
            let read = Read {
                rows,
                unread: HashSet::new(),
                window,
            };
            self.selection
                .add(&mut roster, (at, vhost), read, &Vhost::default());
        }
        if refused > 0 {
            success.dropped.insert(DropReason::Unreadable, refused);
        }
        Ok(self.finish(success, roster))
    }
}
