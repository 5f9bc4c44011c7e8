//! What all keys of a job system begin with.

use super::redis::Bytes;

#[derive(Debug)]
pub(super) struct Prefix(pub(super) String);

impl Prefix {
    /// The key of these parts, put together as they are.
    pub(super) fn key(&self, parts: &[&[u8]]) -> Bytes {
        let mut key = self.0.clone().into_bytes();
        for part in parts {
            key.extend_from_slice(part);
        }
        key.into()
    }
}
