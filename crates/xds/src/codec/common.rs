use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use leno_names::Fraction;
use leno_proto::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, HeaderValue as ProtoHeaderValue, HeaderValueOption,
    RuntimeFractionalPercent, SocketAddress, address, config_source, header_value_option, socket_address,
};
use leno_proto::envoy::r#type::v3::{FractionalPercent, fractional_percent};
use leno_proto::google::protobuf::{self, Any, ListValue, Struct, Value, value};
use prost::Message;

use super::error::{DecodeError, Result};
use leno_ir::{HeaderAppend, HeaderOps, HeaderValue};

/// The longest `google.protobuf.Duration`: 10,000 years.
const MAX_SECONDS: u64 = 315_576_000_000;

pub(super) fn any(type_name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{type_name}"), value: message.encode_to_vec() }
}

/// The message in `any` if it is of that type.
pub(super) fn unpack<M: Message + Default>(any: Option<&Any>, type_name: &str) -> Result<M> {
    let any = any.ok_or_else(|| DecodeError::new("typed_config", "is missing"))?;
    if any.type_url.rsplit('/').next() != Some(type_name) {
        return Err(DecodeError::new("typed_config", format!("{} is not supported", any.type_url)));
    }
    M::decode(any.value.as_slice())
        .map_err(|error| DecodeError::new("typed_config", format!("is no {type_name}: {error}")))
}

/// The name and what it is of: names are anybody's choice, and a type that is misspelt is seen only in the type.
pub(super) fn with_type(name: &str, config: Option<&Any>) -> String {
    let type_name = config.and_then(|any| any.type_url.rsplit('/').next()).filter(|type_name| !type_name.is_empty());
    type_name.map_or_else(|| name.to_owned(), |type_name| format!("{name} ({type_name})"))
}

pub(super) fn is_type(any: Option<&Any>, type_name: &str) -> bool {
    any.is_some_and(|any| any.type_url.rsplit('/').next() == Some(type_name))
}

pub(super) fn duration(duration: Duration) -> Option<protobuf::Duration> {
    Some(protobuf::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    })
}

/// `None` is written as zero, which Envoy reads as "off" where the field says so.
pub(super) fn duration_or_off(value: Option<Duration>) -> Option<protobuf::Duration> {
    duration(value.unwrap_or_default())
}

pub(super) fn read_duration(value: Option<&protobuf::Duration>) -> Option<Duration> {
    let value = value?;
    let seconds = u64::try_from(value.seconds).unwrap_or(0).min(MAX_SECONDS);
    Some(Duration::new(seconds, u32::try_from(value.nanos).unwrap_or(0)))
}

/// Absent gives the default, zero gives `None`.
pub(super) fn read_limit(value: Option<&protobuf::Duration>, default: Option<Duration>) -> Option<Duration> {
    match read_duration(value) {
        None => default,
        Some(Duration::ZERO) => None,
        Some(limit) => Some(limit),
    }
}

pub(super) fn u32_value(value: u32) -> Option<protobuf::UInt32Value> {
    Some(protobuf::UInt32Value { value })
}

pub(super) fn bool_value(value: bool) -> Option<protobuf::BoolValue> {
    Some(protobuf::BoolValue { value })
}

/// Everything else comes over the stream this resource came over.
pub(super) fn ads() -> Option<ConfigSource> {
    Some(ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    })
}

pub(super) fn address(addr: SocketAddr) -> Option<Address> {
    Some(Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: addr.ip().to_string(),
            port_specifier: Some(socket_address::PortSpecifier::PortValue(addr.port().into())),
            ..SocketAddress::default()
        })),
    })
}

pub(super) fn named_address(name: &str, port: u16) -> Option<Address> {
    Some(Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: name.to_owned(),
            port_specifier: Some(socket_address::PortSpecifier::PortValue(port.into())),
            ..SocketAddress::default()
        })),
    })
}

