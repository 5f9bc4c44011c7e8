//! How many elements have been pushed to a Redis list since the last poll, found out with a few
//! reads of bounded cost and no trace.
//!
//! A list that is pushed at its tail and popped at its head shifts by one place with every element.
//! So one element remembered from the last poll and found again tells the arrivals in between: those
//! that lie between it and the tail. Three are remembered, at the tail and at two places near the
//! head, since each may be gone or out of the reach of a bounded search; what they say is compared,
//! so that other uses of the list (taking from the wrong end, removing in the middle, putting back,
//! going round) are noticed. Of a list that anybody may use, the elements at both ends are compared
//! with those of the last poll, and where they do not show that it was used in order, that is said.
//!
//! All reads of one list are one transaction of at most nine commands: positions mean nothing
//! without the length of the same instant.

mod follow;
mod memory;
mod order;
mod resolve;
mod saved;
mod several;
mod watch;

pub(crate) use follow::{Budget, Follow};
pub(crate) use memory::ListMarks;
pub use memory::Memory;
pub use saved::SavedMarks;
pub(crate) use several::Several;
pub(crate) use watch::{Elements, Next, Sight, Watch};

#[cfg(test)]
mod tests;

/// How many elements a search looks at, at most: about half a millisecond of the server's time.
const REACH: u64 = 2048;

/// Bytes that the markers of one conversation may bring in.
pub(crate) const MARKER_BYTES: u64 = 8 * 1024 * 1024;

/// Where the server does not search (`LPOS` came with Redis 6.0.6, and may be forbidden): so many
/// elements are fetched from an end to look through, more if the first were not enough, and never
/// more bytes from either end than this.
const CHUNKS: [u64; 3] = [32, 128, 512];
const CHUNK_BYTES: u64 = 128 * 1024;

/// Of a list that anybody may use, so many elements of either end are compared, and so many bytes.
const WINDOW: u64 = 32;
const WINDOW_BYTES: u64 = 16 * 1024;

/// Elements larger than this are not remembered, nor sent to be searched for.
pub(crate) const MAX_MARKER: u32 = 16 * 1024;
