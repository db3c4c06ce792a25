use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::Overflow;

/// Why there is no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{endpoint} did not start HTTP/2: {source}")]
    Http2 { endpoint: SocketAddr, source: h2::Error },
    #[error("TLS to {endpoint} is not possible now: {source}")]
    Identity { endpoint: SocketAddr, source: leno_identity::TlsError },
    #[error("{endpoint} does not speak HTTP/2 over TLS (ALPN)")]
    NoHttp2 { endpoint: SocketAddr },
    #[error(transparent)]
    Overflow(#[from] Overflow),
    #[error("{endpoint} cannot be reached: {source}")]
    Refused { endpoint: SocketAddr, source: io::Error },
    #[error("{endpoint} did not complete the connection within {after:?}")]
    Timeout { endpoint: SocketAddr, after: Duration },
    #[error("TLS handshake with {endpoint} failed: {source}")]
    Tls { endpoint: SocketAddr, source: io::Error },
}

impl ConnectError {
    /// Whether another endpoint may be tried. Nothing of the request was sent in any of these cases.
    pub(crate) fn retryable(&self) -> bool {
        !matches!(self, Self::Overflow(_))
    }

    /// Whether it says something bad about the endpoint (for outlier detection).
    pub(crate) fn blames_endpoint(&self) -> bool {
        !matches!(self, Self::Overflow(_) | Self::Identity { .. })
    }
}
