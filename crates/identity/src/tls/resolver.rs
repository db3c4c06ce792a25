use std::sync::Arc;
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::identity::Shared;

/// Shows the current SVID, and none once it has expired.
#[derive(Debug)]
pub(super) struct SvidResolver {
    shared: Arc<Shared>,
}

impl SvidResolver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn certified(&self) -> Option<Arc<CertifiedKey>> {
        let svid = self.shared.current.load();
        (!svid.is_expired(SystemTime::now())).then(|| svid.certified.clone())
    }
}

impl ResolvesServerCert for SvidResolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified()
    }
}

impl ResolvesClientCert for SvidResolver {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.certified()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
