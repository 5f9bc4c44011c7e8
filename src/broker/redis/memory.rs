//! What this process leaves to the next one: what the layouts remember, and of which run of the
//! server.

use super::catalogue::Bound;
use super::session::Session;
use crate::broker::{BrokerError, SourceMemory};
use crate::model::flow::Misuses;

#[derive(Debug, Default)]
pub(super) struct Remembering {
    /// Not yet taken up: the server has not been asked who it is.
    earlier: Option<SourceMemory>,
    /// Whether the server of this session has been asked.
    has_asked: bool,
    /// Whether any has.
    has_begun: bool,
    /// The server may have been started anew, so that it counts anew.
    is_other_run: bool,
    run_id: Option<String>,
    /// What an earlier process has counted of this run of the server, until it is told.
    earlier_misuses: Option<Misuses>,
    misuses: Option<Misuses>,
}

impl Remembering {
    pub(super) fn after(earlier: Option<SourceMemory>) -> Self {
        Self {
            earlier,
            ..Self::default()
        }
    }

    pub(super) fn new_session(&mut self) {
        self.has_asked = false;
    }

    /// Asks the server who it is, once a session, and takes up what is known of it. After a restart
    /// or a fail-over it may have lost its last minutes, so that jobs long taken are there again.
    pub(super) async fn take_up(
        &mut self,
        session: &mut Session,
        layouts: &mut [Bound],
    ) -> Result<(), BrokerError> {
        if self.has_asked {
            return Ok(());
        }
        let run_id = session.run_id().await?;
        if let Some(mut earlier) = self.earlier.take() {
            let is_same = run_id.is_some() && run_id == earlier.run_id;
            self.earlier_misuses = earlier.misuses.filter(|_| is_same);
            for bound in layouts {
                if let Some(saved) = earlier.layouts.remove(bound.system.as_str()) {
                    bound.layout.resume(saved, is_same);
                }
            }
        } else if self.run_id.is_some() && self.run_id != run_id {
            layouts.iter_mut().for_each(|bound| bound.layout.distrust());
        }
        self.is_other_run = self.has_begun && (run_id.is_none() || self.run_id != run_id);
        (self.run_id, self.has_asked, self.has_begun) = (run_id, true, true);
        Ok(())
    }

    /// Notes what was counted before a poll that has been told; `is_whole` if that read all lists. What
    /// an earlier process had counted has then been told, too.
    pub(super) fn note(&mut self, misuses: Option<Misuses>, is_whole: bool) {
        self.misuses = misuses.filter(|_| is_whole);
        self.earlier_misuses = None;
        self.is_other_run = false;
    }

    /// Whether what is counted can be compared with what was counted before.
    pub(super) const fn is_same_run(&self) -> bool {
        !self.is_other_run
    }

    pub(super) fn earlier_misuses(&self) -> Option<Misuses> {
        self.earlier_misuses
    }

    /// None before the first poll: then what was left earlier still stands.
    pub(super) fn save(&self, layouts: &mut [Bound]) -> Option<SourceMemory> {
        let layouts = layouts.iter_mut().filter_map(|bound| {
            let memory = bound.layout.memory()?;
            Some((bound.system.as_str().to_owned(), memory))
        });
        self.has_begun.then(|| SourceMemory {
            run_id: self.run_id.clone(),
            layouts: layouts.collect(),
            misuses: self.misuses,
        })
    }
}
