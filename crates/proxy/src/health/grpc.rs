use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Response};
use leno_balance::{CheckFailure, CheckResult};
use leno_ir::{GrpcProbe, HttpProbeCodec};

use super::http::{CHECKER, HttpConnection, apply};
use super::session::{Probe, Session};

/// `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;
/// A health check's answer has one small number in it.
const MOST_BYTES: usize = 4096;
const BROKEN: CheckResult = CheckResult::Failure(CheckFailure::Network);

pub(super) async fn ask(session: &mut Session, probe: &Probe, config: &GrpcProbe) -> CheckResult {
    let kept = session.http.take().filter(|connection| !connection.is_closed());
    let mut connection = match kept {
        Some(connection) => connection,
        None => match HttpConnection::open(session, probe, HttpProbeCodec::Http2).await {
            Some(connection) => connection,
            None => return BROKEN,
        },
    };
    let Some(request) = request(session, probe, config) else { return BROKEN };
    let Ok(response) = connection.send(request).await else { return BROKEN };
    let Ok(is_serving) = is_serving(response).await else { return BROKEN };
    session.http = Some(connection);
    if is_serving { CheckResult::Success { degraded: false } } else { CheckResult::Failure(CheckFailure::Answer) }
}

fn request(session: &Session, probe: &Probe, config: &GrpcProbe) -> Option<Request<Full<Bytes>>> {
    let authority = session.host(&config.authority, probe);
    let scheme = if probe.cluster.tls.is_some() { "https" } else { "http" };
    let uri = format!("{scheme}://{authority}/grpc.health.v1.Health/Check");
    let mut request = Request::builder().method(Method::POST).uri(uri);
    let headers = request.headers_mut()?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static(CHECKER));
    apply(&config.metadata, headers);
    request.body(Full::new(message(&config.service_name)?)).ok()
}

/// `HealthCheckRequest { service = 1 }` in a gRPC frame.
fn message(service: &str) -> Option<Bytes> {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).ok()?);
    frame.put_slice(&message);
    Some(frame.freeze())
}

async fn is_serving(response: Response<Incoming>) -> hyper::Result<bool> {
    let (head, mut body) = response.into_parts();
    let mut status = grpc_status(&head.headers);
    let mut message = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        if let Some(trailers) = frame.trailers_ref() {
            status = grpc_status(trailers);
        } else if let Ok(data) = frame.into_data()
            && message.len() < MOST_BYTES
        {
            message.extend_from_slice(&data);
        }
    }
    Ok(head.status == 200 && status == Some(0) && serving_status(&message) == Some(SERVING))
}

fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Field 1 of the message in a gRPC frame; 0 when it is left out.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let message = frame.get(5..)?;
    match message {
        [] => Some(0),
        [0x08, value, ..] => Some(u64::from(*value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_grpc_health_v1() {
        assert_eq!(message("").as_deref(), Some(&[0, 0, 0, 0, 0][..]));
        assert_eq!(message("a").as_deref(), Some(&[0, 0, 0, 0, 3, 0x0a, 1, b'a'][..]));
        let long = message(&"x".repeat(200)).expect("short enough");
        assert_eq!(long[5..8], [0x0a, 0xc8, 1]);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 2]), Some(2));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving_status(&[0]), None);
    }
}
