//! Whatever polls say.

use super::*;

#[test]
fn what_takes_the_numbers_of_others_may_have_come_later() {
    let poll = |at: f64, ready, arrived| Poll {
        from: at,
        to: at,
        at,
        ready,
        arrived,
        started: None,
        again: 0,
    };
    let mut curve = WaitCurve::new(0.0, 0.0, 0);
    curve.update(poll(1.0, 4, 4), |_| {});
    curve.update(poll(2.0, 8, 4), |_| {});
    // The last two have been taken from the tail, and two others have come in their place.
    curve.update(poll(9.0, 8, 0), |_| {});
    curve.lose_sight(2);
    let age = |skip| curve.head(skip, 0).map(|age| (age.min, age.max));
    assert_eq!(age(3), Some((8.0, Some(9.0))));
    // Those of the same poll are no surer than these.
    assert_eq!(age(4), Some((0.0, Some(8.0))));
    assert_eq!(age(7), Some((0.0, Some(8.0))));
}

proptest! {
    #[test]
    fn any_sequence_of_polls_is_survived_and_conserves_messages(
        polls in prop::collection::vec(
            (any::<f64>(), any::<f64>(), 0u64..50, 0u64..50, prop::option::of(0u64..50), 0u8..8),
            1..80,
        ),
    ) {
        let mut curve = WaitCurve::with_max_knots(0.0, 0.0, 3, 8);
        let (mut arrived, mut gone) = (3, 0i64);
        for (from, to, ready, new, started, what) in polls {
            let mut in_segments = 0;
            let poll = Poll { from, to, at: to, ready, arrived: new, started, again: 0 };
            let moved = curve.update(poll, |segment| in_segments += segment.count);
            prop_assert_eq!(in_segments + moved.censored, moved.started);
            arrived += new as i64;
            gone += (moved.started + moved.removed) as i64 - moved.put_back as i64;
            prop_assert_eq!(arrived - gone, ready as i64);
            match what {
                0 => curve.lose_sight(new),
                1 => curve.distrust_order(),
                2 | 3 => {
                    let (a, b) = (curve.seen_at() - from, curve.seen_at() - from * 0.5);
                    curve.stamp(new, a.min(b), a.max(b));
                }
                _ => {}
            }
            for (skip, put_back) in [(0, 0), (1, 0), (0, 4), (u64::MAX, u64::MAX)] {
                if let Some(head) = curve.head(skip, put_back) {
                    prop_assert!(head.min <= head.estimate);
                    prop_assert!(head.max.is_none_or(|max| head.min <= max));
                }
            }
            prop_assert!(curve.knots() <= 9);
        }
    }

    #[test]
    fn huge_and_absurd_numbers_do_not_panic(
        polls in prop::collection::vec((any::<f64>(), any::<u64>(), any::<u64>(), any::<Option<u64>>()), 1..20),
    ) {
        let mut curve = WaitCurve::new(0.0, 0.0, u64::MAX);
        for (at, ready, arrived, started) in polls {
            curve.update(Poll { from: at, to: at, at, ready, arrived, started, again: 0 }, |_| {});
            curve.head(ready, arrived);
            curve.lose_sight(ready);
        }
    }
}
