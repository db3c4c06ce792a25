use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use super::HeaderMatch;
use crate::Labels;

/// When and how often a request is sent again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RetryPolicy {
    pub on: Vec<RetryOn>,
    /// For `RetryOn::RetriableStatusCodes`.
    pub retriable_status_codes: Vec<u16>,
    /// Tries after the first.
    pub attempts: u32,
    /// Each try, from the end of the request; then flag UT and the next try. `None`: only the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Each try, without a byte in either direction; then flag UT and, while no response has begun, the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_idle_timeout: Option<Duration>,
    /// For `RetryOn::RetriableHeaders`: responses with one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retriable_headers: Vec<HeaderMatch>,
    /// Only requests with one of these are sent again; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retriable_request_headers: Vec<HeaderMatch>,
    /// Before try n a random wait below `min(base * 2^(n - 1), max)`. Envoy's defaults: 25 ms and 10 × that.
    pub back_off_base: Duration,
    pub back_off_max: Duration,
    /// Longer waits that responses ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limited_back_off: Option<RateLimitedBackOff>,
    /// Pick an endpoint not tried yet while there is one.
    pub avoid_previous_hosts: bool,
    /// Pick an endpoint without the label `canary` while there is one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub avoid_canaries: bool,
    /// Pick an endpoint that has not all labels of one of these while there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub avoid_labelled: Vec<Labels>,
    /// Pick an endpoint of a priority not tried yet while there is one; looked at again after so many tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_priorities: Option<NonZeroU32>,
    /// Send again also what the upstream may have processed although the method is not idempotent (RFC 9110 §9.2.2).
    /// Set when the user wrote the conditions down; the mesh's own default policy leaves it off.
    pub retry_non_idempotent: bool,
}

impl RetryPolicy {
    pub const BACK_OFF_BASE: Duration = Duration::from_millis(25);
    pub const BACK_OFF_MAX: Duration = Duration::from_millis(250);
}

impl Default for RetryPolicy {
    /// Envoy's, without any condition.
    fn default() -> Self {
        Self {
            on: Vec::new(),
            retriable_status_codes: Vec::new(),
            attempts: 1,
            per_try_timeout: None,
            per_try_idle_timeout: None,
            retriable_headers: Vec::new(),
            retriable_request_headers: Vec::new(),
            back_off_base: Self::BACK_OFF_BASE,
            back_off_max: Self::BACK_OFF_MAX,
            rate_limited_back_off: None,
            avoid_previous_hosts: false,
            avoid_canaries: false,
            avoid_labelled: Vec::new(),
            other_priorities: None,
            retry_non_idempotent: true,
        }
    }
}

/// A try waits as long as the first of these headers says that is in the response, and up to half as much again.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RateLimitedBackOff {
    pub headers: Vec<ResetHeader>,
    /// A header that asks for more is passed over.
    pub max: Duration,
}

impl RateLimitedBackOff {
    /// Envoy's default.
    pub const MAX: Duration = Duration::from_secs(300);
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ResetHeader {
    /// Lower case.
    pub name: String,
    pub format: ResetFormat,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetFormat {
    /// From now.
    #[default]
    Seconds,
    /// Seconds since 1970.
    UnixTimestamp,
}

/// Envoy's `retry_on` words (`x-envoy-retry-on`, `x-envoy-retry-grpc-on`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    Cancelled,
    ConnectFailure,
    DeadlineExceeded,
    /// The `x-envoy-ratelimited` of another proxy; without this it ends the tries.
    EnvoyRatelimited,
    #[serde(rename = "5xx")]
    FiveXx,
    GatewayError,
    /// Nothing here: there is no HTTP/3 upstream.
    #[serde(rename = "http3-post-connect-failure")]
    Http3PostConnectFailure,
    Internal,
    RefusedStream,
    Reset,
    ResetBeforeRequest,
    ResourceExhausted,
    RetriableHeaders,
    RetriableStatusCodes,
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    Unavailable,
}

impl RetryOn {
    /// Every variant.
    pub const ALL: [Self; 16] = [
        Self::Cancelled,
        Self::ConnectFailure,
        Self::DeadlineExceeded,
        Self::EnvoyRatelimited,
        Self::FiveXx,
        Self::GatewayError,
        Self::Http3PostConnectFailure,
        Self::Internal,
        Self::RefusedStream,
        Self::Reset,
        Self::ResetBeforeRequest,
        Self::ResourceExhausted,
        Self::RetriableHeaders,
        Self::RetriableStatusCodes,
        Self::Retriable4xx,
        Self::Unavailable,
    ];

    /// Envoy's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::ConnectFailure => "connect-failure",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::EnvoyRatelimited => "envoy-ratelimited",
            Self::FiveXx => "5xx",
            Self::GatewayError => "gateway-error",
            Self::Http3PostConnectFailure => "http3-post-connect-failure",
            Self::Internal => "internal",
            Self::RefusedStream => "refused-stream",
            Self::Reset => "reset",
            Self::ResetBeforeRequest => "reset-before-request",
            Self::ResourceExhausted => "resource-exhausted",
            Self::RetriableHeaders => "retriable-headers",
            Self::RetriableStatusCodes => "retriable-status-codes",
            Self::Retriable4xx => "retriable-4xx",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether it is a status of gRPC, which has a header of its own (`x-envoy-retry-grpc-on`).
    pub const fn is_grpc(self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::DeadlineExceeded | Self::Internal | Self::ResourceExhausted | Self::Unavailable
        )
    }

    /// `None` for a word Envoy does not have or Leno does not support.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|on| on.as_str() == word)
    }
}
