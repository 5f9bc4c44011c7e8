//! The tests that need the real binary, real servers and real clients. One test binary: the
//! harness is compiled once, and slow servers are shared.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests may panic, and they watch real clocks"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod acl;
mod alerts;
mod autoscale;
mod budget;
mod celery_events;
mod cli;
mod dashboards;
mod dashboards_live;
mod demo;
mod deploy;
mod exposition;
mod flow_live;
mod harness;
mod keda_generate;
mod keda_live;
mod layering;
mod list_uses;
mod nulls;
mod objectives_live;
mod openapi_live;
mod outage;
mod prometheus;
mod rabbitmq_live;
mod redis_live;
mod redis_transport;
mod refusals;
mod stack;
mod state_file;
mod status_page;
mod status_page_for_all;
mod strangers_live;
mod top;
