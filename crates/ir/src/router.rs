use serde::Serialize;

/// What the end of the filter chain does beside its routes (Envoy's router filter).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct RouterOptions {
    /// Adds none of the `x-envoy-…` headers that say what happened, but for the number of the try.
    pub suppress_envoy_headers: bool,
    /// The time another proxy in front of us gives the request (`x-envoy-expected-rq-timeout-ms`) counts instead of the route's.
    pub respect_expected_timeout: bool,
    /// Requests in which one of these cannot be understood are answered 400.
    pub strict_check_headers: Vec<StrictHeader>,
}

impl RouterOptions {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A header by which a trusted client changes time-outs and retries.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StrictHeader {
    MaxRetries,
    PerTryTimeout,
    RetryGrpcOn,
    RetryOn,
    Timeout,
}

impl StrictHeader {
    /// Every variant.
    pub const ALL: [Self; 5] = [Self::MaxRetries, Self::PerTryTimeout, Self::RetryGrpcOn, Self::RetryOn, Self::Timeout];

    /// The name of the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxRetries => "x-envoy-max-retries",
            Self::PerTryTimeout => "x-envoy-upstream-rq-per-try-timeout-ms",
            Self::RetryGrpcOn => "x-envoy-retry-grpc-on",
            Self::RetryOn => "x-envoy-retry-on",
            Self::Timeout => "x-envoy-upstream-rq-timeout-ms",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|header| header.as_str() == name)
    }
}
