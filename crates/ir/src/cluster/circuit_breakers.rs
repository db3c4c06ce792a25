use leno_names::Fraction;
use serde::Serialize;

/// Limits per cluster, for all workers of a proxy together. Requests of high priority have limits and connections of their own.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct CircuitBreakers {
    #[serde(flatten)]
    pub default: Thresholds,
    /// `None`: Envoy's defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<Box<Thresholds>>,
}

/// `u32::MAX` means no limit.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Thresholds {
    pub max_connections: u32,
    /// Requests that wait for a connection.
    pub max_pending_requests: u32,
    pub max_requests: u32,
    pub max_retries: u32,
    /// Replaces `max_retries` when set.
    pub retry_budget: Option<RetryBudget>,
    /// Connections to one endpoint, those of both priorities counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_endpoint: Option<u32>,
}

impl Thresholds {
    /// Envoy's, for what a cluster does not say.
    pub const ENVOY: Self = Self {
        max_connections: 1024,
        max_pending_requests: 1024,
        max_requests: 1024,
        max_retries: 3,
        retry_budget: None,
        max_connections_per_endpoint: None,
    };
}

impl Default for Thresholds {
    /// Istio's defaults: no limit, retries bounded by the budget (20 %, at least 3), which Istio leaves off.
    fn default() -> Self {
        Self {
            max_connections: u32::MAX,
            max_pending_requests: u32::MAX,
            max_requests: u32::MAX,
            max_retries: u32::MAX,
            retry_budget: Some(RetryBudget::default()),
            max_connections_per_endpoint: None,
        }
    }
}

/// Retries under way may be this share of the active requests, but at least `min_retry_concurrency`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RetryBudget {
    pub budget: Fraction,
    pub min_retry_concurrency: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { budget: Fraction::from_percent(20).unwrap_or(Fraction::ZERO), min_retry_concurrency: 3 }
    }
}

/// Whose limits and connections a request uses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingPriority {
    #[default]
    Default,
    High,
}

impl RoutingPriority {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::Default
    }
}
