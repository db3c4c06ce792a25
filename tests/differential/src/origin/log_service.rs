//! An access log service, and a rate limit service that refuses nothing: what proxies say to it becomes lines of the side's access log, so that it is compared like one.

use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use leno_proto::envoy::config::core::v3::{Address, address, socket_address};
use leno_proto::envoy::data::accesslog::v3::{AccessLogCommon, HttpAccessLogEntry, TcpAccessLogEntry};
use leno_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use leno_proto::envoy::service::accesslog::v3::StreamAccessLogsMessage;
use leno_proto::envoy::service::accesslog::v3::stream_access_logs_message::LogEntries;
use leno_proto::envoy::service::ratelimit::v3::RateLimitRequest;
use leno_proto::opentelemetry::proto::common::v1::{AnyValue, KeyValue, any_value};
use prost::Message;
use serde_json::{Value, json};

/// `false`: it is none of its methods.
pub(super) async fn serve(
    request: &http::Request<()>,
    body: &mut RecvStream,
    respond: &mut SendResponse<Bytes>,
    log: &Path,
) -> anyhow::Result<bool> {
    let head = http::Response::builder().header("content-type", "application/grpc").body(());
    match request.uri().path() {
        "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs" => {
            let mut messages = Messages::default();
            let mut stream = respond.send_response(head?, false)?;
            let mut named = Value::Null;
            while let Some(message) = messages.next(body).await? {
                let message = StreamAccessLogsMessage::decode(message.as_slice())?;
                if let Some(identifier) = &message.identifier {
                    let node = identifier.node.clone().unwrap_or_default();
                    named = json!({ "log": identifier.log_name, "node": node.id, "cluster": node.cluster });
                }
                write(log, entries(&message, &named))?;
            }
            stream.send_trailers(status())?;
        }
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => {
            let mut messages = Messages::default();
            while let Some(message) = messages.next(body).await? {
                write(log, records(&Export::decode(message.as_slice())?))?;
            }
            let mut stream = respond.send_response(head?, false)?;
            stream.send_data(Bytes::from_static(&[0; 5]), false)?;
            stream.send_trailers(status())?;
        }
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit" => {
            let mut messages = Messages::default();
            while let Some(message) = messages.next(body).await? {
                write(log, vec![question(&RateLimitRequest::decode(message.as_slice())?)])?;
            }
            let mut stream = respond.send_response(head?, false)?;
            // Its code is OK.
            stream.send_data(Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]), false)?;
            stream.send_trailers(status())?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// What a rate limit service is asked; the entry `id` says of which request.
fn question(request: &RateLimitRequest) -> Value {
    let entries = request.descriptors.iter().flat_map(|descriptor| &descriptor.entries);
    let id = entries.into_iter().find(|entry| entry.key == "id").map(|entry| entry.value.clone());
    let descriptor = |descriptor: &RateLimitDescriptor| {
        let entries = descriptor.entries.iter().filter(|entry| entry.key != "id");
        json!({
            "entries": entries.map(|entry| json!([entry.key, entry.value])).collect::<Vec<_>>(),
            "limit": descriptor.limit.as_ref().map(|limit| json!([limit.requests_per_unit, limit.unit])),
            "hits": descriptor.hits_addend.as_ref().map(|hits| hits.value),
        })
    };
    json!({
        "id": id,
        "domain": request.domain,
        "descriptors": request.descriptors.iter().map(descriptor).collect::<Vec<_>>(),
        "hits": request.hits_addend,
    })
}

fn status() -> http::HeaderMap {
    [(http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"))].into_iter().collect()
}

fn write(log: &Path, lines: Vec<Value>) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Ok(file.write_all(text.as_bytes())?)
}

/// The messages of a gRPC call.
#[derive(Default)]
struct Messages {
    read: Vec<u8>,
}

impl Messages {
    async fn next(&mut self, body: &mut RecvStream) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            if let Some([_, length @ ..]) = self.read.first_chunk::<5>() {
                let end = 5 + u32::from_be_bytes(*length) as usize;
                if self.read.len() >= end {
                    let rest = self.read.split_off(end);
                    return Ok(Some(std::mem::replace(&mut self.read, rest).split_off(5)));
                }
            }
            let Some(data) = body.data().await else { return Ok(None) };
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            self.read.extend_from_slice(&data);
        }
    }
}

fn entries(message: &StreamAccessLogsMessage, named: &Value) -> Vec<Value> {
    match &message.log_entries {
        Some(LogEntries::HttpLogs(entries)) => entries.log_entry.iter().map(|entry| http_entry(entry, named)).collect(),
        Some(LogEntries::TcpLogs(entries)) => entries.log_entry.iter().map(|entry| tcp_entry(entry, named)).collect(),
        None => Vec::new(),
    }
}

