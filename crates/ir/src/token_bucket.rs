use std::time::Duration;

use serde::Serialize;

/// How often something may happen: `max_tokens` at once, then as often as tokens come in (Envoy `type.v3.TokenBucket`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct TokenBucket {
    /// The bucket is full at first. Of 0: nothing ever happens.
    pub max_tokens: u32,
    /// At least 1; come in evenly over the interval, not all at its end.
    pub tokens_per_fill: u32,
    /// At least 50 ms.
    pub fill_interval: Duration,
}

impl TokenBucket {
    /// Envoy's shortest interval.
    pub const MIN_FILL_INTERVAL: Duration = Duration::from_millis(50);
}
