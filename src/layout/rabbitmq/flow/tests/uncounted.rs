//! What no counter tells: purges, expiry, drops, messages put back or dead-lettered to here.

use super::*;
use crate::model::flow::FlowBasis;

/// Twenty messages, of which something happens that the counters do not tell.
fn uncounted(ready: impl Fn(f64) -> u64, consumers_hold: u64) -> Vec<(f64, Latency)> {
    let truth = Truth {
        published: (0..20).map(|i| EPOCH + 40.0 + f64::from(i) * 0.1).collect(),
        ..Truth::default()
    };
    let mut flows = Flows::default();
    flows.set_single_node(true);
    let (mut memory, buckets) = (FlowMemory::default(), Arc::from(DEFAULT_BUCKETS));
    let settings = Settings {
        buckets: &buckets,
        objective: None,
        starts: u64::MAX,
        witness: &Witness::default(),
    };
    let mut seen = Vec::new();
    for poll in 0..40 {
        let now = EPOCH + f64::from(poll) * 5.0 + 3.0;
        let list = Asked {
            from: now - EPOCH,
            to: now - EPOCH,
        };
        let mut row = STEADY.row(&truth, now);
        row.ready = Some(ready(now - EPOCH));
        row.unacknowledged = Some(consumers_hold);
        let mut rows = BTreeMap::from([("q".to_owned(), row)]);
        let mut all = HashMap::new();
        for want in flows.wants(&rows, list.to) {
            let history = STEADY.history(&truth, now, want.age, want.step);
            all.insert("q".to_owned(), history);
            flows.learn(&all, list);
        }
        flows.follow(&mut rows, &all, list);
        if let Some(flow) = &rows["q"].flow {
            let window = flow.latest.span.on_brokers_clock();
            let ready = rows["q"].ready;
            seen.push((
                now - EPOCH,
                flow.statistics
                    .fold(&mut memory, &flow.latest, window, ready, &settings),
            ));
        }
    }
    seen
}

#[test]
fn a_purge_is_doubted_at_once_and_believed_soon() {
    let seen = uncounted(|now| if (48.0..100.0).contains(&now) { 20 } else { 0 }, 0);
    let before = seen.iter().find(|(at, _)| *at > 90.0).unwrap().1;
    assert!(matches!(before, Latency::Known { age, .. } if age.min > Duration::from_secs(40)));
    for (at, latency) in &seen {
        match latency {
            Latency::Known { age, .. } if *at > 100.0 => {
                assert!(*at < 125.0 && age.min == Duration::ZERO, "{at} {age:?}");
            }
            latency => assert!(*at < 125.0 || *latency == Latency::Empty, "{at}"),
        }
    }
}

#[test]
fn messages_put_back_take_the_upper_bound_away() {
    let seen = uncounted(
        |now| match now {
            ..48.0 => 0,
            ..100.0 => 20,
            _ => 25,
        },
        5,
    );
    let last = seen.last().unwrap().1;
    assert!(
        matches!(last, Latency::Known { age, .. } if age.max.is_none()),
        "{last:?}"
    );
}

#[test]
fn messages_that_nobody_counted_are_no_older_than_the_head() {
    // Dead-lettered to here, where nobody takes any.
    let seen = uncounted(
        |now| match now {
            ..48.0 => 0,
            ..100.0 => 20,
            _ => 25,
        },
        0,
    );
    let (at, last) = *seen.last().unwrap();
    let truth = Duration::from_secs_f64(at - 40.0);
    assert!(
        matches!(last, Latency::Known { age, .. }
            if age.min <= truth && age.max.is_some_and(|max| max >= truth)),
        "{last:?}"
    );
}

/// Messages that leave from the head when they get too old or too many.
fn dropping() -> impl Strategy<Value = Truth> {
    let rules = (
        prop::option::of(1.0..60.0f64),
        1usize..80,
        0.02..2.0f64,
        0.02..4.0f64,
    );
    (rules, any::<u64>()).prop_map(|((ttl, most, gap, busy), seed)| {
        let mut random = seed | 1;
        let mut draw = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            -((random >> 11) as f64 / (1u64 << 53) as f64).max(1e-9).ln()
        };
        let (mut truth, mut now, mut free) = (Truth::default(), EPOCH + 20.0, EPOCH + 20.0);
        truth.time_to_live = ttl.map(Duration::from_secs_f64);
        let mut head = 0;
        while now < EPOCH + 300.0 {
            now += draw() * gap;
            // What happens to those before it until then.
            while let Some(sent) = truth.published.get(head).copied() {
                let (taken, expires) = (free.max(sent + 0.001), ttl.map(|ttl| sent + ttl));
                if taken.min(expires.unwrap_or(f64::MAX)) > now {
                    break;
                }
                if expires.is_some_and(|expires| expires < taken) {
                    truth.dropped.push(sent + ttl.unwrap());
                } else {
                    truth.delivered.push(taken);
                    free = taken + draw() * busy;
                }
                head += 1;
            }
            truth.published.push(now);
            if truth.published.len() - head > most {
                truth.dropped.push(now);
                head += 1;
            }
        }
        truth
    })
}

