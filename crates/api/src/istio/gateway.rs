use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::schema::schema;

schema! {
    /// Where traffic enters the mesh, in the words of Istio; VirtualServices say where it goes.
    pub struct IstioGatewaySpec {
        /// Labels of the gateway proxies that serve it; empty: all of them.
        pub selector: BTreeMap<String, String>,
        pub servers: Vec<Server>,
    }
    pub struct Server {
        /// An address instead of the proxy's own.
        pub bind: Option<String>,
        pub default_endpoint: Option<String>,
        /// `host`, or `namespace/host`: `.` and `*` are the own namespace and all; a host may be `*` or begin with `*.`.
        pub hosts: Vec<String>,
        pub name: Option<String>,
        pub port: ServerPort,
        pub tls: Option<ServerTls>,
    }
    pub struct ServerPort {
        pub name: String,
        pub number: u16,
        /// `HTTP`, `HTTPS`, `GRPC`, `GRPC-WEB`, `HTTP2`, `MONGO`, `TCP` or `TLS`.
        pub protocol: String,
        pub target_port: Option<u16>,
    }
    pub struct ServerTls {
        pub ca_cert_credential_name: Option<String>,
        /// File with the roots of clients' certificates.
        pub ca_certificates: Option<String>,
        pub ca_crl: Option<String>,
        pub cipher_suites: Vec<String>,
        /// A Secret of the proxy's namespace.
        pub credential_name: Option<String>,
        pub credential_names: Vec<String>,
        pub ecdh_curves: Vec<String>,
        /// Requests without TLS are told to come back with it.
        pub https_redirect: Option<bool>,
        pub insecure_skip_verify: Option<bool>,
        pub max_protocol_version: Option<String>,
        /// Default `TLSV1_2`.
        pub min_protocol_version: Option<String>,
        /// Default `PASSTHROUGH`, as in Istio.
        pub mode: Option<ServerTlsMode>,
        pub private_key: Option<String>,
        pub server_certificate: Option<String>,
        /// Any one of these a client's certificate must have.
        pub subject_alt_names: Vec<String>,
        pub tls_certificates: Vec<ServerCertificate>,
        /// SHA-256 of clients' certificates, in hexadecimal.
        pub verify_certificate_hash: Vec<String>,
        /// SHA-256 of clients' public keys, in base64.
        pub verify_certificate_spki: Vec<String>,
    }
    /// Files of the proxy.
    pub struct ServerCertificate {
        pub ca_certificates: Option<String>,
        pub private_key: Option<String>,
        pub server_certificate: Option<String>,
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServerTlsMode {
    /// The server name says which cluster is meant; no VirtualService does.
    AutoPassthrough,
    IstioMutual,
    Mutual,
    OptionalMutual,
    Passthrough,
    Simple,
}

impl ServerTls {
    /// Istio: what says no mode is passed through, unless it only redirects.
    pub fn mode(&self) -> ServerTlsMode {
        self.mode.unwrap_or(ServerTlsMode::Passthrough)
    }

    /// Secrets by name; those of the last one are preferred to none.
    pub fn credentials(&self) -> impl Iterator<Item = &String> {
        self.credential_name.iter().chain(&self.credential_names).filter(|name| !name.is_empty())
    }
}
