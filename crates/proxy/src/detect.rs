//! What a client speaks, from its first bytes. Looks at bytes only; who waits for whom is `listener`'s business.
//!
//! Shape       bytes so far -> `Verdict`; asked again whenever more have come
//! Invariants  bytes that cannot be the start of what is looked for are called `Other` at once, so that nobody waits
//! Source      RFC 9112 §3 (request line), RFC 9113 §3.4 (preface), RFC 8446 §4.1.2 (ClientHello);
//!             Envoy's tls_inspector and http_inspector, but ours never needs a complete request line

mod sniffer;

use rustls::server::Acceptor;

pub(crate) use sniffer::{Sniffer, peek_more};

/// Most bytes looked at. A ClientHello with post-quantum key shares has 2 KiB, a request line may be long.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// What the listener wants to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Question {
    pub(crate) tls: bool,
    pub(crate) http: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Http(HttpVersion),
    /// It may still become TLS or HTTP.
    More,
    /// Neither TLS nor HTTP, as far as asked.
    Other,
    Tls(ClientHello),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HttpVersion {
    Http10,
    Http11,
    Http2,
}

impl HttpVersion {
    /// As Envoy's `http_inspector` calls it for filter chain matching.
    pub(crate) const fn application_protocol(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2c",
        }
    }
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ClientHello {
    pub(crate) server_name: Option<String>,
    pub(crate) alpn: Vec<Vec<u8>>,
}

/// What `bytes` are the start of.
pub(crate) fn look(bytes: &[u8], question: Question) -> Verdict {
    if question.tls {
        match look_for_tls(bytes) {
            Verdict::Other => {}
            verdict => return verdict,
        }
    }
    if question.http { look_for_http(bytes) } else { Verdict::Other }
}

/// The best guess when no more bytes come: what had started like TLS or HTTP is answered by its chain.
pub(crate) fn settle(bytes: &[u8], question: Question) -> Verdict {
    let method_is_complete =
        || METHODS.iter().any(|method| bytes.starts_with(method.as_bytes()) && bytes.contains(&b' '));
    match look(bytes, question) {
        Verdict::More if question.tls && bytes.starts_with(&[22]) => Verdict::Tls(ClientHello::default()),
        Verdict::More if question.http && method_is_complete() => Verdict::Http(HttpVersion::Http11),
        Verdict::More => Verdict::Other,
        verdict => verdict,
    }
}

fn look_for_tls(bytes: &[u8]) -> Verdict {
    // A handshake record (22) of version 3.x (RFC 8446 §5.1).
    match bytes {
        [] | [22] => return Verdict::More,
        [22, 3, ..] => {}
        _ => return Verdict::Other,
    }
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return Verdict::Other;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                return Verdict::Tls(ClientHello {
                    server_name: hello.server_name().map(str::to_owned),
                    alpn: hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect(),
                });
            }
            Ok(None) => {}
            // Broken: the TLS chain tells the client so, with an alert.
            Err(_) => return Verdict::Tls(ClientHello::default()),
        }
    }
    if bytes.len() >= MAX_BYTES { Verdict::Tls(ClientHello::default()) } else { Verdict::More }
}

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Methods recognised before the end of the request line (RFC 9110 §9, RFC 5789, WebDAV). Others need the whole line.
const METHODS: [&str; 24] = [
    "ACL",
    "BIND",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKCOL",
    "MOVE",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNLOCK",
];

fn look_for_http(bytes: &[u8]) -> Verdict {
    if bytes.starts_with(HTTP2_PREFACE) {
        return Verdict::Http(HttpVersion::Http2);
    }
    if HTTP2_PREFACE.starts_with(bytes) {
        return Verdict::More;
    }
    // A server should ignore empty lines before the request line (RFC 9112 §2.2).
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let line = &bytes[start..];
    if let Some(end) = memchr::memchr(b'\n', line) {
        return look_at_request_line(&line[..end]);
    }
    let is_candidate = METHODS.iter().any(|method| {
        let method = method.as_bytes();
        method.starts_with(line) || (line.starts_with(method) && line.get(method.len()) == Some(&b' '))
    });
    match is_candidate {
        // A line this long is for the HTTP codec to refuse.
        true if bytes.len() >= MAX_BYTES => Verdict::Http(HttpVersion::Http11),
        true => Verdict::More,
        false => Verdict::Other,
    }
}

/// `METHOD SP target SP HTTP/1.x`
fn look_at_request_line(line: &[u8]) -> Verdict {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let method_end = memchr::memchr(b' ', line).unwrap_or(0);
    let is_token = method_end > 0
        && line[..method_end].iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    let version = memchr::memrchr(b' ', line).filter(|at| *at > method_end).map(|at| &line[at + 1..]);
    match version {
        Some(b"HTTP/1.1") if is_token => Verdict::Http(HttpVersion::Http11),
        Some(b"HTTP/1.0") if is_token => Verdict::Http(HttpVersion::Http10),
        // Another version, or garbage after a known method: the codec answers 400 or 505.
        _ if is_token
            && METHODS.iter().any(|method| method.as_bytes() == &line[..method_end])
            && version.is_some_and(|version| version.starts_with(b"HTTP/")) =>
        {
            Verdict::Http(HttpVersion::Http11)
        }
        _ => Verdict::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Question = Question { tls: true, http: true };

    #[test]
    fn requests_are_http_whatever_the_method() {
        assert_eq!(look(b"GET / HTTP/1.1\r\n", BOTH), Verdict::Http(HttpVersion::Http11));
        assert_eq!(look(b"FROBNICATE /x HTTP/1.0\r\n", BOTH), Verdict::Http(HttpVersion::Http10));
        assert_eq!(look(HTTP2_PREFACE, BOTH), Verdict::Http(HttpVersion::Http2));
    }

    #[test]
    fn a_start_of_http_waits_for_more() {
        for start in [&b""[..], b"P", b"PRI * HT", b"GE", b"GET /long"] {
            assert_eq!(look(start, BOTH), Verdict::More, "{start:?}");
        }
    }

    #[test]
    fn other_protocols_are_told_at_the_first_byte_that_differs() {
        for other in [
            &b"EHLO x"[..],
            b"*1\r\n$4\r\nPING\r\n",
            b"\x00\x00\x00\x08",
            b"PING\r\n",
            b"GETX",
            b"get key\r\n",
            b"GET key\r\n",
        ] {
            assert_eq!(look(other, BOTH), Verdict::Other, "{other:?}");
        }
    }

    #[test]
    fn a_request_line_that_stops_short_is_still_for_the_http_chain() {
        assert_eq!(settle(b"GET /slow", BOTH), Verdict::Http(HttpVersion::Http11));
        assert_eq!(settle(b"GE", BOTH), Verdict::Other);
        assert_eq!(settle(b"", BOTH), Verdict::Other);
    }

    #[test]
    fn a_client_hello_gives_name_and_protocols() {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("default versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"istio".to_vec()];
        let name = "reviews.default".try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(config.into(), name).expect("valid");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("into memory");
        assert_eq!(look(&bytes[..bytes.len() / 2], BOTH), Verdict::More);
        let hello = ClientHello { server_name: Some("reviews.default".into()), alpn: vec![b"istio".to_vec()] };
        assert_eq!(look(&bytes, BOTH), Verdict::Tls(hello));
    }
}
