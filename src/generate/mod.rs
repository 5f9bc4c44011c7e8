//! Files that `tailback generate` writes for other programs: the ones under `alerts/` and `dashboards/`
//! are its output, kept true by a test. Pure.

pub mod acl;
pub mod alerts;
pub mod dashboards;
pub mod keda;
mod yaml;
