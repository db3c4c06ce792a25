//! The certificates that upstream's suite makes before its first case.

use std::collections::BTreeMap;

use anyhow::Context;
use leno_e2e::EchoTls;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

const INFRA: &str = "gateway-conformance-infra";
const APP: &str = "gateway-conformance-app-backend";
const WEB: &str = "gateway-conformance-web-backend";

/// Namespace and ConfigMap of each authority.
const AUTHORITIES: [(&str, &str); 5] = [
    (WEB, "web-backend-cm"),
    (INFRA, "tls-validity-checks-ca-certificate"),
    (INFRA, "tls-validity-checks-per-port-ca-certificate"),
    (INFRA, CHECKS),
    (INFRA, "mismatch-ca-certificate"),
];
const CHECKS: &str = "tls-checks-ca-certificate";
/// Namespace, Secret, names of the certificate, who has signed it.
const SECRETS: [(&str, &str, &[&str], &str); 9] = [
    (WEB, "certificate", &["*"], "web-backend-cm"),
    (INFRA, "tls-validity-checks-certificate", &["*", "*.org", "*.wildcard.org"], "web-backend-cm"),
    (INFRA, "tls-validity-checks-client-certificate", &["client.example.com"], "tls-validity-checks-ca-certificate"),
    (
        INFRA,
        "tls-validity-checks-per-port-client-certificate",
        &["client.example.com"],
        "tls-validity-checks-per-port-ca-certificate",
    ),
    (
        INFRA,
        "tls-checks-certificate",
        &["abc.example.com", "spiffe://abc.example.com/test-identity", "other.example.com"],
        CHECKS,
    ),
    (INFRA, "tls-checks-client-certificate", &["client.example.com"], CHECKS),
    (INFRA, "tls-passthrough-checks-certificate", &["abc.example.com"], CHECKS),
    (APP, "tls-passthrough-checks-certificate", &["abc.example.com"], CHECKS),
    (INFRA, "tls-terminate-checks-certificate", &["tls.example.com"], CHECKS),
];

/// By `namespace/name` of the Secret.
pub(crate) type Certificates = BTreeMap<String, EchoTls>;

/// All of them as objects, too; the keys are made now and nowhere kept.
pub(crate) fn make() -> anyhow::Result<(Certificates, String)> {
    let mut objects = String::new();
    let mut issuers = BTreeMap::new();
    for (namespace, name) in AUTHORITIES {
        let (issuer, certificate) = authority(name)?;
        issuers.insert(name, issuer);
        objects += &format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: {namespace} }}\n\
             data:\n  ca.crt: |\n{}",
            indented(&certificate),
        );
    }
    let mut certificates = Certificates::new();
    for (namespace, name, names, by) in SECRETS {
        let certificate = signed(names, issuers.get(by).context("an authority")?)?;
        objects += &format!(
            "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{ name: {name}, namespace: {namespace} }}\n\
             stringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
            indented(&certificate.chain),
            indented(&certificate.private_key),
        );
        certificates.insert(format!("{namespace}/{name}"), certificate);
    }
    Ok((certificates, objects))
}

fn authority(name: &str) -> anyhow::Result<(Issuer<'static, KeyPair>, String)> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), certificate))
}

fn signed(names: &[&str], issuer: &Issuer<'static, KeyPair>) -> anyhow::Result<EchoTls> {
    let mut params = CertificateParams::default();
    for &name in names {
        params.subject_alt_names.push(match name.contains("://") {
            true => SanType::URI(name.try_into()?),
            false => SanType::DnsName(name.try_into()?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let chain = params.signed_by(&key, issuer)?.pem();
    Ok(EchoTls { chain, private_key: key.serialize_pem() })
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
