//! A poll asks no more of a longer queue.

use super::redis;
use crate::support::process::{PATIENCE, eventually};
use crate::support::recordings::{self, Recording};
use crate::support::redis::Monitor;
use crate::support::tailback::{Tailback, quick};
use std::collections::BTreeMap;

/// How often each command comes in one poll.
type Poll = BTreeMap<String, usize>;

/// Polls that are looked at, after as many that get to know the queues.
const POLLS: usize = 10;

/// Belongs to the search for queues, or to the connection.
const NOT_OF_POLLS: [&str; 8] = [
    "scan", "sscan", "type", "hello", "client", "select", "ping", "info",
];

/// The most frequent poll of a system when its queue has so many more jobs.
fn poll(recording: &Recording, more: usize) -> Poll {
    let redis = redis();
    recording.load(&redis, more);
    let monitor = Monitor::start(&redis);
    let _tailback = Tailback::start_config(&(quick(&redis.url()) + &recording.config));
    let polls = eventually("enough polls", PATIENCE, || {
        let polls = split(&monitor.commands());
        (polls.len() > 2 * POLLS).then_some(polls)
    });
    // The last one is not complete.
    let mut frequent: BTreeMap<&Poll, usize> = BTreeMap::new();
    for poll in &polls[POLLS..polls.len() - 1] {
        *frequent.entry(poll).or_default() += 1;
    }
    let most = frequent.into_iter().max_by_key(|(_, times)| *times);
    most.unwrap().0.clone()
}

/// Every poll begins with the question for the time.
fn split(commands: &[Vec<String>]) -> Vec<Poll> {
    let mut polls: Vec<Poll> = Vec::new();
    for words in commands {
        let name = &words[0];
        if name == "time" {
            polls.push(Poll::new());
        }
        if !NOT_OF_POLLS.contains(&name.as_str())
            && let Some(poll) = polls.last_mut()
        {
            *poll.entry(name.clone()).or_default() += 1;
        }
    }
    polls
}

#[test]
fn a_poll_takes_as_many_commands_however_long_a_queue_is() {
    for recording in recordings::all() {
        let [ten, thousands, more] = std::thread::scope(|scope| {
            let recording = &recording;
            let polls = [10, 4000, 20_000].map(|more| scope.spawn(move || poll(recording, more)));
            polls.map(|poll| poll.join().unwrap())
        });
        println!("{}: {thousands:?}", recording.system);
        assert_eq!(thousands, more, "{}", recording.system);
        // In a short list the element that is remembered 2000 places from the head is its tail, and what
        // is compared of both its ends is the same.
        let total = |poll: &Poll| poll.values().sum::<usize>();
        let fewer = total(&thousands) - total(&ten);
        assert!(fewer <= 2, "{}: {ten:?}", recording.system);
    }
}
