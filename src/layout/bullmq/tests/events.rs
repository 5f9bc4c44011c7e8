//! What is read from the events, on the recorded stream and on made-up ones.

use super::super::stream::StreamId;
use super::super::track::{Seen, Totals, Track};
use super::{RECORDED, ms};
use crate::layout::redis::{Bytes, Read, Refusal, RefusalKind, Reply};
use crate::model::Measured;
use proptest::prelude::*;
use std::time::Duration;

/// A stream that is trimmed, and what reads it.
struct Rig {
    entries: Vec<(StreamId, Reply)>,
    added: usize,
    max_len: u64,
    track: Track,
    room: usize,
}

fn field(text: &str) -> Reply {
    Reply::Bytes(text.into())
}

impl Rig {
    fn new() -> Self {
        Self {
            entries: Vec::new(),
            added: 0,
            max_len: 10_000,
            track: Track::default(),
            room: 1000,
        }
    }

    /// One that has seen the empty stream.
    fn watching() -> Self {
        let mut rig = Self::new();
        rig.poll();
        rig
    }

    fn add(&mut self, id: &str, fields: &[&str]) -> &mut Self {
        self.push(id, fields.iter().map(|text| field(text)).collect())
    }

    fn push(&mut self, id: &str, fields: Vec<Reply>) -> &mut Self {
        let entry = Reply::Array(vec![field(id), Reply::Array(fields)]);
        self.entries
            .push((StreamId::parse(id.as_bytes()).unwrap(), entry));
        self
    }

    /// Events of one job, at so many milliseconds.
    fn job(&mut self, at: u64, event: &str, job: &str, more: &[&str]) -> &mut Self {
        self.added += 1;
        let id = format!("{at}-{}", self.added);
        let fields = [&["event", event, "jobId", job], more].concat();
        self.add(&id, &fields)
    }

    fn trim(&mut self, len: usize) -> &mut Self {
        self.entries.drain(..self.entries.len().saturating_sub(len));
        self
    }

    /// Reads as one poll does. What it has told and how many pages that took.
    fn poll(&mut self) -> (Measured, usize) {
        let key: Bytes = b"events".as_slice().into();
        let mut seen = Seen::default();
        let mut asked = Some(self.track.first(key.clone()));
        let mut pages = 0;
        while let Some((read, count)) = asked {
            pages += 1;
            let found: Vec<Reply> = match &read {
                Read::XrevrangeLast(_) => self
                    .entries
                    .last()
                    .into_iter()
                    .map(|(_, entry)| entry.clone())
                    .collect(),
                Read::XrangeFrom(_, from, count) => {
                    let from = StreamId::parse(from).unwrap();
                    let behind = self.entries.iter().filter(|(id, _)| *id >= from);
                    behind
                        .take(*count as usize)
                        .map(|(_, entry)| entry.clone())
                        .collect()
                }
                other => panic!("{other:?}"),
            };
            let trim = (self.entries.len() as u64, self.max_len);
            let page = (Reply::Array(found), count);
            self.track
                .take(page, trim, &mut seen, &mut self.room)
                .unwrap();
            asked = self.track.next(key.clone(), 1024, &seen);
        }
        self.track.is_new = false;
        (std::mem::take(&mut self.track.untold), pages)
    }
}

fn millis(times: &[u64]) -> Vec<Duration> {
    times.iter().copied().map(Duration::from_millis).collect()
}

#[test]
fn recorded_events_tell_every_wait_and_run() {
    let file: serde_json::Value = serde_json::from_str(RECORDED).unwrap();
    let mut rig = Rig::watching();
    let entries = &file["v6_running"]["bull:mail:events"]["entries"];
    for entry in entries.as_array().unwrap() {
        let fields = entry[1].as_array().unwrap().iter();
        let fields: Vec<&str> = fields.map(|text| text.as_str().unwrap()).collect();
        rig.add(entry[0].as_str().unwrap(), &fields);
    }
    let (told, pages) = rig.poll();
    assert_eq!(pages, 2);
    let totals = Totals {
        readied: 15,
        started: 11,
        finished: 5,
        failures: 2,
        retries: 2,
        redelivered: 0,
    };
    assert_eq!(rig.track.totals, totals);
    // In the order of their starts: 3, 1, 2, 5, 4, 7, 8, 9, 9 again, 10, 11.
    assert_eq!(
        told.waits,
        millis(&[878, 913, 903, 891, 897, 2, 0, 2, 1, 1, 1])
    );
    assert_eq!(told.runs, millis(&[15, 13, 5, 12, 7, 8, 8]));
    assert!(!told.has_gap);
    // Each once.
    assert_eq!(rig.poll(), (Measured::default(), 1));
}

#[test]
fn what_was_there_before_the_first_poll_is_not_counted() {
    let mut rig = Rig::new();
    rig.job(1, "waiting", "1", &[]).job(5, "waiting", "2", &[]);
    assert_eq!(rig.poll(), (Measured::default(), 1));
    rig.job(9, "active", "2", &[]);
    rig.poll();
    let Totals {
        readied, started, ..
    } = rig.track.totals;
    assert_eq!((readied, started), (0, 1));
}

