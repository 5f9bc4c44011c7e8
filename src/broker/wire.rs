//! Byte streams to a broker: TCP, TLS or a unix socket, with every byte counted.

use super::BrokerError;
use super::tls::TlsContext;
use crate::config::HostPort;
use crate::model::{Cost, ErrorKind};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Counts what one source costs its broker, over all of its connections.
#[derive(Debug, Default)]
pub struct Meter {
    sent: AtomicU64,
    received: AtomicU64,
    commands: Mutex<BTreeMap<&'static str, u64>>,
    is_shaking_hands: AtomicBool,
}

impl Meter {
    /// Counts `times` commands or requests of one kind.
    pub fn count(&self, command: &'static str, times: u64) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        *commands.entry(command).or_default() += times;
    }

    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the last handshake of TLS has come to no end: one that was given up is among them.
    pub fn is_shaking_hands(&self) -> bool {
        self.is_shaking_hands.load(Ordering::Relaxed)
    }

    pub fn cost(&self) -> Cost {
        Cost {
            commands: self
                .commands
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            bytes_sent: self.sent.load(Ordering::Relaxed),
            bytes_received: self.received.load(Ordering::Relaxed),
        }
    }
}

/// Any stream to a broker.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream that counts into a [`Meter`]: the bytes on the wire, below TLS.
struct Metered<S> {
    inner: S,
    meter: Arc<Meter>,
}

/// Connects by TCP, with TLS on top where `tls` is given.
pub async fn connect(
    to: &HostPort,
    tls: Option<&TlsContext>,
    meter: &Arc<Meter>,
) -> Result<Box<dyn Stream>, BrokerError> {
    let stream = TcpStream::connect((to.host.as_str(), to.port))
        .await
        .map_err(|error| {
            BrokerError::new(
                ErrorKind::Connect,
                format!("cannot connect to {to}: {error}"),
            )
        })?;
    // Small requests, latency counts; failing to set it only costs speed.
    stream.set_nodelay(true).ok();
    let metered = Metered {
        inner: stream,
        meter: Arc::clone(meter),
    };
    match tls {
        None => Ok(Box::new(metered)),
        Some(tls) => {
            meter.is_shaking_hands.store(true, Ordering::Relaxed);
            let stream = tls.handshake(to, metered).await;
            meter.is_shaking_hands.store(false, Ordering::Relaxed);
            Ok(Box::new(stream?))
        }
    }
}

/// Connects to a unix socket.
pub async fn connect_unix(path: &Path, meter: &Arc<Meter>) -> Result<Box<dyn Stream>, BrokerError> {
    let stream = UnixStream::connect(path).await.map_err(|error| {
        BrokerError::new(
            ErrorKind::Connect,
            format!("cannot connect to the socket {}: {error}", path.display()),
        )
    })?;
    Ok(Box::new(Metered {
        inner: stream,
        meter: Arc::clone(meter),
    }))
}

// === impl Metered ===

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.meter.received((buf.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, data))?;
        self.meter.sent(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
