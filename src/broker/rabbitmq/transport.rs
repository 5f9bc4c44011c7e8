//! Lets lapin talk over our own streams, so that AMQP has the same TLS as everything else and its
//! bytes are counted. lapin runs its connection in a thread of its own, which ends only with the
//! stream; so the stream can be cut from here.

use crate::broker::wire::Stream;
use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// Ends a stream, and with it lapin's thread, when it is dropped.
#[derive(Debug)]
pub(super) struct Cutter {
    _held: oneshot::Sender<Infallible>,
}

/// Shakes hands as AMQP over `stream`. lapin's own limits do not cover a peer that says nothing:
/// the caller drops the future, and so the cutter, when it takes too long.
pub(super) async fn handshake(
    uri: AMQPUri,
    stream: Box<dyn Stream>,
    properties: ConnectionProperties,
) -> lapin::Result<(Connection, Cutter)> {
    let (held, cut) = oneshot::channel();
    let cutter = Cutter { _held: held };
    let stream = Mutex::new(Some(Cuttable { stream, cut }.compat()));
    let connect = async move |_, _| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        // There is one stream: lapin must not connect again by itself.
        stream
            .map(AsyncTcpStream::Plain)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
    };
    let runtime = Runtime::new(RuntimeParts::new(
        Tokio::current(),
        Timers(Tokio::current()),
    ));
    let connection = Connection::connector(uri, runtime, connect, properties).await?;
    Ok((connection, cutter))
}

/// A stream that ends when its [`Cutter`] is dropped.
struct Cuttable {
    stream: Box<dyn Stream>,
    cut: oneshot::Receiver<Infallible>,
}

/// The part of tokio that lapin needs besides a stream: its timers.
#[derive(Debug, Clone)]
struct Timers(Tokio);

// === impl Cuttable ===

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if Pin::new(&mut self.cut).poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// === impl Timers ===

#[expect(refining_impl_trait, reason = "these return nothing that anybody uses")]
impl Reactor for Timers {
    type TcpStream = Compat<Cuttable>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Send + 'static>(&self, _socket: H) -> io::Result<Compat<Cuttable>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(
        &self,
        duration: Duration,
    ) -> impl futures_core::Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        _to: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
