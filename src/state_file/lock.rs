//! That only one process writes the file: what two of them know in turn would be of use to neither.

use super::disk;
use std::fs::{File, TryLockError};
use std::path::Path;

#[derive(Debug, Default)]
pub(super) struct Lock {
    held: Option<File>,
    /// Told once.
    was_refused: bool,
}

impl Lock {
    /// Whether the file may be written. Tried anew until it may: a process that takes the place of
    /// another one is there before that has ended.
    pub(super) fn take(&mut self, path: &Path) -> bool {
        if self.held.is_some() {
            return true;
        }
        let shown = path.display();
        match disk::lock(path) {
            Ok(file) => {
                if std::mem::take(&mut self.was_refused) {
                    tracing::info!(path = %shown, "the state file is written from now on");
                }
                self.held = Some(file);
                true
            }
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut self.was_refused, true) {
                    tracing::warn!(
                        path = %shown,
                        "the state file {shown} is written by another process: not by this one until \
                         that has ended; each tailback needs a `[state] path` of its own"
                    );
                }
                false
            }
            // Not every file system can.
            Err(TryLockError::Error(error)) => {
                tracing::debug!(path = %shown, %error, "the state file cannot be locked");
                true
            }
        }
    }
}
