use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::GoDuration;
use crate::schema::{Opaque, schema};

schema! {
    pub struct VirtualServiceSpec {
        pub export_to: Vec<String>,
        pub gateways: Vec<String>,
        pub hosts: Vec<String>,
        pub http: Vec<HttpRoute>,
        pub tcp: Vec<TcpRoute>,
        pub tls: Vec<TlsRoute>,
    }
    pub struct HttpRoute {
        pub cors_policy: Option<CorsPolicy>,
        /// Another object's routes stand in the place of this one.
        pub delegate: Option<Delegate>,
        pub direct_response: Option<DirectResponse>,
        pub fault: Option<HttpFault>,
        pub headers: Headers,
        /// Any one must hold; none matches everything.
        pub r#match: Vec<HttpMatch>,
        pub mirror: Option<Destination>,
        #[serde(rename = "mirror_percent")]
        pub mirror_percent_old: Option<u32>,
        pub mirror_percent: Option<u32>,
        pub mirror_percentage: Option<Percent>,
        pub mirrors: Vec<HttpMirror>,
        pub name: Option<String>,
        pub redirect: Option<HttpRedirect>,
        pub retries: Option<HttpRetries>,
        pub rewrite: Option<HttpRewrite>,
        pub route: Vec<RouteDestination>,
        pub timeout: Option<GoDuration>,
    }
    /// Which pages of other origins may read responses.
    pub struct CorsPolicy {
        pub allow_credentials: Option<bool>,
        pub allow_headers: Vec<String>,
        pub allow_methods: Vec<String>,
        /// Older than `allow_origins`, and only read without them.
        pub allow_origin: Vec<String>,
        pub allow_origins: Vec<StringMatch>,
        pub expose_headers: Vec<String>,
        pub max_age: Option<GoDuration>,
        /// `FORWARD` (the default) or `IGNORE`.
        pub unmatched_preflights: Option<String>,
    }
    /// First the delay, then the error.
    pub struct HttpFault {
        pub abort: Option<FaultAbort>,
        pub delay: Option<FaultDelay>,
    }
    pub struct FaultAbort {
        /// `UNAVAILABLE` and its like.
        pub grpc_status: Option<String>,
        pub http2_error: Opaque,
        pub http_status: Option<u16>,
        /// Without it nobody.
        pub percentage: Option<Percent>,
    }
    pub struct FaultDelay {
        pub exponential_delay: Opaque,
        pub fixed_delay: Option<GoDuration>,
        /// Older than `percentage`, and only read without it.
        pub percent: Option<u32>,
        /// Without it nobody.
        pub percentage: Option<Percent>,
    }
    pub struct HttpMatch {
        pub authority: Option<StringMatch>,
        pub gateways: Vec<String>,
        pub headers: BTreeMap<String, StringMatch>,
        pub ignore_uri_case: Option<bool>,
        pub method: Option<StringMatch>,
        pub name: Option<String>,
        pub port: Option<u16>,
        pub query_params: BTreeMap<String, StringMatch>,
        pub scheme: Option<StringMatch>,
        pub source_labels: BTreeMap<String, String>,
        pub source_namespace: Option<String>,
        pub stat_prefix: Option<String>,
        pub uri: Option<StringMatch>,
        pub without_headers: BTreeMap<String, StringMatch>,
    }
    /// At most one is set; none means "present".
    pub struct StringMatch {
        pub exact: Option<String>,
        pub prefix: Option<String>,
        pub regex: Option<String>,
    }
    pub struct RouteDestination {
        pub destination: Destination,
        pub headers: Headers,
        /// Relative. A single destination without weight takes everything.
        pub weight: Option<u32>,
    }
    pub struct Destination {
        pub host: String,
        pub port: Option<super::PortSelector>,
        pub subset: Option<String>,
    }
    pub struct Headers {
        pub request: HeaderOperations,
        pub response: HeaderOperations,
    }
    pub struct HeaderOperations {
        pub add: BTreeMap<String, String>,
        pub remove: Vec<String>,
        pub set: BTreeMap<String, String>,
    }
    pub struct HttpMirror {
        pub destination: Destination,
        pub percentage: Option<Percent>,
    }
    pub struct Percent {
        pub value: f64,
    }
    pub struct DirectResponse {
        pub body: Option<BodyText>,
        pub status: u16,
    }
    pub struct BodyText {
        pub bytes: Opaque,
        pub string: Option<String>,
    }
    pub struct HttpRedirect {
        pub authority: Option<String>,
        pub derive_port: Option<DerivePort>,
        pub port: Option<u16>,
        pub prefix_rewrite: Option<String>,
        /// Default 301.
        pub redirect_code: Option<u16>,
        pub scheme: Option<String>,
        pub uri: Option<String>,
    }
    pub struct HttpRewrite {
        pub authority: Option<String>,
        pub uri: Option<String>,
        pub uri_regex_rewrite: Option<RegexRewrite>,
    }
    pub struct RegexRewrite {
        pub r#match: String,
        pub rewrite: String,
    }
    pub struct HttpRetries {
        pub attempts: Option<u32>,
        pub backoff: Option<GoDuration>,
        pub per_try_timeout: Option<GoDuration>,
        pub retry_ignore_previous_hosts: Option<bool>,
        pub retry_on: Option<String>,
        pub retry_remote_localities: Option<bool>,
    }
    pub struct Delegate {
        pub name: String,
        /// Default: that of the object with the route.
        pub namespace: Option<String>,
    }
    pub struct TlsRoute {
        /// Any one must hold.
        pub r#match: Vec<TlsMatch>,
        pub route: Vec<RouteDestination>,
    }
    pub struct TlsMatch {
        pub destination_subnets: Vec<String>,
        pub gateways: Vec<String>,
        pub port: Option<u16>,
        /// Names, or `*.` and what they end in.
        pub sni_hosts: Vec<String>,
        pub source_labels: BTreeMap<String, String>,
        pub source_namespace: Option<String>,
    }
    pub struct TcpRoute {
        pub r#match: Vec<TcpMatch>,
        pub route: Vec<RouteDestination>,
    }
    pub struct TcpMatch {
        pub destination_subnets: Vec<String>,
        pub gateways: Vec<String>,
        pub port: Option<u16>,
        pub source_labels: BTreeMap<String, String>,
        pub source_namespace: Option<String>,
        pub source_subnet: Option<String>,
    }
}

/// The port of a redirect's target that names none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DerivePort {
    FromProtocolDefault,
    FromRequestPort,
}
