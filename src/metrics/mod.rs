//! The catalog of metrics and their text forms. Pure: a [`Snapshot`] in, bytes out.

pub(crate) mod catalog;
mod encode;
mod own;
mod render;

pub use catalog::{CATALOG, MetricDef, MetricType};
pub use encode::Format;
pub use own::OwnMetrics;
pub use render::render;

#[cfg(test)]
mod tests;
