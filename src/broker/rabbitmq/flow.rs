//! Asks for the pasts of those queues whose flow needs them, one by one: few queues are busy.

use super::RabbitMqSource;
use crate::broker::BrokerError;
use crate::clock;
use crate::layout::rabbitmq::QueueRow;
use crate::layout::rabbitmq::flow::Asked;
use std::collections::{BTreeMap, HashMap};
use tokio::time::Instant;

impl RabbitMqSource {
    /// Adds to the rows of a vhost, listed between two times, what their flow tells. Where the time
    /// for it is up, the rest do without a history, which costs precision and nothing else.
    pub(super) async fn add_flows(
        &mut self,
        at: usize,
        rows: &mut BTreeMap<String, QueueRow>,
        (asked, answered): (Instant, Instant),
    ) -> Result<(), BrokerError> {
        if !self.counts_messages {
            return Ok(());
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
            return Ok(());
        };
        let mut all = HashMap::new();
        for want in state.flows.wants(rows, list.to) {
            let mut histories = HashMap::new();
            let from = clock::now().mono;
            let mut to = from;
            for name in want.names {
                let range = (want.age, want.step);
                if let Some(history) = management.history(vhost, &name, range).await? {
                    histories.insert(name, history);
                }
                to = clock::now().mono;
                if to.saturating_duration_since(answered) > self.history_time {
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
        Ok(())
    }
}
