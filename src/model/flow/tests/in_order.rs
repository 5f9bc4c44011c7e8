//! Jobs that are taken in order: every wait and every head is inside its bounds.

use super::*;

/// What happens between two polls.
#[derive(Debug, Clone)]
struct Span1 {
    secs: f64,
    /// Arrivals and departures, in turn, by what share of the time has passed.
    events: Vec<(f64, bool)>,
    slow: f64,
}

impl Span1 {
    /// Lets it pass: the poll at its end, and how long those waited that left.
    fn play(&self, now: &mut f64, queue: &mut VecDeque<f64>) -> (Poll, Vec<f64>) {
        let (from, mut waits, mut arrived) = (*now, Vec::new(), 0);
        *now += self.secs;
        for (share, is_arrival) in &self.events {
            let at = from + share * self.secs;
            if *is_arrival {
                queue.push_back(at);
                arrived += 1;
            } else if let Some(since) = queue.pop_front() {
                waits.push(at - since);
            }
        }
        let poll = Poll {
            from: *now,
            to: *now + self.slow,
            at: *now + self.slow,
            ready: queue.len() as u64,
            arrived,
            started: None,
            again: 0,
        };
        (poll, waits)
    }
}

fn spans() -> impl Strategy<Value = Vec<Span1>> {
    let event = (0.0..1.0f64, any::<bool>());
    let span = (
        0.01..20.0f64,
        prop::collection::vec(event, 0..30),
        0.0..0.2f64,
    )
        .prop_map(|(secs, mut events, slow)| {
            events.sort_by(|a, b| a.0.total_cmp(&b.0));
            Span1 { secs, events, slow }
        });
    prop::collection::vec(span, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn in_order_every_wait_and_every_head_is_inside_its_bounds(spans in spans(), first in 0u64..20) {
        let mut now = 0.0;
        // Arrival times; what was there before us arrived at -5.
        let mut queue: VecDeque<f64> = (0..first).map(|_| -5.0).collect();
        let mut curve = WaitCurve::with_max_knots(-0.01, 0.0, first, 16);
        let (mut arrived, mut left, mut counted, mut censored) = (0u64, 0u64, 0u64, 0u64);
        for span in spans {
            let (poll, waits) = span.play(&mut now, &mut queue);
            arrived += poll.arrived;
            left += waits.len() as u64;
            let mut segments = Vec::new();
            let moved = curve.update(poll, |segment| segments.push(segment));
            // The oldest ones that left are those that no segment tells of.
            let mut each = waits.iter().skip(moved.censored as usize);
            for segment in &segments {
                prop_assert!(segment.min <= segment.max);
                for _ in 0..segment.count {
                    let wait = *each.next().unwrap();
                    prop_assert!(segment.min - 1e-9 <= wait && wait <= segment.max + 1e-9);
                }
                counted += segment.count;
            }
            censored += moved.censored;
            prop_assert_eq!(each.next(), None);
            prop_assert!(curve.knots() <= 16);
            let head = curve.head(0, 0);
            prop_assert_eq!(head.is_some(), !queue.is_empty());
            if let (Some(head), Some(since)) = (head, queue.front()) {
                let truth = now - since;
                prop_assert!(head.min - 1e-9 <= truth);
                prop_assert!(head.max.is_none_or(|max| truth <= max + 1e-9));
                prop_assert!(head.min <= head.estimate);
                prop_assert_eq!(head.max.is_none(), *since < 0.0);
            }
            // The next poll begins after this one has ended.
            now += span.slow;
        }
        prop_assert_eq!(counted + censored, left);
        prop_assert_eq!(first + arrived - left, queue.len() as u64);
    }

    #[test]
    fn a_true_time_at_the_head_leaves_no_error_and_a_false_one_is_found_out(
        spans in spans(), first in 0u64..20, off in prop::option::of(-30.0..30.0f64),
    ) {
        let mut now = 0.0;
        let mut queue: VecDeque<f64> = (0..first).map(|_| -5.0).collect();
        let mut curve = WaitCurve::new(-0.01, 0.0, first);
        for span in spans {
            let (poll, waits) = span.play(&mut now, &mut queue);
            let mut segments = Vec::new();
            let moved = curve.update(poll, |segment| segments.push(segment));
            let mut each = waits.iter().skip(moved.censored as usize);
            for segment in &segments {
                for wait in each.by_ref().take(segment.count as usize) {
                    prop_assert!(segment.min - 1e-9 <= *wait && *wait <= segment.max + 1e-9);
                }
            }
            let (inferred, since) = (curve.head(0, 0), queue.front().copied());
            prop_assert_eq!(inferred.is_some(), since.is_some());
            if let (Some(inferred), Some(since)) = (inferred, since) {
                let told = since + off.unwrap_or(0.0);
                let age = poll.to - told;
                // Beyond what the poll itself leaves open.
                let cannot_be = age < inferred.min - span.slow - 1e-6
                    || inferred.max.is_some_and(|max| age > max + 1e-6);
                let agrees = curve.stamp(0, told, told);
                prop_assert!(!(agrees && cannot_be));
                if off.is_none() {
                    prop_assert!(agrees);
                    let head = curve.head(0, 0).unwrap();
                    prop_assert!((head.estimate - age).abs() < 1e-9, "{head:?} {age}");
                    prop_assert!(head.min - 1e-9 <= now - since);
                    prop_assert!(head.max.is_some_and(|max| (max - age).abs() < 1e-9));
                } else if !agrees {
                    prop_assert_eq!(curve.head(0, 0), Some(inferred));
                } else {
                    // A false time that nothing contradicts: what follows is not to be trusted.
                    return Ok(());
                }
            }
            now += span.slow;
        }
    }
}
