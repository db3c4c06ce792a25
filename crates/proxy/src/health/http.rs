use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use leno_balance::{CheckFailure, CheckResult};
use leno_ir::{HeaderAppend, HeaderOps, HttpProbe, HttpProbeCodec, StatusRange};

use super::payload::contains_all;
use super::session::{Probe, Session};
use crate::upstream::ApplicationProtocol;

/// As Envoy names itself: applications know their checks by it.
pub(super) const CHECKER: &str = "Envoy/HC";
const BROKEN: CheckResult = CheckResult::Failure(CheckFailure::Network);

pub(super) enum HttpConnection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl HttpConnection {
    /// The one of the last check, unless that has ended.
    pub(super) async fn kept_or_new(session: &mut Session, probe: &Probe, codec: HttpProbeCodec) -> Option<Self> {
        match session.http.take().filter(|connection| !connection.is_closed()) {
            None => Self::open(session, probe, codec).await,
            kept => kept,
        }
    }

    async fn open(session: &Session, probe: &Probe, codec: HttpProbeCodec) -> Option<Self> {
        let protocol = match codec {
            HttpProbeCodec::Http1 => ApplicationProtocol::Http1,
            HttpProbeCodec::Http2 => ApplicationProtocol::Http2,
        };
        let io = TokioIo::new(probe.connect(session, protocol).await.ok()?);
        // A connection that ends is noticed by the next request on it.
        match codec {
            HttpProbeCodec::Http1 => {
                let (sender, connection) = http1::handshake(io).await.ok()?;
                probe.tasks.spawn("health-check-connection", async move {
                    let _ = connection.await;
                });
                Some(Self::Http1(sender))
            }
            HttpProbeCodec::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.ok()?;
                probe.tasks.spawn("health-check-connection", async move {
                    let _ = connection.await;
                });
                Some(Self::Http2(sender))
            }
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

pub(super) async fn ask(session: &mut Session, probe: &Probe, config: &HttpProbe) -> CheckResult {
    let Some(mut connection) = HttpConnection::kept_or_new(session, probe, config.codec).await else { return BROKEN };
    let Some(request) = request(session, probe, config) else { return BROKEN };
    let Ok(response) = connection.send(request).await else { return BROKEN };
    let closes = response
        .headers()
        .get(CONNECTION)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let (head, body) = response.into_parts();
    let Ok(body) = read(body, config).await else { return BROKEN };
    if !closes {
        session.http = Some(connection);
    }
    judge(head.status.as_u16(), &head.headers, &body, config)
}

fn request(session: &Session, probe: &Probe, config: &HttpProbe) -> Option<Request<Full<Bytes>>> {
    let host = session.host(&config.host, probe);
    let scheme = session.scheme(probe);
    let uri = match config.codec {
        HttpProbeCodec::Http1 => config.path.clone(),
        HttpProbeCodec::Http2 => format!("{scheme}://{host}{}", config.path),
    };
    let mut request = Request::builder().method(config.method.as_str()).uri(uri);
    let headers = request.headers_mut()?;
    if config.codec == HttpProbeCodec::Http1 {
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    }
    headers.insert(USER_AGENT, HeaderValue::from_static(CHECKER));
    apply(&config.request_headers, headers);
    request.body(Full::new(Bytes::copy_from_slice(&config.send))).ok()
}

pub(super) fn apply(ops: &HeaderOps, headers: &mut HeaderMap) {
    for name in &ops.remove {
        headers.remove(name.as_str());
    }
    for header in &ops.add {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&header.value)) else { continue };
        match header.append {
            HeaderAppend::AppendOrAdd => drop(headers.append(name, value)),
            HeaderAppend::AddIfAbsent if headers.contains_key(&name) => {}
            HeaderAppend::OverwriteIfExists if !headers.contains_key(&name) => {}
            HeaderAppend::AddIfAbsent | HeaderAppend::OverwriteIfExists | HeaderAppend::OverwriteOrAdd => {
                headers.insert(name, value);
            }
        }
    }
}

/// The part of the body that is looked at; the rest is read, as the connection is to be used again.
async fn read(mut body: Incoming, config: &HttpProbe) -> hyper::Result<BytesMut> {
    let most = if config.response_buffer_bytes == 0 { u64::MAX } else { config.response_buffer_bytes };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && !config.receive.is_empty()
        {
            kept.extend_from_slice(&data[..data.len().min(most - kept.len())]);
        }
    }
    Ok(kept)
}

fn judge(status: u16, headers: &HeaderMap, body: &[u8], config: &HttpProbe) -> CheckResult {
    let in_one = |ranges: &[StatusRange]| ranges.iter().any(|range| range.contains(status));
    let is_expected =
        if config.expected_statuses.is_empty() { status == 200 } else { in_one(&config.expected_statuses) };
    if !is_expected {
        let failure = if in_one(&config.retriable_statuses) { CheckFailure::Retriable } else { CheckFailure::Answer };
        return CheckResult::Failure(failure);
    }
    if !contains_all(body, &config.receive) {
        return CheckResult::Failure(CheckFailure::Answer);
    }
    if let Some(wanted) = &config.service_name {
        let cluster = headers.get("x-envoy-upstream-healthchecked-cluster");
        let name = cluster.and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !wanted.is_match(name) {
            return CheckResult::Failure(CheckFailure::Answer);
        }
    }
    CheckResult::Success { degraded: headers.contains_key("x-envoy-degraded") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_bodies_are_judged() {
        let mut config = HttpProbe::new("/health");
        let judge = |status, body: &str, config: &HttpProbe| judge(status, &HeaderMap::new(), body.as_bytes(), config);
        let failed = CheckResult::Failure;
        let well = CheckResult::Success { degraded: false };
        assert_eq!(judge(200, "", &config), well);
        assert_eq!(judge(204, "", &config), failed(CheckFailure::Answer));
        config.expected_statuses = vec![StatusRange { start: 204, end: 300 }];
        config.retriable_statuses = vec![StatusRange { start: 500, end: 600 }];
        assert_eq!((judge(204, "", &config), judge(299, "", &config)), (well, well));
        assert_eq!(judge(300, "", &config), failed(CheckFailure::Answer));
        assert_eq!(judge(503, "", &config), failed(CheckFailure::Retriable));
        config.receive = vec![b"o".to_vec(), b"k".to_vec()];
        assert_eq!((judge(204, "ok", &config), judge(204, "ko", &config)), (well, failed(CheckFailure::Answer)));
    }
}
