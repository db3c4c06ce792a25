mod socket;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::{
    AccessLog, AccessLogMoments, CidrRange, ConnectionFilter, DownstreamTls, Http1Options, Http2Options, HttpEdge,
    HttpFilter, ListenerRateLimit, LocalReplies, RouteTable, RouterOptions, Scope, ScopedRoutes, TcpProxy, Upgrade,
};

pub use self::socket::{ListenerSocket, SocketMoment, SocketOption, SocketOptionValue};

/// A socket that accepts connections and what becomes of them.
///
/// A connection is given to the chain whose match is the most specific (in the order of the fields of
/// [`FilterChainMatch`]), or to `default_filter_chain`, or it is closed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listener {
    pub name: String,
    /// Not bound when `api` is set.
    pub address: SocketAddr,
    pub direction: Direction,
    /// Look at the first bytes for a TLS ClientHello (server name, ALPN). Envoy's `tls_inspector`.
    pub inspect_tls: bool,
    /// Look at the first bytes for HTTP. Envoy's `http_inspector`; Leno's proxy never waits for bytes that do not come.
    pub inspect_http: bool,
    pub filter_chains: Vec<FilterChain>,
    pub default_filter_chain: Option<FilterChain>,
    #[serde(skip_serializing_if = "ListenerOptions::is_default")]
    pub options: ListenerOptions,
    /// An `ApiListener`: read by proxyless gRPC, not bound to a socket. Exactly one chain, which is HTTP.
    pub api: bool,
}

impl Listener {
    /// Whether there is a socket for it.
    pub fn is_bound(&self) -> bool {
        !self.api && !self.options.is_unbound
    }

    /// Where it listens, the first one first.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.address).chain(self.options.additional_addresses.iter().copied())
    }
}

/// What few listeners have. The default is none of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ListenerOptions {
    pub additional_addresses: Vec<SocketAddr>,
    /// IPv6 sockets take IPv4 clients as well, where the address is `::`.
    pub ipv4_compat: bool,
    /// Connections the kernel may queue; `None`: as many as it allows.
    pub backlog: Option<u32>,
    /// Not bound: gets connections whose original destination is its address.
    pub is_unbound: bool,
    /// Hand a connection to the listener whose address is its original destination.
    pub use_original_dst: bool,
    /// Ask the kernel where a redirected connection was going. Envoy's `original_dst`.
    pub original_dst: bool,
    /// Connections begin with a PROXY header, whose addresses count from then on.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// All are asked, in order.
    pub rate_limits: Vec<ListenerRateLimit>,
    /// One line for each connection, also for those that no chain took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_log: Vec<AccessLog>,
    /// Most of a request's body that is kept for another try or a mirror, where the route does not say. Default 1 MiB, as Envoy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_limit_bytes: Option<u32>,
    #[serde(skip_serializing_if = "ListenerSocket::is_default")]
    pub socket: ListenerSocket,
}

