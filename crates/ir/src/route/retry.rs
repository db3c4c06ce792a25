use std::time::Duration;

use serde::Serialize;

/// When and how often a request is sent again.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RetryPolicy {
    pub on: Vec<RetryOn>,
    /// For `RetryOn::RetriableStatusCodes`.
    pub retriable_status_codes: Vec<u16>,
    /// Tries after the first.
    pub attempts: u32,
    /// Each try, from the end of the request; then flag UT and the next try. `None`: only the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Before try n a random wait below `min(base * 2^n - 1, max)`. Envoy's defaults: 25 ms and 10 × that.
    pub back_off_base: Duration,
    pub back_off_max: Duration,
    /// Pick an endpoint not tried yet while there is one.
    pub avoid_previous_hosts: bool,
    /// Send again also what the upstream may have processed although the method is not idempotent (RFC 9110 §9.2.2).
    /// Set when the user wrote the conditions down; the mesh's own default policy leaves it off.
    pub retry_non_idempotent: bool,
}

impl RetryPolicy {
    pub const BACK_OFF_BASE: Duration = Duration::from_millis(25);
    pub const BACK_OFF_MAX: Duration = Duration::from_millis(250);
}

/// Envoy's `retry_on` words (`x-envoy-retry-on`, `x-envoy-retry-grpc-on`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    Cancelled,
    ConnectFailure,
    DeadlineExceeded,
    #[serde(rename = "5xx")]
    FiveXx,
    GatewayError,
    Internal,
    RefusedStream,
    Reset,
    ResetBeforeRequest,
    ResourceExhausted,
    RetriableStatusCodes,
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    Unavailable,
}

impl RetryOn {
    /// Every variant.
    pub const ALL: [Self; 13] = [
        Self::Cancelled,
        Self::ConnectFailure,
        Self::DeadlineExceeded,
        Self::FiveXx,
        Self::GatewayError,
        Self::Internal,
        Self::RefusedStream,
        Self::Reset,
        Self::ResetBeforeRequest,
        Self::ResourceExhausted,
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
            Self::FiveXx => "5xx",
            Self::GatewayError => "gateway-error",
            Self::Internal => "internal",
            Self::RefusedStream => "refused-stream",
            Self::Reset => "reset",
            Self::ResetBeforeRequest => "reset-before-request",
            Self::ResourceExhausted => "resource-exhausted",
            Self::RetriableStatusCodes => "retriable-status-codes",
            Self::Retriable4xx => "retriable-4xx",
            Self::Unavailable => "unavailable",
        }
    }

    /// `None` for a word Envoy does not have or Leno does not support.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|on| on.as_str() == word)
    }
}
