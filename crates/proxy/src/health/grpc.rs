use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Response};
use leno_balance::{CheckFailure, CheckResult};
use leno_ir::{GrpcProbe, HttpProbeCodec};
use prost::Message;

use super::http::{CHECKER, HttpConnection, apply};
use super::session::{Probe, Session};
use crate::http::{frame, message_of};

/// `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;
/// A health check's answer has one small number in it.
const MOST_BYTES: usize = 4096;
const BROKEN: CheckResult = CheckResult::Failure(CheckFailure::Network);

pub(super) async fn ask(session: &mut Session, probe: &Probe, config: &GrpcProbe) -> CheckResult {
    let Some(mut connection) = HttpConnection::kept_or_new(session, probe, HttpProbeCodec::Http2).await else {
        return BROKEN;
    };
    let Some(request) = request(session, probe, config) else { return BROKEN };
    let Ok(response) = connection.send(request).await else { return BROKEN };
    let Ok(is_serving) = is_serving(response).await else { return BROKEN };
    session.http = Some(connection);
    if is_serving { CheckResult::Success { degraded: false } } else { CheckResult::Failure(CheckFailure::Answer) }
}

fn request(session: &Session, probe: &Probe, config: &GrpcProbe) -> Option<Request<Full<Bytes>>> {
    let authority = session.host(&config.authority, probe);
    let scheme = session.scheme(probe);
    let uri = format!("{scheme}://{authority}/grpc.health.v1.Health/Check");
    let mut request = Request::builder().method(Method::POST).uri(uri);
    let headers = request.headers_mut()?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static(CHECKER));
    apply(&config.metadata, headers);
    let message = HealthCheckRequest { service: config.service_name.clone() };
    request.body(Full::new(frame(&message.encode_to_vec()))).ok()
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

/// 0 when it is left out; `None`: no such message.
fn serving_status(body: &[u8]) -> Option<i32> {
    HealthCheckResponse::decode(message_of(body)?).ok().map(|response| response.status)
}

/// grpc.health.v1.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// grpc.health.v1.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_grpc_health_v1() {
        let request = |service: &str| HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
        assert_eq!((request(""), request("a")), (vec![], vec![0x0a, 1, b'a']));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 2]), Some(2));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving_status(&[0]), None);
    }
}