/// An address, or only its port and the name to look up.
pub(super) fn read_named(value: Option<&Address>) -> Result<(SocketAddr, Option<String>)> {
    let Some(address::Address::SocketAddress(socket)) = value.and_then(|address| address.address.as_ref()) else {
        return read_address(value).map(|address| (address, None));
    };
    if socket.address.is_empty() || socket.address.parse::<std::net::IpAddr>().is_ok() {
        return read_address(value).map(|address| (address, None));
    }
    let unspecified = SocketAddress { address: "0.0.0.0".to_owned(), ..socket.clone() };
    let port = read_address(Some(&Address { address: Some(address::Address::SocketAddress(unspecified)) }))?;
    Ok((port, Some(socket.address.clone())))
}

pub(super) fn read_address(value: Option<&Address>) -> Result<SocketAddr> {
    let Some(address::Address::SocketAddress(socket)) = value.and_then(|address| address.address.as_ref()) else {
        return Err(DecodeError::new("address", "only socket addresses are supported"));
    };
    let ip = socket.address.parse().map_err(|_| {
        DecodeError::new("address.socket_address.address", format!("\"{}\" is no IP address", socket.address))
    })?;
    match &socket.port_specifier {
        Some(socket_address::PortSpecifier::PortValue(port)) => u16::try_from(*port)
            .map(|port| SocketAddr::new(ip, port))
            .map_err(|_| DecodeError::new("address.socket_address.port_value", format!("{port} is no port"))),
        _ => Err(DecodeError::new("address.socket_address.port_value", "is missing")),
    }
}

pub(super) fn set_ipv4_compat(address: &mut Address) {
    if let Some(address::Address::SocketAddress(socket)) = &mut address.address {
        socket.ipv4_compat = true;
    }
}

pub(super) fn has_ipv4_compat(address: Option<&Address>) -> bool {
    matches!(address.and_then(|address| address.address.as_ref()),
        Some(address::Address::SocketAddress(socket)) if socket.ipv4_compat)
}

pub(super) fn fraction(fraction: Fraction) -> FractionalPercent {
    FractionalPercent {
        numerator: fraction.parts_per_million(),
        denominator: fractional_percent::DenominatorType::Million.into(),
    }
}

pub(super) fn read_fraction(value: &FractionalPercent) -> Result<Fraction> {
    let unit = match value.denominator() {
        fractional_percent::DenominatorType::Hundred => 10_000,
        fractional_percent::DenominatorType::TenThousand => 100,
        fractional_percent::DenominatorType::Million => 1,
    };
    let parts = value.numerator.saturating_mul(unit).min(1_000_000);
    Fraction::from_parts_per_million(parts).ok_or_else(|| DecodeError::new("numerator", "is above the denominator"))
}

pub(super) fn runtime_fraction(share: Fraction) -> RuntimeFractionalPercent {
    RuntimeFractionalPercent { default_value: Some(fraction(share)), ..RuntimeFractionalPercent::default() }
}

/// Without a runtime its default is what counts.
pub(super) fn read_runtime_fraction(value: Option<&RuntimeFractionalPercent>, default: Fraction) -> Result<Fraction> {
    // Said without a share, it is Envoy's default for that message: none.
    value.map_or(Ok(default), |value| value.default_value.as_ref().map_or(Ok(Fraction::ZERO), read_fraction))
}

pub(super) fn headers_to_add(ops: &HeaderOps) -> Vec<HeaderValueOption> {
    ops.add
        .iter()
        .map(|header| HeaderValueOption {
            header: Some(ProtoHeaderValue {
                key: header.name.clone(),
                value: header.value.clone(),
                ..Default::default()
            }),
            append_action: action(header.append).into(),
            keep_empty_value: header.keep_empty,
            ..HeaderValueOption::default()
        })
        .collect()
}

fn action(append: HeaderAppend) -> header_value_option::HeaderAppendAction {
    use header_value_option::HeaderAppendAction as Action;
    match append {
        HeaderAppend::AddIfAbsent => Action::AddIfAbsent,
        HeaderAppend::AppendOrAdd => Action::AppendIfExistsOrAdd,
        HeaderAppend::OverwriteIfExists => Action::OverwriteIfExists,
        HeaderAppend::OverwriteOrAdd => Action::OverwriteIfExistsOrAdd,
    }
}

