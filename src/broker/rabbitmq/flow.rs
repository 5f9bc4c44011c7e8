//! Asks for the pasts of those queues whose flow needs them, one by one: few queues are busy.

use super::{RabbitMqSource, is_out_of_reach};
use crate::broker::BrokerError;
use crate::clock;
use crate::layout::rabbitmq::QueueRow;
use crate::layout::rabbitmq::flow::Asked;
use std::collections::{BTreeMap, HashMap};
use tokio::time::Instant;

impl RabbitMqSource {
    /// Adds to the rows of a vhost, listed between two times, what their flow tells. Where the time
    /// for it is up, or a history cannot be had, the queues do without, which costs precision and
    /// nothing else. The first fault.
    pub(super) async fn add_flows(
        &mut self,
        at: usize,
        rows: &mut BTreeMap<String, QueueRow>,
        (asked, answered): (Instant, Instant),
    ) -> Option<BrokerError> {
        if !self.counts_messages {
            return None;
        }
        let secs = |at: Instant| at.saturating_duration_since(self.started).as_secs_f64();
        let list = Asked {
            from: secs(asked),
            to: secs(answered),
        };
        let (Some(management), Some(vhost), Some(state)) = (
            &mut self.management,
            self.vhosts.get(at),
            self.states.get_mut(at),
        ) else {
            return None;
        };
        let (mut all, mut fault) = (HashMap::new(), None);
        for want in state.flows.wants(rows, list.to) {
            let mut histories = HashMap::new();
            let from = clock::now().mono;
            let mut to = from;
            for name in want.names {
                let range = (want.age, want.step);
                let answer = management.history(vhost, &name, range).await;
                to = clock::now().mono;
                let mut is_over = to.saturating_duration_since(answered) > self.history_time;
                match answer {
                    Ok(history) => histories.extend(history.map(|history| (name, history))),
                    Err(error) => {
                        // The others would have to wait for the same.
                        is_over |= is_out_of_reach(&error);
                        fault = fault.or(Some(error));
                    }
                }
                if is_over {
                    break;
                }
            }
            let asked = Asked {
                from: secs(from),
                to: secs(to),
            };
            state.flows.learn(&histories, asked);
            all.extend(histories);
        }
        state.flows.follow(rows, &all, list);
        fault
    }
}
