//! As Istio's validation of Gateways: ports, hosts, and what each way of TLS needs.

use std::collections::BTreeSet;

use super::{Checked, MISSING, host, port, report, require};
use crate::{IstioGatewaySpec, Server, ServerTls, ServerTlsMode};

const PROTOCOLS: [&str; 10] = ["HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "MYSQL", "REDIS", "TCP", "TLS"];

pub(super) fn check(spec: &IstioGatewaySpec, found: &mut Checked) {
    if spec.servers.is_empty() {
        report(found, "spec.servers", "at least one server is required");
    }
    let mut names = BTreeSet::new();
    for (index, server) in spec.servers.iter().enumerate() {
        let at = format!("spec.servers[{index}]");
        if !server.port.name.is_empty() && !names.insert(&server.port.name) {
            report(found, format!("{at}.port.name"), format!("another server has the name \"{}\"", server.port.name));
        }
        self::server(server, &at, found);
    }
}

fn server(server: &Server, at: &str, found: &mut Checked) {
    if server.port.number == 0 {
        report(found, format!("{at}.port.number"), "a port between 1 and 65535 is required");
    }
    port(found, format!("{at}.port.targetPort"), server.port.target_port);
    require(found, format!("{at}.port.name"), &server.port.name);
    let protocol = server.port.protocol.to_ascii_uppercase();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        let message = crate::tree::unknown("protocol", &server.port.protocol, &PROTOCOLS);
        report(found, format!("{at}.port.protocol"), message);
    }
    if server.hosts.is_empty() {
        report(found, format!("{at}.hosts"), MISSING);
    }
    for (index, text) in server.hosts.iter().enumerate() {
        let name = text.split_once('/').map_or(text.as_str(), |(_, name)| name);
        if name != "*" {
            host(found, format!("{at}.hosts[{index}]"), name);
        }
    }
    if let Some(address) = server.bind.as_deref().filter(|text| !text.starts_with("unix://") && !text.is_empty())
        && address.parse::<std::net::IpAddr>().is_err()
    {
        report(found, format!("{at}.bind"), format!("\"{address}\" is no IP address"));
    }
    let wants_tls = matches!(protocol.as_str(), "HTTPS" | "TLS");
    match &server.tls {
        None if wants_tls => {
            report(found, format!("{at}.tls"), format!("protocol {protocol} needs TLS settings"));
        }
        None => {}
        Some(tls) => self::tls(tls, wants_tls, &format!("{at}.tls"), found),
    }
}

fn tls(tls: &ServerTls, wanted: bool, at: &str, found: &mut Checked) {
    let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if tls.https_redirect == Some(true) && wanted {
        report(found, format!("{at}.httpsRedirect"), "has no effect where TLS is spoken; it belongs to an HTTP server");
    }
    let ends_here = match tls.mode() {
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual | ServerTlsMode::Simple => true,
        ServerTlsMode::AutoPassthrough | ServerTlsMode::IstioMutual | ServerTlsMode::Passthrough => false,
    };
    let files = has(&tls.server_certificate) && has(&tls.private_key);
    let has_certificate = tls.credentials().next().is_some() || files || !tls.tls_certificates.is_empty();
    if ends_here && wanted && !has_certificate {
        report(found, at, "needs a credentialName, or a serverCertificate with its privateKey");
    }
    let of_clients = matches!(tls.mode(), ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    let has_roots = tls.credentials().next().is_some()
        || has(&tls.ca_certificates)
        || has(&tls.ca_cert_credential_name)
        || tls.tls_certificates.iter().any(|one| has(&one.ca_certificates));
    if of_clients && wanted && !has_roots {
        report(found, format!("{at}.caCertificates"), "certificates of clients cannot be checked without roots");
    }
}
