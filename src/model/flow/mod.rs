//! Waiting times where no message carries one: inferred from how many arrive and how many are left.
//!
//! A front end (positions in a Redis list, counters of RabbitMQ) says at each poll how many messages
//! wait and how many have arrived so far ([`FlowSample`]); a [`WaitCurve`] per line keeps when which
//! number arrived; and [`FlowMemory`] makes of it a latency with hard bounds, the waits of the jobs
//! that started, totals and forecasts. Pure: no I/O, no clock. `docs/latency.md` explains it.

mod curve;
mod head;
mod ledger;
mod order;
mod queue;
mod rate;
mod sample;
mod saved;
mod statistics;
mod view;
mod waits;

pub use curve::{Basis, HeadAge, Moved, Poll, Segment, WaitCurve};
pub use ledger::{Claim, Counts, Ledger, Settled, Tally};
pub use order::{End, Misuse, Misuses, MisusesAt, Order, Uses, Witness};
pub use queue::{FlowMemory, QueueFlow, Settings};
pub use rate::{FadingRate, Rate};
pub use sample::{Arrivals, FlowSample, HeadState, LineHead, LineSample, Span, StampOf, Starts};
pub(in crate::model) use saved::age_up;
pub use saved::{SavedFlow, Shift};
pub use statistics::{FlowStatistics, Uncounted};
pub use view::{FlowBasis, FlowTotals, FlowView};
pub use waits::{DEFAULT_BUCKETS, Waits};

#[cfg(test)]
mod tests;
