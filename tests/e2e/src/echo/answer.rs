//! What a request is answered with.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{Peer, Shared, of_peer, socket};

type Body = BoxBody<Bytes, Infallible>;

/// No answer: the connection ends.
#[derive(Debug)]
pub(super) struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was to end")
    }
}

impl std::error::Error for Gone {}

/// What was asked, as JSON; of gRPC as its only message. `?delay=1s` waits. `?succeedAfter=2&responseCode=503&delayRetry=1s`
/// with an `id`: the first two such requests wait and fail, without an answer where no code is named. `/ws` is a web socket
/// that echoes. Answers have the headers that `x-echo-set-header` asks for.
pub(super) async fn to(request: Request<Incoming>, peer: Peer, shared: Arc<Shared>) -> Result<Response<Body>, Gone> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let before = {
        let mut seen = shared.seen.lock().expect("no panic");
        let count = seen.entry(target.clone()).or_default();
        *count += 1;
        *count - 1
    };
    if request.uri().path() == "/ws" {
        return Ok(socket::upgrade(request).map(|body| body.boxed()));
    }
    let query = request.uri().query().unwrap_or_default();
    let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    if let Some(delay) = query.get("delay") {
        pause(delay).await;
    }
    let mut status = 200;
    if number("succeedAfter").is_some_and(|fails| before < fails) {
        pause(query.get("delayRetry").unwrap_or(&"0ms")).await;
        status = number("responseCode").and_then(|code| u16::try_from(code).ok()).ok_or(Gone)?;
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // As one value each, joined.
    let mut headers = BTreeMap::<&str, String>::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str())
            .and_modify(|all| *all += &format!(",{value}"))
            .or_insert_with(|| value.to_string());
    }
    if let Some(authority) = head.uri.authority() {
        headers.entry("host").or_insert_with(|| authority.to_string());
    }
    let mut answer = of_peer(&shared.name, &peer);
    answer["method"] = json!(head.method.as_str());
    answer["path"] = json!(target);
    answer["headers"] = json!(headers);
    answer["protocol"] = json!(if head.version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" });
    let wanted = headers.get("x-echo-set-header").cloned().unwrap_or_default();
    let is_grpc = headers.get("content-type").is_some_and(|kind| kind.starts_with("application/grpc"));
    let mut response = if is_grpc {
        of_grpc(&answer)
    } else {
        answer["body"] = json!(String::from_utf8_lossy(&body));
        let mut response = Response::new(Full::new(Bytes::from(answer.to_string())).boxed());
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response
    };
    *response.status_mut() = http::StatusCode::from_u16(status).map_err(|_| Gone)?;
    extra(&wanted, response.headers_mut());
    Ok(response)
}

fn of_grpc(answer: &Value) -> Response<Body> {
    let message = answer.to_string();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message.as_bytes());
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(framed.freeze()).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// `NAME:VALUE,NAME:VALUE`.
fn extra(wanted: &str, headers: &mut HeaderMap) {
    for (name, value) in wanted.split(',').filter_map(|pair| pair.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.trim().parse::<http::HeaderName>(), value.trim().parse::<HeaderValue>()) {
            headers.append(name, value);
        }
    }
}

/// `500ms` or `1s`.
async fn pause(text: &str) {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number = number.parse().unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(if unit == "s" { number * 1000 } else { number })).await;
}
