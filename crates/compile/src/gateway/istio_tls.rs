//! TLS of a server of an Istio Gateway with its clients.

use leno_ir::{
    CertificateSource, CipherSuite, DataSource, DownstreamSessions, DownstreamTls, PeerChecks, PeerValidation,
    PemCertificate, PemRoots, RootsSource, StringMatch, SubjectAltName, SubjectAltNameKind, TlsParameters, TlsVersion,
};
use leno_model::api::{ServerTls, ServerTlsMode};
use leno_model::{ClientChecks, Credential, GatewayProxy, IstioGateway, IstioServer, ListenerProtocol, Problem};

use super::tls::pem;

/// `None`, and a problem, where there is no key that the proxy may have.
pub(super) fn downstream(
    gateway: &IstioGateway,
    server: &IstioServer,
    proxy: GatewayProxy<'_>,
    problems: &mut Vec<Problem>,
) -> Option<DownstreamTls> {
    let tls = server.tls.as_ref()?;
    let alpn: &[&str] = if server.protocol == ListenerProtocol::Https { &["h2", "http/1.1"] } else { &[] };
    let alpn = alpn.iter().map(|&word| word.to_owned()).collect();
    if tls.mode() == ServerTlsMode::IstioMutual {
        let ids = tls.subject_alt_names.iter().map(StringMatch::exact);
        return Some(DownstreamTls::of_mesh(Some(PeerValidation::of_mesh(ids)), alpn));
    }
    let mut report = |field: &str, reason, message: String| {
        let field = format!("spec.servers[{}].tls.{field}", server.index);
        problems.push(Problem::error(&gateway.key, field, reason, message));
    };
    for name in tls.cipher_suites.iter().filter(|name| CipherSuite::from_name(name).is_none()) {
        let known: Vec<_> = CipherSuite::ALL.iter().map(|suite| suite.name()).collect();
        report(
            "cipherSuites",
            "unknown_cipher_suite",
            format!("{name} is not spoken here; valid are {}", known.join(", ")),
        );
    }
    let mut found = Vec::new();
    for name in tls.credentials() {
        if !gateway.trusts(proxy) {
            let message = format!(
                "gateway {}/{} of service account {} gets no key: labels prove nothing. The annotation {} may name the account",
                proxy.namespace,
                proxy.name,
                proxy.service_account,
                leno_model::api::annotation::SERVICE_ACCOUNTS
            );
            report("credentialName", "credential_not_permitted", message);
            continue;
        }
        match server.credentials.get(name).and_then(|all| all.get(proxy.namespace)) {
            Some(credential) => found.push(credential),
            None => {
                let message = format!("the gateway's namespace, {}, has no Secret {name}", proxy.namespace);
                report("credentialName", "unknown_credential", message);
            }
        }
    }
    let certificates = certificates(tls, &found);
    if certificates.is_empty() {
        if tls.credentials().next().is_none() {
            report("credentialName", "no_certificate", "there is no certificate to show".to_owned());
        }
        return None;
    }
    let validation = match tls.mode() {
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => {
            let Some(roots) = roots(tls, &found) else {
                let message = "there are no roots to check clients by: neither caCertificates nor ca.crt in the Secret";
                report("caCertificates", "no_roots", message.to_owned());
                return None;
            };
            Some(PeerValidation { roots, subject_alt_names: names(tls), checks: checks(server) })
        }
        _ => None,
    };
    Some(DownstreamTls {
        certificate: CertificateSource::Pem(certificates),
        require_client_certificate: tls.mode() == ServerTlsMode::Mutual,
        validation,
        alpn,
        parameters: parameters(tls),
        sessions: DownstreamSessions { stateless: true, stateful: true },
    })
}

fn file(path: Option<&String>) -> Option<DataSource> {
    path.filter(|path| !path.is_empty()).map(|path| DataSource::File(path.into()))
}

fn certificates(tls: &ServerTls, found: &[&Credential]) -> Vec<PemCertificate> {
    let of_secrets = found.iter().filter_map(|credential| credential.certificate.as_deref().map(pem));
    let written = std::iter::once((&tls.server_certificate, &tls.private_key))
        .chain(tls.tls_certificates.iter().map(|one| (&one.server_certificate, &one.private_key)));
    let of_files = written.filter_map(|(chain, key)| {
        let (chain, private_key) = (file(chain.as_ref())?, file(key.as_ref())?);
        Some(PemCertificate { chain, private_key, watched_directory: None })
    });
    of_secrets.chain(of_files).collect()
}

fn roots(tls: &ServerTls, found: &[&Credential]) -> Option<RootsSource> {
    let of_secret = found.iter().find_map(|credential| credential.roots.as_ref());
    let written =
        std::iter::once(&tls.ca_certificates).chain(tls.tls_certificates.iter().map(|one| &one.ca_certificates));
    let certificates = match of_secret {
        Some(text) => DataSource::inline(text.as_bytes()),
        None => written.into_iter().find_map(|path| file(path.as_ref()))?,
    };
    Some(RootsSource::Pem(PemRoots { certificates, watched_directory: None }))
}

fn names(tls: &ServerTls) -> Vec<SubjectAltName> {
    let name = |name: &String| SubjectAltName { kind: SubjectAltNameKind::Any, name: StringMatch::exact(name) };
    tls.subject_alt_names.iter().map(name).collect()
}

fn checks(server: &IstioServer) -> PeerChecks {
    let ClientChecks { certificate_hashes, key_hashes } = server.client_checks.clone();
    PeerChecks { certificate_hashes, key_hashes, ..PeerChecks::default() }
}

fn parameters(tls: &ServerTls) -> TlsParameters {
    let version = |text: &Option<String>, default| match text.as_deref() {
        Some("TLSV1_3") => TlsVersion::Tls13,
        Some("TLSV1_0" | "TLSV1_1" | "TLSV1_2") => TlsVersion::Tls12,
        _ => default,
    };
    let minimum = version(&tls.min_protocol_version, TlsVersion::Tls12);
    TlsParameters {
        cipher_suites: tls.cipher_suites.iter().filter_map(|name| CipherSuite::from_name(name)).collect(),
        ..TlsParameters::between(minimum, version(&tls.max_protocol_version, TlsVersion::Tls13).max(minimum))
    }
}
