//! When to poll, what to do when it fails, and the store that folds reports into the snapshot that
//! readers get. Knows no broker's protocol.

mod backoff;
mod keeping;
mod poller;
mod store;
mod supervisor;
mod telemetry;

pub use keeping::Keeping;
pub use poller::Poller;
pub use store::{Message, Store};
pub use supervisor::run;

#[cfg(test)]
mod tests;
