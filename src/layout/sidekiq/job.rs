//! A job as Sidekiq's client writes it (`client.rb`, `job_util.rb`), and as a process shows it while
//! one of its threads runs it (`processor.rb`).

use crate::layout::celery::sent_time;
use crate::layout::running::{RunningJob, start_id};
use crate::model::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The part of a job that tells of time. ActiveJob's own `enqueued_at` is deeper, inside `args`.
#[derive(Debug, Deserialize)]
struct Job {
    #[serde(default)]
    jid: Value,
    #[serde(default)]
    enqueued_at: Value,
}

/// A value of `<identity>:work`.
#[derive(Debug, Deserialize)]
struct Work {
    queue: String,
    /// JSON text up to 8; older ones have it nested.
    payload: Value,
    /// Whole seconds.
    run_at: f64,
}

/// Between which times a job was enqueued; `Err` for what is no job.
pub(super) fn enqueued(job: &[u8]) -> Result<Option<(Timestamp, Timestamp)>, serde_json::Error> {
    serde_json::from_slice::<Job>(job).map(|job| sent_time(&job.enqueued_at))
}

/// A job at work; `None` for what is none.
pub(super) fn running(work: &[u8]) -> Option<RunningJob> {
    let work: Work = serde_json::from_slice(work).ok()?;
    let job = match &work.payload {
        Value::String(text) => serde_json::from_str(text).ok(),
        nested => Job::deserialize(nested).ok(),
    };
    let started = Timestamp::from_secs_f64(work.run_at);
    // The start is cut to whole seconds: the middle of its second is right on average.
    let middle = started.map(|started| started.plus(Duration::from_millis(500)));
    let enqueued = job.as_ref().and_then(|job| sent_time(&job.enqueued_at));
    let jid = job.as_ref().and_then(|job| job.jid.as_str());
    Some(RunningJob {
        start: start_id((&work.queue, jid, work.run_at.to_bits())),
        queue: work.queue.into_bytes(),
        started,
        wait: enqueued
            .zip(middle)
            .map(|((_, enqueued), middle)| enqueued.age_at(middle)),
    })
}
