//! Values that have no places of their own: numbers, texts, names of values, and the well-known types.
//!
//! Errors      what is wrong with a value, without its place
//! Cost        most values go straight to the wire format; prost-reflect reads the others
//! Source      proto3 JSON mapping, and what Envoy's reader takes beyond it: names of values in any case, truth in quotes

use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, ReflectMessage, Value as Proto};
use serde_json::Value as Json;

use super::reader::write_bytes;
use super::tree::{Tree, Value};

const BOOL_VALUE: &str = "google.protobuf.BoolValue";

/// What most values are, written without a detour. `false`: neither right nor wrong, [`leaf`] knows.
pub(super) fn write_plain(field: &FieldDescriptor, tree: &Tree, out: &mut Vec<u8>) -> bool {
    let Value::Scalar(value) = &tree.value else { return false };
    if field.is_list() || field.is_map() {
        return false;
    }
    let number = match field.kind() {
        // In quotes too, as Envoy reads it.
        Kind::Bool => value.as_bool().or_else(|| value.as_str()?.parse().ok()).map(u64::from),
        Kind::Enum(item) => {
            value.as_str().and_then(|name| enum_number(&item, name)).and_then(|number| u64::try_from(number).ok())
        }
        Kind::String => {
            if let Some(text) = value.as_str() {
                write_bytes(field.number(), text.as_bytes(), out);
            }
            return value.is_string();
        }
        Kind::Uint32 => value.as_u64().filter(|number| u32::try_from(*number).is_ok()),
        _ => None,
    };
    if let Some(number) = number {
        encode_key(field.number(), WireType::Varint, out);
        encode_varint(number, out);
    }
    number.is_some()
}

/// As Envoy reads names of values: in any case.
pub(super) fn enum_number(item: &EnumDescriptor, name: &str) -> Option<i32> {
    let exact = item.get_value_by_name(name);
    exact.or_else(|| item.values().find(|value| value.name().eq_ignore_ascii_case(name))).map(|value| value.number())
}

/// A message with this field alone.
pub(super) fn leaf(field: &FieldDescriptor, json: &Json) -> Result<DynamicMessage, String> {
    let value = match (field.kind(), json) {
        (Kind::Enum(item), Json::Array(names)) => {
            let number = |name: &Json| name.as_str().and_then(|name| enum_number(&item, name)).map(Json::from);
            names.iter().map(|name| number(name).unwrap_or_else(|| name.clone())).collect()
        }
        (Kind::Message(wrapper), Json::String(text)) if wrapper.full_name() == BOOL_VALUE => {
            text.parse().map_or_else(|_| json.clone(), Json::Bool)
        }
        _ => json.clone(),
    };
    let object = Json::Object([(field.name().to_owned(), value)].into_iter().collect());
    DynamicMessage::deserialize(field.parent_message().clone(), object).map_err(|error| {
        let reason = error.to_string();
        match field.kind() {
            Kind::Enum(item) => {
                let names: Vec<_> = item.values().map(|value| value.name().to_owned()).collect();
                format!("{json} is none of {}", names.join(", "))
            }
            _ => reason,
        }
    })
}

/// False, 0, nothing; also in a wrapper or a duration.
pub(super) fn is_zero(value: &Proto) -> bool {
    match value {
        Proto::Bool(flag) => !flag,
        Proto::EnumNumber(number) | Proto::I32(number) => *number == 0,
        Proto::I64(number) => *number == 0,
        Proto::Message(message) => message.descriptor().fields().all(|field| is_zero(&message.get_field(&field))),
        Proto::U32(number) => *number == 0,
        Proto::U64(number) => *number == 0,
        _ => false,
    }
}
