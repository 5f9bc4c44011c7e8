//! Whatever statistics say: bounds keep their order, and counts are conserved.

use super::*;

/// What a poll may find, whatever the broker has been through.
fn any_row() -> impl Strategy<Value = (Option<u64>, Option<[u64; 3]>, Option<u64>)> {
    let small = 0u64..50;
    (
        prop::option::weighted(0.9, small.clone()),
        prop::option::weighted(0.9, [small.clone(), small.clone(), small.clone()]),
        prop::option::of(small),
    )
}

/// The same of a broker that goes on counting: what has come, was handed out for the first time and
/// once more since the poll before.
fn counting_row() -> impl Strategy<Value = (Option<u64>, [u64; 3], Option<u64>)> {
    let few = 0u64..6;
    (
        prop::option::weighted(0.95, 0u64..12),
        [few.clone(), few.clone(), 0u64..3],
        prop::option::of(few),
    )
}

/// One queue, polled.
struct Rig {
    flows: Flows,
    memory: FlowMemory,
    buckets: Arc<[f64]>,
    ours: f64,
    /// All starts that the broker has told of, and what it said last.
    starts: u64,
    raw: u64,
    /// What was there when a line was first seen, so that all else adds up.
    found: i64,
    polls: u64,
}

impl Rig {
    fn new() -> Self {
        Self {
            flows: Flows::default(),
            memory: FlowMemory::default(),
            buckets: Arc::from(DEFAULT_BUCKETS),
            ours: 0.0,
            starts: 0,
            raw: 0,
            found: 0,
            polls: 0,
        }
    }

    fn poll(
        &mut self,
        (ready, totals, unacknowledged): (Option<u64>, Option<[u64; 3]>, Option<u64>),
        (pause, with_history, skew): (f64, bool, i64),
    ) -> Result<(), TestCaseError> {
        self.ours += pause;
        let mut row = QueueRow::named("q");
        (row.ready, row.unacknowledged) = (ready, unacknowledged);
        row.stats = totals.map(|[publish, deliver_get, redeliver]| Stats {
            publish,
            deliver_get,
            redeliver,
            ..Stats::default()
        });
        let mut rows = BTreeMap::from([("q".to_owned(), row)]);
        let mut all = HashMap::new();
        let asked = Asked {
            from: self.ours,
            to: self.ours,
        };
        for want in self.flows.wants(&rows, self.ours) {
            let Some([publish, deliver_get, redeliver]) = totals.filter(|_| with_history) else {
                continue;
            };
            let now = (EPOCH + self.ours) as i64 + skew;
            let points = (0..5).rev().map(|back| Point {
                at: now - back * i64::from(want.step),
                totals: Totals {
                    publish: publish.saturating_sub(back as u64),
                    deliver_get: deliver_get.saturating_sub(2 * back as u64),
                    redeliver,
                },
            });
            let history = Samples {
                step: want.step,
                points: points.collect(),
            };
            let histories = HashMap::from([("q".to_owned(), history)]);
            self.flows.learn(&histories, asked);
            all.extend(histories);
        }
        self.flows.follow(&mut rows, &all, asked);
        let row = &rows["q"];
        let before = self.starts;
        if let Some(stats) = row.stats {
            let raw = stats.deliver_get.saturating_sub(stats.redeliver);
            self.starts += raw.checked_sub(self.raw).unwrap_or(raw);
            self.raw = raw;
        }
        if let Some(flow) = &row.flow {
            self.fold(flow, ready, self.starts - before)?;
        }
        Ok(())
    }

    fn fold(
        &mut self,
        flow: &RowFlow,
        ready: Option<u64>,
        starts: u64,
    ) -> Result<(), TestCaseError> {
        let settings = Settings {
            buckets: &self.buckets,
            objective: Some(Duration::from_secs(3)),
            starts,
            witness: &Witness::default(),
        };
        let window = flow.latest.span.on_brokers_clock();
        let statistics = &flow.statistics;
        let latency = statistics.fold(&mut self.memory, &flow.latest, window, ready, &settings);
        let view = self.memory.view().unwrap();
        if let Latency::Known { age, .. } = latency {
            prop_assert!(age.min <= age.estimate);
            prop_assert!(age.max.is_none_or(|max| age.estimate <= max), "{:?}", age);
            let reason = view.basis.without_max();
            prop_assert_eq!(age.max.is_none(), reason.is_some(), "{:?}", reason);
            prop_assert!(
                view.basis != crate::model::flow::FlowBasis::Empty,
                "{:?}",
                age
            );
        }
        let totals = view.totals;
        let waits = view.waits.as_ref().map_or(0, |waits| waits.count());
        let all = self.starts;
        prop_assert_eq!(waits + totals.censored, totals.started);
        prop_assert!(totals.started <= all, "{:?} of {}", totals, all);
        prop_assert!(totals.late <= totals.started, "{:?}", totals);
        // All that has come is there, or was handed out, or removed.
        let samples = statistics.earlier.iter().chain([&flow.latest]);
        let is_first = samples
            .flat_map(|sample| &sample.lines)
            .any(|line| line.arrivals.is_first);
        let signed = |count: u64| i64::try_from(count).unwrap();
        let there: u64 = flow.latest.lines.iter().map(|line| line.ready).sum();
        let found = signed(there + totals.started + totals.again + totals.removed)
            - signed(totals.enqueued + totals.put_back);
        if self.polls > 0 && !is_first && !statistics.is_past {
            prop_assert_eq!(found, self.found, "{:?} {}", totals, there);
        }
        self.found = found;
        self.polls += 1;
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_sequence_of_polls_makes_it_panic_or_lose_order_or_count(
        polls in prop::collection::vec((any_row(), 0.0..100.0f64, any::<bool>(), -5i64..5), 1..40),
    ) {
        let mut rig = Rig::new();
        for (row, pause, with_history, skew) in polls {
            rig.poll(row, (pause, with_history, skew))?;
        }
    }

    #[test]
    fn what_is_counted_is_conserved(
        polls in prop::collection::vec((counting_row(), 0.5..8.0f64, any::<bool>()), 1..80),
    ) {
        let (mut rig, mut totals) = (Rig::new(), [0u64; 3]);
        for ((ready, [came, first, again], held), pause, with_history) in polls {
            let [publish, deliver, redeliver] = totals;
            totals = [publish + came, deliver + first + again, redeliver + again];
            rig.poll((ready, Some(totals), held), (pause, with_history, 0))?;
        }
    }
}
