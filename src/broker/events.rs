//! Streams of Celery's events beside the polls: each has a connection and a task of its own, which
//! joins what it hears at once ([`TaskLog`]), so nothing piles up. A poll takes what is new.

use super::BrokerError;
use crate::clock;
use crate::config::CeleryEvents;
use crate::layout::celery::events::Decoded;
use crate::model::tasks::{EventsReport, Limits, Loss, TaskLog};
use crate::model::{
    Counters, ErrorKind, Jobs, Observation, PollFailure, PollSuccess, System, SystemTotals,
    Timestamp,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Pauses before a stream that broke off is opened again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Connecting and subscribing take no longer.
pub(super) const OPENING: Duration = Duration::from_secs(10);

/// The streams of one broker.
#[derive(Default)]
pub(super) struct Events {
    streams: Vec<Stream>,
}

struct Stream {
    /// What the names of its queues are shown with.
    prefix: String,
    inbox: Arc<Inbox>,
    task: JoinHandle<()>,
}

/// Where one stream puts what it hears.
pub(super) struct Inbox {
    inner: Mutex<Inner>,
}

struct Inner {
    log: TaskLog,
    is_open: bool,
    /// Why it is not open.
    fault: Option<BrokerError>,
    /// What was wrong with a message since the poll before.
    complaint: Option<String>,
}

/// Opens a stream and reads it until it breaks off.
pub(super) trait Listen: Send + 'static {
    fn listen(&mut self, inbox: &Inbox) -> impl Future<Output = BrokerError> + Send;
}

impl Events {
    pub(super) fn is_started(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Listens from now on.
    pub(super) fn start(&mut self, prefix: String, config: &CeleryEvents, stream: impl Listen) {
        let inbox = Arc::new(Inbox::new(config));
        let task = tokio::spawn(run(stream, Arc::clone(&inbox)));
        self.streams.push(Stream {
            prefix,
            inbox,
            task,
        });
    }

    /// Adds to a poll what events have told since the one before.
    pub(super) fn fill(&self, success: &mut PollSuccess) {
        let mut whole: Option<EventsReport> = None;
        for stream in &self.streams {
            let mut inner = stream.inbox.lock();
            let now = clock::now().wall;
            let busy = inner.log.busy(now);
            let queues = success.observations.iter_mut();
            for seen in queues.filter(|seen| seen.system == System::Celery) {
                let Some(name) = seen.queue.strip_prefix(&*stream.prefix) else {
                    continue;
                };
                let empty_since = empty_since(seen, now);
                if let Some(told) = inner.log.queue(name, &busy, empty_since, now) {
                    seen.measured = Some(told.measured);
                    seen.counters.failures = Some(told.failures);
                    seen.counters.retries = Some(told.retries);
                    seen.busy_workers = seen.busy_workers.or(told.busy);
                }
            }
            let mut report = inner.log.report(now);
            report.is_listening = inner.is_open;
            success.faults.extend(inner.faults());
            match &mut whole {
                None => whole = Some(report),
                Some(whole) => whole.merge(report),
            }
        }
        if let Some(busy) = whole.as_ref().and_then(|whole| whole.busy) {
            success.systems.push(SystemTotals {
                system: System::Celery,
                jobs: Jobs::default(),
                next_due: None,
                slots: None,
                busy_workers: Some(busy),
                counters: Counters::default(),
            });
        }
        success.events = whole;
    }
}

/// A time at which nothing of the queue was waiting anywhere.
fn empty_since(seen: &Observation, now: Timestamp) -> Option<Timestamp> {
    let jobs = seen.jobs;
    let is_empty = jobs.ready == Some(0) && jobs.in_progress == Some(0);
    let may_be_later = jobs.scheduled.is_some_and(|jobs| jobs > 0);
    let age = seen.window.from.age_at(seen.window.to);
    (is_empty && !may_be_later).then(|| now.minus(age))
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(mut stream: impl Listen, inbox: Arc<Inbox>) {
    let mut pause = PAUSE;
    loop {
        let error = stream.listen(&inbox).await;
        if inbox.broke_off(error) {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

impl Inbox {
    fn new(config: &CeleryEvents) -> Self {
        let limits = Limits {
            waiting: config.max_waiting as usize,
            tasks: usize::from(config.max_tasks),
        };
        Self {
            inner: Mutex::new(Inner {
                log: TaskLog::new(limits),
                is_open: false,
                fault: None,
                complaint: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every event is heard.
    pub(super) fn opened(&self) {
        let mut inner = self.lock();
        (inner.is_open, inner.fault) = (true, None);
        tracing::info!("Celery's events are listened to");
    }

    pub(super) fn take(&self, message: Decoded) {
        let mut inner = self.lock();
        let now = clock::now().wall;
        for event in &message.events {
            inner.log.take(event, now);
        }
        if message.faults > 0 {
            inner.log.unreadable(message.faults);
            inner.complaint = inner.complaint.take().or(message.complaint);
        }
    }

    /// Nobody has read for so long that some events may have been dropped.
    pub(super) fn stalled(&self) {
        self.lock().log.gap(Loss::Stalled);
        tracing::warn!("Celery's events were not read for a while; some may have been dropped");
    }

    /// Whether it was open before.
    fn broke_off(&self, error: BrokerError) -> bool {
        let mut inner = self.lock();
        let was_open = std::mem::take(&mut inner.is_open);
        if was_open {
            inner.log.gap(Loss::Disconnected);
        }
        if was_open || inner.fault.as_ref() != Some(&error) {
            let kind = error.kind.as_str();
            tracing::warn!(kind, %error, "Celery's events are not heard; trying again");
        }
        inner.fault = Some(error);
        was_open
    }
}

impl Inner {
    /// What a poll has to tell of.
    fn faults(&mut self) -> Vec<PollFailure> {
        let decode = self.complaint.take().map(|complaint| PollFailure {
            kind: ErrorKind::Decode,
            message: format!("a message among Celery's events could not be read: {complaint}"),
        });
        let fault = self.fault.clone().map(PollFailure::from);
        fault.into_iter().chain(decode).collect()
    }
}
