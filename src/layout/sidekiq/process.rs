//! One Sidekiq process as it describes itself at each beat (`launcher.rb`).

use crate::layout::redis::Reply;
use crate::layout::running::RunningJob;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

pub(super) const FIELDS: &[&str] = &["beat", "busy", "quiet", "info"];

/// A live process.
#[derive(Debug)]
pub(super) struct Process {
    /// When it last wrote, in its own bytes: what it wrote then stands as long as this does.
    pub(super) beat: Vec<u8>,
    /// Threads that run a job.
    pub(super) busy: u64,
    /// It takes no more jobs: it has been told to stop soon.
    pub(super) is_quiet: bool,
    info: Option<Info>,
    /// What it runs, if that could be read.
    pub(super) work: Option<Vec<RunningJob>>,
}

#[derive(Debug, Deserialize)]
struct Info {
    queues: Vec<String>,
    /// Threads; up to 7.
    concurrency: Option<u64>,
    /// One for each capsule; since 7.
    #[serde(default)]
    weights: Vec<IgnoredAny>,
    /// Since 8.
    #[serde(default)]
    capsules: BTreeMap<String, Capsule>,
    /// Since 7.
    version: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Capsule {
    concurrency: u64,
    weights: BTreeMap<String, IgnoredAny>,
}

impl Process {
    /// From the reply to [`FIELDS`]; `None` where the hash is gone: a process that was killed is named
    /// until another one cleans up.
    pub(super) fn decode(reply: Reply) -> Option<Self> {
        let mut fields = reply.array().ok()?.into_iter();
        let mut next = || fields.next().and_then(|field| field.bytes().ok().flatten());
        let (beat, busy, quiet, info) = (next()?, next(), next(), next());
        let text = |field: Option<Vec<u8>>| String::from_utf8(field?).ok();
        Some(Self {
            beat,
            busy: text(busy).and_then(|busy| busy.parse().ok()).unwrap_or(0),
            is_quiet: text(quiet).is_some_and(|quiet| quiet == "true"),
            info: info.and_then(|info| serde_json::from_slice(&info).ok()),
            work: None,
        })
    }

    /// What the keys of its jobs at work may end in.
    pub(super) fn work_keys(&self) -> &'static [&'static [u8]] {
        match self
            .info
            .as_ref()
            .is_some_and(|info| info.version.is_some())
        {
            true => &[b":work"],
            false => &[b":work", b":workers"],
        }
    }

    /// How many jobs it can run at once.
    pub(super) fn slots(&self) -> Option<u64> {
        let info = self.info.as_ref()?;
        let capsules = info.capsules.values().map(|capsule| capsule.concurrency);
        match info.capsules.is_empty() {
            true => info.concurrency,
            false => capsules.reduce(u64::saturating_add),
        }
    }

    /// How many jobs of a queue it can run at once. Sidekiq 7 does not say which of several capsules
    /// has how many threads.
    pub(super) fn slots_for(&self, queue: &[u8]) -> Option<u64> {
        let info = self.info.as_ref()?;
        let is_it = |name: &String| name.as_bytes() == queue;
        if !info.capsules.is_empty() {
            let serving = info.capsules.values();
            let serving = serving.filter(|capsule| capsule.weights.keys().any(is_it));
            let slots = serving.map(|capsule| capsule.concurrency);
            return Some(slots.fold(0, u64::saturating_add));
        }
        match info.queues.iter().any(is_it) {
            false => Some(0),
            true if info.weights.len() > 1 => None,
            true => info.concurrency,
        }
    }
}
