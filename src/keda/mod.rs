//! KEDA's external scaler: gRPC answers to an autoscaler, from the latest snapshot and at once.
//! Never touches a broker.

mod answer;
#[allow(
    clippy::all,
    clippy::clone_on_ref_ptr,
    unreachable_pub,
    reason = "made from proto/externalscaler.proto by tonic-prost-build"
)]
#[rustfmt::skip]
mod generated;
mod query;
mod service;
mod tls;

use crate::model::Snapshot;
use generated::external_scaler_server::ExternalScalerServer;
use service::Scaler;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Server;

pub use tls::{Tls, TlsError};

/// KEDA holds one connection for all its objects and sends no pings: these tell both sides when it
/// is gone.
const PING: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams that one connection may hold open: a ScaledObject has one or two.
const MAX_STREAMS: u32 = 10_000;

/// Why there is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refused {
    /// The metadata is wrong; the message begins with the key.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    /// It may be there at the next question.
    #[error("{0}")]
    Unavailable(String),
    /// It will not be there without another configuration.
    #[error("{0}")]
    NotSetUp(String),
}

impl Refused {
    fn invalid(key: &str, message: impl Into<String>) -> Self {
        Self::Invalid(format!("{key} {}", message.into()))
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Invalid(_) => Self::invalid_argument(message),
            Refused::NotFound(_) => Self::not_found(message),
            Refused::Unavailable(_) => Self::unavailable(message),
            Refused::NotSetUp(_) => Self::failed_precondition(message),
        }
    }
}

/// Serves until cancelled; streams are ended in order then.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    cancelled: CancellationToken,
) -> io::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let scaler = ExternalScalerServer::new(Scaler::new(snapshot, cancelled.clone()));
    reporter.set_serving::<ExternalScalerServer<Scaler>>().await;
    let server = Server::builder()
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(health)
        .add_service(scaler);
    let stopped = cancelled.clone().cancelled_owned();
    let connections = tls::connections(listener, tls, cancelled);
    server
        .serve_with_incoming_shutdown(connections, stopped)
        .await
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
