//! Files that `tailback generate` writes for other programs, made from the metrics' catalog: the
//! ones under `alerts/` and `dashboards/` are its output, kept true by a test. Pure.

pub mod alerts;
pub mod dashboards;
mod yaml;
