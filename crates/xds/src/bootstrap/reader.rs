//! A tree of YAML or JSON as the message it describes, with the place of everything that is wrong.
//!
//! Errors      unknown names, wrong types, and fields that would have no effect here: all of them are reported
//! Source      proto3 JSON mapping; prost-reflect reads the values, but knows no places, so the walk is ours

use std::sync::LazyLock;

use leno_proto::BOOTSTRAP_DESCRIPTORS;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value as Proto,
};
use serde_json::Value as Json;

use super::fields::{Support, support};
use super::tree::{Tree, Value};

const ANY: &str = "google.protobuf.Any";
const TYPE: &str = "@type";

/// Decoded when first asked for.
pub(super) fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(BOOTSTRAP_DESCRIPTORS).expect("the descriptors are in the repository"));
    &POOL
}

/// Reads one file.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Line, field, reason.
    pub(super) problems: Vec<(usize, String, String)>,
}

impl Reader {
    /// The message as far as it can be read.
    pub(super) fn read_message(&mut self, descriptor: &MessageDescriptor, tree: &Tree, path: &str) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        if matches!(tree.value, Value::Null) {
            return message;
        }
        let Some(entries) = tree.entries() else {
            self.report(tree.line, path, "must be an object");
            return message;
        };
        for entry in entries.iter().filter(|entry| entry.key != TYPE) {
            let Some(field) = field(descriptor, &entry.key) else {
                let reason = unknown(descriptor, &entry.key);
                self.report(entry.line, &join(path, &entry.key), reason);
                continue;
            };
            if matches!(entry.tree.value, Value::Null) {
                continue;
            }
            let path = join(path, field.name());
            if message.has_field(&field) {
                self.report(entry.line, &path, "is there twice");
                continue;
            }
            if let Some(other) = set_in_oneof(&message, &field) {
                self.report(entry.line, &path, format!("cannot be set together with {other}"));
                continue;
            }
            if let Some(value) = self.read_supported(&field, &entry.tree, &path, entry.line) {
                message.set_field(&field, value);
            }
        }
        message
    }

    /// `None` when it was reported.
    fn read_supported(&mut self, field: &FieldDescriptor, tree: &Tree, path: &str, line: usize) -> Option<Proto> {
        let (reason, may_be_off) = match support(field.parent_message().full_name(), field.name()) {
            Support::Full => return self.read_field(field, tree, path, line),
            Support::No => ("is not supported", false),
            Support::NotHere(reason) => (reason, false),
            Support::OffOnly => ("is not supported", true),
        };
        // What was written but says nothing.
        let is_off = match leaf(field, &tree.to_json()) {
            Ok(value) if may_be_off => is_zero(&value),
            Ok(value) => !field.supports_presence() && value.is_default_for_field(field),
            Err(_) => false,
        };
        if !is_off {
            self.report(line, path, reason);
        }
        None
    }

    fn read_field(&mut self, field: &FieldDescriptor, tree: &Tree, path: &str, line: usize) -> Option<Proto> {
        let Some(message) = inner_message(field) else { return self.read_leaf(field, tree, path, line) };
        if field.is_map() {
            let Some(entries) = tree.entries() else {
                self.report(line, path, "must be an object");
                return None;
            };
            let read = entries.iter().map(|entry| {
                let value = self.read_inner(&message, &entry.tree, &format!("{path}[{}]", entry.key));
                (MapKey::String(entry.key.clone()), Proto::Message(value))
            });
            return Some(Proto::Map(read.collect()));
        }
        if !field.is_list() {
            return Some(Proto::Message(self.read_inner(&message, tree, path)));
        }
        let Value::List(items) = &tree.value else {
            self.report(line, path, "must be a list");
            return None;
        };
        let items = items.iter().enumerate();
        let read =
            items.map(|(index, item)| Proto::Message(self.read_inner(&message, item, &format!("{path}[{index}]"))));
        Some(Proto::List(read.collect()))
    }

    fn read_inner(&mut self, descriptor: &MessageDescriptor, tree: &Tree, path: &str) -> DynamicMessage {
        if descriptor.full_name() == ANY {
            self.read_any(descriptor, tree, path)
        } else {
            self.read_message(descriptor, tree, path)
        }
    }

    /// A message of a type that Leno does not have stays closed: whoever it is for says what is missing.
    fn read_any(&mut self, descriptor: &MessageDescriptor, tree: &Tree, path: &str) -> DynamicMessage {
        let mut any = DynamicMessage::new(descriptor.clone());
        let entries = tree.entries().unwrap_or_default();
        let Some(type_url) = entries.iter().find(|entry| entry.key == TYPE).and_then(|entry| entry.tree.text()) else {
            self.report(tree.line, path, "has no @type");
            return any;
        };
        let name = type_url.rsplit('/').next().unwrap_or_default();
        any.set_field_by_name("type_url", Proto::String(type_url.to_owned()));
        if let Some(descriptor) = pool().get_message_by_name(name) {
            let message = self.read_message(&descriptor, tree, path);
            any.set_field_by_name("value", Proto::Bytes(message.encode_to_vec().into()));
        }
        any
    }

    fn read_leaf(&mut self, field: &FieldDescriptor, tree: &Tree, path: &str, line: usize) -> Option<Proto> {
        if let Some(value) = plain(field, tree) {
            return Some(value);
        }
        leaf(field, &tree.to_json()).map_err(|reason| self.report(line, path, reason)).ok()
    }

    fn report(&mut self, line: usize, field: &str, reason: impl Into<String>) {
        self.problems.push((line, field.to_owned(), reason.into()));
    }
}

