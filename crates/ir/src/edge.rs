use serde::Serialize;

use crate::CidrRange;

/// What is made of requests and responses at the edge: how far the client is believed, and how things are spelt.
///
/// The default is what proxies of the mesh do between them: nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct HttpEdge {
    /// The client is who connects to us: its address is added to `x-forwarded-for`, and what it says of itself is replaced.
    pub use_remote_address: bool,
    /// Proxies in front of us whose `x-forwarded-for` is believed.
    pub xff_num_trusted_hops: u32,
    /// Add no address to `x-forwarded-for`.
    pub skip_xff_append: bool,
    /// How the client is found where its address is not used; `None`: by `xff_num_trusted_hops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_ip: Option<ForwardedFor>,
    /// Whose requests are taken for our own: what they say in `x-envoy-…` headers counts. Nobody's unless said otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub internal_addresses: Vec<CidrRange>,
    /// Say in `x-forwarded-port` at which port of ours the request came.
    pub append_x_forwarded_port: bool,
    /// Say the name of this proxy's cluster in `user-agent`, where there is none, and in `x-envoy-downstream-service-cluster`.
    pub add_user_agent: bool,
    /// Replaces the scheme that requests came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Added to `via` of requests and responses; empty: nothing.
    pub via: String,
    pub server_header: ServerHeader,
    /// In `server`; empty: our own name.
    pub server_name: String,
    /// Keep the `x-request-id` of clients at the edge.
    pub preserve_external_request_id: bool,
    pub always_set_request_id_in_response: bool,
    /// Resolve dot segments and undo needless escapes (RFC 3986 §6.2.2).
    pub normalize_path: bool,
    pub merge_slashes: bool,
    pub escaped_slashes: EscapedSlashes,
    pub strip_port: StripPort,
    pub strip_trailing_host_dot: bool,
    pub headers_with_underscores: UnderscoreHeaders,
}

impl HttpEdge {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where in `x-forwarded-for` the client is looked for (Envoy's `xff` extension).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ForwardedFor {
    /// From the right; not looked at when there are trusted ranges.
    pub trusted_hops: u32,
    /// Proxies whose word is believed: the client is the last address that is not theirs.
    pub trusted_ranges: Vec<CidrRange>,
    /// Add the address of who connects to us.
    pub appends: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerHeader {
    AppendIfAbsent,
    Overwrite,
    #[default]
    PassThrough,
}

/// `%2F` and `%5C` in a path.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EscapedSlashes {
    #[default]
    KeepUnchanged,
    Reject,
    UnescapeAndForward,
    UnescapeAndRedirect,
}

/// Of a host that has one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StripPort {
    Any,
    #[default]
    Keep,
    /// When it is the port of the listener.
    Matching,
}

/// Headers whose names have underscores, which some applications take for hyphens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnderscoreHeaders {
    #[default]
    Allow,
    Drop,
    Reject,
}
