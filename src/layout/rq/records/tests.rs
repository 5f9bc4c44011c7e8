use crate::layout::redis::Layout;
use crate::layout::rq::bind;
use crate::layout::testing::{Keyspace, Stored, redis};
use crate::model::{Observation, Timestamp};
use std::time::Duration;

const START: u64 = 1_795_409_700;
const TTL: f64 = 500.0;

/// An RQ whose jobs come and go, polled every second.
struct Rq {
    keys: Keyspace,
    layout: Box<dyn Layout>,
    finished: Vec<(Vec<u8>, f64)>,
    second: u64,
}

impl Rq {
    fn new() -> Self {
        let mut keys = Keyspace::default();
        keys.put("rq:queues", Stored::Set(vec![b"rq:queue:q".to_vec()]));
        Self {
            keys,
            layout: bind(&redis(), 1 << 20),
            finished: Vec::new(),
            second: 0,
        }
    }

    fn job(&mut self, id: &str, enqueued: u64, started: u64, ended: Option<u64>) {
        let at = |second: u64| format!("2026-11-23T05:{:02}:{:02}Z", second / 60, second % 60);
        let mut fields = vec![
            (b"enqueued_at".to_vec(), at(enqueued).into_bytes()),
            (b"started_at".to_vec(), at(started).into_bytes()),
        ];
        fields.extend(ended.map(|ended| (b"ended_at".to_vec(), at(ended).into_bytes())));
        self.keys.put(
            &format!("rq:job:{id}"),
            Stored::Hash(fields.into_iter().collect()),
        );
    }

    /// A job that has just ended after a wait of 2 s and a run of 1 s.
    fn finish(&mut self, id: &str, ttl: f64) {
        let now = self.second + 10;
        self.job(id, now - 3, now - 1, Some(now));
        self.finished
            .push((id.as_bytes().to_vec(), (START + self.second) as f64 + ttl));
        self.finished.sort_by(|a, b| a.1.total_cmp(&b.1));
        self.keys
            .put("rq:finished:q", Stored::Zset(self.finished.clone()));
    }

    fn running(&mut self, ids: &[&str]) {
        let expiry = (START + self.second + 90) as f64;
        let entry = |id: &&str| (format!("{id}:execution").into_bytes(), expiry);
        let entries = ids.iter().map(entry).collect();
        self.keys.put("rq:wip:q", Stored::Zset(entries));
    }

    fn poll(&mut self) -> Observation {
        self.second += 1;
        let now = Timestamp::from_secs_f64((START + self.second) as f64).unwrap();
        let mut seen = self.keys.observe(&mut *self.layout, now);
        seen.remove("q").unwrap()
    }
}

fn waits(seen: &Observation) -> usize {
    seen.measured.as_ref().unwrap().waits.len()
}

fn has_gap(seen: &Observation) -> bool {
    seen.measured.as_ref().unwrap().has_gap
}

#[test]
fn each_job_that_ends_counts_once_and_none_that_ended_before() {
    let mut rq = Rq::new();
    rq.finish("old", TTL);
    assert_eq!(waits(&rq.poll()), 0);
    rq.finish("a", TTL);
    rq.finish("b", TTL);
    let seen = rq.poll();
    let measured = seen.measured.as_ref().unwrap();
    assert_eq!(measured.waits, [Duration::from_secs(2); 2]);
    assert_eq!(measured.runs, [Duration::from_secs(1); 2]);
    assert!(!measured.is_sample && !measured.has_gap);
    assert_eq!(
        (seen.counters.started, seen.counters.finished),
        (Some(2), Some(2))
    );
    let again = rq.poll();
    assert_eq!((waits(&again), again.counters.finished), (0, Some(2)));
    // Far beyond the time for which entries are counted ahead.
    for _ in 0..100 {
        rq.poll();
    }
    rq.finish("c", TTL);
    let seen = rq.poll();
    assert_eq!((waits(&seen), seen.counters.finished), (1, Some(3)));
    assert!(!has_gap(&seen));
}

#[test]
fn a_job_seen_running_does_not_count_again_when_it_ends() {
    let mut rq = Rq::new();
    rq.poll();
    rq.job("a", 1, 4, None);
    rq.running(&["a"]);
    let seen = rq.poll();
    assert_eq!(seen.measured.unwrap().waits, [Duration::from_secs(3)]);
    assert_eq!(waits(&rq.poll()), 0);
    rq.running(&[]);
    rq.finish("a", TTL);
    // The same stay in the queue.
    rq.job("a", 1, 4, Some(9));
    let seen = rq.poll();
    let measured = seen.measured.as_ref().unwrap();
    assert_eq!((measured.waits.len(), measured.runs.len()), (0, 1));
    assert_eq!(seen.counters.started, Some(1));
    // A retry is another stay.
    rq.job("a", 11, 12, None);
    rq.running(&["a"]);
    assert_eq!(waits(&rq.poll()), 1);
}

#[test]
fn a_job_that_ran_before_we_looked_has_no_wait_to_count() {
    let mut rq = Rq::new();
    rq.job("a", 1, 4, None);
    rq.running(&["a"]);
    assert_eq!(waits(&rq.poll()), 0);
    assert_eq!(waits(&rq.poll()), 0);
}

#[test]
fn many_jobs_are_looked_up_over_several_polls() {
    let mut rq = Rq::new();
    rq.poll();
    for n in 0..150 {
        rq.finish(&format!("{n}"), TTL);
    }
    let seen: Vec<Observation> = (0..4).map(|_| rq.poll()).collect();
    assert_eq!(seen.iter().map(waits).collect::<Vec<_>>(), [64, 64, 22, 0]);
    assert!(!seen.iter().any(has_gap));
    assert_eq!(seen[0].counters.finished, Some(150));
}

#[test]
fn jobs_that_cannot_be_found_are_counted_and_said_to_be_missing() {
    let mut rq = Rq::new();
    for n in 0..200 {
        rq.finish(&format!("kept-longer-{n}"), 10.0 * TTL);
    }
    rq.poll();
    rq.finish("hidden", TTL);
    let seen = rq.poll();
    assert_eq!((waits(&seen), seen.counters.finished), (0, Some(1)));
    assert!(has_gap(&seen));
    assert!(!has_gap(&rq.poll()));
}

#[test]
fn after_a_long_pause_nothing_is_taken_for_new_and_the_gap_is_told() {
    let mut rq = Rq::new();
    rq.poll();
    rq.finish("a", TTL);
    rq.second += 3600;
    let seen = rq.poll();
    assert_eq!(waits(&seen), 0);
    assert!(has_gap(&seen));
}

#[test]
fn a_record_that_is_gone_is_a_gap() {
    let mut rq = Rq::new();
    rq.poll();
    rq.finish("a", TTL);
    rq.keys.put("rq:job:a", Stored::Hash(Default::default()));
    assert!(has_gap(&rq.poll()));
}
