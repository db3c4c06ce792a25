use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use leno_identity::PeerRefused;

use super::Overflow;
use crate::flags::ResponseFlags;

/// Why there is no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{endpoint} did not start HTTP/2")]
    Http2 { endpoint: SocketAddr, source: h2::Error },
    #[error("TLS to {endpoint} is not possible")]
    Identity { endpoint: SocketAddr, source: leno_identity::TlsError },
    #[error("{endpoint} does not speak HTTP/2 over TLS (ALPN)")]
    NoHttp2 { endpoint: SocketAddr },
    /// Where that may be negotiated.
    #[error("{endpoint} has chosen another protocol")]
    OtherProtocol { endpoint: SocketAddr },
    #[error(transparent)]
    Overflow(#[from] Overflow),
    #[error("{endpoint} cannot be reached")]
    Refused { endpoint: SocketAddr, source: io::Error },
    #[error("{endpoint} did not complete the connection within {after:?}")]
    Timeout { endpoint: SocketAddr, after: Duration },
    #[error("TLS handshake with {endpoint} failed")]
    Tls { endpoint: SocketAddr, source: io::Error },
}

impl ConnectError {
    /// Envoy's `%UPSTREAM_TRANSPORT_FAILURE_REASON%` where it has a word for it.
    pub(crate) fn transport_failure(&self) -> String {
        match self {
            Self::Refused { source, .. } => {
                let text = source.to_string();
                let reason = text.split(" (os error").next().unwrap_or_default().replace(' ', "_");
                format!("delayed_connect_error:_{reason}")
            }
            error => error.to_string(),
        }
    }

    /// Whether another endpoint may be tried. Nothing of the request was sent in any of these cases.
    pub(crate) fn retryable(&self) -> bool {
        !matches!(self, Self::Overflow(_))
    }

    pub(crate) fn flag(&self) -> ResponseFlags {
        match self {
            Self::Overflow(_) => ResponseFlags::UPSTREAM_OVERFLOW,
            _ => ResponseFlags::UPSTREAM_CONNECTION_FAILURE,
        }
    }

    /// Set when the endpoint proved to be somebody else than it must be.
    pub(crate) fn refusal(&self) -> Option<(SocketAddr, &PeerRefused)> {
        match self {
            Self::Tls { endpoint, source } => Some((*endpoint, PeerRefused::find(source)?)),
            _ => None,
        }
    }

    /// The same for another who waited for the connection. An `io::Error` keeps its kind and its text.
    pub(super) fn share(&self) -> Self {
        let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        match self {
            Self::Http2 { endpoint, source } => {
                Self::Tls { endpoint: *endpoint, source: io::Error::other(source.to_string()) }
            }
            Self::Identity { endpoint, source } => {
                Self::Tls { endpoint: *endpoint, source: io::Error::other(source.to_string()) }
            }
            Self::NoHttp2 { endpoint } => Self::NoHttp2 { endpoint: *endpoint },
            Self::OtherProtocol { endpoint } => Self::OtherProtocol { endpoint: *endpoint },
            Self::Overflow(overflow) => Self::Overflow(*overflow),
            Self::Refused { endpoint, source } => Self::Refused { endpoint: *endpoint, source: again(source) },
            Self::Timeout { endpoint, after } => Self::Timeout { endpoint: *endpoint, after: *after },
            Self::Tls { endpoint, source } => Self::Tls { endpoint: *endpoint, source: again(source) },
        }
    }

    /// Whether it says something bad about the endpoint (for outlier detection).
    pub(crate) fn blames_endpoint(&self) -> bool {
        !matches!(self, Self::Overflow(_) | Self::Identity { .. })
    }
}
