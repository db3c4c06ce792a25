//! Istio's Gateways and the VirtualServices bound to them, and what is wrong with either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leno_api::{Resource, ResourceKey, Server, ServerTls, ServerTlsMode, annotation};

use super::credentials::Secrets;
use crate::istio_gateway::{BoundRoutes, ClientChecks, IstioGateway, IstioServer, ServerHost, gateway_named};
use crate::{ListenerProtocol, Problem};

/// What VirtualServices say of gateways, oldest first.
#[derive(Debug, Default)]
pub(super) struct Bound(Vec<(Vec<String>, BoundRoutes)>);

impl Bound {
    /// `gateways`: as written.
    pub(super) fn add(&mut self, gateways: &[String], routes: BoundRoutes) {
        self.0.push((gateways.to_vec(), routes));
    }
}

/// All Gateways, oldest first.
pub(super) fn build(resources: &[Arc<Resource>], bound: Bound, problems: &mut Vec<Problem>) -> Vec<Arc<IstioGateway>> {
    let secrets = Secrets::new(resources);
    let mut all: Vec<_> = resources.iter().filter_map(|resource| read(resource, &secrets, problems)).collect();
    for (gateways, bound) in bound.0 {
        bind(&mut all, &gateways, &bound, problems);
    }
    all.into_iter().map(Arc::new).collect()
}

fn bind(all: &mut [IstioGateway], gateways: &[String], bound: &BoundRoutes, problems: &mut Vec<Problem>) {
    let key = &bound.routes.key;
    for (index, text) in gateways.iter().enumerate() {
        let Some((namespace, name)) = gateway_named(text, &key.namespace) else { continue };
        let field = format!("spec.gateways[{index}]");
        let meant = |gateway: &&mut IstioGateway| gateway.key.namespace == namespace && gateway.key.name == name;
        let Some(gateway) = all.iter_mut().find(meant) else {
            let message = format!("there is no Gateway {namespace}/{name}");
            problems.push(Problem::error(key, field, "unknown_gateway", message));
            continue;
        };
        if gateway.servers.iter().all(|server| server.hosts_of(bound).is_empty()) {
            let message = format!("no server of {} has a host of this object; nothing comes of it there", gateway.key);
            problems.push(Problem::warning(key, field, "host_not_in_gateway", message));
        }
        gateway.routes.push(bound.clone());
    }
}

fn read(resource: &Resource, secrets: &Secrets<'_>, problems: &mut Vec<Problem>) -> Option<IstioGateway> {
    let Resource::IstioGateway(object) = resource else { return None };
    let key = resource.key();
    let accounts = object.metadata.annotation(annotation::SERVICE_ACCOUNTS).unwrap_or_default();
    let accounts = accounts.split(',').map(str::trim).filter(|name| !name.is_empty());
    let servers = object.spec.servers.iter().enumerate();
    let mut servers: Vec<_> =
        servers.filter_map(|(index, written)| server(&key, index, written, secrets, problems)).collect();
    exclude(&key, &mut servers, problems);
    Some(IstioGateway {
        selector: object.spec.selector.clone(),
        service_accounts: accounts.map(str::to_owned).collect(),
        servers,
        routes: Vec::new(),
        key,
    })
}

fn server(
    key: &ResourceKey,
    index: usize,
    written: &Server,
    secrets: &Secrets<'_>,
    problems: &mut Vec<Problem>,
) -> Option<IstioServer> {
    let at = format!("spec.servers[{index}]");
    let protocol = protocol(written)?;
    let bind = written.bind.as_deref().filter(|text| !text.is_empty());
    if bind.is_some_and(|text| text.starts_with("unix://")) {
        let message = "not supported yet: sockets of Unix; the server is left out";
        problems.push(Problem::warning(key, format!("{at}.bind"), "not_supported_yet", message));
        return None;
    }
    let ends_here = matches!(protocol, ListenerProtocol::Https | ListenerProtocol::TlsTerminate);
    let tls = written.tls.as_ref();
    let mut credentials = BTreeMap::new();
    for name in tls.filter(|_| ends_here).into_iter().flat_map(|tls| tls.credentials()) {
        let found = secrets.everywhere(name);
        if found.is_empty() {
            let message = format!("no namespace has a Secret {name} with a certificate or roots");
            problems.push(Problem::error(key, format!("{at}.tls.credentialName"), "unknown_credential", message));
        }
        credentials.insert(name.clone(), found);
    }
    if let Some(tls) = tls.filter(|_| ends_here) {
        parameters(key, tls, &at, problems);
    }
    let hosts = written.hosts.iter().map(|text| host(text, &key.namespace)).collect();
    Some(IstioServer {
        index,
        bind: bind.and_then(|text| text.parse().ok()),
        port: written.port.number,
        protocol,
        hosts,
        redirects: tls.is_some_and(|tls| tls.https_redirect == Some(true)),
        client_checks: tls.filter(|_| ends_here).map(|tls| checks(key, tls, &at, problems)).unwrap_or_default(),
        tls: written.tls.clone(),
        credentials,
    })
}