#[test]
fn a_delayed_job_is_ready_when_it_is_due_and_not_when_a_worker_finds_it() {
    let mut rig = Rig::watching();
    rig.job(10, "delayed", "late", &["delay", "1795410000100"]);
    let base = 1_795_410_000_000;
    rig.job(base + 150, "waiting", "late", &["prev", "delayed"])
        .job(base + 170, "active", "late", &["prev", "waiting"])
        .job(
            base + 180,
            "delayed",
            "forward",
            &["delay", "1795410009000"],
        )
        .job(base + 200, "waiting", "forward", &["prev", "delayed"])
        .job(base + 230, "active", "forward", &["prev", "waiting"]);
    assert_eq!(rig.poll().0.waits, millis(&[70, 30]));
}

#[test]
fn a_job_whose_worker_went_away_is_redelivered_and_not_retried() {
    let mut rig = Rig::watching();
    for job in ["a", "b"] {
        rig.job(1, "waiting", job, &[]).job(2, "active", job, &[]);
        rig.job(30, "waiting", job, &["prev", "active"]);
    }
    // Only the last one is known to have been put back by the server.
    rig.job(30, "stalled", "b", &[]);
    rig.poll();
    assert_eq!(
        (rig.track.totals.retries, rig.track.totals.redelivered),
        (1, 1)
    );
    rig.job(50, "waiting", "c", &["prev", "active"]);
    rig.poll();
    assert_eq!(rig.track.totals.retries, 2);
}

#[test]
fn trimming_is_seen_and_makes_it_forget() {
    let mut rig = Rig::watching();
    rig.job(1, "waiting", "a", &[]).job(1, "waiting", "b", &[]);
    assert!(!rig.poll().0.has_gap);
    rig.job(5, "active", "a", &[]).trim(2);
    let (told, _) = rig.poll();
    assert!(!told.has_gap, "the last one that was read is still there");
    assert_eq!(told.waits, millis(&[4]));
    rig.job(6, "active", "b", &[])
        .job(7, "waiting", "b", &[])
        .job(9, "active", "b", &[]);
    rig.trim(1);
    let (told, _) = rig.poll();
    assert!(told.has_gap);
    assert!(told.waits.is_empty(), "since when it was ready is lost");
    assert_eq!(rig.track.totals.started, 2);
    assert_eq!(rig.track.epoch, 1);
}

#[test]
fn a_new_stream_is_read_from_its_beginning_unless_it_has_been_trimmed() {
    let mut rig = Rig::watching();
    rig.job(1, "waiting", "a", &[]).job(3, "active", "a", &[]);
    assert_eq!(rig.poll().0.waits, millis(&[2]));
    let mut rig = Rig::watching();
    rig.max_len = 2;
    rig.job(1, "waiting", "a", &[]).job(3, "active", "a", &[]);
    assert!(rig.poll().0.has_gap);
}

#[test]
fn a_stream_that_was_deleted_or_is_anothers_is_a_gap() {
    let mut rig = Rig::watching();
    rig.job(500, "waiting", "a", &[]);
    rig.poll();
    rig.trim(0);
    assert!(rig.poll().0.has_gap);
    assert!(!rig.poll().0.has_gap);
    rig.job(600, "waiting", "b", &[]);
    assert!(!rig.poll().0.has_gap);
    assert_eq!(rig.track.totals.readied, 2);
    // One whose clock is behind.
    rig.trim(0).job(7, "active", "b", &[]);
    assert!(rig.poll().0.has_gap);
    assert!(rig.poll().0.has_gap);
    rig.job(8, "waiting", "c", &[]);
    assert!(!rig.poll().0.has_gap);
    assert_eq!((rig.track.totals.readied, rig.track.totals.started), (3, 0));
}

#[test]
fn more_than_one_poll_can_read_is_left_to_the_next() {
    let mut rig = Rig::watching();
    for job in 0..20_000_u64 {
        rig.job(job, "waiting", &job.to_string(), &[]);
    }
    assert_eq!(rig.poll().1, 12);
    let first = rig.track.totals.readied;
    assert!((7_000..13_000).contains(&first), "{first}");
    rig.poll();
    rig.poll();
    assert_eq!(rig.track.totals.readied, 20_000);
    assert_eq!((rig.track.jobs.len(), rig.room), (1000, 0));
}

#[test]
fn large_values_make_the_pages_small() {
    let mut rig = Rig::watching();
    let refused = || {
        Reply::Refused(Refusal {
            kind: RefusalKind::TooLarge,
            message: String::new(),
        })
    };
    for job in 0..100_u64 {
        let fields = ["event", "completed", "jobId", "x", "returnvalue"];
        let fields = fields.iter().map(|text| field(text)).chain([refused()]);
        rig.push(&format!("{job}-1"), fields.collect());
    }
    for poll in 1..20 {
        rig.poll();
        let done = rig.track.totals.finished;
        assert!(done <= 40 * poll, "{done} after {poll}");
    }
    assert_eq!(rig.track.totals.finished, 100);
}

