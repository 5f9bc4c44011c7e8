//! Files that `tailback generate` writes for other programs, made from the metrics' catalog: the
//! ones under `alerts/` are its output, kept true by a test. Pure.

pub mod alerts;
mod yaml;
