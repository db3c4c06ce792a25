//! An exchange as an entry of Envoy's access log service.
//!
//! Source      Envoy accesslog.proto v3 and its `GrpcAccessLog` extractor, 1.40; wire sizes and upstream header sizes are not told

use std::collections::BTreeMap;
use std::time::SystemTime;

use leno_identity::PeerChain;
use leno_ir::{GrpcAccessLog, MetadataValue};
use leno_telemetry::access_log::{TimePoint, Values as _};
use prost::encoding::message;
use prost_types::{ListValue, Struct, Value, value::Kind};

use super::message::{
    Address, Certificate, Common, ConnectionBytes, HttpEntry, Metadata, Name, Number, Request, Response, Seconds,
    TcpEntry, Tls,
};
use crate::access_log::values::LineValues;
use crate::connection::Connection;
use crate::exchange::{HeaderLookup, LogMoment, Protocol};
use crate::flags::ResponseFlags;

/// `AccessLogType`.
const fn kind(moment: LogMoment, is_tcp: bool) -> i32 {
    match (moment, is_tcp) {
        (LogMoment::Start, true) => 14,
        (LogMoment::Start, false) => 4,
        (LogMoment::Connected, true) => 1,
        (LogMoment::Connected, false) => 10,
        (LogMoment::Periodic, true) => 2,
        (LogMoment::Periodic, false) => 5,
        (LogMoment::End, true) => 3,
        (LogMoment::End, false) => 6,
    }
}

/// Appends it as another entry of the list that messages have.
pub(super) fn write(log: &GrpcAccessLog, values: &LineValues<'_>, out: &mut Vec<u8>) {
    if log.is_tcp {
        let LineValues { exchange, .. } = values;
        let connection = ConnectionBytes { received: exchange.bytes_received, sent: exchange.bytes_sent };
        message::encode(1, &TcpEntry { common: Some(common(log, values)), connection: Some(connection) }, out);
    } else {
        message::encode(1, &http(log, values), out);
    }
}

fn http(log: &GrpcAccessLog, values: &LineValues<'_>) -> HttpEntry {
    let LineValues { exchange, request, response, .. } = values;
    let text = |name: &str| text(*request, name);
    let named = |names: &[String], of: &dyn HeaderLookup| -> BTreeMap<String, String> {
        let pair = |name: &String| Some((name.clone(), String::from_utf8_lossy(of.header(name)?).into_owned()));
        names.iter().filter_map(pair).collect()
    };
    HttpEntry {
        common: Some(common(log, values)),
        protocol: match exchange.protocol {
            Protocol::Http10 => 1,
            Protocol::Http11 => 2,
            Protocol::Http2 => 3,
            Protocol::Tcp => 0,
        },
        request: Some(Request {
            method: method(&text(":method")),
            scheme: text(":scheme"),
            authority: text(":authority"),
            path: text(":path"),
            user_agent: text("user-agent"),
            referer: text("referer"),
            forwarded_for: text("x-forwarded-for"),
            request_id: text("x-request-id"),
            original_path: text("x-envoy-original-path"),
            header_bytes: exchange.request_header_bytes,
            body_bytes: exchange.bytes_received,
            headers: named(&log.request_headers, *request),
        }),
        response: Some(Response {
            code: (exchange.status > 0).then(|| Number { value: exchange.status.into() }),
            header_bytes: exchange.response_header_bytes,
            body_bytes: exchange.bytes_sent,
            headers: named(&log.response_headers, *response),
            trailers: exchange.trailers.as_deref().map(|of| named(&log.response_trailers, of)).unwrap_or_default(),
            details: exchange.details.to_string(),
        }),
    }
}

/// `RequestMethod`.
fn method(name: &str) -> i32 {
    const NAMES: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let at = NAMES.iter().position(|known| *known == name);
    at.and_then(|at| i32::try_from(at + 1).ok()).unwrap_or(0)
}

fn common(log: &GrpcAccessLog, values: &LineValues<'_>) -> Common {
    let LineValues { exchange, connection, request, .. } = values;
    let address = |address: std::net::SocketAddr| Some(Address::from(address));
    let since = |duration: Option<std::time::Duration>| duration.map(Seconds::from);
    let is_tcp = matches!(exchange.protocol, Protocol::Tcp);
    Common {
        downstream_remote: address(exchange.remote.unwrap_or(connection.remote)),
        downstream_local: address(connection.local),
        tls: connection.is_tls.then(|| tls(connection)),
        start_time: since(exchange.started_at.duration_since(SystemTime::UNIX_EPOCH).ok()),
        last_received: since(exchange.request_duration),
        last_upstream_sent: since(
            exchange.response_duration.zip(exchange.upstream_service_time).and_then(|(at, took)| at.checked_sub(took)),
        ),
        first_upstream_received: since(exchange.response_duration),
        first_sent: since(values.time_point(TimePoint::ResponseBegan)),
        last_sent: since(Some(exchange.duration).filter(|_| !is_tcp)),
        upstream_remote: exchange.upstream.and_then(address),
        upstream_local: exchange.upstream_local.and_then(address),
        upstream_cluster: exchange.cluster.as_ref().map(|cluster| cluster.name.clone()).unwrap_or_default(),
        flags: flags(exchange.flags),
        metadata: metadata(&exchange.metadata),
        custom_tags: log
            .service
            .custom_tags
            .iter()
            .filter_map(|tag| Some((tag.tag.clone(), super::tag::value(tag, values)?)))
            .collect(),
        upstream_failure: exchange.upstream_failure.as_deref().map(as_said).unwrap_or_default(),
        route_name: exchange.route_name.as_deref().unwrap_or_default().to_owned(),
        downstream_direct_remote: address(connection.direct_remote),
        duration: since(Some(exchange.duration)),
        attempts: exchange.attempts,
        termination_details: exchange.termination_details.to_string(),
        stream_id: if is_tcp { random_id() } else { text(*request, "x-request-id") },
        kind: kind(exchange.log_moment, is_tcp),
    }
}