pub(super) fn read_header_ops(add: &[HeaderValueOption], remove: &[String]) -> Result<HeaderOps> {
    let remove = remove.iter().map(|name| read_header_name(name)).collect::<Result<_>>()?;
    let add = add.iter().filter_map(read_header_value).collect::<Result<_>>()?;
    Ok(HeaderOps { remove, add })
}

#[allow(deprecated, reason = "other control planes still write the older field")]
fn read_header_value(option: &HeaderValueOption) -> Option<Result<HeaderValue>> {
    use header_value_option::HeaderAppendAction as Action;
    let header = option.header.as_ref()?;
    // The old way of saying it: `append: false`.
    let overwrite = option.append.as_ref().is_some_and(|append| !append.value);
    let append = match option.append_action() {
        _ if overwrite => HeaderAppend::OverwriteOrAdd,
        Action::AddIfAbsent => HeaderAppend::AddIfAbsent,
        Action::AppendIfExistsOrAdd => HeaderAppend::AppendOrAdd,
        Action::OverwriteIfExists => HeaderAppend::OverwriteIfExists,
        Action::OverwriteIfExistsOrAdd => HeaderAppend::OverwriteOrAdd,
    };
    let value = if header.raw_value.is_empty() {
        header.value.clone()
    } else {
        String::from_utf8_lossy(&header.raw_value).into_owned()
    };
    if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        let reason = format!("{value:?} has a control character, which a header value cannot have");
        return Some(Err(DecodeError::new("header.value", reason)));
    }
    let keep_empty = option.keep_empty_value;
    if value.is_empty() && !keep_empty {
        return None;
    }
    Some(read_header_name(&header.key).map(|name| HeaderValue { name, value, append, keep_empty }))
}

/// RFC 9110 §5.6.2. As in Envoy, pseudo-headers are not to be changed; nor, for us, what says where a message ends.
fn read_header_name(name: &str) -> Result<String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(DecodeError::new("header.key", format!("{name:?} is not a header name")));
    }
    if matches!(name.as_str(), "content-length" | "transfer-encoding") {
        return Err(DecodeError::new("header.key", format!("{name} says where a message ends; it cannot be changed")));
    }
    Ok(name)
}

/// What goes into a request target or an authority.
pub(super) fn read_visible(text: &str, field: &str) -> Result<String> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(DecodeError::new(field, format!("{text:?} has a character that a URI cannot have")))
}

pub(super) fn string(text: impl Into<String>) -> Value {
    Value { kind: Some(value::Kind::StringValue(text.into())) }
}

pub(super) fn number(number: u16) -> Value {
    Value { kind: Some(value::Kind::NumberValue(number.into())) }
}

pub(super) fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(value::Kind::ListValue(ListValue { values })) }
}

pub(super) fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value { kind: Some(value::Kind::StructValue(structure(fields))) }
}

pub(super) fn structure(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
}

pub(super) fn as_text(value: Option<&Value>) -> Option<&str> {
    match value?.kind.as_ref()? {
        value::Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Numbers, and texts of numbers, which is how some tools write them.
pub(super) fn as_port(value: Option<&Value>) -> Option<u16> {
    match value?.kind.as_ref()? {
        value::Kind::NumberValue(number) if number.fract() == 0.0 && (0.0..=65535.0).contains(number) => {
            Some(*number as u16)
        }
        value::Kind::StringValue(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn as_list(value: Option<&Value>) -> &[Value] {
    match value.and_then(|value| value.kind.as_ref()) {
        Some(value::Kind::ListValue(list)) => &list.values,
        _ => &[],
    }
}

pub(super) fn as_struct(value: &Value) -> Option<&Struct> {
    match value.kind.as_ref()? {
        value::Kind::StructValue(fields) => Some(fields),
        _ => None,
    }
}

pub(super) fn as_text_map(fields: &Struct) -> BTreeMap<String, String> {
    let text = |(name, value): (&String, &Value)| Some((name.clone(), as_text(Some(value))?.to_owned()));
    fields.fields.iter().filter_map(text).collect()
}
