//! tailback measures how long background jobs wait, from the broker alone.
//!
//! # Map
//!
//! | module | duty | pure |
//! |---|---|---|
//! | [`model`] | what a queue is and how long its oldest job has waited: observations, their fold, the snapshot | yes |
//! | [`layout`] | what each job system looks like inside a broker: decoders, one file a system | yes |
//! | [`config`] | the configuration file, URLs and environment, checked | reads files |
//! | [`broker`] | talking to Redis and RabbitMQ: connections, discovery, one poll | I/O |
//! | [`state_file`] | the file that outlives a restart: format, trust, disk | I/O |
//! | [`poll`] | when to poll, what to do when it fails, and the store that folds reports into a snapshot | tasks |
//! | [`metrics`] | the catalog of metrics and their text forms | yes |
//! | [`generate`] | alert rules for Prometheus, written from the catalog | yes |
//! | [`http`] | `/metrics`, the JSON API, the status page, health | I/O |
//! | [`human`] | numbers as people read them | yes |
//! | [`keda`] | KEDA's external scaler: gRPC for autoscalers | I/O |
//! | [`top`] | the queues in a terminal, over the JSON API | I/O |
//! | [`cli`] | the commands | I/O |
//!
//! Arrows (`a <- b`: b may use a): `model <- layout <- broker <- state_file <- poll <- cli`,
//! `config <- layout, broker, poll`, `model <- metrics <- http, generate <- cli`, `human <- http, top <- cli`,
//! `model <- keda <- cli`. The readers (`metrics`, `http`, `keda`) never touch a broker: they get the latest [`model::Snapshot`].

pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod generate;
pub mod http;
pub mod human;
pub mod keda;
pub mod layout;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod poll;
pub mod redact;
pub mod signal;
pub mod state_file;
pub mod top;
