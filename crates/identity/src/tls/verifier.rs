//! Verification of a peer by its chain to our trust bundle and by its SPIFFE ID; host names play no part.

use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error};
use webpki::{EndEntityCert, KeyUsage};

use crate::identity::Shared;
use crate::peer::{self, PeerNames, peer_spiffe_id};

/// The methods about signatures, which all verifiers have alike: what the field `provider` does. Both traits ask for them and
/// neither has them for the other.
macro_rules! signatures_of_provider {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &rustls::pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls12_signature(
                message,
                certificate,
                signature,
                &self.provider.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &rustls::pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(
                message,
                certificate,
                signature,
                &self.provider.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}
pub(crate) use signatures_of_provider;

#[derive(Debug)]
pub(super) struct SpiffeVerifier {
    shared: Arc<Shared>,
    peers: PeerNames,
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl SpiffeVerifier {
    pub(super) fn new(shared: Arc<Shared>, peers: PeerNames, mandatory: bool) -> Self {
        Self { shared, peers, mandatory, provider: super::provider() }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let own = self.shared.current.load();
        verify_chain(&self.provider, leaf, intermediates, &own.anchors, now, usage).map_err(|error| {
            // A stranger's chain does not lead to our roots; say who it claims to be, so that the log has both names.
            match (&error, peer_spiffe_id(std::slice::from_ref(leaf))) {
                (Error::InvalidCertificate(CertificateError::UnknownIssuer), Ok(id)) => peer::PeerRefused {
                    expected: format!("{} vouched for by the roots of {}", self.peers, own.id.trust_domain),
                    presented: format!("{id} with a certificate of another authority"),
                }
                .into_tls(),
                _ => error,
            }
        })?;
        let id = peer_spiffe_id(std::slice::from_ref(leaf))
            .map_err(|_| Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))?;
        peer::check(&id, &own.id.trust_domain, &self.peers).map_err(peer::PeerRefused::into_tls)
    }
}

/// The chain leads to one of `anchors`, is valid now, and may be used so.
pub(crate) fn verify_chain(
    provider: &CryptoProvider,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: UnixTime,
    usage: KeyUsage,
) -> Result<(), Error> {
    let bad_encoding = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let certificate = EndEntityCert::try_from(leaf).map_err(bad_encoding)?;
    let algorithms = provider.signature_verification_algorithms.all;
    certificate
        .verify_for_usage(algorithms, anchors, intermediates, now, usage, None, None)
        .map(|_| ())
        .map_err(|error| Error::InvalidCertificate(reason(&error)))
}

fn reason(error: &webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        // Who signs for itself is an authority of its own, and not ours.
        webpki::Error::CaUsedAsEndEntity | webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        webpki::Error::BadDer | webpki::Error::BadDerTime => CertificateError::BadEncoding,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}

impl ServerCertVerifier for SpiffeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    signatures_of_provider!();
}

impl ClientCertVerifier for SpiffeVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    signatures_of_provider!();
}