fn tls(connection: &Connection) -> Tls {
    let server_name = connection.server_name.clone().unwrap_or_default();
    let Some(session) = &connection.session else { return Tls { server_name, ..Tls::default() } };
    let certificate = |chain: &PeerChain| {
        // As Envoy, of the names only the URIs.
        let names = chain.uris().into_iter().map(|uri| Name { uri }).collect();
        Some(Certificate { names, subject: chain.subject(), issuer: String::new() })
    };
    Tls {
        version: session.version_number(),
        cipher: session.cipher_number().map(|number| Number { value: number.into() }),
        server_name,
        local: certificate(&session.local),
        peer: certificate(&session.peer)
            .map(|certificate| Certificate { issuer: session.peer.issuer(), ..certificate }),
    }
}

fn metadata(metadata: &leno_ir::Metadata) -> Option<Metadata> {
    let fields = |fields: &BTreeMap<String, MetadataValue>| Struct {
        fields: fields.iter().map(|(key, value)| (key.clone(), value_of(value))).collect(),
    };
    let all = || metadata.iter().map(|(namespace, of)| (namespace.clone(), fields(of))).collect();
    (!metadata.is_empty()).then(|| Metadata { fields: all() })
}

fn value_of(value: &MetadataValue) -> Value {
    let kind = match value {
        MetadataValue::Null => Kind::NullValue(0),
        MetadataValue::Bool(value) => Kind::BoolValue(*value),
        MetadataValue::Number(number) => Kind::NumberValue(*number),
        MetadataValue::String(text) => Kind::StringValue(text.clone()),
        MetadataValue::List(values) => Kind::ListValue(ListValue { values: values.iter().map(value_of).collect() }),
        MetadataValue::Struct(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), value_of(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}

/// Lines of text have no spaces in it, this has.
fn as_said(failure: &str) -> String {
    match failure.strip_prefix("delayed_connect_error:_") {
        Some(reason) => format!("delayed connect error: {}", reason.replace('_', " ")),
        None => failure.to_owned(),
    }
}

fn random_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

fn text(head: &dyn HeaderLookup, name: &str) -> String {
    head.header(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

/// Numbers of the fields of `ResponseFlags`, in the order of its flags; 13 is a message.
fn flags(flags: ResponseFlags) -> Vec<u8> {
    const FIELDS: [(ResponseFlags, u32); 28] = [
        (ResponseFlags::FAILED_LOCAL_HEALTH_CHECK, 1),
        (ResponseFlags::NO_HEALTHY_UPSTREAM, 2),
        (ResponseFlags::UPSTREAM_TIMEOUT, 3),
        (ResponseFlags::LOCAL_RESET, 4),
        (ResponseFlags::UPSTREAM_RESET, 5),
        (ResponseFlags::UPSTREAM_CONNECTION_FAILURE, 6),
        (ResponseFlags::UPSTREAM_CONNECTION_TERMINATION, 7),
        (ResponseFlags::UPSTREAM_OVERFLOW, 8),
        (ResponseFlags::NO_ROUTE, 9),
        (ResponseFlags::DELAY_INJECTED, 10),
        (ResponseFlags::FAULT_INJECTED, 11),
        (ResponseFlags::RATE_LIMITED, 12),
        (ResponseFlags::UNAUTHORIZED_EXTERNAL, 13),
        (ResponseFlags::RATE_LIMIT_SERVICE_ERROR, 14),
        (ResponseFlags::DOWNSTREAM_TERMINATION, 15),
        (ResponseFlags::RETRY_LIMIT_EXCEEDED, 16),
        (ResponseFlags::STREAM_IDLE_TIMEOUT, 17),
        (ResponseFlags::INVALID_HEADERS, 18),
        (ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR, 19),
        (ResponseFlags::UPSTREAM_MAX_DURATION, 20),
        (ResponseFlags::FROM_CACHE, 21),
        (ResponseFlags::NO_FILTER_CONFIG, 22),
        (ResponseFlags::DURATION_TIMEOUT, 23),
        (ResponseFlags::UPSTREAM_PROTOCOL_ERROR, 24),
        (ResponseFlags::NO_CLUSTER, 25),
        (ResponseFlags::OVERLOAD, 26),
        (ResponseFlags::DNS_FAILED, 27),
        (ResponseFlags::DOWNSTREAM_RESET, 28),
    ];
    let mut out = Vec::new();
    for (flag, field) in FIELDS {
        match field {
            _ if !flags.contains(flag) => {}
            // `Unauthorized { reason: EXTERNAL_SERVICE }`.
            13 => prost::encoding::bytes::encode(13, &vec![8_u8, 1], &mut out),
            _ => prost::encoding::bool::encode(field, &true, &mut out),
        }
    }
    out
}
