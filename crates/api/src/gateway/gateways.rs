use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LabelSelector, ObjectRef, SecretRef, TypedRef};
use crate::schema::{Opaque, schema};

schema! {
    pub struct GatewayClassSpec {
        pub controller_name: String,
        pub description: Option<String>,
        pub parameters_ref: Option<ObjectRef>,
    }
    pub struct GatewaySpec {
        pub addresses: Vec<GatewayAddress>,
        pub allowed_listeners: AllowedListeners,
        pub default_scope: Opaque,
        pub gateway_class_name: String,
        pub infrastructure: Option<Infrastructure>,
        pub listeners: Vec<GatewayListener>,
        pub tls: GatewayTls,
    }
    pub struct GatewayAddress {
        /// Default `IPAddress`.
        pub r#type: Option<String>,
        /// Empty: whatever address the gateway has.
        pub value: Option<String>,
    }
    pub struct AllowedListeners {
        pub namespaces: ListenerNamespaces,
    }
    pub struct ListenerNamespaces {
        /// Default `None`.
        pub from: Option<FromNamespaces>,
        pub selector: Option<LabelSelector>,
    }
    pub struct Infrastructure {
        pub annotations: BTreeMap<String, String>,
        pub labels: BTreeMap<String, String>,
        pub parameters_ref: Option<TypedRef>,
    }
    pub struct GatewayListener {
        pub allowed_routes: AllowedRoutes,
        /// `None`: every host.
        pub hostname: Option<String>,
        pub name: String,
        pub port: u16,
        /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP` or a name with a domain.
        pub protocol: String,
        pub tls: Option<ListenerTls>,
    }
    pub struct AllowedRoutes {
        /// Empty: those that suit the protocol.
        pub kinds: Vec<RouteGroupKind>,
        pub namespaces: RouteNamespaces,
    }
    pub struct RouteNamespaces {
        /// Default `Same`.
        pub from: Option<FromNamespaces>,
        pub selector: Option<LabelSelector>,
    }
    pub struct RouteGroupKind {
        /// Default `gateway.networking.k8s.io`.
        pub group: Option<String>,
        pub kind: String,
    }
    pub struct ListenerTls {
        pub certificate_refs: Vec<SecretRef>,
        /// Default `Terminate`.
        pub mode: Option<ListenerTlsMode>,
        pub options: BTreeMap<String, String>,
    }
    /// For the whole gateway.
    pub struct GatewayTls {
        pub backend: Option<GatewayBackendTls>,
        pub frontend: Option<FrontendTls>,
    }
    pub struct GatewayBackendTls {
        pub client_certificate_ref: Option<SecretRef>,
    }
    pub struct FrontendTls {
        pub default: TlsFrontend,
        pub per_port: Vec<FrontendTlsPort>,
    }
    pub struct FrontendTlsPort {
        pub port: u16,
        pub tls: TlsFrontend,
    }
    pub struct TlsFrontend {
        pub validation: Option<FrontendValidation>,
    }
    pub struct FrontendValidation {
        pub ca_certificate_refs: Vec<ObjectRef>,
        /// Default `AllowValidOnly`.
        pub mode: Option<FrontendValidationMode>,
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum FromNamespaces {
    All,
    None,
    Same,
    Selector,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ListenerTlsMode {
    Passthrough,
    Terminate,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum FrontendValidationMode {
    AllowInsecureFallback,
    AllowValidOnly,
}
