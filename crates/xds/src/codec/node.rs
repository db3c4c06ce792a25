use std::net::{IpAddr, Ipv4Addr};

use leno_ir::{Flavor, GatewayRole, Node, WorkloadPort};
use leno_proto::envoy::config::core::v3::Node as ProtoNode;
use leno_proto::google::protobuf::{Struct, Value};

use super::common::{as_list, as_port, as_struct, as_text, as_text_map, list, number, object, string, structure};
use super::endpoints::{proto_locality, read_locality};
use super::error::{At, DecodeError, Result};

const LENO: &str = "leno";

/// How a node introduces itself in the first request of a stream.
pub fn encode_node(node: &Node) -> ProtoNode {
    ProtoNode {
        id: node.id.clone(),
        cluster: node.service.clone().unwrap_or_default(),
        metadata: Some(metadata(node)),
        locality: Some(proto_locality(&node.locality)),
        user_agent_name: match node.flavor {
            Flavor::Envoy => "envoy",
            Flavor::Grpc => "gRPC",
            Flavor::Leno => LENO,
        }
        .to_owned(),
        ..ProtoNode::default()
    }
}

fn metadata(node: &Node) -> Struct {
    let labels = node.labels.iter().map(|(name, value)| (name.clone(), string(value.as_str()))).collect();
    let labels =
        Value { kind: Some(leno_proto::google::protobuf::value::Kind::StructValue(Struct { fields: labels })) };
    let mut fields = vec![
        ("NAMESPACE", string(node.namespace.as_str())),
        ("SERVICE_ACCOUNT", string(node.service_account.as_str())),
        ("WORKLOAD_NAME", string(node.workload.as_str())),
        ("LABELS", labels),
        ("PORTS", list(node.ports.iter().map(port).collect())),
    ];
    let optional = [
        ("SERVICE", node.service.clone()),
        ("ADDRESS", node.address.map(|address| address.to_string())),
        ("OUTBOUND_PREFIX", node.outbound_prefix.map(|[a, b]| format!("{a}.{b}"))),
        ("HTTP_PROXY_ADDRESS", node.http_proxy.map(|address| address.to_string())),
        ("GATEWAY", node.gateway.as_ref().map(|gateway| format!("{}/{}", gateway.namespace, gateway.name))),
        ("GATEWAY_BIND", node.gateway.as_ref().map(|gateway| gateway.bind.to_string())),
        ("ACCESS_LOG", node.access_log.clone()),
        ("ACCESS_LOG_FORMAT", node.access_log_format.clone()),
    ];
    fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name, string(value?)))));
    structure(fields)
}

fn port(port: &WorkloadPort) -> Value {
    object([
        ("port", number(port.app)),
        ("appAddress", string(port.app_address.to_string())),
        ("inbound", number(port.inbound)),
        ("protocol", string(port.protocol.as_str())),
    ])
}

/// # Errors
/// When a field that says where to bind or what to reach is not what it should be.
pub fn decode_node(node: &ProtoNode) -> Result<Node> {
    if node.id.is_empty() {
        return Err(DecodeError::new("id", "is missing"));
    }
    let empty = Struct::default();
    let fields = &node.metadata.as_ref().unwrap_or(&empty).fields;
    let text = |name: &str| as_text(fields.get(name)).filter(|text| !text.is_empty()).map(str::to_owned);
    let (workload, namespace) = node.id.split_once('.').unwrap_or((&node.id, "default"));
    let mut ports = Vec::new();
    for (index, value) in as_list(fields.get("PORTS")).iter().enumerate() {
        ports.push(read_port(value).at_index("metadata.PORTS", index)?);
    }
    Ok(Node {
        flavor: match node.user_agent_name.as_str() {
            LENO => Flavor::Leno,
            name if name.to_ascii_lowercase().starts_with("grpc") => Flavor::Grpc,
            _ => Flavor::Envoy,
        },
        locality: read_locality(node.locality.as_ref()),
        namespace: text("NAMESPACE").unwrap_or_else(|| namespace.to_owned()),
        service_account: text("SERVICE_ACCOUNT").unwrap_or_default(),
        workload: text("WORKLOAD_NAME").unwrap_or_else(|| workload.to_owned()),
        service: text("SERVICE"),
        labels: fields.get("LABELS").and_then(as_struct).map(as_text_map).unwrap_or_default(),
        address: parsed(text("ADDRESS"), "ADDRESS", "an IP address")?,
        ports,
        outbound_prefix: text("OUTBOUND_PREFIX").map(|text| read_prefix(&text)).transpose()?,
        http_proxy: parsed(text("HTTP_PROXY_ADDRESS"), "HTTP_PROXY_ADDRESS", "IP:port")?,
        gateway: text("GATEWAY").map(|text| read_gateway(&text, text_of(fields, "GATEWAY_BIND"))).transpose()?,
        access_log: text("ACCESS_LOG"),
        access_log_format: text("ACCESS_LOG_FORMAT"),
        control: None,
        id: node.id.clone(),
    })
}

fn parsed<T: std::str::FromStr>(text: Option<String>, field: &str, what: &str) -> Result<Option<T>> {
    let wrong = |text: &str| DecodeError::new(format!("metadata.{field}"), format!("\"{text}\" is not {what}"));
    text.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
}

/// `127.x` and nothing else: a node must not be made to bind addresses of others.
fn read_prefix(text: &str) -> Result<[u8; 2]> {
    let second = text.strip_prefix("127.").and_then(|second| second.parse().ok());
    second.map(|second| [127, second]).ok_or_else(|| {
        DecodeError::new("metadata.OUTBOUND_PREFIX", format!("\"{text}\" is not the start of a loopback block (127.x)"))
    })
}

fn text_of(fields: &std::collections::HashMap<String, Value>, name: &str) -> Option<String> {
    as_text(fields.get(name)).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn read_gateway(text: &str, bind: Option<String>) -> Result<GatewayRole> {
    let (namespace, name) = text
        .split_once('/')
        .ok_or_else(|| DecodeError::new("metadata.GATEWAY", format!("\"{text}\" is not NAMESPACE/NAME")))?;
    let bind = parsed(bind, "GATEWAY_BIND", "an IP address")?.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    Ok(GatewayRole { namespace: namespace.to_owned(), name: name.to_owned(), bind })
}

fn read_port(value: &Value) -> Result<WorkloadPort> {
    let fields = as_struct(value).ok_or_else(|| DecodeError::new("", "is not an object"))?;
    let port = |name: &str| {
        as_port(fields.fields.get(name))
            .filter(|port| *port > 0)
            .ok_or_else(|| DecodeError::new(name, "is not a port number"))
    };
    let app_address = as_text(fields.fields.get("appAddress")).and_then(|text| text.parse().ok());
    Ok(WorkloadPort {
        app: port("port")?,
        inbound: port("inbound")?,
        app_address: app_address.ok_or_else(|| DecodeError::new("appAddress", "is not IP:port"))?,
        protocol: as_text(fields.fields.get("protocol")).unwrap_or_default().to_owned(),
    })
}
