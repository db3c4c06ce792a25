//! Kubernetes' protobuf, as far as clients insist on it: `kubectl create namespace`, `kubectl auth can-i` and the like write
//! these kinds in it, whatever the server says. All of them read JSON.
//!
//! Shape       `k8s\0`, then `Unknown` { type, object }; tables of fields -> JSON
//! Errors      another kind: 415; a field that is not known, or bytes that are no protobuf: 400
//! Source      Kubernetes "Kubernetes Protobuf encoding"; `generated.proto` of core/v1 and meta/v1; protobuf's wire format

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::ApiError;

pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";

#[derive(Clone, Copy)]
enum Type {
    Bool,
    Bytes,
    Int,
    IntOrString,
    /// Keys are texts.
    Map(&'static Type),
    Message(&'static [Field]),
    /// What a writer does not decide, or what the answer does not depend on.
    Passed,
    Repeated(&'static Type),
    Text,
}

/// Number, name in JSON, type.
type Field = (u64, &'static str, Type);

const TEXTS: Type = Type::Repeated(&Type::Text);
const TEXT_MAP: Type = Type::Map(&Type::Text);

const METADATA: &[Field] = &[
    (1, "name", Type::Text),
    (2, "generateName", Type::Text),
    (3, "namespace", Type::Text),
    (4, "selfLink", Type::Passed),
    (5, "uid", Type::Text),
    (6, "resourceVersion", Type::Text),
    (7, "generation", Type::Passed),
    (8, "creationTimestamp", Type::Passed),
    (11, "labels", TEXT_MAP),
    (12, "annotations", TEXT_MAP),
    (14, "finalizers", TEXTS),
];
const NAMESPACE: &[Field] = &[
    (1, "metadata", Type::Message(METADATA)),
    (2, "spec", Type::Message(&[(1, "finalizers", TEXTS)])),
    (3, "status", Type::Passed),
];
const CONFIG_MAP: &[Field] = &[
    (1, "metadata", Type::Message(METADATA)),
    (2, "data", TEXT_MAP),
    (3, "binaryData", Type::Map(&Type::Bytes)),
    (4, "immutable", Type::Bool),
];
const SECRET: &[Field] = &[
    (1, "metadata", Type::Message(METADATA)),
    (2, "data", Type::Map(&Type::Bytes)),
    (3, "type", Type::Text),
    (4, "stringData", TEXT_MAP),
    (5, "immutable", Type::Bool),
];
const SERVICE_PORT: &[Field] = &[
    (1, "name", Type::Text),
    (2, "protocol", Type::Text),
    (3, "port", Type::Int),
    (4, "targetPort", Type::IntOrString),
    (5, "nodePort", Type::Int),
    (6, "appProtocol", Type::Text),
];
const SERVICE_SPEC: &[Field] = &[
    (1, "ports", Type::Repeated(&Type::Message(SERVICE_PORT))),
    (2, "selector", TEXT_MAP),
    (3, "clusterIP", Type::Text),
    (4, "type", Type::Text),
    (5, "externalIPs", TEXTS),
    (7, "sessionAffinity", Type::Text),
    (8, "loadBalancerIP", Type::Text),
    (9, "loadBalancerSourceRanges", TEXTS),
    (10, "externalName", Type::Text),
    (11, "externalTrafficPolicy", Type::Text),
    (12, "healthCheckNodePort", Type::Int),
    (13, "publishNotReadyAddresses", Type::Bool),
    (17, "ipFamilyPolicy", Type::Text),
    (18, "clusterIPs", TEXTS),
    (19, "ipFamilies", TEXTS),
    (20, "allocateLoadBalancerNodePorts", Type::Bool),
    (21, "loadBalancerClass", Type::Text),
    (22, "internalTrafficPolicy", Type::Text),
    (23, "trafficDistribution", Type::Text),
];
const SERVICE: &[Field] =
    &[(1, "metadata", Type::Message(METADATA)), (2, "spec", Type::Message(SERVICE_SPEC)), (3, "status", Type::Passed)];
/// The answer is the same whatever is asked.
const REVIEW: &[Field] = &[(1, "metadata", Type::Passed), (2, "spec", Type::Passed), (3, "status", Type::Passed)];
const SUBJECT_REVIEW: &[Field] = &[(1, "metadata", Type::Passed), (2, "status", Type::Passed)];
const DELETE_OPTIONS: &[Field] = &[
    (1, "gracePeriodSeconds", Type::Passed),
    (2, "preconditions", Type::Message(&[(1, "uid", Type::Text), (2, "resourceVersion", Type::Text)])),
    (3, "orphanDependents", Type::Passed),
    (4, "propagationPolicy", Type::Text),
    (5, "dryRun", TEXTS),
];

const ENVELOPE: &[Field] = &[
    (1, "typeMeta", Type::Message(&[(1, "apiVersion", Type::Text), (2, "kind", Type::Text)])),
    (2, "raw", Type::Bytes),
    (3, "contentEncoding", Type::Text),
    (4, "contentType", Type::Text),
];

fn fields_of(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "ConfigMap" => CONFIG_MAP,
        "DeleteOptions" => DELETE_OPTIONS,
        "Namespace" => NAMESPACE,
        "Secret" => SECRET,
        "SelfSubjectAccessReview" | "SelfSubjectRulesReview" => REVIEW,
        "SelfSubjectReview" => SUBJECT_REVIEW,
        "Service" => SERVICE,
        _ => return None,
    })
}

/// # Errors
/// A kind that is not read so; what is no protobuf.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, ApiError> {
    let broken = |Broken(what)| ApiError::bad_request(format!("the body is no {MEDIA_TYPE}: {what}"));
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| broken(Broken("it does not begin as one".to_owned())))?;
    let envelope = message(body, ENVELOPE).map_err(broken)?;
    let kind = envelope["typeMeta"]["kind"].as_str().unwrap_or_default();
    let Some(fields) = fields_of(kind) else {
        let message = format!("{kind} is not read as {MEDIA_TYPE}; send application/json");
        return Err(ApiError::unsupported_media_type(message));
    };
    let raw = BASE64_STANDARD.decode(envelope["raw"].as_str().unwrap_or_default()).unwrap_or_default();
    let mut object = message(&raw, fields).map_err(broken)?;
    object["kind"] = json!(kind);
    object["apiVersion"] = envelope["typeMeta"]["apiVersion"].clone();
    Ok(object)
}

