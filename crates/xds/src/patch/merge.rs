use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};

const ANY: &str = "google.protobuf.Any";

/// Lays `change` over `body`: fields of messages one by one, lists and maps are added to, everything else is replaced.
pub(super) fn merge(
    pool: &DescriptorPool,
    name: &str,
    body: &[u8],
    change: &[u8],
) -> Result<Vec<u8>, prost::DecodeError> {
    let Some(descriptor) = pool.get_message_by_name(name) else { return Ok(body.to_vec()) };
    let mut base = DynamicMessage::decode(descriptor.clone(), body)?;
    let change = DynamicMessage::decode(descriptor, change)?;
    lay(pool, &mut base, &change)?;
    Ok(base.encode_to_vec())
}

fn lay(pool: &DescriptorPool, base: &mut DynamicMessage, change: &DynamicMessage) -> Result<(), prost::DecodeError> {
    for (field, value) in change.fields() {
        let is_there = base.has_field(&field);
        match (value, base.get_field_mut(&field)) {
            (Value::Message(new), Value::Message(old)) if is_there && !is_whole(new) => {
                if new.descriptor().full_name() == ANY {
                    lay_any(pool, old, new)?;
                } else {
                    lay(pool, old, new)?;
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
fn lay_any(pool: &DescriptorPool, old: &mut DynamicMessage, new: &DynamicMessage) -> Result<(), prost::DecodeError> {
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
        let merged = merge(pool, &name(&before), &body, &change)?;
        old.set_field_by_name("value", Value::Bytes(merged.into()));
        return Ok(());
    }
    *old = new.clone();
    Ok(())
}
