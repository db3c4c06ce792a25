//! The certificates of one run: a CA, a server for `*.test`, two clients, and a stranger that nobody trusts.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A chain and its key.
#[derive(Debug)]
struct Identity {
    name: &'static str,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    chain_pem: String,
    key_pem: String,
}

#[derive(Debug)]
pub(crate) struct Certificates {
    ca: CertificateDer<'static>,
    ca_pem: String,
    identities: Vec<Identity>,
}

/// Name, common name, DNS names, URI.
const LEAVES: [(&str, &str, &[&str], &str); 5] = [
    ("server", "server", &["a.test", "*.test"], "spiffe://differential/server"),
    ("other", "other", &["other.example"], "spiffe://differential/other"),
    ("client", "client", &["client.test"], "spiffe://differential/client"),
    ("client2", "client2", &["client2.test"], "spiffe://differential/client2"),
    ("stranger", "stranger", &["a.test", "*.test"], "spiffe://differential/stranger"),
];

impl Certificates {
    /// # Errors
    /// When none can be made.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let (ca, ca_certificate) = authority("differential ca")?;
        let (foreign, _) = authority("foreign ca")?;
        let leaf = |&(name, common_name, names, uri): &(&'static str, &str, &[&str], &str)| {
            let issuer = if name == "stranger" { &foreign } else { &ca };
            identity(name, common_name, names, uri, issuer)
        };
        let identities = LEAVES.iter().map(leaf).collect::<anyhow::Result<_>>()?;
        Ok(Self { ca: ca_certificate.der().clone(), ca_pem: ca_certificate.pem(), identities })
    }

    /// Writes `ca.crt`, `NAME.crt` and `NAME.key`.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let write = |name: String, text: &str| {
            std::fs::write(directory.join(&name), text).with_context(|| format!("writing {name}"))
        };
        write("ca.crt".to_owned(), &self.ca_pem)?;
        for identity in &self.identities {
            write(format!("{}.crt", identity.name), &identity.chain_pem)?;
            write(format!("{}.key", identity.name), &identity.key_pem)?;
        }
        Ok(())
    }

    fn identity(&self, name: &str) -> anyhow::Result<&Identity> {
        self.identities.iter().find(|of| of.name == name).with_context(|| format!("no certificate is called {name}"))
    }

    /// For an origin.
    ///
    /// # Errors
    /// When no certificate has that name.
    pub(crate) fn server(&self, name: &str, alpn: &[String], ask_client: bool) -> anyhow::Result<Arc<ServerConfig>> {
        let identity = self.identity(name)?;
        let builder = ServerConfig::builder();
        let builder = if ask_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.ca.clone())?;
            let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
            builder.with_client_cert_verifier(verifier.build()?)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect();
        Ok(Arc::new(config))
    }

    /// For the client. It looks at no name: which certificate it was shown is part of the outcome.
    ///
    /// # Errors
    /// When no certificate has that name.
    pub(crate) fn client(
        &self,
        name: Option<&str>,
        alpn: &[String],
        version: Option<&str>,
    ) -> anyhow::Result<Arc<ClientConfig>> {
        let versions: &[&rustls::SupportedProtocolVersion] = match version {
            Some("1.2") => &[&rustls::version::TLS12],
            Some("1.3") => &[&rustls::version::TLS13],
            _ => rustls::ALL_VERSIONS,
        };
        let builder = ClientConfig::builder_with_protocol_versions(versions);
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer));
        let mut config = match name {
            Some(name) => {
                let identity = self.identity(name)?;
                builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn authority(name: &str) -> anyhow::Result<(Issuer<'static, KeyPair>, rcgen::Certificate)> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((Issuer::new(params, key), certificate))
}

fn identity(
    name: &'static str,
    common_name: &str,
    names: &[&str],
    uri: &str,
    issuer: &Issuer<'static, KeyPair>,
) -> anyhow::Result<Identity> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(common_name);
    for name in names {
        params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
    }
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Identity {
        name,
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        chain_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn named(name: &str) -> DistinguishedName {
    let mut of = DistinguishedName::new();
    of.push(DnType::CommonName, name);
    of.push(DnType::OrganizationName, "Leno tests");
    of
}

/// The common name of a certificate.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

#[derive(Debug)]
struct AnyServer;

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
