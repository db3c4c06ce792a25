//! How connections to endpoints are secured: by the mesh's mutual TLS, by TLS of the service's own, or not at all.
//!
//! Source      Istio ClientTLSSettings. Ours: a name is always checked where the roots are public ones, since those vouch for
//!             anybody

use std::path::PathBuf;

use leno_ir::{
    CertificateSource, Cluster, DataSource, Flavor, PeerChecks, PeerValidation, PemCertificate, PemRoots, RootsSource,
    ServerNameOfRequest, StringMatch, SubjectAltName, SubjectAltNameKind, TlsParameters, TlsVersion, UpstreamProtocol,
    UpstreamTls,
};
use leno_model::api::{TlsMode, TlsSettings};
use leno_model::{Credential, Protocol, Service, ServicePort, Snapshot};
use leno_names::{SpiffeId, TrustDomain};

use crate::policy::Transport;

/// Where the roots of public authorities are on Debian, Ubuntu, Alpine and Arch, as on most images of containers.
pub(crate) const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What decides how a cluster is secured.
pub(crate) struct Secured<'a> {
    pub snapshot: &'a Snapshot,
    pub service: &'a Service,
    pub port: &'a ServicePort,
    pub subset: Option<&'a str>,
    pub flavor: Flavor,
    pub transport: Transport<'a>,
}

pub(crate) fn secure(cluster: &mut Cluster, secured: &Secured<'_>) {
    match secured.transport {
        Transport::Plain => {}
        Transport::Mesh => cluster.tls = Some(of_mesh(cluster, secured)),
        Transport::Own(settings, credential) => {
            own(cluster, secured, settings, credential.unwrap_or(&Credential::default()));
        }
    }
}

fn of_mesh(cluster: &Cluster, secured: &Secured<'_>) -> UpstreamTls {
    let Secured { snapshot, service, port, subset, flavor, .. } = secured;
    let trust_domain = &snapshot.settings.trust_domain;
    let accounts = service.service_accounts.iter();
    let aliases = snapshot.mesh.trust_domain_aliases.iter().filter_map(|alias| alias.parse().ok());
    let domains: Vec<TrustDomain> = std::iter::once(trust_domain.clone()).chain(aliases).collect();
    let id = |domain: &TrustDomain, account| SpiffeId::new(domain.clone(), &service.key.namespace, account).to_string();
    let ids = accounts.flat_map(|account| domains.iter().map(move |domain| id(domain, account)));
    let written = service.subject_alt_names.iter().filter(|name| name.starts_with("spiffe://")).cloned();
    let mut ids: Vec<_> = ids.chain(written).collect();
    ids.sort();
    ids.dedup();
    let alpn: &[&str] = match (flavor, port.protocol, cluster.http.protocol) {
        (Flavor::Leno, ..) => &[],
        (_, Protocol::Tcp | Protocol::Tls, _) => &["istio"],
        (_, _, UpstreamProtocol::Http1) => &["http/1.1"],
        (_, _, UpstreamProtocol::Http2) => &["h2"],
        (_, _, UpstreamProtocol::Negotiated | UpstreamProtocol::SameAsDownstream) => &[],
    };
    UpstreamTls {
        // Istio's name for a cluster in SNI.
        sni: Some(format!("outbound_.{}_.{}_.{}", port.number, subset.unwrap_or_default(), service.fqdn)),
        alpn: alpn.iter().map(|&protocol| protocol.to_owned()).collect(),
        ..UpstreamTls::of_mesh(PeerValidation::of_mesh(ids.into_iter().map(StringMatch::exact)))
    }
}

/// TLS as a DestinationRule wants it: `SIMPLE`, or `MUTUAL` with a certificate.
fn own(cluster: &mut Cluster, secured: &Secured<'_>, settings: &TlsSettings, credential: &Credential) {
    let service = secured.service;
    let is_blind = settings.insecure_skip_verify == Some(true);
    let names = match settings.subject_alt_names.is_empty() {
        true => &service.subject_alt_names,
        false => &settings.subject_alt_names,
    };
    let written_sni = settings.sni.clone().filter(|sni| !sni.is_empty());
    let public = credential.roots.is_none() && settings.ca_certificates.as_deref().is_none_or(str::is_empty);
    let checks_server_name = !is_blind && names.is_empty() && (written_sni.is_none() || public);
    let host = Some(service.fqdn.clone()).filter(|host| !host.starts_with('*'));
    if written_sni.is_none() && secured.port.protocol.may_be_http() {
        cluster.http.server_name =
            Some(ServerNameOfRequest { is_sent: true, is_checked: checks_server_name, header: None });
    }
    let alpn = if secured.port.protocol.may_be_http() { negotiate(cluster) } else { Vec::new() };
    cluster.tls = Some(UpstreamTls {
        certificate: (settings.mode == Some(TlsMode::Mutual)).then(|| certificate(settings, credential)).flatten(),
        validation: (!is_blind).then(|| PeerValidation {
            roots: roots(settings, credential),
            subject_alt_names: names.iter().map(|name| alternative(name)).collect(),
            checks: PeerChecks::default(),
        }),
        sni: written_sni.or(host),
        alpn,
        parameters: TlsParameters::between(TlsVersion::Tls12, TlsVersion::Tls13),
        max_session_keys: 1,
        auto_sni_san_validation: checks_server_name,
    });
}

/// What is said in ALPN to a server that is no part of the mesh; with both versions of HTTP it is the server that chooses.
pub(crate) fn negotiate(cluster: &mut Cluster) -> Vec<String> {
    let words: &[&str] = match cluster.http.protocol {
        UpstreamProtocol::Http1 => &["http/1.1"],
        UpstreamProtocol::Http2 => &["h2"],
        UpstreamProtocol::Negotiated | UpstreamProtocol::SameAsDownstream => {
            cluster.http.protocol = UpstreamProtocol::Negotiated;
            &["h2", "http/1.1"]
        }
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

fn alternative(name: &str) -> SubjectAltName {
    SubjectAltName { kind: SubjectAltNameKind::Any, name: StringMatch::exact(name) }
}

/// Files are those of the proxy.
fn certificate(settings: &TlsSettings, credential: &Credential) -> Option<CertificateSource> {
    if let Some(own) = &credential.certificate {
        return Some(CertificateSource::Pem(vec![PemCertificate {
            chain: DataSource::inline(own.chain.as_bytes()),
            private_key: DataSource::inline(own.private_key.as_bytes()),
            watched_directory: None,
        }]));
    }
    let file = |path: &Option<String>| Some(DataSource::File(PathBuf::from(path.clone()?)));
    let (chain, private_key) = (file(&settings.client_certificate)?, file(&settings.private_key)?);
    Some(CertificateSource::Pem(vec![PemCertificate { chain, private_key, watched_directory: None }]))
}

fn roots(settings: &TlsSettings, credential: &Credential) -> RootsSource {
    let written = settings.ca_certificates.as_deref().filter(|path| !path.is_empty());
    let certificates = match &credential.roots {
        Some(text) => DataSource::inline(text.as_bytes()),
        None => DataSource::File(PathBuf::from(written.unwrap_or(SYSTEM_ROOTS))),
    };
    RootsSource::Pem(PemRoots { certificates, watched_directory: None })
}
