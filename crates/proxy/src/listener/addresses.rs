//! Where a connection really comes from and goes to: by the kernel's memory of a redirection, or by a PROXY header.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use leno_ir::{ProxyProtocol, ProxyProtocolVersion};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::serve::Accepted;
use crate::detect::peek_more;
use crate::proxy_protocol::{MAX_HEADER_BYTES, Malformed, Progress, ProxyHeader, parse};
use crate::stats::ProxyHeaderResult;
use crate::stream::Stream;

/// Why a connection has no usable header.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("version {0:?} is not allowed here")]
    Disallowed(ProxyProtocolVersion),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("there is none")]
    Missing,
    #[error("it did not come within {0:?}")]
    Timeout(Duration),
}

impl Accepted {
    /// Puts the real addresses in place, and hands the connection to the listener of its original destination.
    pub(super) async fn find_addresses(&mut self) -> Result<(), HeaderError> {
        let listener = self.listener.clone();
        let options = &listener.config.options;
        let mut is_restored = false;
        if options.original_dst
            && let Some(destination) = original_destination(self.stream.tcp())
        {
            (self.local, is_restored) = (destination, true);
        }
        if let Some(settings) = &options.proxy_protocol {
            is_restored |= self.read_proxy_header(settings).await?;
        }
        self.is_restored = is_restored;
        if !(options.use_original_dst && is_restored) {
            return Ok(());
        }
        let Some(other) = self.worker.listener_at(self.local) else { return Ok(()) };
        if std::rc::Rc::ptr_eq(&other, &self.listener) {
            return Ok(());
        }
        self.listener = other;
        match &self.listener.clone().config.options.proxy_protocol {
            Some(settings) => self.read_proxy_header(settings).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Whether the header has put other addresses in place.
    async fn read_proxy_header(&mut self, settings: &ProxyProtocol) -> Result<bool, HeaderError> {
        let patience = self.worker.handshake_timeout();
        let Stream::Plain(socket) = &mut self.stream else { return Ok(false) };
        let read = tokio::time::timeout(patience, read_header(socket, settings)).await;
        let read = read.unwrap_or(Err(HeaderError::Timeout(patience)));
        self.worker.stats.proxy_header(match &read {
            Ok(None) => ProxyHeaderResult::Absent,
            Ok(Some(_)) => ProxyHeaderResult::Ok,
            Err(HeaderError::Disallowed(_)) => ProxyHeaderResult::Disallowed,
            Err(_) => ProxyHeaderResult::Error,
        });
        let Some(addresses) = read?.and_then(|header| header.addresses) else { return Ok(false) };
        (self.remote, self.local) = (addresses.source, addresses.destination);
        Ok(true)
    }
}

/// Takes the header off the connection, and no byte more. `None`: there is none, and need not be.
async fn read_header(socket: &mut TcpStream, settings: &ProxyProtocol) -> Result<Option<ProxyHeader>, HeaderError> {
    let mut seen = BytesMut::new();
    loop {
        let has_more = peek_more(socket, &mut seen, MAX_HEADER_BYTES).await?;
        match parse(&seen)? {
            Progress::Complete { header, length } => {
                let is_disallowed = settings.disallowed_versions.contains(&header.version);
                if is_disallowed && settings.allow_requests_without_proxy_protocol {
                    // As Envoy: what may not be a header is the first of the data.
                    return Ok(None);
                }
                if is_disallowed {
                    return Err(HeaderError::Disallowed(header.version));
                }
                seen.truncate(length);
                socket.read_exact(&mut seen).await?;
                return Ok(Some(header));
            }
            Progress::Other if settings.allow_requests_without_proxy_protocol => return Ok(None),
            Progress::Other => return Err(HeaderError::Missing),
            Progress::More if !has_more => return Err(HeaderError::Missing),
            Progress::More => {}
        }
    }
}

/// Where the connection was going before the kernel redirected it. `None`: it was not redirected.
fn original_destination(socket: &TcpStream) -> Option<SocketAddr> {
    let is_v4 = socket.local_addr().ok()?.ip().to_canonical().is_ipv4();
    let socket = SockRef::from(socket);
    let address = if is_v4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
    address.ok()?.as_socket()
}
