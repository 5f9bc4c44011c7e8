use super::*;
use crate::clock;
use proptest::prelude::*;

const HELD: Duration = Duration::from_secs(45);

/// A queue that is watched from the beginning of a minute on.
struct Watch {
    memory: HistoryMemory,
    history: History,
    now: Now,
    start: Now,
}

impl Watch {
    fn new() -> Self {
        let mut start = clock::now();
        start.wall = Timestamp::from_micros(1_000_000 * 60_000_000);
        Self {
            memory: HistoryMemory::default(),
            history: History::default(),
            now: start,
            start,
        }
    }

    fn at(&mut self, secs: u64) -> Now {
        let after = Duration::from_secs(secs);
        self.now.mono = self.start.mono + after;
        self.now.wall = self.start.wall.plus(after);
        self.now
    }

    fn see(&mut self, secs: u64, latency: Option<u64>, ready: u64, enqueued: u64) {
        let seen = Seen {
            at: self.at(secs),
            latency: latency.map(|latency| latency as f32),
            ready: Some(ready as f32),
            enqueued: Some(enqueued),
            started: None,
        };
        self.history = self.memory.fold(seen, HELD);
    }

    /// The latencies of the last `count` minutes.
    fn latencies(&self, count: usize) -> Vec<Option<f32>> {
        let points = self.history.points(self.now);
        assert_eq!(points.len(), SLOTS);
        let last = points.iter().skip(SLOTS - count);
        last.map(|point| point.latency).collect()
    }
}

#[test]
fn a_minute_keeps_its_worst_moment_and_its_rate() {
    let mut watch = Watch::new();
    for (secs, latency, ready) in [(0, 3, 1), (20, 9, 7), (40, 2, 2), (60, 1, 1)] {
        watch.see(secs, Some(latency), ready, secs / 2);
    }
    let points = watch.history.points(watch.now);
    let closed = points[SLOTS - 2];
    assert_eq!((closed.latency, closed.ready), (Some(9.0), Some(7.0)));
    assert_eq!((closed.enqueued, closed.started), (Some(0.5), None));
    assert_eq!(points[SLOTS - 1].latency, Some(1.0));
    assert_eq!(points[SLOTS - 3], Point::default());
    assert_eq!(watch.history.rates(), (Some(0.5), None));
}

#[test]
fn what_is_not_known_is_a_gap() {
    let mut watch = Watch::new();
    watch.see(0, Some(5), 1, 0);
    watch.see(60, None, 1, 0);
    watch.see(120, Some(6), 1, 0);
    // Nothing is seen for three minutes.
    watch.see(330, Some(7), 1, 900);
    let want = [Some(5.0), None, Some(6.0), None, None, Some(7.0)];
    assert_eq!(watch.latencies(6), want);
    let rates: Vec<_> = watch.history.points(watch.now);
    // What came in during the gap belongs to no minute.
    assert_eq!(rates[SLOTS - 1].enqueued, None);
    watch.at(330 + 180);
    assert_eq!(watch.latencies(4), [Some(7.0), None, None, None]);
}

#[test]
fn a_queue_that_is_read_rarely_has_no_gaps() {
    let mut memory = Watch::new();
    let held = Duration::from_secs(600);
    for (secs, latency) in [(0, 4.0), (300, 8.0)] {
        let seen = Seen {
            at: memory.at(secs),
            latency: Some(latency),
            ready: Some(1.0),
            enqueued: None,
            started: Some(secs),
        };
        memory.history = memory.memory.fold(seen, held);
    }
    let want = [4.0, 4.0, 4.0, 4.0, 4.0, 8.0].map(Some);
    assert_eq!(memory.latencies(6), want);
    let points = memory.history.points(memory.now);
    assert!(
        points[SLOTS - 4..]
            .iter()
            .all(|point| point.started == Some(1.0))
    );
}

#[test]
fn a_still_queue_costs_one_entry_and_a_lively_one_no_more_than_there_are_points() {
    let (mut still, mut lively) = (Watch::new(), Watch::new());
    for poll in 0..10_000 {
        still.see(poll * 15, Some(0), 0, 7);
        lively.see(poll * 15, Some(poll), poll, poll * poll);
    }
    assert!(still.history.runs.len() <= 2, "{:?}", still.history.runs);
    assert!(lively.history.runs.len() <= SLOTS);
    assert_eq!(size_of::<Run>(), 20);
    assert!(size_of::<HistoryMemory>() + size_of::<History>() <= 256);
    assert!(
        still
            .latencies(SLOTS)
            .iter()
            .all(|point| *point == Some(0.0))
    );
    assert!(lively.latencies(SLOTS).iter().all(Option::is_some));
}

#[test]
fn a_clock_that_is_put_back_starts_anew() {
    let mut watch = Watch::new();
    watch.see(7200, Some(5), 1, 0);
    watch.see(7260, Some(5), 1, 0);
    watch.see(0, Some(1), 1, 0);
    assert_eq!(watch.latencies(2), [None, Some(1.0)]);
    watch.see(60, Some(2), 1, 0);
    assert_eq!(watch.latencies(2), [Some(1.0), Some(2.0)]);
}

proptest! {
    /// Against a plain list of what was seen in each minute.
    #[test]
    fn points_are_what_was_seen(steps in prop::collection::vec((1u64..100, 0u64..4), 1..200)) {
        let mut watch = Watch::new();
        let mut seen: Vec<(u64, Option<f32>)> = Vec::new();
        let (mut secs, mut before) = (0, None);
        for (step, latency) in steps {
            let gap = step > HELD.as_secs();
            secs += step;
            let latency = latency.checked_sub(1);
            watch.see(secs, latency, 0, 0);
            let minute = secs / 60;
            let latency = latency.map(|latency| latency as f32);
            if let Some((last, shown)) = before {
                let shown: Option<f32> = if gap { None } else { shown };
                seen.extend((last + 1..minute).map(|minute| (minute, shown)));
            }
            seen.push((minute, latency));
            before = Some((minute, latency));
        }
        let now = secs / 60;
        for (back, point) in watch.latencies(SLOTS).iter().rev().enumerate() {
            let minute = now.checked_sub(back as u64);
            let all = seen.iter().filter(|(each, _)| Some(*each) == minute);
            let want = all.filter_map(|(_, latency)| *latency).max_by(f32::total_cmp);
            prop_assert_eq!(*point, want);
        }
        prop_assert!(watch.history.runs.len() <= SLOTS);
    }
}
