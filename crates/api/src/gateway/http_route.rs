//! HTTPRoute.

use serde::{Deserialize, Serialize};

use crate::GatewayDuration;
use crate::schema::{Opaque, schema};

schema! {
    pub struct HttpRouteSpec {
        pub hostnames: Vec<String>,
        pub parent_refs: Vec<ParentRef>,
        pub rules: Vec<HttpRouteRule>,
        pub use_default_gateways: Opaque,
    }
    /// What the route is attached to; a `Service` for traffic inside the mesh (GAMMA).
    pub struct ParentRef {
        /// Default `gateway.networking.k8s.io`.
        pub group: Option<String>,
        /// Default `Gateway`.
        pub kind: Option<String>,
        pub name: String,
        pub namespace: Option<String>,
        pub port: Option<u16>,
        pub section_name: Option<String>,
    }
    pub struct HttpRouteRule {
        pub backend_refs: Vec<BackendRef>,
        pub filters: Vec<Filter>,
        pub matches: Vec<HttpRouteMatch>,
        pub name: Option<String>,
        pub retry: Option<HttpRetry>,
        pub session_persistence: Option<SessionPersistence>,
        pub timeouts: HttpTimeouts,
    }
    pub struct BackendRef {
        pub filters: Vec<Filter>,
        /// Default: core.
        pub group: Option<String>,
        /// Default `Service`.
        pub kind: Option<String>,
        pub name: String,
        pub namespace: Option<String>,
        pub port: Option<u16>,
        /// Default 1.
        pub weight: Option<u32>,
    }
    pub struct HttpRouteMatch {
        pub headers: Vec<HttpHeader>,
        pub method: Option<String>,
        pub path: Option<PathMatch>,
        pub query_params: Vec<HttpQueryParam>,
    }
    pub struct PathMatch {
        pub r#type: Option<PathKind>,
        pub value: Option<String>,
    }
    pub struct ValueMatch {
        pub name: String,
        pub r#type: Option<ValueMatchKind>,
        pub value: String,
    }
    pub struct Filter {
        pub cors: Option<HttpCors>,
        pub extension_ref: Opaque,
        pub external_auth: Opaque,
        pub request_header_modifier: Option<HeaderModifier>,
        pub request_mirror: Option<RequestMirror>,
        pub request_redirect: Option<RequestRedirect>,
        pub response_header_modifier: Option<HeaderModifier>,
        pub r#type: Option<FilterKind>,
        pub url_rewrite: Option<UrlRewrite>,
    }
    pub struct HeaderModifier {
        pub add: Vec<HeaderPair>,
        pub remove: Vec<String>,
        pub set: Vec<HeaderPair>,
    }
    pub struct HeaderPair {
        pub name: String,
        pub value: String,
    }
    pub struct RequestMirror {
        pub backend_ref: BackendRef,
        pub fraction: Option<MirrorFraction>,
        pub percent: Option<u32>,
    }
    pub struct MirrorFraction {
        /// Default 100.
        pub denominator: Option<u32>,
        pub numerator: u32,
    }
    pub struct RequestRedirect {
        pub hostname: Option<String>,
        pub path: Option<PathModifier>,
        pub port: Option<u16>,
        pub scheme: Option<String>,
        /// Default 302.
        pub status_code: Option<u16>,
    }
    pub struct UrlRewrite {
        pub hostname: Option<String>,
        pub path: Option<PathModifier>,
    }
    pub struct PathModifier {
        pub replace_full_path: Option<String>,
        pub replace_prefix_match: Option<String>,
        pub r#type: Option<PathModifierKind>,
    }
    pub struct HttpRetry {
        pub attempts: Option<u32>,
        pub backoff: Option<GatewayDuration>,
        pub codes: Vec<u16>,
    }
    pub struct HttpCors {
        pub allow_credentials: Option<bool>,
        pub allow_headers: Vec<String>,
        pub allow_methods: Vec<String>,
        pub allow_origins: Vec<String>,
        pub expose_headers: Vec<String>,
        /// Seconds; default 5.
        pub max_age: Option<u32>,
    }
    pub struct SessionPersistence {
        pub absolute_timeout: Option<GatewayDuration>,
        pub cookie: Option<SessionCookie>,
        pub header: Option<SessionHeader>,
        /// `Cookie` (the default) or `Header`.
        pub r#type: Option<String>,
    }
    pub struct SessionCookie {
        /// `Session` (the default) or `Permanent`.
        pub lifetime_type: Option<String>,
        pub name: Option<String>,
        /// Default `/`.
        pub path: Option<String>,
    }
    pub struct SessionHeader {
        pub name: String,
    }
    pub struct HttpTimeouts {
        pub backend_request: Option<GatewayDuration>,
        pub request: Option<GatewayDuration>,
    }
}

/// A header that must hold.
pub type HttpHeader = ValueMatch;
/// A query parameter that must hold.
pub type HttpQueryParam = ValueMatch;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum PathKind {
    Exact,
    PathPrefix,
    RegularExpression,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ValueMatchKind {
    Exact,
    RegularExpression,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum PathModifierKind {
    ReplaceFullPath,
    ReplacePrefixMatch,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum FilterKind {
    #[serde(rename = "CORS")]
    Cors,
    ExtensionRef,
    ExternalAuth,
    RequestHeaderModifier,
    RequestMirror,
    RequestRedirect,
    ResponseHeaderModifier,
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
}