fn http_entry(entry: &HttpAccessLogEntry, named: &Value) -> Value {
    let request = entry.request.clone().unwrap_or_default();
    let response = entry.response.clone().unwrap_or_default();
    let without_id = |headers: &std::collections::HashMap<String, String>| {
        let named = headers.iter().filter(|(name, _)| *name != "x-case-id");
        named.map(|(name, value)| (name.clone(), value.clone())).collect::<std::collections::BTreeMap<_, _>>()
    };
    json!({
        "id": request.request_headers.get("x-case-id"),
        "identifier": named,
        "common": common(entry.common_properties.as_ref()),
        "version": entry.protocol_version,
        "request": {
            "method": request.request_method,
            "scheme": request.scheme,
            "authority": request.authority,
            "path": request.path,
            "original_path": request.original_path,
            "user_agent": request.user_agent,
            "referer": request.referer,
            "forwarded_for": request.forwarded_for,
            "has_request_id": !request.request_id.is_empty(),
            "body_bytes": request.request_body_bytes,
            "headers": without_id(&request.request_headers),
        },
        "response": {
            "code": response.response_code.map(|code| code.value),
            "body_bytes": response.response_body_bytes,
            "headers": without_id(&response.response_headers),
            "trailers": without_id(&response.response_trailers),
            "details": response.response_code_details,
        },
    })
}

fn tcp_entry(entry: &TcpAccessLogEntry, named: &Value) -> Value {
    let bytes = entry.connection_properties.unwrap_or_default();
    let peer = entry.common_properties.as_ref().and_then(|common| common.downstream_direct_remote_address.as_ref());
    json!({
        "peer": address_text(peer),
        "identifier": named,
        "common": common(entry.common_properties.as_ref()),
        "bytes": [bytes.received_bytes, bytes.sent_bytes],
    })
}

/// Times only by whether they are there.
fn common(common: Option<&AccessLogCommon>) -> Value {
    let Some(common) = common else { return Value::Null };
    let ip = |address: Option<&Address>| {
        address_text(address).map(|text| text.rsplit_once(':').map_or(text.clone(), |(ip, _)| ip.to_owned()))
    };
    json!({
        "remote": ip(common.downstream_remote_address.as_ref()),
        "local": address_text(common.downstream_local_address.as_ref()),
        "direct": ip(common.downstream_direct_remote_address.as_ref()),
        "server_name": common.tls_properties.as_ref().map(|tls| tls.tls_sni_hostname.clone()),
        "tls": common.tls_properties.as_ref().map(|tls| json!({
            "version": tls.tls_version,
            "local": format!("{:?}", tls.local_certificate_properties),
            "peer": format!("{:?}", tls.peer_certificate_properties),
        })),
        "metadata": format!("{:?}", common.metadata.as_ref().map(|metadata| {
            metadata.filter_metadata.iter().collect::<std::collections::BTreeMap<_, _>>()
        })),
        "custom_tags": common.custom_tags.iter().collect::<std::collections::BTreeMap<_, _>>(),
        "start_time": common.start_time.is_some(),
        "last_received": common.time_to_last_rx_byte.is_some(),
        "last_upstream_sent": common.time_to_last_upstream_tx_byte.is_some(),
        "first_upstream_received": common.time_to_first_upstream_rx_byte.is_some(),
        "first_sent": common.time_to_first_downstream_tx_byte.is_some(),
        "last_sent": common.time_to_last_downstream_tx_byte.is_some(),
        "duration": common.duration.is_some(),
        "upstream": address_text(common.upstream_remote_address.as_ref()),
        "upstream_local": ip(common.upstream_local_address.as_ref()),
        "upstream_cluster": common.upstream_cluster,
        "flags": format!("{:?}", common.response_flags.unwrap_or_default())
            .split(", ").filter(|flag| !flag.ends_with("false") && !flag.contains("None")).collect::<Vec<_>>(),
        "failure": common.upstream_transport_failure_reason,
        "route": common.route_name,
        "attempts": common.upstream_request_attempt_count,
        "termination": common.connection_termination_details,
        "has_stream_id": !common.stream_id.is_empty(),
        "type": common.access_log_type,
    })
}

fn address_text(address: Option<&Address>) -> Option<String> {
    let Some(address::Address::SocketAddress(socket)) = &address?.address else { return None };
    let Some(socket_address::PortSpecifier::PortValue(port)) = socket.port_specifier else { return None };
    Some(format!("{}:{port}", socket.address))
}

fn records(export: &Export) -> Vec<Value> {
    let mut lines = Vec::new();
    for logs in &export.resource_logs {
        let resource = logs.resource.as_ref().map(|resource| pairs(&resource.attributes));
        for record in logs.scope_logs.iter().flat_map(|scope| &scope.records) {
            let attributes = pairs(&record.attributes);
            let id = attributes.iter().find(|pair| pair[0] == "id").map(|pair| pair[1].clone());
            lines.push(json!({
                "id": id,
                "resource": resource,
                "has_time": record.time_unix_nano > 0,
                "body": record.body.as_ref().map(value),
                "attributes": attributes.iter().filter(|pair| pair[0] != "id").collect::<Vec<_>>(),
            }));
        }
    }
    lines
}

fn pairs(pairs: &[KeyValue]) -> Vec<Value> {
    pairs.iter().map(|pair| json!([pair.key, pair.value.as_ref().map(value)])).collect()
}

fn value(of: &AnyValue) -> Value {
    match &of.value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(value)) => json!(value),
        Some(any_value::Value::IntValue(value)) => json!({ "int": value }),
        Some(any_value::Value::DoubleValue(value)) => json!({ "double": value }),
        Some(any_value::Value::ArrayValue(list)) => list.values.iter().map(value).collect(),
        Some(any_value::Value::KvlistValue(list)) => {
            let mut pairs = pairs(&list.values);
            pairs.sort_by_key(ToString::to_string);
            json!(pairs)
        }
        _ => Value::Null,
    }
}

/// `opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest`, which the crate of Envoy's API has not.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
}
