use serde::Serialize;

use crate::StringMatch;

/// HTTP/1 as it is spoken on one side. The default is Envoy's; proxies of the mesh pass on more ([`Http1Options::mesh`]).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Http1Options {
    /// Chunked bodies keep their trailers.
    pub trailers: bool,
    pub names: HeaderNames,
    /// Serve HTTP/1.0; otherwise 426.
    pub accept_http_10: bool,
    /// Of HTTP/1.0 requests without one; empty: they are refused.
    pub default_host_for_http_10: String,
    /// Methods beyond the registered ones.
    pub custom_methods: bool,
    /// Protocols of an `Upgrade` that are taken as if they were not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_upgrades: Vec<StringMatch>,
    /// A client whose request was answered 400 by us may send another, where its end is known; otherwise it may not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stream_errors: bool,
    /// Requests to upstreams begin with a whole URL (RFC 9112 §3.2.2).
    pub absolute_target: bool,
}

/// How the names of headers are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderNames {
    /// As the sender wrote them (Envoy's `preserve_case`).
    AsReceived,
    #[default]
    Lower,
    /// `X-Request-Id`.
    ProperCase,
}

impl Http1Options {
    /// Everything gets through.
    pub fn mesh() -> Self {
        Self {
            trailers: true,
            names: HeaderNames::AsReceived,
            accept_http_10: true,
            default_host_for_http_10: "localhost".to_owned(),
            custom_methods: true,
            ..Self::default()
        }
    }

    pub(crate) fn is_mesh(&self) -> bool {
        *self == Self::mesh()
    }
}