impl ListenerOptions {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Envoy's `proxy_protocol` listener filter.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ProxyProtocol {
    /// Connections without a header are served, too.
    pub allow_requests_without_proxy_protocol: bool,
    pub disallowed_versions: Vec<ProxyProtocolVersion>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocolVersion {
    V1,
    V2,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Inbound,
    Outbound,
    #[default]
    Unspecified,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FilterChain {
    pub name: String,
    pub matches: FilterChainMatch,
    /// Terminate TLS here.
    pub tls: Option<DownstreamTls>,
    /// Asked in order before `filter` gets the connection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection_filters: Vec<ConnectionFilter>,
    pub filter: NetworkFilter,
}

/// Empty parts match everything. In Envoy's order: an earlier field decides before a later one is looked at.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct FilterChainMatch {
    pub destination_port: Option<u16>,
    /// The longest prefix wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefix_ranges: Vec<CidrRange>,
    /// Exact names or `*.suffix`.
    pub server_names: Vec<String>,
    pub transport_protocol: Option<TransportProtocol>,
    /// ALPN of an inspected ClientHello, or `http/1.0`, `http/1.1`, `h2c` as found by the HTTP inspector.
    pub application_protocols: Vec<String>,
    /// Where the connection itself comes from, whatever a PROXY header says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub direct_source_prefix_ranges: Vec<CidrRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_type: Option<SourceType>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_prefix_ranges: Vec<CidrRange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ports: Vec<u16>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    External,
    SameIpOrLoopback,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportProtocol {
    RawBuffer,
    Tls,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkFilter {
    Http(Box<HttpConnectionManager>),
    Tcp(TcpProxy),
}

/// How HTTP is spoken with downstream (Envoy's HTTP connection manager).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpConnectionManager {
    pub stat_prefix: String,
    pub codec: HttpCodec,
    pub routes: RouteSource,
    /// In order, without the router, which comes last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HttpFilter>,
    pub access_log: Vec<AccessLog>,
    #[serde(skip_serializing_if = "AccessLogMoments::is_default")]
    pub access_log_moments: AccessLogMoments,
    pub forward_client_cert: ForwardClientCert,
    /// What is said of the client beside the hash of its certificate and our own name.
    #[serde(skip_serializing_if = "ClientCertDetails::is_mesh")]
    pub client_cert_details: ClientCertDetails,
    /// Add `x-request-id` when the request has none.
    pub generate_request_id: bool,
    pub upgrades: Vec<Upgrade>,
    /// `100 Continue` and its like pass between client and upstream; otherwise we answer `expect` ourselves.
    pub forwards_informational: bool,
    /// Largest head, start line included; above it 431. Default 60 KiB, as Envoy.
    pub max_request_headers_bytes: u32,
    /// Most header lines; above it 431. Default 100, as Envoy.
    pub max_request_headers_count: u32,
    /// From the first byte of a request to the end of its head; then 408. `None`: unbounded.
    pub request_headers_timeout: Option<Duration>,
    /// No byte of a stream in either direction for this long resets it. `None`: never. Default 5 min, as Envoy.
    pub stream_idle_timeout: Option<Duration>,
    /// A downstream connection without streams is closed after this. Default 1 h, as Envoy.
    pub idle_timeout: Option<Duration>,
    #[serde(skip_serializing_if = "RouterOptions::is_default")]
    pub router: RouterOptions,
    #[serde(skip_serializing_if = "HttpEdge::is_default")]
    pub edge: HttpEdge,
    #[serde(skip_serializing_if = "HttpLimits::is_default")]
    pub limits: HttpLimits,
    #[serde(skip_serializing_if = "LocalReplies::is_default")]
    pub local_replies: LocalReplies,
    #[serde(skip_serializing_if = "Http1Options::is_mesh")]
    pub http1: Http1Options,
    #[serde(skip_serializing_if = "Http2Options::is_mesh")]
    pub http2: Http2Options,
}

/// How long and how much of a client. `None`: without bound.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HttpLimits {
    /// A connection as old as this is closed once its streams have ended.
    pub max_connection_duration: Option<Duration>,
    /// The response to the last of so many requests closes the connection.
    pub max_requests_per_connection: Option<NonZeroU32>,
    /// From the beginning of a request to the end of its response, where the route does not say.
    pub max_stream_duration: Option<Duration>,
    /// From the beginning of a request to its end; then 408.
    pub request_timeout: Option<Duration>,
    /// Of an HTTP/2 connection at once; `None`: our own choice.
    pub max_concurrent_streams: Option<NonZeroU32>,
    /// How long a client that is asked to leave may stay. Default 5 s, as Envoy.
    pub drain_timeout: Duration,
    /// How long a client may go on sending after our last byte. Default 1 s, as Envoy.
    pub delayed_close_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connection_duration: None,
            max_requests_per_connection: None,
            max_stream_duration: None,
            request_timeout: None,
            max_concurrent_streams: None,
            drain_timeout: Duration::from_secs(5),
            delayed_close_timeout: Duration::from_secs(1),
        }
    }
}

