//! What a queue is, how long its oldest job has waited, and the immutable [`Snapshot`] that every
//! reader sees. Pure: no I/O, no clock, nothing of any broker's protocol.

mod counter;
mod demand;
mod fault;
pub mod flow;
pub mod history;
mod latency;
mod measured;
mod objective;
mod observation;
mod saved;
mod snapshot;
mod state;
pub mod tasks;
mod timestamp;

pub use counter::MonotoneCounter;
pub use demand::{Demand, DemandMemory, DemandUnknown, ServiceSource, ServiceTime};
pub use fault::{DropReason, ErrorKind};
pub use flow::{FlowBasis, FlowView, Waits};
pub use history::History;
pub use latency::{Age, Latency, LatencySource, Reason};
pub use measured::{Example, Examples, MeasuredView};
pub use objective::{Objective, Objectives};
pub use observation::{
    Counters, Head, JobState, Jobs, Measured, Observation, System, SystemTotals, Window,
};
pub use saved::SavedFlows;
pub use snapshot::{BrokerKind, BrokerSnapshot, Cost, LastError, QueueSnapshot, Snapshot};
pub use state::{BrokerState, PollFailure, PollSuccess, Report};
pub use timestamp::Timestamp;
