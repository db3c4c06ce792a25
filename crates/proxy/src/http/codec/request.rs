use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::Method;

use super::connection::Facts;
use super::{HeadLimits, MOST_FIELDS, Malformed};
use crate::http::head::{Framing, RequestHead, Version};

/// What the head says beyond the request itself.
#[derive(Debug)]
pub(in crate::http) struct DecodedRequest {
    pub(in crate::http) framing: Framing,
    /// The client will send another request on this connection.
    pub(in crate::http) keep_alive: bool,
    pub(in crate::http) fault: Option<Fault>,
}

/// What is wrong with a request that reads well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::http) enum Fault {
    /// In the path (RFC 9112 §3.2.1 has none).
    Fragment,
    NoHost,
}

/// Takes the complete head (`length` bytes) off `buffer` and puts it into `head`.
pub(in crate::http) fn decode_request(
    buffer: &mut BytesMut,
    length: usize,
    limits: HeadLimits,
    head: &mut RequestHead,
) -> Result<DecodedRequest, Malformed> {
    let block = buffer.split_to(length.min(buffer.len())).freeze();
    let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MOST_FIELDS];
    let room = limits.fields.min(MOST_FIELDS);
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(&block, &mut fields[..room]) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Malformed::StartLine),
        Err(error) => return Err(syntax(error)),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Malformed::StartLine);
    };
    head.version = if version == 0 { Version::Http10 } else { Version::Http11 };
    head.method = Method::from_bytes(method.as_bytes()).map_err(|_| Malformed::StartLine)?;
    head.headers.reset(block.clone());
    head.host_name = *b"host";
    let mut host: Option<&[u8]> = None;
    for field in request.headers.iter() {
        if field.name.len() == 4 && field.name.eq_ignore_ascii_case("host") {
            if host.replace(field.value).is_some() {
                return Err(Malformed::Host);
            }
            head.host_name.copy_from_slice(field.name.as_bytes());
        } else {
            head.headers.push_received(field.name.as_bytes(), field.value);
        }
    }
    set_target(head, &block, target.as_bytes(), host)?;
    let facts = Facts::gather(&head.headers)?;
    if facts.is_chunked && head.version == Version::Http10 {
        // RFC 9112 §6.1: faulty framing.
        return Err(Malformed::TransferEncoding);
    }
    if facts.lists_protected {
        return Err(Malformed::Connection);
    }
    facts.strip(&mut head.headers);
    let keep_alive = !facts.closes && (head.version == Version::Http11 || facts.keeps_alive);
    let framing = facts.framing();
    head.upgrade = if head.version == Version::Http11 { facts.upgrade } else { None };
    let fault = if memchr::memchr(b'#', &head.path).is_some() {
        Some(Fault::Fragment)
    } else if host.is_none() && (head.version == Version::Http11 || head.authority.is_empty()) {
        Some(Fault::NoHost)
    } else {
        None
    };
    Ok(DecodedRequest { framing, keep_alive, fault })
}

pub(super) fn syntax(error: httparse::Error) -> Malformed {
    match error {
        httparse::Error::TooManyHeaders => Malformed::HeadTooLarge,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Malformed::Header,
        httparse::Error::NewLine => Malformed::BareLineEnd,
        _ => Malformed::StartLine,
    }
}

/// The four forms of a request target (RFC 9112 §3.2).
fn set_target(head: &mut RequestHead, block: &Bytes, target: &[u8], host: Option<&[u8]>) -> Result<(), Malformed> {
    if target.iter().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Malformed::StartLine);
    }
    if host.is_some_and(|host| !is_host(host)) {
        return Err(Malformed::Host);
    }
    head.is_https = false;
    let host = host.map(|host| block.slice_ref(host)).unwrap_or_default();
    if head.method == Method::CONNECT {
        // The authority form must carry a port (RFC 9110 §9.3.6).
        if !is_host(target) || !target.contains(&b':') {
            return Err(Malformed::StartLine);
        }
        (head.path, head.authority) = (Bytes::new(), block.slice_ref(target));
    } else if target.starts_with(b"/") || (target == b"*" && head.method == Method::OPTIONS) {
        (head.path, head.authority) = (block.slice_ref(target), host);
    } else {
        let (is_https, rest) = strip_scheme(target).ok_or(Malformed::StartLine)?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() || !is_host(authority) {
            return Err(Malformed::Host);
        }
        // The target's authority wins over `Host` (RFC 9112 §3.2.2).
        head.authority = block.slice_ref(authority);
        head.is_https = is_https;
        head.path = match path.first() {
            Some(b'/') => block.slice_ref(path),
            Some(_) => [b"/", path].concat().into(),
            None if head.method == Method::OPTIONS => Bytes::from_static(b"*"),
            None => Bytes::from_static(b"/"),
        };
    }
    Ok(())
}

fn strip_scheme(target: &[u8]) -> Option<(bool, &[u8])> {
    let is_prefix = |prefix: &[u8]| target.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if is_prefix(b"http://") {
        Some((false, &target[7..]))
    } else if is_prefix(b"https://") {
        Some((true, &target[8..]))
    } else {
        None
    }
}

/// `host [":" port]` (RFC 3986 §3.2.2), without user information, which RFC 9110 §4.2.4 has us refuse. Readers that differ on
/// where a host ends would route what we let pass somewhere else, so the port is a number and brackets hold an address.
/// Empty is what a client sends whose target has no authority (RFC 9112 §3.2).
pub(in crate::http) fn is_host(authority: &[u8]) -> bool {
    let (host, port) = match authority {
        [] => return true,
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let (address, rest) = rest.split_at(end);
            if address.is_empty()
                || !address.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:%".contains(byte))
            {
                return false;
            }
            match rest {
                [_] => return true,
                [_, b':', port @ ..] => return is_port(port),
                _ => return false,
            }
        }
        _ => match memchr::memchr(b':', authority) {
            Some(colon) => (&authority[..colon], &authority[colon + 1..]),
            None => (authority, &b""[..]),
        },
    };
    !host.is_empty()
        && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte))
        && is_port(port)
}

/// Nothing at all is a port too.
fn is_port(digits: &[u8]) -> bool {
    digits.len() <= 5
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX)
}