impl HttpLimits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl HttpConnectionManager {
    /// Envoy's defaults, with the slow-client bound (`request_headers_timeout` 10 s) that Envoy leaves off; between proxies
    /// of the mesh everything of HTTP gets through.
    pub fn new(stat_prefix: impl Into<String>, routes: RouteSource) -> Self {
        Self {
            stat_prefix: stat_prefix.into(),
            codec: HttpCodec::Auto,
            routes,
            filters: Vec::new(),
            access_log: Vec::new(),
            access_log_moments: AccessLogMoments::default(),
            forward_client_cert: ForwardClientCert::Sanitize,
            client_cert_details: ClientCertDetails::mesh(),
            generate_request_id: true,
            upgrades: vec![Upgrade::new("websocket")],
            forwards_informational: true,
            max_request_headers_bytes: 60 * 1024,
            max_request_headers_count: 100,
            request_headers_timeout: Some(Duration::from_secs(10)),
            stream_idle_timeout: Some(Duration::from_secs(300)),
            idle_timeout: Some(Duration::from_secs(3600)),
            router: RouterOptions::default(),
            edge: HttpEdge::default(),
            limits: HttpLimits::default(),
            local_replies: LocalReplies::default(),
            http1: Http1Options::mesh(),
            http2: Http2Options::mesh(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpCodec {
    /// By ALPN, or by the HTTP/2 preface.
    #[default]
    Auto,
    Http1,
    Http2,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteSource {
    Inline(Arc<RouteTable>),
    /// The name of a `RouteTable` delivered over RDS.
    Rds(String),
    Scoped(Box<ScopedRoutes>),
}

impl RouteSource {
    /// The tables that are in it, each with its place.
    pub fn inline(&self) -> Vec<(String, &Arc<RouteTable>)> {
        match self {
            Self::Inline(table) => vec![("route_config".to_owned(), table)],
            Self::Rds(_) => Vec::new(),
            Self::Scoped(scoped) => {
                let scopes = scoped.inline().iter().enumerate();
                let tables = scopes.filter_map(|(index, scope)| Some((index, scope.inline()?)));
                let list = "scoped_routes.scoped_route_configurations_list.scoped_route_configurations";
                tables.map(|(index, table)| (format!("{list}[{index}].route_configuration"), table)).collect()
            }
        }
    }

    /// The tables that it names.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let (own, scopes): (_, &[Scope]) = match self {
            Self::Inline(_) => (None, &[]),
            Self::Rds(name) => (Some(name.as_str()), &[]),
            Self::Scoped(scoped) => (None, scoped.inline()),
        };
        own.into_iter().chain(scopes.iter().filter_map(Scope::route_table_name))
    }
}

/// What happens to `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardClientCert {
    /// Passed on, whoever says it.
    AlwaysForwardOnly,
    /// The client's certificate is added, where there is one; otherwise it is removed.
    AppendForward,
    /// Passed on from clients with a certificate; otherwise removed.
    ForwardOnly,
    /// Removed.
    #[default]
    Sanitize,
    /// Replaced by the client's certificate, where there is one: `By=…;Hash=…;URI=…`.
    SanitizeSet,
}

/// Parts of `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ClientCertDetails {
    /// As PEM, percent-encoded.
    pub cert: bool,
    pub chain: bool,
    pub subject: bool,
    pub uri: bool,
    pub dns: bool,
}

impl ClientCertDetails {
    /// Its SPIFFE ID.
    pub const fn mesh() -> Self {
        Self { cert: false, chain: false, subject: false, uri: true, dns: false }
    }

    fn is_mesh(&self) -> bool {
        *self == Self::mesh()
    }
}
