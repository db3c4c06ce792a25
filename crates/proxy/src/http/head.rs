use bytes::Bytes;
use http::Method;
use leno_routing::{HeaderView, RequestView};

use super::headers::Headers;
use crate::exchange::HeaderLookup;

/// What a request asks for, whatever protocol it came in. Connection-level headers are gone (RFC 9110 §7.6.1).
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    /// Path and query; `*` for `OPTIONS *`; empty for `CONNECT`.
    pub(crate) path: Bytes,
    /// Host and port as sent.
    pub(crate) authority: Bytes,
    /// How the client spelt `host`.
    pub(crate) host_name: [u8; 4],
    pub(crate) is_https: bool,
    pub(crate) version: Version,
    /// Without `host`.
    pub(crate) headers: Headers,
    /// The protocol of an `Upgrade` that the client asks for; in HTTP/2 of an extended `CONNECT`, which is a `GET` here.
    pub(crate) upgrade: Option<Bytes>,
    /// The client presented a certificate, and it was verified.
    pub(crate) has_certificate: bool,
    /// The names of its headers stay as they are spelt.
    pub(crate) keeps_names: bool,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            path: Bytes::new(),
            authority: Bytes::new(),
            host_name: *b"host",
            is_https: false,
            version: Version::Http11,
            headers: Headers::default(),
            upgrade: None,
            has_certificate: false,
            keeps_names: false,
        }
    }
}

impl RequestHead {
    /// After its head come, both ways, bytes that are no message, if the server agrees.
    pub(crate) fn wants_tunnel(&self) -> bool {
        self.upgrade.is_some() || self.method == Method::CONNECT
    }

    /// By the name that a configuration has for it.
    pub(crate) fn tunnel_protocol(&self) -> Option<&[u8]> {
        match &self.upgrade {
            Some(upgrade) => Some(upgrade),
            None => (self.method == Method::CONNECT).then_some(&b"connect"[..]),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    Http10,
    Http11,
    Http2,
}

#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// The protocol a 101 switches to.
    pub(crate) upgrade: Option<Bytes>,
    /// The names of its headers stay as they are spelt.
    pub(crate) keeps_names: bool,
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self { status: 200, headers: Headers::default(), upgrade: None, keeps_names: false }
    }
}

impl ResponseHead {
    pub(crate) fn is_informational(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// How the end of a message's body is told (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Chunked,
    Length(u64),
    /// No body at all.
    None,
    /// Bytes until the connection closes: responses without a length, and tunnels.
    UntilClose,
}

impl Framing {
    /// Nothing follows the head.
    pub(crate) const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// A piece of a body, in order.
#[derive(Debug)]
pub(crate) enum Frame {
    /// `last`: nothing follows.
    Data {
        bytes: Bytes,
        last: bool,
    },
    /// Nothing follows.
    Trailers(Headers),
    End,
}

pub(crate) fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl RequestView for RequestHead {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        // `CONNECT` has no path; routes for every path take it.
        if self.path.is_empty() { "/" } else { as_text(&self.path) }
    }

    fn authority(&self) -> &str {
        as_text(&self.authority)
    }

    fn scheme(&self) -> &str {
        match self.headers.get("x-forwarded-proto") {
            Some(b"https") => "https",
            _ if self.is_https => "https",
            _ => "http",
        }
    }

    fn client_certificate(&self) -> (bool, bool) {
        (self.has_certificate, self.has_certificate)
    }
}

impl HeaderView for RequestHead {
    fn pseudo_header(&self, name: &str) -> Option<&str> {
        Some(match name {
            ":method" => self.method.as_str(),
            ":path" => RequestView::path(self),
            ":authority" | "host" => as_text(&self.authority),
            ":scheme" => RequestView::scheme(self),
            _ => return None,
        })
    }

    fn header_values<'a>(&'a self, lower_case_name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.headers.get_all(lower_case_name)
    }
}

impl HeaderView for ResponseHead {
    /// `:status` has no text here; who matches it looks at the number.
    fn pseudo_header(&self, _name: &str) -> Option<&str> {
        None
    }

    fn header_values<'a>(&'a self, lower_case_name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.headers.get_all(lower_case_name)
    }
}

impl HeaderLookup for RequestHead {
    fn header(&self, lower_case_name: &str) -> Option<&[u8]> {
        match lower_case_name {
            // Only of a request that could not be read.
            ":method" if self.path.is_empty() && self.method != Method::CONNECT => None,
            ":method" => Some(self.method.as_str().as_bytes()),
            ":path" => Some(&*self.path).filter(|path| !path.is_empty()),
            ":authority" | "host" if self.path.is_empty() && self.authority.is_empty() => None,
            ":authority" | "host" => Some(&self.authority),
            ":scheme" => Some(RequestView::scheme(self).as_bytes()),
            name => self.headers.get(name),
        }
    }
}

impl HeaderLookup for ResponseHead {
    fn header(&self, lower_case_name: &str) -> Option<&[u8]> {
        self.headers.get(lower_case_name)
    }
}