/// Asserts that the truth of the last seconds is within the bounds; the mean width of these and the
/// mean error.
fn check_dropping(truth: &Truth, seen: &[Seen]) -> (f64, f64) {
    let (mut widths, mut errors, mut polls) = (0.0, 0.0, 0.0);
    for one in seen {
        let Latency::Known { age, .. } = one.latency else {
            continue;
        };
        let (min, max) = (age.min.as_secs_f64(), age.max.map(|max| max.as_secs_f64()));
        // A depth is up to 11 s old, and so is what is known of drops.
        let mut ages = (0..=120).map(|back| truth.head_age(one.now - f64::from(back) * 0.1));
        let is_inside = ages.any(|age| min - 0.2 <= age && max.is_none_or(|max| age <= max + 0.2));
        let now = truth.head_age(one.now);
        assert!(
            is_inside,
            "{now} is not in {min}..{max:?} at {}",
            one.now - EPOCH
        );
        assert!(max.is_none_or(|max| now <= max + 1e-6), "{now} > {max:?}");
        (polls, widths) = (polls + 1.0, widths + max.map_or(0.0, |max| max - min));
        errors += (age.estimate.as_secs_f64() - truth.head_age(one.span.to)).abs();
    }
    (widths / f64::max(polls, 1.0), errors / f64::max(polls, 1.0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_expires_or_is_dropped_leaves_no_wrong_age_behind(broker in broker(), truth in dropping()) {
        let seen = watch(broker, &truth, EPOCH + 3.0, 60, true);
        check_dropping(&truth, &seen);
    }
}

#[test]
fn a_full_queue_that_drops_its_oldest_is_as_old_as_it_is_long() {
    // 50 messages at ten a second, of which one a second is taken.
    let mut truth = Truth::default();
    for i in 0..2800 {
        let at = EPOCH + 20.0 + f64::from(i) * 0.1;
        truth.published.push(at);
        match i {
            ..50 => {}
            _ if i % 10 == 0 => truth.delivered.push(at),
            _ => truth.dropped.push(at),
        }
    }
    let seen = watch(STEADY, &truth, EPOCH + 3.0, 55, true);
    let (width, error) = check_dropping(&truth, &seen);
    println!("bounds {width:.1} s apart, error {error:.1} s");
    let Latency::Known { age, .. } = seen.last().unwrap().latency else {
        panic!("known")
    };
    // It is 5 s old.
    assert!(age.estimate < Duration::from_secs(20), "{age:?}");
}

/// Queues to which dead letters come, alone or among others.
fn with_dead_letters() -> impl Strategy<Value = Truth> {
    let share = prop_oneof![Just(100u64), 1u64..100];
    (truth(), share, any::<u64>()).prop_map(|(mut truth, share, seed)| {
        let mut random = seed | 1;
        let mut draw = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random >> 33
        };
        let all = 0..truth.published.len();
        truth.dead = all.filter(|_| draw() % 100 < share).collect();
        truth
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// After the last has been taken the depth takes 11 s to tell, the next poll 5 s to look, and it is
    /// believed when it has said so for 11 s.
    #[test]
    fn an_empty_queue_is_empty_whatever_came_uncounted(
        broker in broker(), truth in with_dead_letters(),
    ) {
        let last = truth.delivered.last().unwrap() - EPOCH;
        let seen = watch(broker, &truth, EPOCH + 3.0, 14 + last as usize / 5, true);
        let settled = EPOCH + last + 11.0 + 5.1 + 11.0 + 5.1;
        for one in seen.iter().filter(|one| one.now > settled) {
            prop_assert_eq!(one.latency, Latency::Empty, "{}", one.now - EPOCH - last);
        }
        for one in &seen {
            if let Latency::Known { age, .. } = one.latency {
                let lately = (0..=130).map(|back| truth.head_age(one.now - f64::from(back) * 0.1));
                let most = lately.fold(0.0, f64::max);
                prop_assert!(age.min.as_secs_f64() <= most + 0.4, "{:?} {most} dead {} of {}", age, truth.dead.len(), truth.published.len());
            }
        }
    }
}

/// Ten messages, of which five are taken, put back after `held` seconds and taken again, and later all
/// others; what has been counted in the end. Without histories at first nothing is known of the queue then.
fn put_back_and_taken_again(held: f64, waits: f64, has_history: bool) -> FlowView {
    let sent = if has_history { 60.0 } else { 4.0 };
    let taken = sent + 15.0;
    let back = taken + held;
    let again = back + waits;
    let end = again + 30.0;
    let until = |now: f64, steps: &[(f64, u64)]| {
        let past = steps.iter().filter(|(at, _)| *at <= now);
        past.map(|(_, count)| count).sum::<u64>()
    };
    let mut flows = Flows::default();
    flows.set_single_node(true);
    let (mut memory, buckets) = (FlowMemory::default(), Arc::from(DEFAULT_BUCKETS));
    for poll in 0..60 {
        let now = EPOCH + f64::from(poll) * 5.0 + 3.0;
        let list = Asked {
            from: now - EPOCH,
            to: now - EPOCH,
        };
        let totals = |publish_at: f64, deliver_at: f64| Totals {
            publish: until(publish_at - EPOCH, &[(sent, 10)]),
            deliver_get: until(deliver_at - EPOCH, &[(taken, 5), (again, 5), (end, 5)]),
            redeliver: until(deliver_at - EPOCH, &[(again, 5)]),
        };
        let noted = |at| totals(STEADY.publish.last(at), STEADY.deliver.last(at));
        let as_of = STEADY.queue.last(STEADY.depth.last(now)) - EPOCH;
        let mut row = QueueRow::named("q");
        row.kind = Kind::Classic;
        row.ready = Some(
            until(as_of, &[(sent, 10), (back, 5)])
                - until(as_of, &[(taken, 5), (again, 5), (end, 5)]),
        );
        row.unacknowledged = Some(until(as_of, &[(taken, 5)]) - until(as_of, &[(back, 5)]));
        let stats = noted(now);
        row.stats = Some(Stats {
            publish: stats.publish,
            deliver_get: stats.deliver_get,
            redeliver: stats.redeliver,
            ..Stats::default()
        });
        let mut rows = BTreeMap::from([("q".to_owned(), row)]);
        let mut all = HashMap::new();
        let wants = flows.wants(&rows, list.to).into_iter();
        for want in wants.filter(|_| has_history || now > EPOCH + 12.0) {
            let step = i64::from(want.step);
            let last = (now as i64).div_euclid(step) * step;
            let points = (0..=i64::from(want.age) / step).rev().map(|back| {
                let at = last - back * step;
                Point {
                    at,
                    totals: noted(at as f64),
                }
            });
            let history = Samples {
                step: want.step,
                points: points.collect(),
            };
            all.insert("q".to_owned(), history);
            flows.learn(&all, list);
        }
        flows.follow(&mut rows, &all, list);
        if let Some(flow) = &rows["q"].flow {
            let settings = Settings {
                buckets: &buckets,
                objective: Some(Duration::from_secs(5)),
                starts: u64::MAX,
                witness: &Witness::default(),
            };
            let window = flow.latest.span.on_brokers_clock();
            let ready = rows["q"].ready;
            flow.statistics
                .fold(&mut memory, &flow.latest, window, ready, &settings);
        }
    }
    (*memory.view().unwrap()).clone()
}

#[test]
fn what_was_put_back_has_started_once() {
    let times = [
        (20.0, 40.0),
        (1.0, 40.0),
        (3.0, 1.0),
        (0.2, 0.1),
        (8.0, 6.0),
    ];
    for (held, waits) in times {
        let view = put_back_and_taken_again(held, waits, true);
        let totals = view.totals;
        let known = view.waits.map_or(0, |waits| waits.count());
        let seen = (totals.started, known + totals.censored, totals.removed);
        assert_eq!(seen, (10, 10, 0), "{held} {waits} {totals:?}");
        assert!(totals.late <= 10, "{totals:?}");
        assert_eq!((totals.put_back, totals.again), (5, 5), "{held} {waits}");
    }
    for (held, waits) in times {
        let totals = put_back_and_taken_again(held, waits, false).totals;
        assert_eq!(
            (totals.started, totals.removed),
            (10, 0),
            "{held} {waits} {totals:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The depth of a new queue may tell of its messages before the counters do.
    #[test]
    fn what_nobody_has_taken_was_not_put_back(broker in broker(), sent in 5.0..40.0f64) {
        let truth = Truth {
            published: vec![EPOCH + sent; 10],
            ..Truth::default()
        };
        let seen = watch(broker, &truth, EPOCH + 3.0, 20, true);
        check(broker, &truth, &seen);
        prop_assert!(seen.len() > 5);
        for one in &seen {
            if let Latency::Known { age, .. } = one.latency {
                prop_assert!(age.max.is_some(), "{:?} {:?}", age, one.view.basis);
                prop_assert_eq!(one.view.basis, FlowBasis::Curve);
            }
        }
    }
}