#[test]
fn the_oldest_is_known_if_all_are() {
    let mut rig = Rig::watching();
    rig.job(3, "waiting", "a", &[]).job(5, "waiting", "b", &[]);
    rig.job(6, "waiting", "c", &[]).job(7, "active", "a", &[]);
    rig.poll();
    assert_eq!(rig.track.oldest_ready(2), Some(ms(5)));
    assert_eq!(rig.track.oldest_ready(3), None);
    let (idle, mut room) = (Seen::default(), rig.room);
    rig.track.tidy(3, &idle, &mut room);
    assert_eq!(rig.track.jobs.len(), 3);
    rig.track.tidy(0, &idle, &mut room);
    assert_eq!((rig.track.jobs.len(), room), (0, 1000));
}

/// What happened, to which job, where it was before, and how many milliseconds later.
type Happened = (usize, u8, usize, u64);

fn happened() -> impl Strategy<Value = Vec<Happened>> {
    prop::collection::vec((0..9_usize, 0..12_u8, 0..4_usize, 0..50_u64), 0..400)
}

/// Reads some events after every `pace`, and the rest at last; before that it trims to so many.
fn replay(events: &[Happened], pace: usize, trims: &[usize], room: usize) -> (Rig, Measured) {
    let kinds = [
        "waiting",
        "delayed",
        "active",
        "completed",
        "failed",
        "stalled",
        "removed",
        "waiting-children",
        "added",
    ];
    let before = ["active", "delayed", "failed", ""];
    let mut rig = Rig::watching();
    rig.room = room;
    rig.max_len = trims.iter().min().map_or(10_000, |least| *least as u64);
    let mut at = 1_795_410_000_000;
    let mut all = Measured::default();
    let mut take = |rig: &mut Rig| {
        let (told, _) = rig.poll();
        all.waits.extend(told.waits);
        all.runs.extend(told.runs);
        all.has_gap |= told.has_gap;
        assert_eq!(rig.room + rig.track.jobs.len(), room);
    };
    for (number, (kind, job, prev, later)) in events.iter().enumerate() {
        at += later;
        let due = (at + later).to_string();
        let more = ["prev", before[*prev], "delay", &due];
        rig.job(at, kinds[*kind], &job.to_string(), &more);
        // The server writes both at once.
        let goes_on = events
            .get(number + 1)
            .is_some_and(|next| kinds[next.0] == "stalled");
        if number % pace == 0 && !goes_on {
            if let Some(trim) = trims.get(number % trims.len().max(1)) {
                rig.trim(*trim);
            }
            take(&mut rig);
        }
    }
    take(&mut rig);
    (rig, all)
}

proptest! {
    #[test]
    fn how_often_it_reads_makes_no_difference(events in happened(), paces in (1..100_usize, 1..100_usize)) {
        let (one, told) = replay(&events, paces.0, &[], 100);
        let (other, same) = replay(&events, paces.1, &[], 100);
        prop_assert_eq!(one.track.totals, other.track.totals);
        let actives = events.iter().filter(|event| event.0 == 2).count() as u64;
        prop_assert_eq!(one.track.totals.started, actives);
        prop_assert_eq!((&told.waits, &told.runs), (&same.waits, &same.runs));
    }

    #[test]
    fn trimming_and_too_little_room_only_lose(
        events in happened(),
        pace in 1..100_usize,
        trims in prop::collection::vec(1..60_usize, 1..8),
        room in 0..20_usize,
    ) {
        let (all, _) = replay(&events, pace, &[], 1000);
        let (some, told) = replay(&events, pace, &trims, room);
        let (all, some) = (all.track.totals, some.track.totals);
        prop_assert!(some.started <= all.started && some.finished <= all.finished);
        prop_assert!(some.failures <= all.failures && some.readied <= all.readied);
        prop_assert!(told.waits.len() as u64 <= some.started);
        prop_assert!(told.runs.len() as u64 <= some.finished + some.failures);
        prop_assert!(some == all || told.has_gap, "{:?} of {:?}", some, all);
    }

    #[test]
    fn ids_are_read_as_redis_writes_them(ms in any::<u64>(), sequence in any::<u64>()) {
        let text = format!("{ms}-{sequence}");
        let id = StreamId::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&*id.text(), text.as_bytes());
    }

    #[test]
    fn no_entry_panics(
        id in prop::collection::vec(any::<u8>(), 0..30),
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
    ) {
        let mut rig = Rig::watching();
        let fields = fields.into_iter().map(Reply::Bytes).collect();
        let entry = Reply::Array(vec![Reply::Bytes(id), Reply::Array(fields)]);
        let page = (Reply::Array(vec![entry, Reply::Nil, Reply::Int(3)]), 10);
        let mut seen = Seen::default();
        rig.track.take(page, (1, 10), &mut seen, &mut rig.room).unwrap();
        prop_assert_eq!(rig.track.totals, Totals::default());
    }
}
