use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::tls::{self, ClientTls, ServerTls, TlsError};
use crate::{PeerNames, Svid};

/// Handle to the current SVID; clones share it, rotation swaps it under all of them.
#[derive(Clone, Debug)]
pub struct Identity {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) current: ArcSwap<Svid>,
    generation: watch::Sender<u64>,
}

impl Identity {
    pub fn from_svid(svid: Svid) -> Self {
        let (generation, _) = watch::channel(1);
        Self { shared: Arc::new(Shared { current: ArcSwap::from_pointee(svid), generation }) }
    }

    pub fn current(&self) -> Arc<Svid> {
        self.shared.current.load_full()
    }

    /// Puts a new SVID in the place of the current one. New handshakes use it; settings made before need no rebuild.
    pub fn update(&self, svid: Svid) {
        self.shared.current.store(Arc::new(svid));
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Grows with every update.
    pub fn generation(&self) -> u64 {
        *self.shared.generation.borrow()
    }

    /// Tells of updates.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// Settings for accepting connections.
    ///
    /// # Errors
    /// Only when the cryptographic provider lacks TLS 1.3.
    pub fn server_config(&self, tls: &ServerTls) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        tls::server_config(self.shared.clone(), tls)
    }

    /// Settings for opening connections to any of `tls.peers`.
    ///
    /// In TLS 1.3 the client's handshake ends before the server has looked at the client's certificate: a refusal by the
    /// server shows as an error of the first read.
    ///
    /// # Errors
    /// Only when the cryptographic provider lacks TLS 1.3.
    pub fn client_config(&self, tls: &ClientTls) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        tls::client_config(self.shared.clone(), tls)
    }

    /// Settings for the control plane of our trust domain: gRPC, our SVID shown.
    ///
    /// # Errors
    /// As [`Identity::client_config`].
    pub fn control_client_config(&self, control: &leno_names::SpiffeId) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        let peers = PeerNames::exactly(control);
        self.client_config(&ClientTls { alpn: vec![b"h2".to_vec()], peers, present_certificate: true })
    }
}