/// `None` for a protocol that reading the object has reported.
fn protocol(server: &Server) -> Option<ListenerProtocol> {
    let ends_here = server
        .tls
        .as_ref()
        .is_some_and(|tls| !matches!(tls.mode(), ServerTlsMode::AutoPassthrough | ServerTlsMode::Passthrough));
    Some(match (server.port.protocol.to_ascii_uppercase().as_str(), ends_here) {
        ("HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB", _) => ListenerProtocol::Http,
        ("HTTPS", true) => ListenerProtocol::Https,
        ("TLS", true) => ListenerProtocol::TlsTerminate,
        ("HTTPS" | "TLS", false) => ListenerProtocol::TlsPassthrough,
        ("MONGO" | "MYSQL" | "REDIS" | "TCP", true) => ListenerProtocol::TlsTerminate,
        ("MONGO" | "MYSQL" | "REDIS" | "TCP", false) => ListenerProtocol::Tcp,
        _ => return None,
    })
}

fn host(text: &str, own: &str) -> ServerHost {
    let (namespace, host) = text.split_once('/').map_or((None, text), |(namespace, host)| (Some(namespace), host));
    let namespace = namespace.filter(|name| *name != "*").map(|name| if name == "." { own } else { name });
    ServerHost { namespace: namespace.map(str::to_owned), host: host.to_ascii_lowercase() }
}

/// Versions that the proxy does not speak.
fn parameters(key: &ResourceKey, tls: &ServerTls, at: &str, problems: &mut Vec<Problem>) {
    let fields = [("minProtocolVersion", &tls.min_protocol_version), ("maxProtocolVersion", &tls.max_protocol_version)];
    for (name, value) in fields {
        if value.as_deref().is_some_and(|version| matches!(version, "TLSV1_0" | "TLSV1_1")) {
            let message = "TLS 1.0 and 1.1 are broken and not spoken here; TLS 1.2 is used";
            problems.push(Problem::warning(key, format!("{at}.tls.{name}"), "unsafe_tls_version", message));
        }
    }
}

/// A hash that cannot be read is one that nothing has, so that a mistake lets nobody in.
fn checks(key: &ResourceKey, tls: &ServerTls, at: &str, problems: &mut Vec<Problem>) -> ClientChecks {
    let mut read = |list: &[String], field: &str, decode: fn(&str) -> Option<Vec<u8>>| -> Vec<[u8; 32]> {
        let one = |(index, text): (usize, &String)| {
            let digest = decode(text).and_then(|bytes| bytes.try_into().ok());
            digest.unwrap_or_else(|| {
                let field = format!("{at}.tls.{field}[{index}]");
                problems.push(Problem::error(key, field, "invalid_hash", "is no SHA-256; it lets nobody in"));
                [0; 32]
            })
        };
        list.iter().enumerate().map(one).collect()
    };
    ClientChecks {
        certificate_hashes: read(&tls.verify_certificate_hash, "verifyCertificateHash", hexadecimal),
        key_hashes: read(&tls.verify_certificate_spki, "verifyCertificateSpki", |text| STANDARD.decode(text).ok()),
    }
}

/// Digits in pairs, perhaps with colons between.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.replace(':', "");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

/// The first of the servers of one object that exclude each other stays.
fn exclude(key: &ResourceKey, servers: &mut Vec<IstioServer>, problems: &mut Vec<Problem>) {
    let mut protocols = BTreeMap::new();
    let mut names = BTreeSet::new();
    servers.retain_mut(|server| {
        let (place, at) = ((server.bind, server.port), format!("spec.servers[{}]", server.index));
        if !protocols.entry(place).or_insert(server.protocol).shares_port_with(server.protocol) {
            let message = format!("port {} has a server of another protocol already; it is left out", server.port);
            problems.push(Problem::error(key, format!("{at}.port"), "conflict", message));
            return false;
        }
        if matches!(server.protocol, ListenerProtocol::Http | ListenerProtocol::Tcp) {
            return true;
        }
        let before = server.hosts.len();
        server.hosts.retain(|host| names.insert((place, host.host.clone())));
        if server.hosts.len() != before {
            let message = format!("port {} has a server for this host already, which holds", server.port);
            problems.push(Problem::error(key, format!("{at}.hosts"), "conflict", message));
        }
        !server.hosts.is_empty()
    });
}
