use std::collections::BTreeMap;
use std::time::Duration;

use leno_names::Fraction;
use serde::Serialize;

use crate::HeaderMatch;

/// Answers, or passes on, requests that ask whether the proxy is well (Envoy `HealthCheck`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpHealthCheck {
    /// Requests go to the upstream; otherwise they are answered here.
    pub pass_through: bool,
    /// With `pass_through`: the upstream's answer is given again for this long. Above zero.
    pub cache_time: Option<Duration>,
    /// Without `pass_through`: well means that of each of these clusters this share of the endpoints is healthy. Empty: always.
    pub min_healthy: BTreeMap<String, Fraction>,
    /// Which requests ask; all must match. At least one in Leno and in practice, as without any every request asks.
    pub headers: Vec<HeaderMatch>,
}
