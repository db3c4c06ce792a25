//! TLS at the edge: with clients by the listener's certificates, with backends by BackendTLSPolicy.

use leno_ir::{
    CertificateSource, Cluster, DataSource, DownstreamSessions, DownstreamTls, PeerChecks, PeerValidation,
    PemCertificate, PemRoots, RootsSource, StringMatch, SubjectAltName, SubjectAltNameKind, TlsParameters, TlsVersion,
    UpstreamTls,
};
use leno_model::{BackendName, BackendRoots, BackendTls, Certificate, Gateway, GatewayListener};

use crate::tls::{SYSTEM_ROOTS, negotiate};

/// The cluster of the same endpoints with TLS as a policy wants it.
pub(crate) fn cluster_name(plain: &str) -> String {
    format!("tls|{plain}")
}

/// `is_raw`: what is sent is not known to be HTTP.
pub(crate) fn cluster(plain: &Cluster, gateway: &Gateway, tls: &BackendTls, is_raw: bool) -> Option<Cluster> {
    let BackendTls::Checked { server_name, names, roots } = tls else { return None };
    let dns = |name: &str| match name.strip_prefix('*') {
        Some(suffix) => StringMatch::Suffix { text: suffix.to_owned(), ignore_case: true },
        None => StringMatch::exact(name),
    };
    let names = names.iter().map(|name| match name {
        BackendName::Dns(name) => SubjectAltName { kind: SubjectAltNameKind::Dns, name: dns(name) },
        BackendName::Uri(uri) => SubjectAltName { kind: SubjectAltNameKind::Uri, name: StringMatch::exact(uri) },
    });
    let mut subject_alt_names: Vec<_> = names.collect();
    if subject_alt_names.is_empty() {
        subject_alt_names.push(SubjectAltName { kind: SubjectAltNameKind::Dns, name: StringMatch::exact(server_name) });
    }
    let certificates = match roots {
        BackendRoots::Pem(text) => DataSource::inline(text.as_bytes()),
        BackendRoots::System => DataSource::File(SYSTEM_ROOTS.into()),
    };
    let validation = PeerValidation {
        roots: RootsSource::Pem(PemRoots { certificates, watched_directory: None }),
        subject_alt_names,
        checks: PeerChecks::default(),
    };
    let mut cluster = Cluster { name: cluster_name(&plain.name), socket_matches: Vec::new(), ..plain.clone() };
    cluster.tls = Some(UpstreamTls {
        certificate: gateway.client_certificate.as_deref().map(|own| CertificateSource::Pem(vec![pem(own)])),
        validation: Some(validation),
        sni: Some(server_name.clone()),
        alpn: if is_raw { Vec::new() } else { negotiate(&mut cluster) },
        parameters: TlsParameters::between(TlsVersion::Tls12, TlsVersion::Tls13),
        max_session_keys: 1,
        auto_sni_san_validation: false,
    });
    Some(cluster)
}

pub(super) fn downstream(listener: &GatewayListener, alpn: &[&str]) -> DownstreamTls {
    let validation = listener.client_validation.as_ref().map(|wanted| PeerValidation {
        roots: RootsSource::Pem(PemRoots {
            certificates: DataSource::inline(wanted.roots.as_bytes()),
            watched_directory: None,
        }),
        subject_alt_names: Vec::new(),
        checks: PeerChecks { accept_untrusted: wanted.insecure_fallback, ..PeerChecks::default() },
    });
    let fallback = listener.client_validation.as_ref().is_some_and(|wanted| wanted.insecure_fallback);
    DownstreamTls {
        certificate: CertificateSource::Pem(listener.certificates.iter().map(|one| pem(one)).collect()),
        require_client_certificate: validation.is_some() && !fallback,
        validation,
        alpn: alpn.iter().map(|&word| word.to_owned()).collect(),
        parameters: TlsParameters::between(TlsVersion::Tls12, TlsVersion::Tls13),
        sessions: DownstreamSessions { stateless: true, stateful: true },
    }
}

pub(super) fn pem(certificate: &Certificate) -> PemCertificate {
    PemCertificate {
        chain: DataSource::inline(certificate.chain.as_bytes()),
        private_key: DataSource::inline(certificate.private_key.as_bytes()),
        watched_directory: None,
    }
}
