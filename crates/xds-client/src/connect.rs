use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use leno_identity::{Identity, PeerRefused};
use leno_names::SpiffeId;
use leno_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use leno_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// Ping period and the wait for its answer: a control plane that vanished is noticed within their sum.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(4);
/// Largest response taken: a bound on the memory one message can take.
const MESSAGE_LIMIT_BYTES: usize = 256 << 20;

/// How to reach one control plane.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) control_id: SpiffeId,
    pub(crate) identity: Identity,
    /// Of each step.
    pub(crate) timeout: Duration,
}

/// An open stream.
pub(crate) struct Connection {
    pub(crate) responses: Streaming<DeltaDiscoveryResponse>,
    /// The connection ends with its last channel.
    _channel: Channel,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("\"{address}\" is not host:port")]
    Address { address: String },
    #[error("cannot speak HTTP/2 with the control plane at {address}")]
    Http { address: String, source: tonic::transport::Error },
    #[error("no identity to show to the control plane")]
    Identity { source: leno_identity::TlsError },
    #[error("who answers at {address} is not the control plane")]
    Peer { address: String, source: PeerRefused },
    #[error("the control plane at {address} refuses the stream ({code:?}): {message}")]
    Stream { address: String, code: tonic::Code, message: String },
    #[error("cannot connect to the control plane at {address}")]
    Tcp { address: String, source: io::Error },
    #[error("no TLS with the control plane at {address}")]
    Tls { address: String, source: io::Error },
}

impl Target {
    /// Opens a stream whose requests come from `requests`. Some should be there already: not every server answers to a
    /// stream without.
    pub(crate) async fn open(
        self,
        requests: mpsc::Receiver<DeltaDiscoveryRequest>,
    ) -> Result<Connection, ConnectError> {
        let stream = self.tls().await?;
        let channel = self.http2(stream).await?;
        let mut client =
            AggregatedDiscoveryServiceClient::new(channel.clone()).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
        let refused = |status: tonic::Status| ConnectError::Stream {
            address: self.address.clone(),
            code: status.code(),
            message: status.message().to_owned(),
        };
        let opening = client.delta_aggregated_resources(ReceiverStream::new(requests));
        let response = match tokio::time::timeout(self.timeout, opening).await {
            Ok(opened) => opened.map_err(refused)?,
            Err(_elapsed) => return Err(refused(tonic::Status::deadline_exceeded("no answer in time"))),
        };
        Ok(Connection { responses: response.into_inner(), _channel: channel })
    }

    async fn tls(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let address = || self.address.clone();
        let tcp = |source| ConnectError::Tcp { address: address(), source };
        let host = self.address.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']']).to_owned());
        // Required by the TLS layer; the peer is verified by its SPIFFE ID.
        let name = host.and_then(|host| rustls_pki_types::ServerName::try_from(host).ok());
        let name = name.ok_or_else(|| ConnectError::Address { address: address() })?;
        let config = self.identity.control_client_config(&self.control_id);
        let config = config.map_err(|source| ConnectError::Identity { source })?;
        let stream = timed(self.timeout, TcpStream::connect(&self.address)).await.map_err(tcp)?;
        stream.set_nodelay(true).map_err(tcp)?;
        let handshake = TlsConnector::from(config).connect(name, stream);
        timed(self.timeout, handshake).await.map_err(|source| match PeerRefused::find(&source) {
            Some(refused) => ConnectError::Peer { address: address(), source: refused.clone() },
            None => ConnectError::Tls { address: address(), source },
        })
    }

    async fn http2(&self, stream: TlsStream<TcpStream>) -> Result<Channel, ConnectError> {
        let http = |source| ConnectError::Http { address: self.address.clone(), source };
        // The connector hands out the stream we have; a channel that wants a second one must fail, not dial by itself.
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_uri| {
            std::future::ready(stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
        });
        Endpoint::from_static("http://leno-control")
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_timeout(self.timeout)
            .connect_with_connector(connector)
            .await
            .map_err(http)
    }
}

async fn timed<T>(limit: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
    }
}