/// By the name in the API, or by its JSON name.
fn field(descriptor: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key))
}

fn unknown(descriptor: &MessageDescriptor, key: &str) -> String {
    let near = descriptor
        .fields()
        .map(|field| (strsim::damerau_levenshtein(field.name(), key), field.name().to_owned()))
        .filter(|(distance, _)| *distance <= key.len() / 3)
        .min();
    let message = descriptor.full_name();
    near.map_or_else(
        || format!("{message} has no such field"),
        |(_, name)| format!("{message} has no such field; did you mean {name}?"),
    )
}

fn set_in_oneof(message: &DynamicMessage, field: &FieldDescriptor) -> Option<String> {
    let oneof = field.containing_oneof()?;
    oneof.fields().find(|other| message.has_field(other)).map(|other| other.name().to_owned())
}

/// The type of the messages in a field whose values have places of their own. Well-known types are values like numbers,
/// but for `Any`.
fn inner_message(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let kind = field.kind();
    let message = kind.as_message()?.clone();
    let message = if field.is_map() { message.map_entry_value_field().kind().as_message().cloned()? } else { message };
    (!message.full_name().starts_with("google.protobuf.") || message.full_name() == ANY).then_some(message)
}

/// What most values are, read without a detour. `None`: neither right nor wrong, [`leaf`] knows.
fn plain(field: &FieldDescriptor, tree: &Tree) -> Option<Proto> {
    let Value::Scalar(value) = &tree.value else { return None };
    match field.kind() {
        _ if field.is_list() || field.is_map() => None,
        Kind::Bool => value.as_bool().map(Proto::Bool),
        Kind::Enum(item) => item.get_value_by_name(value.as_str()?).map(|value| Proto::EnumNumber(value.number())),
        Kind::String => value.as_str().map(|text| Proto::String(text.to_owned())),
        Kind::Uint32 => value.as_u64().and_then(|number| number.try_into().ok()).map(Proto::U32),
        _ => None,
    }
}

fn leaf(field: &FieldDescriptor, json: &Json) -> Result<Proto, String> {
    let object = Json::Object([(field.name().to_owned(), json.clone())].into_iter().collect());
    let message = DynamicMessage::deserialize(field.parent_message().clone(), object).map_err(|error| {
        let reason = error.to_string();
        match field.kind() {
            Kind::Enum(item) => {
                let names: Vec<_> = item.values().map(|value| value.name().to_owned()).collect();
                format!("{json} is none of {}", names.join(", "))
            }
            _ => reason,
        }
    })?;
    Ok(message.get_field(field).into_owned())
}

/// False, 0, nothing; also in a wrapper or a duration.
fn is_zero(value: &Proto) -> bool {
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

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
