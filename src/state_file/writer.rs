//! The task that writes the file: the latest section of each broker, once in an interval, and a last
//! time when all who send sections are gone.

use super::{Loaded, Lock, Section, disk, format};
use crate::clock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub struct Writer {
    path: Arc<PathBuf>,
    interval: Duration,
    sections: BTreeMap<String, Arc<Section>>,
    lock: Lock,
    /// Whether the last write has failed: told once, not at every try.
    is_failing: bool,
}

impl Writer {
    /// Sections stay as they were found until there are newer ones.
    pub fn new(path: PathBuf, interval: Duration, loaded: Loaded) -> Self {
        let named = |section: Section| (section.identity.name().to_owned(), Arc::new(section));
        Self {
            path: Arc::new(path),
            interval,
            sections: loaded.sections.into_iter().map(named).collect(),
            lock: loaded.lock,
            is_failing: false,
        }
    }

    pub async fn run(mut self, mut incoming: mpsc::Receiver<Section>) {
        let mut is_dirty = false;
        // The first is written at once: from then on the counters of the last process are outdated.
        let mut next = clock::now().mono;
        loop {
            tokio::select! {
                biased;
                section = incoming.recv() => {
                    let Some(section) = section else { break };
                    let name = section.identity.name().to_owned();
                    self.sections.insert(name, Arc::new(section));
                    is_dirty = true;
                }
                () = tokio::time::sleep_until(next), if is_dirty => {
                    self.write().await;
                    is_dirty = false;
                    next = clock::now().mono + self.interval;
                }
            }
        }
        if is_dirty {
            self.write().await;
        }
    }

    async fn write(&mut self) {
        if !self.lock.take(&self.path) {
            return;
        }
        let sections: Vec<Arc<Section>> = self.sections.values().cloned().collect();
        let path = Arc::clone(&self.path);
        let written = tokio::task::spawn_blocking(move || {
            let bytes = format::encode(sections.iter().map(|section| &**section))?;
            disk::replace(&path, &bytes).map_err(|error| error.to_string())
        });
        let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
        let path = self.path.display();
        match &written {
            Ok(()) if self.is_failing => {
                tracing::info!(%path, "the state file can be written again");
            }
            Ok(()) => tracing::debug!(%path, "wrote the state file"),
            Err(error) if !self.is_failing => tracing::warn!(
                %path,
                %error,
                "the state file cannot be written; tailback goes on, but after a restart it begins \
                 anew"
            ),
            Err(error) => tracing::debug!(%path, %error, "the state file still cannot be written"),
        }
        self.is_failing = written.is_err();
    }
}
