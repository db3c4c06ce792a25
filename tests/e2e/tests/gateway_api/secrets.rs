//! The certificates that upstream's suite makes before its first case.

use std::path::Path;

use leno_e2e::Pem;

const INFRA: &str = "gateway-conformance-infra";

/// Namespace, Secret, names of the certificate.
const SECRETS: [(&str, &str, &str); 6] = [
    ("gateway-conformance-web-backend", "certificate", "DNS:*"),
    (INFRA, "tls-validity-checks-certificate", "DNS:*,DNS:*.org,DNS:*.wildcard.org"),
    (INFRA, "tls-checks-certificate", "DNS:abc.example.com,DNS:other.example.com"),
    (INFRA, "tls-passthrough-checks-certificate", "DNS:abc.example.com"),
    (INFRA, "tls-terminate-checks-certificate", "DNS:tls.example.com"),
    (INFRA, "tls-checks-client-certificate", "DNS:client.example.com"),
];
/// ConfigMaps with a certificate of an authority.
const AUTHORITIES: [(&str, &str); 5] = [
    ("gateway-conformance-web-backend", "web-backend-cm"),
    (INFRA, "tls-validity-checks-ca-certificate"),
    (INFRA, "tls-validity-checks-per-port-ca-certificate"),
    (INFRA, "tls-checks-ca-certificate"),
    (INFRA, "mismatch-ca-certificate"),
];

/// All of them as objects; the keys are made now and nowhere kept.
pub(crate) fn make(directory: &Path) -> anyhow::Result<String> {
    let mut objects = String::new();
    for (namespace, name, names) in SECRETS {
        let (certificate, key) = certificate(directory, names)?;
        objects += &format!(
            "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{ name: {name}, namespace: {namespace} }}\n\
             stringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
            indented(&certificate),
            indented(&key),
        );
    }
    for (namespace, name) in AUTHORITIES {
        let (certificate, _) = certificate(directory, "DNS:authority.example")?;
        objects += &format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: {namespace} }}\n\
             data:\n  ca.crt: |\n{}",
            indented(&certificate),
        );
    }
    Ok(objects)
}

fn certificate(directory: &Path, names: &str) -> anyhow::Result<(String, String)> {
    let made = Pem::make(directory, "made", names)?;
    Ok((std::fs::read_to_string(made.certificate)?, std::fs::read_to_string(made.key)?))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
