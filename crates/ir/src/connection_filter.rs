use std::time::Duration;

use serde::Serialize;

use crate::{Rbac, TokenBucket};

/// What decides about a connection before it is served: Envoy's network filters but the last one of a chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionFilter {
    Limit(ConnectionLimit),
    RateLimit(ConnectionRateLimit),
    Rbac(Box<ConnectionRbac>),
}

/// How many connections of one filter chain may be open at a time (Envoy's `connection_limit`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ConnectionLimit {
    pub stat_prefix: String,
    /// At least 1, over all workers.
    pub max_connections: u64,
    /// A connection too many is held this long, unread, before it is closed.
    pub delay: Option<Duration>,
}

/// How many connections of one listener may be opened in a time (Envoy's listener filter `local_ratelimit`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ListenerRateLimit {
    pub stat_prefix: String,
    /// One token a connection, over all workers; who gets none is closed before a byte is read.
    pub token_bucket: TokenBucket,
}

/// How many connections of one filter chain may be opened in a time (Envoy's network filter `local_ratelimit`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ConnectionRateLimit {
    pub stat_prefix: String,
    /// One token a connection, over all workers.
    pub token_bucket: TokenBucket,
    /// Filters with the same key and the same bucket take from one; "": from none but their own.
    pub share_key: String,
}

/// Who may connect (Envoy's network filter `rbac`). Conditions on headers and paths see a request without any.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectionRbac {
    pub stat_prefix: String,
    /// `None`: everybody.
    pub rules: Option<Rbac>,
    /// Counted but not obeyed.
    pub shadow_rules: Option<Rbac>,
    pub shadow_rules_stat_prefix: String,
    pub enforcement: RbacEnforcement,
    /// A refused connection is held this long, unread, before it is closed.
    pub delay_deny: Option<Duration>,
}

/// When the rules are asked. Nothing they look at changes while a connection lasts, so that both give the same answer;
/// Leno's proxy asks before an upstream hears of the connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RbacEnforcement {
    Continuous,
    #[default]
    OneTime,
}
