use std::time::Duration;

use serde::Serialize;

/// One part of a request's hash. Parts that a request lacks are left out; without any the endpoint is a random one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HashPolicy {
    pub source: HashSource,
    /// When there is a hash after this part the rest is not looked at.
    pub terminal: bool,
}

impl From<HashSource> for HashPolicy {
    fn from(source: HashSource) -> Self {
        Self { source, terminal: false }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HashSource {
    Cookie(HashCookie),
    /// Lower case; pseudo-headers included. Several lines of one name count whatever their order.
    Header(String),
    /// The first parameter of that name.
    QueryParameter(String),
    /// The address of the downstream connection, without port.
    SourceIp,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HashCookie {
    pub name: String,
    /// `Some`: a request without the cookie gets one with its response, `Max-Age` being this, or for the session when zero.
    /// `None`: only cookies that others have set count.
    pub ttl: Option<Duration>,
    /// Of a cookie we set; empty: the default of the client (RFC 6265 §5.1.4).
    pub path: String,
    /// More of a cookie we set, as `name=value`, or `name` alone when the value is empty: `SameSite=Lax`, `Secure`.
    pub attributes: Vec<(String, String)>,
}
