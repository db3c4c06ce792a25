use std::time::Duration;

use leno_names::Fraction;
use serde::Serialize;

use crate::HeaderMatch;

/// Delays, errors and slow responses on purpose (Envoy `HTTPFault`). First the delay, then the error.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fault {
    pub delay: Option<FaultDelay>,
    pub abort: Option<FaultAbort>,
    pub response_rate_limit: Option<FaultRateLimit>,
    /// Only for requests to this cluster; empty: to any.
    pub upstream_cluster: String,
    /// Only for requests that match all of these.
    pub headers: Vec<HeaderMatch>,
    /// Only for requests whose `x-envoy-downstream-service-node` is one of these; empty: for all.
    pub downstream_nodes: Vec<String>,
    /// Most requests with a fault at once, on all workers, of one connection manager; above it they go through as they are.
    pub max_active: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FaultDelay {
    pub kind: FaultDelayKind,
    pub share: Fraction,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultDelayKind {
    /// Above zero; less than a millisecond is none.
    Fixed(Duration),
    /// Milliseconds in `x-envoy-fault-delay-request`.
    Header(ShareUnit),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultAbort {
    pub kind: FaultAbortKind,
    pub share: Fraction,
    /// Empty: Envoy's text.
    pub body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultAbortKind {
    Grpc(u32),
    /// A status in `x-envoy-fault-abort-request`, or else a gRPC one in `x-envoy-fault-abort-grpc-request`.
    Header(ShareUnit),
    /// 200 to 599.
    Http(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FaultRateLimit {
    pub kind: FaultRateLimitKind,
    pub share: Fraction,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultRateLimitKind {
    /// KiB a second, at least 1.
    Fixed(u64),
    /// KiB a second in `x-envoy-fault-throughput-response`.
    Header(ShareUnit),
}

/// What the number of a share that a request names (`x-envoy-fault-…-percentage`) counts; it can only make a share smaller.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareUnit {
    #[default]
    Percent,
    TenThousandth,
    Millionth,
}

impl ShareUnit {
    pub const fn parts_per_million(self) -> u32 {
        match self {
            Self::Percent => 10_000,
            Self::TenThousandth => 100,
            Self::Millionth => 1,
        }
    }
}
