//! What a Resque worker says of itself: its name, and the job that it runs.

use crate::layout::celery::iso_time;
use crate::layout::glob;
use crate::layout::running::{RunningJob, start_id};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// Bytes of `worker:<name>` that are read: the job itself, which can be large, comes last.
pub(super) const MAX_TEXT: u32 = 1024;

/// Whether it is a name as workers give themselves: `<host>:<pid>:<queue>,<queue>,…`.
pub(super) fn is_name(name: &[u8]) -> bool {
    let mut parts = name.splitn(3, |byte| *byte == b':');
    let mut is = |fits: fn(&[u8]) -> bool| parts.next().is_some_and(fits);
    is(|host| !host.is_empty())
        // With a thread's number behind it where workers are threads.
        && is(|pid| pid.first().is_some_and(u8::is_ascii_digit))
        && is(|queues| !queues.is_empty())
}

/// Whether a worker of this name takes jobs from the queue.
pub(super) fn serves(name: &[u8], queue: &[u8]) -> bool {
    let queues = name.splitn(3, |byte| *byte == b':').nth(2);
    let mut patterns = queues.unwrap_or_default().split(|byte| *byte == b',');
    patterns.any(|pattern| glob::matches(pattern, queue))
}

/// The job that a worker runs, from the beginning of its text.
pub(super) fn running(worker: &[u8], text: &[u8]) -> Option<RunningJob> {
    let mut start = Start::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    // Ends in an error where the text is cut off; what has been read by then is kept.
    json.deserialize_map(&mut start).ok();
    let queue = start.queue?;
    let run_at = start.run_at;
    Some(RunningJob {
        start: start_id((worker, &queue, &run_at)),
        queue: queue.into_bytes(),
        started: run_at.as_deref().and_then(iso_time),
        wait: None,
    })
}

#[derive(Debug, Default)]
struct Start {
    queue: Option<String>,
    run_at: Option<String>,
}

impl<'de> Visitor<'de> for &mut Start {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("what a Resque worker works on")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "queue" => self.queue = Some(map.next_value()?),
                "run_at" => self.run_at = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}
