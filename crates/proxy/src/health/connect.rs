use std::io;

use leno_ir::ProxyProtocolVersion;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::session::{Probe, Session};
use crate::proxy_protocol::{ProxyAddresses, encode};
use crate::stream::Stream;
use crate::tls::TlsSettings;
use crate::upstream::{ApplicationProtocol, open};

impl Probe {
    /// A connection as the cluster's own would be.
    pub(super) async fn connect(&self, session: &Session, protocol: ApplicationProtocol) -> io::Result<Stream> {
        let (address, socket) = (session.address(), session.socket(self));
        let client = match self.cluster.tls_of(socket) {
            None => None,
            Some(tls) => {
                let settings = TlsSettings::new(self.identity.clone(), self.contexts.clone(), self.config.timeout);
                let client = settings.client(tls, protocol, &settings.of_cluster(tls), None);
                Some(client.map_err(io::Error::other)?)
            }
        };
        let mut stream = open(&self.cluster.socket, address).await?;
        stream.set_nodelay(true)?;
        if let Some(version) = self.cluster.proxy_protocol_of(socket) {
            stream.write_all(&encode(version, own(version, &stream)?)).await?;
        }
        match client {
            None => Ok(Stream::Plain(stream)),
            Some(client) => client.connect(stream, address).await,
        }
    }
}

/// As in Envoy: version 2 can say that a connection is our own; version 1 says its real addresses.
fn own(version: ProxyProtocolVersion, stream: &TcpStream) -> io::Result<Option<ProxyAddresses>> {
    match version {
        ProxyProtocolVersion::V1 => {
            Ok(Some(ProxyAddresses { source: stream.local_addr()?, destination: stream.peer_addr()? }))
        }
        ProxyProtocolVersion::V2 => Ok(None),
    }
}
