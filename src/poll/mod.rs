//! When to poll, what to do when it fails, and the store that folds reports into the snapshot that
//! readers get. Knows no broker's protocol.

mod backoff;
mod poller;
mod store;
mod supervisor;
mod telemetry;

pub use poller::Poller;
pub use store::Store;
pub use supervisor::run;

#[cfg(test)]
mod tests;
