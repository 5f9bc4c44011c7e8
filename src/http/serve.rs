//! Connections: as many as are of use, and none that waits for its client for ever.

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// How long a client may take to ask, and to ask again. Scrapers that come less often connect anew.
const HEAD: Duration = Duration::from_secs(30);

/// At the same time; more wait in the listener's queue. Each costs kilobytes, and the descriptors
/// that are left must suffice for brokers.
const CONNECTIONS: usize = 256;

/// After an error of `accept`, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until cancelled, then lets the requests under way end.
pub async fn serve(listener: TcpListener, router: Router, cancelled: CancellationToken) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = cancelled.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot take a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        let service = service_fn(move |request| router.clone().call(request));
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection has ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Without this the last segment of a large exposition waits for an acknowledgement.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    async fn start(cancelled: CancellationToken) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = || async { tokio::time::sleep(Duration::from_secs(1)).await };
        let router = Router::new().route("/slow", get(slow));
        (address, tokio::spawn(serve(listener, router, cancelled)))
    }

    async fn ask(address: SocketAddr, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// All that is said until the server closes the connection.
    async fn answer(mut client: TcpStream) -> String {
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        said
    }

    const WHOLE: &str = "GET /slow HTTP/1.1\r\nHost: here\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_for_ever() {
        let (address, _server) = start(CancellationToken::new()).await;
        let before = clock::now().mono;
        for request in ["", "GET /slow HTTP/1.1\r\nHost: "] {
            assert_eq!(answer(ask(address, request).await).await, "");
        }
        // One that has got its answer is waited for, and not for ever.
        let said = answer(ask(address, WHOLE).await).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(clock::now().mono - before >= 3 * HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_served_and_the_next_one_after_them() {
        let (address, _server) = start(CancellationToken::new()).await;
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            idle.push(ask(address, "").await);
        }
        let before = clock::now().mono;
        let said = answer(ask(address, WHOLE).await).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(clock::now().mono - before >= HEAD);
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_before_the_end() {
        let cancelled = CancellationToken::new();
        let (address, server) = start(cancelled.clone()).await;
        let idle = ask(address, "").await;
        let client = ask(address, WHOLE).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancelled.cancel();
        let said = answer(client).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        server.await.unwrap();
        assert_eq!(answer(idle).await, "");
        TcpStream::connect(address).await.unwrap_err();
    }
}
