use std::time::Duration;

use serde::Serialize;

/// Sends the requests of a session to the endpoint that answered its first (Envoy `StatefulSession`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatefulSession {
    /// `None`: nothing is kept, so it does nothing.
    pub state: Option<SessionState>,
    /// A session whose endpoint is not there, or must not be used, gets an error instead of another endpoint.
    pub strict: bool,
    /// With `strict`: the answer when the endpoint is not there. Default 503, as when it is there and must not be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_status: Option<u16>,
    /// Of statistics; empty: none. Means nothing in the configuration of a route.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stat_prefix: String,
}

/// Where a client keeps the address of its endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    Cookie(SessionCookie),
    /// A header of the response, which the client sends again with its next requests. Not empty.
    Header(String),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionCookie {
    /// Not empty.
    pub name: String,
    /// Whole seconds; zero: as long as the client runs.
    pub ttl: Duration,
    /// Requests with other paths have no session. Empty: all have.
    pub path: String,
    /// As `name=value`, or `name` alone when the value is empty: `SameSite=Lax`, `Secure`.
    pub attributes: Vec<(String, String)>,
}

/// What a route says about its sessions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteSession {
    Disabled,
    Session(Box<StatefulSession>),
}
