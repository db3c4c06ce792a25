//! What is said to an access log service, `envoy.data.accesslog.v3`, and to a collector of OpenTelemetry: the fields that are
//! filled.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpEntry {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<Common>,
    #[prost(int32, tag = "2")]
    pub(super) protocol: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) request: Option<Request>,
    #[prost(message, optional, tag = "4")]
    pub(super) response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TcpEntry {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<Common>,
    #[prost(message, optional, tag = "2")]
    pub(super) connection: Option<ConnectionBytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ConnectionBytes {
    #[prost(uint64, tag = "1")]
    pub(super) received: u64,
    #[prost(uint64, tag = "2")]
    pub(super) sent: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Common {
    #[prost(message, optional, tag = "2")]
    pub(super) downstream_remote: Option<Address>,
    #[prost(message, optional, tag = "3")]
    pub(super) downstream_local: Option<Address>,
    #[prost(message, optional, tag = "4")]
    pub(super) tls: Option<Tls>,
    #[prost(message, optional, tag = "5")]
    pub(super) start_time: Option<Seconds>,
    #[prost(message, optional, tag = "6")]
    pub(super) last_received: Option<Seconds>,
    #[prost(message, optional, tag = "8")]
    pub(super) last_upstream_sent: Option<Seconds>,
    #[prost(message, optional, tag = "9")]
    pub(super) first_upstream_received: Option<Seconds>,
    #[prost(message, optional, tag = "11")]
    pub(super) first_sent: Option<Seconds>,
    #[prost(message, optional, tag = "12")]
    pub(super) last_sent: Option<Seconds>,
    #[prost(message, optional, tag = "13")]
    pub(super) upstream_remote: Option<Address>,
    #[prost(message, optional, tag = "14")]
    pub(super) upstream_local: Option<Address>,
    #[prost(string, tag = "15")]
    pub(super) upstream_cluster: String,
    /// `ResponseFlags`: each set flag as a field that is true.
    #[prost(bytes = "vec", tag = "16")]
    pub(super) flags: Vec<u8>,
    /// What filters have said.
    #[prost(message, optional, tag = "17")]
    pub(super) metadata: Option<Metadata>,
    #[prost(string, tag = "18")]
    pub(super) upstream_failure: String,
    #[prost(string, tag = "19")]
    pub(super) route_name: String,
    #[prost(message, optional, tag = "20")]
    pub(super) downstream_direct_remote: Option<Address>,
    #[prost(btree_map = "string, string", tag = "22")]
    pub(super) custom_tags: BTreeMap<String, String>,
    #[prost(message, optional, tag = "23")]
    pub(super) duration: Option<Seconds>,
    #[prost(uint32, tag = "24")]
    pub(super) attempts: u32,
    #[prost(string, tag = "25")]
    pub(super) termination_details: String,
    #[prost(string, tag = "26")]
    pub(super) stream_id: String,
    #[prost(int32, tag = "33")]
    pub(super) kind: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) fields: BTreeMap<String, prost_types::Struct>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tls {
    #[prost(int32, tag = "1")]
    pub(super) version: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) cipher: Option<Number>,
    #[prost(string, tag = "3")]
    pub(super) server_name: String,
    #[prost(message, optional, tag = "4")]
    pub(super) local: Option<Certificate>,
    #[prost(message, optional, tag = "5")]
    pub(super) peer: Option<Certificate>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Certificate {
    #[prost(message, repeated, tag = "1")]
    pub(super) names: Vec<Name>,
    #[prost(string, tag = "2")]
    pub(super) subject: String,
    #[prost(string, tag = "3")]
    pub(super) issuer: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Name {
    #[prost(string, tag = "1")]
    pub(super) uri: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(int32, tag = "1")]
    pub(super) method: i32,
    #[prost(string, tag = "2")]
    pub(super) scheme: String,
    #[prost(string, tag = "3")]
    pub(super) authority: String,
    #[prost(string, tag = "5")]
    pub(super) path: String,
    #[prost(string, tag = "6")]
    pub(super) user_agent: String,
    #[prost(string, tag = "7")]
    pub(super) referer: String,
    #[prost(string, tag = "8")]
    pub(super) forwarded_for: String,
    #[prost(string, tag = "9")]
    pub(super) request_id: String,
    #[prost(string, tag = "10")]
    pub(super) original_path: String,
    #[prost(uint64, tag = "11")]
    pub(super) header_bytes: u64,
    #[prost(uint64, tag = "12")]
    pub(super) body_bytes: u64,
    #[prost(btree_map = "string, string", tag = "13")]
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(message, optional, tag = "1")]
    pub(super) code: Option<Number>,
    #[prost(uint64, tag = "2")]
    pub(super) header_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub(super) body_bytes: u64,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(super) headers: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(super) trailers: BTreeMap<String, String>,
    #[prost(string, tag = "6")]
    pub(super) details: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Number {
    #[prost(uint32, tag = "1")]
    pub(super) value: u32,
}

/// `google.protobuf.Duration` and `Timestamp` look alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Seconds {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self { seconds, nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0) }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Address {
    #[prost(message, optional, tag = "1")]
    socket: Option<Socket>,
}

#[derive(Clone, PartialEq, Message)]
struct Socket {
    #[prost(string, tag = "2")]
    address: String,
    /// Of a `oneof`, so it is there even when it is 0.
    #[prost(uint32, optional, tag = "3")]
    port: Option<u32>,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { socket: Some(Socket { address: address.ip().to_string(), port: Some(address.port().into()) }) }
    }
}

/// `StreamAccessLogsMessage.Identifier`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Identifier {
    #[prost(message, optional, tag = "1")]
    pub(super) node: Option<Node>,
    #[prost(string, tag = "2")]
    pub(super) log_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) cluster: String,
}

/// `opentelemetry.proto.logs.v1`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LogRecord {
    #[prost(fixed64, tag = "1")]
    pub(super) time_nanos: u64,
    #[prost(message, optional, tag = "5")]
    pub(super) body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6")]
    pub(super) value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(Values),
    #[prost(message, tag = "6")]
    Object(Fields),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Values {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Fields {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<KeyValue>,
}
