//! TLS to brokers: rustls with ring, the system's CA certificates or the configured ones.

use super::BrokerError;
use crate::config::{HostPort, Tls};
use crate::model::ErrorKind;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::error::Error;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What every TLS connection of one broker shares.
#[derive(Clone)]
pub struct TlsContext {
    connector: TlsConnector,
    server_name: Option<String>,
}

impl TlsContext {
    /// Reads the configured files. Called at every connect, so that renewed certificates are taken
    /// up without a restart.
    pub fn load(config: &Tls) -> Result<Self, BrokerError> {
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| fault(format!("cannot set up TLS: {error}")))?
                .with_root_certificates(roots(config.ca_file.as_deref())?);
        let client = match (&config.cert_file, &config.key_file) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .map_err(|error| {
                    fault(format!(
                        "the client certificate {} and key {} cannot be used: {error}",
                        cert.display(),
                        key.display()
                    ))
                })?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            server_name: config.server_name.clone(),
        })
    }

    /// Shakes hands over `stream` and verifies the server's name.
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        to: &HostPort,
        stream: S,
    ) -> Result<Verified<S>, BrokerError> {
        let name = self.server_name.as_deref().unwrap_or(&to.host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| fault(format!("`{name}` is no name that a certificate can have")))?;
        let connecting = self.connector.connect(name, stream).await;
        let inner = connecting.map_err(|error| {
            fault(format!(
                "TLS with {to} failed: {error}; check tls.ca_file, tls.cert_file and \
                 tls.server_name"
            ))
        })?;
        Ok(Verified {
            inner,
            has_heard: false,
        })
    }
}

/// A stream to a server that we have verified, and that may not have verified us yet: in TLS 1.3 it
/// says so after the handshake, or does not get round to saying it before it closes.
pub struct Verified<S> {
    inner: TlsStream<S>,
    has_heard: bool,
}

/// A server has closed before it has said anything.
#[derive(Debug, thiserror::Error)]
#[error("it was closed right after the handshake")]
struct ClosedUnheard;

impl<S> Verified<S> {
    /// What an error means at this time.
    fn explained(&self, error: io::Error) -> io::Error {
        let is_lost = matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        );
        if is_lost && !self.has_heard {
            io::Error::new(error.kind(), ClosedUnheard)
        } else {
            error
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Verified<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let is_end = outcome.is_ok() && buf.filled().len() == before;
        Poll::Ready(match outcome {
            Ok(()) if is_end && !self.has_heard && buf.remaining() > 0 => {
                Err(self.explained(io::ErrorKind::UnexpectedEof.into()))
            }
            Ok(()) => {
                self.has_heard |= !is_end;
                Ok(())
            }
            Err(error) => Err(self.explained(error)),
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Verified<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.inner).poll_write(cx, data));
        Poll::Ready(outcome.map_err(|error| self.explained(error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        Poll::Ready(outcome.map_err(|error| self.explained(error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// What a broken connection means, if it was TLS that ended it.
pub fn refusal(to: &HostPort, error: &(dyn Error + 'static)) -> Option<BrokerError> {
    let mut next = Some(error);
    while let Some(error) = next {
        let within = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let inner = within.map_or(error, |within| within);
        if inner.is::<rustls::Error>() || inner.is::<ClosedUnheard>() {
            return Some(fault(format!(
                "the TLS connection to {to} broke: {inner}; does it want a client certificate \
                 (tls.cert_file, tls.key_file), or one of another authority?"
            )));
        }
        next = error.source();
    }
    None
}

fn fault(message: String) -> BrokerError {
    BrokerError::new(ErrorKind::Tls, message)
}

/// The configured CA file alone; else the system's; else, where there are none (an empty
/// container), Mozilla's as built in.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, BrokerError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            store.add(certificate).map_err(|error| {
                fault(format!(
                    "{} holds an unusable certificate: {error}",
                    path.display()
                ))
            })?;
        }
        return Ok(store);
    }
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BrokerError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| {
            fault(format!(
                "cannot read certificates from {}: {error}",
                path.display()
            ))
        })?;
    if certificates.is_empty() {
        return Err(fault(format!(
            "{} holds no PEM certificate",
            path.display()
        )));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, BrokerError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        fault(format!(
            "cannot read a private key from {}: {error}",
            path.display()
        ))
    })
}