struct Broken(String);

/// The value of one field on the wire.
enum Wire<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

/// Fields that hold nothing are written all the same by Go's clients: they are left out here.
fn message(mut bytes: &[u8], fields: &[Field]) -> Result<Value, Broken> {
    let mut object = Map::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let wire = wire(key & 7, &mut bytes)?;
        let found = fields.iter().find(|(number, ..)| *number == key >> 3);
        let Some((_, name, kind)) = found else { return Err(Broken(format!("field {} is not known", key >> 3))) };
        match kind {
            Type::Passed => {}
            Type::Map(kind) => {
                let entry = message(bytes_of(&wire)?, &[(1, "key", Type::Text), (2, "value", **kind)])?;
                let key = entry["key"].as_str().unwrap_or_default().to_owned();
                let value = entry.get("value").cloned().unwrap_or_else(|| json!(""));
                let map = object.entry(*name).or_insert_with(|| json!({}));
                map[key] = value;
            }
            Type::Repeated(kind) => {
                let value = value(&wire, **kind)?;
                if let Value::Array(list) = object.entry(*name).or_insert_with(|| json!([])) {
                    list.push(value);
                }
            }
            _ => {
                let value = value(&wire, *kind)?;
                if !is_nothing(&value) {
                    object.insert((*name).to_owned(), value);
                }
            }
        }
    }
    Ok(Value::Object(object))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(flag) => !flag,
        Value::Object(map) => map.is_empty(),
        _ => value.is_null(),
    }
}

