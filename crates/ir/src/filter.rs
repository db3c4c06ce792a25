//! The HTTP filters of a connection manager, and what routes say about them.
//!
//! Shape       1 `HttpConnectionManager` -> n `HttpFilter`, in order, without the router; each level of a route table (table,
//!             virtual host, route, weighted cluster) -> n `FilterOverride` by the name of the filter; the most specific wins
//! Invariants  an override whose filter is not there, or is of another type, does nothing (as in Envoy)
//! Source      Envoy http_connection_manager.proto `HttpFilter`, route_components.proto `FilterConfig`

mod buffer;
mod compressor;
mod cors;
mod decompressor;
mod fault;
mod health_check;
mod local_rate_limit;
mod metadata;
mod rate_limit;
mod rbac;
mod stateful_session;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{HeaderOps, RateLimitRule};

pub use self::buffer::{Buffer, BufferOverride};
pub use self::compressor::{
    CompressedDirection, Compressor, CompressorEncoding, CompressorLibrary, ContentTypes, ResponseCompression,
    RouteCompressor,
};
pub use self::cors::CorsPolicy;
pub use self::decompressor::{DecompressedDirection, Decompressor, DecompressorEncoding};
pub use self::fault::{
    Fault, FaultAbort, FaultAbortKind, FaultDelay, FaultDelayKind, FaultRateLimit, FaultRateLimitKind, ShareUnit,
};
pub use self::health_check::HttpHealthCheck;
pub use self::local_rate_limit::{LimitedDescriptor, LocalRateLimit};
pub use self::metadata::{
    FixedMetadata, HeaderMetadata, HeaderMetadataKind, HeaderMetadataValue, HeaderToMetadata, HeaderToMetadataRule,
    MetadataSourceField, SetMetadata,
};
pub use self::rate_limit::{RateLimit, RateLimitedRequests, RouteRateLimit, VirtualHostRules};
pub use self::rbac::HttpRbac;
pub use self::stateful_session::{RouteSession, SessionCookie, SessionState, StatefulSession};

/// One step between the codec and the router.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpFilter {
    /// What overrides call it.
    pub name: String,
    /// Runs only where a route turns it on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    pub config: HttpFilterConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpFilterConfig {
    Buffer(Buffer),
    /// Everything it does is said by routes.
    Cors,
    Decompressor(Box<Decompressor>),
    Fault(Box<Fault>),
    HealthCheck(HttpHealthCheck),
    HeaderToMetadata(HeaderToMetadata),
    Compressor(Box<Compressor>),
    LocalRateLimit(Box<LocalRateLimit>),
    RateLimit(Box<RateLimit>),
    Rbac(Box<HttpRbac>),
    SetMetadata(SetMetadata),
    StatefulSession(Box<StatefulSession>),
}

/// By the name of the filter.
pub type FilterOverrides = BTreeMap<String, FilterOverride>;

/// What a level of a route table says about one filter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterOverride {
    /// The filter runs, configured so.
    Config(RouteFilterConfig),
    Disabled,
    /// The filter runs, configured by itself or by a less specific level.
    Enabled,
}

/// The configuration of a filter for a part of a route table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteFilterConfig {
    Buffer(BufferOverride),
    Cors(CorsPolicy),
    Fault(Box<Fault>),
    HeaderToMetadata(HeaderToMetadata),
    Compressor(RouteCompressor),
    LocalRateLimit(Box<LocalRateLimit>),
    RateLimit(RouteRateLimit),
    /// `None`: no rules.
    Rbac(Option<Box<HttpRbac>>),
    StatefulSession(RouteSession),
}

impl HttpFilterConfig {
    /// Operators that say how many hits a request counts as.
    pub fn hits_formats(&self) -> impl Iterator<Item = &str> {
        let rules = if let Self::RateLimit(limit) = self { limit.rules.as_slice() } else { &[] };
        rules.iter().filter_map(RateLimitRule::hits_format)
    }

    /// What it does to headers.
    pub fn header_ops(&self) -> impl Iterator<Item = &HeaderOps> {
        let (first, second) = match self {
            Self::LocalRateLimit(limit) => (Some(&limit.unenforced_request_headers), Some(&limit.response_headers)),
            Self::RateLimit(limit) => (Some(&limit.response_headers), None),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl RouteFilterConfig {
    /// Operators that say how many hits a request counts as.
    pub fn hits_formats(&self) -> impl Iterator<Item = &str> {
        let rules = if let Self::RateLimit(limit) = self { limit.rules.as_slice() } else { &[] };
        rules.iter().filter_map(RateLimitRule::hits_format)
    }

    /// What it does to headers.
    pub fn header_ops(&self) -> impl Iterator<Item = &HeaderOps> {
        let (first, second) = match self {
            Self::LocalRateLimit(limit) => (Some(&limit.unenforced_request_headers), Some(&limit.response_headers)),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}
