use std::num::NonZeroU32;

use leno_api::{ResourceKey, SessionPersistence};
use leno_names::Fraction;
use serde::Serialize;

/// What holds for all requests to a service, whichever route they come by (XBackendTrafficPolicy).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackendTraffic {
    pub policy: ResourceKey,
    /// Where the rule that leads to it has none of its own.
    pub session: Option<SessionPersistence>,
    pub retries: Option<RetryShare>,
}

/// The retries there may be at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct RetryShare {
    /// Of the requests under way.
    pub share: Fraction,
    /// However few those are.
    pub least: NonZeroU32,
}
