use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::session::Probe;
use crate::stream::Stream;
use crate::tls::TlsSettings;
use crate::upstream::ApplicationProtocol;

impl Probe {
    /// A connection as the cluster's own would be.
    pub(super) async fn connect(&self, address: SocketAddr, protocol: ApplicationProtocol) -> io::Result<Stream> {
        let client = match &self.cluster.tls {
            None => None,
            Some(tls) => {
                let settings = TlsSettings::new(self.identity.clone(), self.contexts.clone(), self.config.timeout);
                let client = settings.client(tls, protocol, &settings.of_cluster(tls));
                Some(client.map_err(io::Error::other)?)
            }
        };
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match client {
            None => Ok(Stream::Plain(stream)),
            Some(client) => client.connect(stream, address).await,
        }
    }
}
