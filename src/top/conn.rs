//! Asks the JSON API. Each question has a connection of its own, so that an instance that was
//! restarted answers the next one.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

const LIMIT: Duration = Duration::from_secs(5);

/// Answers are pages; anything larger is not from tailback.
const MAX_BYTES: usize = 64 << 20;

/// Who answers.
#[derive(Debug, Clone)]
pub enum Conn {
    /// An instance that runs somewhere.
    Remote(Url),
    /// The API in this process, without a port.
    Local(Router),
}

impl Conn {
    /// An instance's address: `http://host:port/`.
    pub fn remote(url: &str) -> Result<Self, String> {
        let mut parsed: Url = url.parse().map_err(|error| format!("{url:?}: {error}"))?;
        if parsed.scheme() != "http" || parsed.host().is_none() {
            return Err(format!(
                "{url:?} is no address of tailback, which speaks plain HTTP: \
                 write http://HOST:PORT; broker URLs go without --url"
            ));
        }
        if !parsed.path().ends_with('/') {
            let path = format!("{}/", parsed.path());
            parsed.set_path(&path);
        }
        Ok(Self::Remote(parsed))
    }

    /// What a path below the root answers, `None` where there is nothing of that name now.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, String> {
        let answer = tokio::time::timeout(LIMIT, self.send(path)).await;
        let (status, body) = answer.map_err(|_| "it does not answer in time".to_owned())??;
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE => return Ok(None),
            status => return Err(format!("it answers /{path} with {status}: is it tailback?")),
        }
        let parsed = serde_json::from_slice(&body);
        let parsed = parsed.map_err(|error| {
            format!("its answer is not understood, is it of another version? {error}")
        })?;
        Ok(Some(parsed))
    }

    async fn send(&self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let request = |uri: &str, host: &str| {
            let request = Request::get(uri).header(header::HOST, host);
            request.body(Body::empty()).map_err(say)
        };
        let response = match self {
            Self::Local(router) => {
                let request = request(&format!("/{path}"), "localhost")?;
                router.clone().call(request).await.map_err(say)?
            }
            Self::Remote(base) => {
                let host = base.host_str().unwrap_or_default();
                let port = base.port_or_known_default().unwrap_or(80);
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let stream = TcpStream::connect((bare, port)).await.map_err(say)?;
                let io = TokioIo::new(stream);
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
                    .await
                    .map_err(say)?;
                // Its end shows as the end of the answer.
                tokio::spawn(connection);
                let request =
                    request(&format!("{}{path}", base.path()), &format!("{host}:{port}"))?;
                let response = sender.send_request(request).await.map_err(say)?;
                response.map(Body::new)
            }
        };
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await
            .map_err(say)?;
        Ok((status, body.to_bytes()))
    }
}

fn say(error: impl Display) -> String {
    error.to_string()
}
