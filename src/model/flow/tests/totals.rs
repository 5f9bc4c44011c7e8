//! What a queue has counted, whatever its front end says.

use super::*;

fn few_or_absurd() -> impl Strategy<Value = u64> {
    prop_oneof![9 => 0u64..9, 1 => Just(u64::MAX)]
}

/// One line at one poll, with everything that a front end can say of it.
fn any_line() -> impl Strategy<Value = LineSample> {
    let counts = (
        0u64..40,
        0u64..60,
        0u32..3,
        prop::option::of((0u64..60, few_or_absurd(), few_or_absurd())),
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0u8..12);
    let more = (0u64..9, 0u64..40, 0u64..9, 0u64..9);
    let head = (0u64..4, 0u64..6, 0u8..4, -30.0..90.0f64);
    (0u8..3, counts, flags, more, head).prop_map(|(line, counts, flags, more, head)| {
        let (ready, total, epoch, started) = counts;
        let (turned_over, is_pushed, is_delivered, first) = flags;
        let (unseen, gone, removed, newer) = more;
        let counts = Counts::ALL[usize::from(first) % Counts::ALL.len()];
        let (skip, put_back, state, sent) = head;
        let at = window(sent).from;
        LineSample {
            line,
            ready,
            arrivals: Arrivals {
                total,
                epoch,
                is_first: first == 0,
                turned_over,
                is_pushed,
                unseen,
                is_delivered,
                gone,
                removed,
                counts,
                order: if first == 1 {
                    Order::Broken
                } else {
                    Order::Kept
                },
                others: 0,
                newer: if first == 2 { newer } else { 0 },
            },
            started: started.map(|(first, again, unseen)| Starts {
                first,
                again,
                unseen,
            }),
            head: LineHead {
                skip,
                put_back,
                state: match state {
                    0 => HeadState::Stamped {
                        earliest: at,
                        latest: at,
                        upper_is_hard: true,
                        source: LatencySource::Message,
                        of: StampOf::Arrival,
                    },
                    1 => HeadState::AllDueLater,
                    _ => HeadState::Waiting,
                },
            },
        }
    })
}

proptest! {
    /// Totals fall neither when what is counted falls, nor when a line is taken for a new one, nor
    /// when the clock jumps; and each job that started is in the histogram, but for those from before
    /// the first poll.
    #[test]
    fn totals_never_fall_and_every_start_is_in_the_histogram(
        polls in prop::collection::vec((-2.0..12.0f64, prop::collection::vec(any_line(), 0..3)), 1..60),
    ) {
        let (mut memory, mut at, mut before) = (FlowMemory::default(), 0.0, FlowTotals::default());
        for (secs, lines) in polls {
            at += secs;
            if let Latency::Known { age, .. } = apply(&mut memory, at, &lines) {
                prop_assert!(age.min <= age.estimate);
                prop_assert!(age.max.is_none_or(|max| age.estimate <= max));
            }
            let view = memory.view().unwrap();
            let totals = view.totals;
            let counted = view.waits.as_ref().map_or(0, Waits::count);
            prop_assert_eq!(counted + totals.censored, totals.started);
            for (now, before) in [
                (totals.enqueued, before.enqueued),
                (totals.started, before.started),
                (totals.removed, before.removed),
                (totals.put_back, before.put_back),
                (totals.censored, before.censored),
            ] {
                prop_assert!(now >= before, "{now} after {before}");
            }
            prop_assert_eq!(before.counts.and(totals.counts), totals.counts);
            before = totals;
        }
    }
}
