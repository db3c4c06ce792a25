use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};

use crate::http::codec::{Malformed, is_hop_by_hop, is_host, may_trail};
use crate::http::head::{RequestHead, ResponseHead, Version, as_text};
use crate::http::headers::Headers;

/// Without what may not come after a body.
pub(in crate::http) fn trailers_from(map: &HeaderMap) -> Headers {
    let mut trailers = Headers::default();
    for (name, value) in map.iter().filter(|(name, _)| may_trail(name.as_str().as_bytes())) {
        trailers.append(name.as_str().as_bytes(), value.as_bytes());
    }
    trailers
}

fn fill(headers: &mut Headers, map: &HeaderMap) {
    for (name, value) in map {
        headers.append(name.as_str().as_bytes(), value.as_bytes());
    }
}

pub(in crate::http) fn to_map(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        // RFC 9113 §8.2.2: connection-level fields make a message malformed. The rest was checked when it came in.
        let is_te_trailers = name.eq_ignore_ascii_case(b"te") && value.eq_ignore_ascii_case(b"trailers");
        if is_hop_by_hop(name) && !is_te_trailers {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// Refuses what is not a request we route: no authority, connection-level fields, more than `most` lines.
pub(in crate::http) fn request_from(request: &http::request::Parts, most: u32) -> Result<RequestHead, Malformed> {
    if request.headers.len() > most as usize {
        return Err(Malformed::HeadTooLarge);
    }
    // HTTP/1 behind us could take one request for two. `h2` has refused lengths that differ, or are not the body's; it lets
    // pass equal ones and an empty one.
    let mut lengths = request.headers.get_all(http::header::CONTENT_LENGTH).iter();
    if lengths.next().is_some_and(HeaderValue::is_empty) || lengths.next().is_some() {
        return Err(Malformed::ContentLength);
    }
    let uri = &request.uri;
    let mut headers = Headers::default();
    let mut host: Option<&HeaderValue> = None;
    for (name, value) in &request.headers {
        if name == http::header::HOST {
            if host.replace(value).is_some() {
                return Err(Malformed::Host);
            }
        } else if name == http::header::COOKIE && headers.contains("cookie") {
            // RFC 9113 §8.2.3: one line for HTTP/1.
            let joined = [headers.get("cookie").unwrap_or_default(), b"; ", value.as_bytes()].concat();
            headers.set("cookie", &joined);
        } else {
            headers.append(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let authority = match (uri.authority(), host) {
        (Some(authority), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            return Err(Malformed::Host);
        }
        (Some(authority), _) => Bytes::copy_from_slice(authority.as_str().as_bytes()),
        (None, Some(host)) if is_host(host.as_bytes()) => Bytes::copy_from_slice(host.as_bytes()),
        _ => return Err(Malformed::Host),
    };
    if !is_host(&authority) {
        return Err(Malformed::Host);
    }
    if headers.iter().any(|(name, value)| is_hop_by_hop(name) && !(name == b"te" && value == b"trailers")) {
        return Err(Malformed::Header);
    }
    // RFC 8441: an upgrade by another name; here it is one.
    let upgrade = request.extensions.get::<Protocol>().map(|protocol| Bytes::copy_from_slice(protocol.as_ref()));
    let method = if upgrade.is_some() { Method::GET } else { request.method.clone() };
    let path = match uri.path_and_query() {
        _ if method == Method::CONNECT => Bytes::new(),
        Some(path) => Bytes::copy_from_slice(path.as_str().as_bytes()),
        None => Bytes::from_static(b"/"),
    };
    Ok(RequestHead {
        method,
        path,
        authority,
        is_https: uri.scheme_str() == Some("https"),
        version: Version::Http2,
        headers,
        upgrade,
        ..RequestHead::default()
    })
}

/// `None` when it cannot be said in HTTP/2.
pub(in crate::http) fn request_to(head: &RequestHead) -> Option<Request<()>> {
    let mut uri = Uri::builder();
    let authority = as_text(&head.authority);
    if head.method == Method::CONNECT {
        uri = uri.authority(authority);
    } else {
        uri = uri.scheme(if head.is_https { "https" } else { "http" });
        uri = uri.authority(authority).path_and_query(as_text(&head.path));
    }
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    if let Some(upgrade) = &head.upgrade {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from(as_text(upgrade)));
    }
    *request.uri_mut() = uri.build().ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = to_map(&head.headers);
    request.headers_mut().remove(http::header::EXPECT);
    Some(request)
}

pub(in crate::http) fn response_from(response: &http::response::Parts, head: &mut ResponseHead) {
    head.status = response.status.as_u16();
    head.upgrade = None;
    head.keeps_names = false;
    head.headers.clear();
    fill(&mut head.headers, &response.headers);
}

pub(in crate::http) fn response_to(head: &ResponseHead) -> http::Response<()> {
    let mut response = http::Response::new(());
    // RFC 8441 §4: what accepts an extended `CONNECT`.
    let status = if head.status == 101 { 200 } else { head.status };
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.version_mut() = http::Version::HTTP_2;
    *response.headers_mut() = to_map(&head.headers);
    response
}