fn value(wire: &Wire<'_>, kind: Type) -> Result<Value, Broken> {
    Ok(match kind {
        Type::Bool => json!(number_of(wire)? != 0),
        Type::Bytes => json!(BASE64_STANDARD.encode(bytes_of(wire)?)),
        Type::Int => json!(number_of(wire)?.cast_signed()),
        Type::IntOrString => {
            let either = [(1, "type", Type::Int), (2, "number", Type::Int), (3, "text", Type::Text)];
            let found = message(bytes_of(wire)?, &either)?;
            found.get("text").or_else(|| found.get("number")).cloned().unwrap_or_default()
        }
        Type::Map(_) | Type::Passed | Type::Repeated(_) => Value::Null,
        Type::Message(fields) => message(bytes_of(wire)?, fields)?,
        Type::Text => {
            let text = std::str::from_utf8(bytes_of(wire)?).map_err(|_| Broken("a text is not UTF-8".to_owned()))?;
            json!(text)
        }
    })
}

fn bytes_of<'a>(wire: &Wire<'a>) -> Result<&'a [u8], Broken> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        Wire::Number(_) => Err(Broken("a number stands for a text".to_owned())),
    }
}

fn number_of(wire: &Wire<'_>) -> Result<u64, Broken> {
    match wire {
        Wire::Number(number) => Ok(*number),
        Wire::Bytes(_) => Err(Broken("a text stands for a number".to_owned())),
    }
}

fn wire<'a>(kind: u64, bytes: &mut &'a [u8]) -> Result<Wire<'a>, Broken> {
    let take = |bytes: &mut &'a [u8], count: usize| {
        let (taken, rest) = bytes.split_at_checked(count).ok_or_else(cut)?;
        *bytes = rest;
        Ok(Wire::Bytes(taken))
    };
    match kind {
        0 => Ok(Wire::Number(varint(bytes)?)),
        1 => take(bytes, 8),
        2 => {
            let count = usize::try_from(varint(bytes)?).map_err(|_| cut())?;
            take(bytes, count)
        }
        5 => take(bytes, 4),
        _ => Err(Broken(format!("wire type {kind}"))),
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Broken> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(cut)?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Broken("a number is too long".to_owned()))
}

fn cut() -> Broken {
    Broken("it ends too early".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(number: u8, text: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(text.len()).unwrap()], text].concat()
    }

    fn enveloped(kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [text(1, b"v1"), text(2, kind.as_bytes())].concat();
        [MAGIC, &text(1, &meta), &text(2, raw), &text(3, b""), &text(4, b"")].concat()
    }

    #[test]
    fn a_service_is_read() {
        let label = [text(1, b"app"), text(2, b"shop")].concat();
        let metadata = [text(1, b"a"), text(2, b""), text(8, b""), text(11, &label)].concat();
        let target = [&[1 << 3, 1, 2 << 3, 0][..], &text(3, b"http")].concat();
        let port = [&text(1, b"web")[..], &[3 << 3, 0xd0, 0x0f], &text(4, &target), &[5 << 3, 0]].concat();
        let spec = [text(1, &port), text(5, b"192.0.2.1")].concat();
        let raw = [text(1, &metadata), text(2, &spec), text(3, &text(1, b""))].concat();
        let wanted = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "a", "labels": { "app": "shop" } },
            "spec": { "ports": [{ "name": "web", "port": 2000, "targetPort": "http" }], "externalIPs": ["192.0.2.1"] },
        });
        assert_eq!(read(&enveloped("Service", &raw)).unwrap(), wanted);
    }

    #[test]
    fn bytes_are_base64_and_other_kinds_are_refused() {
        let entry = [text(1, b"key"), text(2, b"\0\x01")].concat();
        assert_eq!(read(&enveloped("Secret", &text(2, &entry))).unwrap()["data"]["key"], "AAE=");
        assert_eq!(read(&enveloped("Pod", b"")).unwrap_err().code, 415);
        assert_eq!(read(&enveloped("Namespace", &text(9, b"new"))).unwrap_err().code, 400);
        assert_eq!(read(b"{}").unwrap_err().code, 400);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&enveloped("Service", &bytes[..bytes.len().min(100)]));
        }
    }
}
