//! The history that the management API keeps of a queue's counters (`msg_rates_age`,
//! `msg_rates_incr`), as RabbitMQ 3.10 and 4.x write it (`rabbitmq_management_agent`,
//! `exometer_slide.erl` and `rabbit_mgmt_stats.erl`).
//!
//! A collector process for each kind of counter notes the totals of all queues at once, every 5 s
//! and a little. A query maps what was noted onto a grid of `step` seconds: the sample labelled `L`
//! is the newest that was noted up to `L`, so where a total changes at `L` it was noted in
//! `(L - step, L]`. A step of 1 s thus tells when the collector ran; the step that everyone uses,
//! 5 s, does not. The two collectors that matter here, of publishing and of deliveries, drift apart.

use super::super::row::{QueueRow, Stats, count};
use super::Totals;
use super::queue::signed;
use serde_json::Value;
use std::collections::BTreeMap;

/// One queue's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    /// Seconds between two labels.
    pub step: u32,
    /// Oldest first; labels in seconds of the broker's clock. Never empty.
    pub points: Vec<Point>,
}

/// What had been noted by `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub at: i64,
    pub totals: Totals,
}

impl Samples {
    /// The columns to ask for, of one queue at a time: 0.5 ms of the broker's processor and 1.2 kB
    /// for 8 s in steps of one (3.10.8). In a page of the list it is 0.3 ms a queue, but then for
    /// all queues, quiet ones too; and a regular expression of many names costs each of them all.
    pub const COLUMNS: &str = "name,message_stats.publish_details.samples,\
        message_stats.deliver_get_details.samples,message_stats.redeliver_details.samples";

    /// A row's name and history; no history where the row has none.
    pub fn decode(row: &Value, step: u32) -> Option<(String, Option<Self>)> {
        let name = row.get("name")?.as_str()?.to_owned();
        let history = row.get("message_stats").and_then(|stats| {
            let of = |counter: &str| series(stats.get(counter));
            merge(
                [
                    of("publish_details"),
                    of("deliver_get_details"),
                    of("redeliver_details"),
                ],
                step,
            )
        });
        Some((name, history))
    }

    pub fn latest(&self) -> Option<Point> {
        self.points.last().copied()
    }
}

/// What had been noted of one counter by each label.
fn series(details: Option<&Value>) -> BTreeMap<i64, u64> {
    const MOST: usize = 1000;
    let samples = details
        .and_then(|details| details.get("samples"))
        .and_then(Value::as_array);
    samples
        .into_iter()
        .flatten()
        .take(MOST)
        .filter_map(|sample| {
            let at = sample.get("timestamp")?.as_i64()?;
            Some((at.div_euclid(1000), count(sample.get("sample")?)?))
        })
        .collect()
}

/// One line of points of three counters. A counter without any sample has never counted; between
/// its samples a counter stays what it was.
fn merge(series: [BTreeMap<i64, u64>; 3], step: u32) -> Option<Samples> {
    let begun = series.iter().filter_map(|one| one.keys().next()).max()?;
    let labels: std::collections::BTreeSet<i64> = series
        .iter()
        .flat_map(|one| one.range(begun..).map(|(at, _)| *at))
        .collect();
    let points = labels.into_iter().map(|at| {
        let [publish, deliver_get, redeliver] = series
            .each_ref()
            .map(|one| one.range(..=at).next_back().map_or(0, |(_, total)| *total));
        Point {
            at,
            totals: Totals {
                publish,
                deliver_get,
                redeliver,
            },
        }
    });
    Some(Samples {
        step,
        points: points.collect(),
    })
}

impl QueueRow {
    /// The counters that the flow of a queue follows from.
    pub(super) fn totals(&self) -> Option<Totals> {
        self.stats.map(|stats| Totals {
            publish: stats.publish,
            deliver_get: stats.deliver_get,
            redeliver: stats.redeliver,
        })
    }
}

impl Totals {
    /// What has been published and not been delivered even once.
    pub(super) fn net(self) -> i64 {
        signed(self.publish) - signed(self.deliver_get.saturating_sub(self.redeliver))
    }

    /// What was gained since `before`; `None` if anything was lost.
    pub(super) fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            publish: self.publish.checked_sub(before.publish)?,
            deliver_get: self.deliver_get.checked_sub(before.deliver_get)?,
            redeliver: self.redeliver.checked_sub(before.redeliver)?,
        })
    }
}

impl Stats {
    /// What a later look at the same counters has shown.
    pub(super) fn advance(&mut self, totals: Totals) {
        self.publish = self.publish.max(totals.publish);
        self.deliver_get = self.deliver_get.max(totals.deliver_get);
        self.redeliver = self.redeliver.max(totals.redeliver);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn samples(pairs: &[(i64, u64)]) -> Value {
        let list: Vec<Value> = pairs
            .iter()
            .rev()
            .map(|(at, sample)| json!({"sample": sample, "timestamp": at * 1000}))
            .collect();
        json!({ "samples": list })
    }

    #[test]
    fn three_counters_become_one_line_of_points() {
        let row = json!({"name": "q", "message_stats": {
            "publish_details": samples(&[(10, 0), (11, 5), (12, 5)]),
            "deliver_get_details": samples(&[(11, 1), (12, 3)]),
            "redeliver_details": [],
        }});
        let (name, history) = Samples::decode(&row, 1).unwrap();
        let totals: Vec<_> = history
            .unwrap()
            .points
            .iter()
            .map(|point| (point.at, point.totals.publish, point.totals.deliver_get))
            .collect();
        assert_eq!((name.as_str(), totals), ("q", vec![(11, 5, 1), (12, 5, 3)]));
    }

    #[test]
    fn no_history_is_none_and_rubbish_does_not_panic() {
        for stats in [
            json!(null),
            json!([]),
            json!({"publish_details": []}),
            json!({"publish_details": {"samples": [{"sample": -1, "timestamp": "x"}, 3]}}),
        ] {
            let row = json!({"name": "q", "message_stats": stats});
            assert_eq!(Samples::decode(&row, 1), Some(("q".to_owned(), None)));
        }
        assert_eq!(Samples::decode(&json!({"message_stats": {}}), 1), None);
    }

    /// Recorded from 3.10.8: a publisher of 20 messages a second and a slower consumer.
    const RECORDED: &str = include_str!("../../../../tests/fixtures/rabbitmq/3.10.8-history.json");

    #[test]
    fn a_recorded_history_shows_when_the_collectors_ran() {
        let row: Value = serde_json::from_str(RECORDED).unwrap();
        let (_, history) = Samples::decode(&row, 1).unwrap();
        let points = history.unwrap().points;
        assert_eq!(points.len(), 31);
        let runs: Vec<i64> = points
            .windows(2)
            .filter(|pair| pair[0].totals != pair[1].totals)
            .map(|pair| pair[1].at % 100)
            .collect();
        assert_eq!(runs, [42, 47, 52, 57, 62, 67]);
        let last = points[30].totals;
        assert_eq!((last.publish, last.deliver_get), (1776, 1625));
        // What the queue itself said up to 10 s before.
        assert_eq!(row["messages_ready"], 153);
        assert_eq!(last.net(), 151);
    }
}
