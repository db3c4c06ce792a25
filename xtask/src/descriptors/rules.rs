//! What Envoy's API says about the values of fields (`validate.rules`), as lines of text.
//!
//! Shape       `message` tab `field` tab one word per rule: `uint32.gte=1`, `repeated.items.string.min_len=1`; of a oneof `required`
//! Source      protoc-gen-validate's validate.proto, which Envoy's protobuf files are annotated with

use std::collections::BTreeSet;

use anyhow::Context;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, MessageDescriptor, ReflectMessage, Value};

const RULES: &str = "validate.rules";
/// Of a oneof: one of its fields must be there.
const REQUIRED: &str = "validate.required";

/// The rules for the messages named, and for those inside of them.
pub(super) fn generate(api: &[u8], messages: &BTreeSet<String>) -> anyhow::Result<String> {
    let pool = DescriptorPool::decode(api).context("decoding the descriptors of Envoy's API")?;
    let of_field = extension(&pool, RULES)?;
    let of_oneof = extension(&pool, REQUIRED)?;
    let mut lines = BTreeSet::new();
    let mut open: Vec<_> = messages.iter().filter_map(|name| pool.get_message_by_name(name)).collect();
    while let Some(message) = open.pop() {
        add(&message, &of_field, &of_oneof, &mut lines);
        open.extend(message.child_messages().filter(|child| !child.is_map_entry()));
    }
    Ok(lines.into_iter().collect())
}

/// By its number in the options that it extends: fields and oneofs have the same.
fn extension(pool: &DescriptorPool, name: &str) -> anyhow::Result<ExtensionDescriptor> {
    pool.get_extension_by_name(name).with_context(|| format!("envoy-types has no {name}"))
}

fn add(
    message: &MessageDescriptor,
    of_field: &ExtensionDescriptor,
    of_oneof: &ExtensionDescriptor,
    lines: &mut BTreeSet<String>,
) {
    for field in message.fields() {
        let options = field.options();
        if let Value::Message(rules) = &*options.get_extension(of_field) {
            let mut words = Vec::new();
            flatten("", rules, &mut words);
            if !words.is_empty() {
                lines.insert(format!("{}\t{}\t{}\n", message.full_name(), field.name(), words.join("\t")));
            }
        }
    }
    for oneof in message.oneofs() {
        if *oneof.options().get_extension(of_oneof) == Value::Bool(true) {
            lines.insert(format!("{}\t{}\trequired\n", message.full_name(), oneof.name()));
        }
    }
}

/// A rule per leaf; the value of a duration in nanoseconds.
fn flatten(prefix: &str, rules: &DynamicMessage, words: &mut Vec<String>) {
    for (field, value) in rules.fields() {
        let name = format!("{prefix}{}", field.name());
        match value {
            Value::Message(inner) if inner.descriptor().full_name() == "google.protobuf.Duration" => {
                words.push(format!("{name}={}", nanoseconds(inner)));
            }
            Value::Message(inner) => flatten(&format!("{name}."), inner, words),
            Value::List(items) => words.extend(items.iter().map(|item| format!("{name}={}", plain(item)))),
            value => words.push(format!("{name}={}", plain(value))),
        }
    }
}

fn nanoseconds(duration: &DynamicMessage) -> i64 {
    let part = |name: &str| match duration.get_field_by_name(name).as_deref() {
        Some(Value::I32(number)) => i64::from(*number),
        Some(Value::I64(number)) => *number,
        _ => 0,
    };
    part("seconds") * 1_000_000_000 + part("nanos")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::EnumNumber(value) | Value::I32(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::String(value) => value.clone(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}
