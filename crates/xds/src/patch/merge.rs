use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use serde_json::Value as Json;

const ANY: &str = "google.protobuf.Any";

/// Lays `change` over `body`: fields of messages one by one, lists and maps are added to, everything else is replaced.
/// `written` is the change as somebody wrote it: the wire does not tell a zero that was written from nothing.
pub(super) fn merge(
    pool: &DescriptorPool,
    name: &str,
    body: &[u8],
    change: &[u8],
    written: &Json,
) -> Result<Vec<u8>, prost::DecodeError> {
    let Some(descriptor) = pool.get_message_by_name(name) else { return Ok(body.to_vec()) };
    let mut base = DynamicMessage::decode(descriptor.clone(), body)?;
    let change = DynamicMessage::decode(descriptor, change)?;
    lay(pool, &mut base, &change, written)?;
    Ok(base.encode_to_vec())
}

fn lay(
    pool: &DescriptorPool,
    base: &mut DynamicMessage,
    change: &DynamicMessage,
    written: &Json,
) -> Result<(), prost::DecodeError> {
    let descriptor = base.descriptor();
    for (key, value) in written.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let field = descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key));
        if let Some(field) = field.filter(|field| !change.has_field(field) && !value.is_array() && !value.is_object()) {
            base.clear_field(&field);
        }
    }
    for (field, value) in change.fields() {
        let is_there = base.has_field(&field);
        match (value, base.get_field_mut(&field)) {
            (Value::Message(new), Value::Message(old)) if is_there && !is_whole(new) => {
                let written = [field.name(), field.json_name()].into_iter().find_map(|name| written.get(name));
                let written = written.unwrap_or(&Json::Null);
                if new.descriptor().full_name() == ANY {
                    lay_any(pool, old, new, written)?;
                } else {
                    lay(pool, old, new, written)?;
                }
            }
            (Value::List(new), Value::List(old)) => old.extend(new.iter().cloned()),
            (Value::Map(new), Value::Map(old)) => old.extend(new.clone()),
            (new, slot) => *slot = new.clone(),
        }
    }
    Ok(())
}

/// What stands for one value: a duration is not the sum of its parts.
fn is_whole(message: &DynamicMessage) -> bool {
    let descriptor = message.descriptor();
    let name = descriptor.full_name().strip_prefix("google.protobuf.").unwrap_or_default();
    name == "Duration" || name == "Timestamp" || name.ends_with("Value")
}

/// Of one type both are laid over each other, of another type the new one stands.
fn lay_any(
    pool: &DescriptorPool,
    old: &mut DynamicMessage,
    new: &DynamicMessage,
    written: &Json,
) -> Result<(), prost::DecodeError> {
    let part = |message: &DynamicMessage| -> Option<(String, Vec<u8>)> {
        let kind = message.get_field_by_name("type_url")?.as_str()?.to_owned();
        let bytes = message.get_field_by_name("value")?.as_bytes()?.to_vec();
        Some((kind, bytes))
    };
    let name = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
    if let (Some((before, body)), Some((after, change))) = (part(old), part(new))
        && name(&before) == name(&after)
        && pool.get_message_by_name(&name(&before)).is_some()
    {
        let merged = merge(pool, &name(&before), &body, &change, written)?;
        old.set_field_by_name("value", Value::Bytes(merged.into()));
        return Ok(());
    }
    *old = new.clone();
    Ok(())
}
