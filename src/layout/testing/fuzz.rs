//! Every layout against servers that answer anything: it must not panic, must come to an end, and
//! must speak of the queues it was asked about and of no other.

use super::arbitrary::{Madness, any_bytes, any_madness, any_stored};
use super::{MAX_ROUNDS, recordings, redis};
use crate::layout::BindRedis;
use crate::layout::name;
use crate::layout::redis::{Bytes, KeyMeaning, Layout, Outcome, QueueRef, Registry, Step};
use crate::model::{System, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

/// Reads of one round: far above what so few queues and such short replies can ask for.
const MAX_READS: usize = 4096;

fn bind(bind: BindRedis) -> Box<dyn Layout> {
    let mut redis = redis();
    redis.list.keys = vec!["jobs".into(), "jobs:*".into()];
    bind(&redis, 1 << 16)
}

fn refs(names: &[Vec<u8>]) -> Vec<QueueRef> {
    let one = |raw: &Vec<u8>| QueueRef {
        shown: name::shown(raw).into(),
        raw: Bytes::from(raw.as_slice()),
    };
    names.iter().map(one).collect()
}

/// Shows the layout keys and members of anybody's.
fn search(layout: &mut dyn Layout, keys: &[Vec<u8>], server: &mut Madness) {
    let mut keys = keys.to_vec();
    for registry in layout.registries() {
        let (Registry::Set(key) | Registry::Scan(key) | Registry::Named(key)) = registry else {
            continue;
        };
        // What begins as its own keys do gets further.
        let own = key.strip_suffix(b"*").unwrap_or(&key);
        keys.push([own, &server.text()].concat());
        keys.push(own.to_vec());
    }
    for key in keys {
        match layout.key(&key) {
            KeyMeaning::Ask(reads) | KeyMeaning::AskAgain(reads) => {
                let replies = server.answers(&reads);
                layout.identify(&key, replies);
            }
            KeyMeaning::Set | KeyMeaning::Queue { .. } | KeyMeaning::Nothing => {}
        }
        layout.member(&key, &server.text());
    }
}

fn poll(
    (layout, system): (&mut dyn Layout, System),
    queues: &[QueueRef],
    server: &mut Madness,
    now: Timestamp,
) {
    layout.begin();
    let mut replies = Vec::new();
    for round in 0.. {
        assert!(round < MAX_ROUNDS, "the overview does not end");
        let reads = layout.overview(round, replies, now);
        assert!(reads.len() < MAX_READS);
        if reads.is_empty() {
            break;
        }
        replies = server.answers(&reads);
    }
    layout.complaints();
    let mut probe = layout.probe(queues, now);
    let mut replies = Vec::new();
    let mut rounds = 0;
    let outcomes = loop {
        match probe.step(replies) {
            Step::Read(reads) => {
                assert!(
                    !reads.is_empty() && reads.len() < MAX_READS,
                    "{system:?}: {}",
                    reads.len()
                );
                replies = server.answers(&reads);
            }
            Step::Done(outcomes) => break outcomes,
        }
        rounds += 1;
        assert!(rounds < MAX_ROUNDS, "the probe does not end");
    };
    drop(probe);
    assert_eq!(outcomes.len(), queues.len());
    for (queue, outcome) in queues.iter().zip(outcomes) {
        if let Outcome::Observed(seen) | Outcome::Partly(seen, _) = outcome {
            assert_eq!((seen.system, &seen.queue), (system, &queue.shown));
        }
    }
    if let Some(totals) = layout.totals() {
        assert_eq!(totals.system, system);
    }
}

proptest! {
    #[test]
    fn no_layout_is_upset_by_any_reply(
        server in any_madness(),
        keys in vec(any_bytes(), 0..6),
        names in vec(any_bytes(), 0..5),
        start in 0..3_000_000_000_i64,
    ) {
        for (system, row) in recordings::layouts() {
            let mut server = server.clone();
            let mut layout = bind(row);
            let queues = refs(&names);
            for second in 0..4 {
                let now = Timestamp::from_micros((start + second) * 1_000_000);
                search(&mut *layout, &keys, &mut server);
                poll((&mut *layout, system), &queues, &mut server, now);
                match (second, layout.memory()) {
                    (1, _) => layout.distrust(),
                    (2, Some(saved)) => {
                        layout = bind(row);
                        layout.resume(saved, false);
                    }
                    _ => {}
                }
            }
        }
    }

    /// The same from the other side: real keys, some of which are something else now.
    #[test]
    fn no_layout_is_upset_by_any_change_to_its_own_keys(
        values in vec((any::<prop::sample::Index>(), any_stored()), 0..4),
        parts in vec((any::<prop::sample::Index>(), any_bytes()), 0..4),
    ) {
        for (system, row) in recordings::layouts() {
            for (mut layout, mut keys, now) in recordings::of(system).bound(row) {
                keys.poll(&mut *layout, now);
                keys.change(&values, &parts);
                for outcome in keys.poll(&mut *layout, now) {
                    if let Outcome::Observed(seen) | Outcome::Partly(seen, _) = outcome {
                        assert_eq!(seen.system, system);
                    }
                }
            }
        }
    }
}
