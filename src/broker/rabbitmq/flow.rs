//! Asks for the pasts of those queues whose flow needs them, each by itself: few queues are busy.

use super::join::each;
use super::{RabbitMqSource, is_out_of_reach};
use crate::broker::BrokerError;
use crate::clock;
use crate::layout::rabbitmq::QueueRow;
use crate::layout::rabbitmq::flow::Asked;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
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
            let from = clock::now().mono;
            let is_over = AtomicBool::new(false);
            let outcomes = each(want.names, async |name: String| {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let range = (want.age, want.step);
                let answer = management.history(vhost, &name, range).await;
                let took = clock::now().mono.saturating_duration_since(answered);
                // The others would have to wait for the same.
                let is_in_vain = answer.as_ref().is_err_and(is_out_of_reach);
                if took > self.history_time || is_in_vain {
                    is_over.store(true, Ordering::Relaxed);
                }
                Ok(answer?.map(|history| (name, history)))
            })
            .await;
            let to = clock::now().mono;
            let mut histories = HashMap::new();
            for outcome in outcomes {
                match outcome {
                    Ok(history) => histories.extend(history),
                    Err(error) => fault = fault.or(Some(error)),
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
