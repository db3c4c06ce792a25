use leno_ir::{CustomTag, MetadataHolder, TagValue};
use leno_proto::envoy::r#type::metadata::v3::{MetadataKind, metadata_kind};
use leno_proto::envoy::r#type::tracing::v3::{CustomTag as Proto, custom_tag};

use crate::codec::error::{At, DecodeError, Result};
use crate::codec::metadata::{decode_key, encode_key};

pub(super) fn encode(tag: &CustomTag) -> Proto {
    use custom_tag::Type;
    let of_type = match &tag.value {
        TagValue::Environment { name, default } => {
            Type::Environment(custom_tag::Environment { name: name.clone(), default_value: default.clone() })
        }
        TagValue::Literal(value) => Type::Literal(custom_tag::Literal { value: value.clone() }),
        TagValue::Metadata { of, namespace, path, default } => Type::Metadata(custom_tag::Metadata {
            kind: Some(MetadataKind { kind: Some(encode_kind(*of)) }),
            metadata_key: Some(encode_key(namespace, path)),
            default_value: default.clone(),
        }),
        TagValue::RequestHeader { name, default } => {
            Type::RequestHeader(custom_tag::Header { name: name.clone(), default_value: default.clone() })
        }
    };
    Proto { tag: tag.tag.clone(), r#type: Some(of_type) }
}

fn encode_kind(of: MetadataHolder) -> metadata_kind::Kind {
    match of {
        MetadataHolder::Cluster => metadata_kind::Kind::Cluster(metadata_kind::Cluster {}),
        MetadataHolder::Request => metadata_kind::Kind::Request(metadata_kind::Request {}),
        MetadataHolder::Route => metadata_kind::Kind::Route(metadata_kind::Route {}),
        MetadataHolder::UpstreamHost => metadata_kind::Kind::Host(metadata_kind::Host {}),
    }
}

pub(super) fn decode(tag: &Proto) -> Result<CustomTag> {
    use custom_tag::Type;
    let named = |name: &String| if name.is_empty() { Err(missing("name")) } else { Ok(name.clone()) };
    if tag.tag.is_empty() {
        return Err(missing("tag"));
    }
    let value = match &tag.r#type {
        Some(Type::Environment(of)) => {
            TagValue::Environment { name: named(&of.name).at("environment")?, default: of.default_value.clone() }
        }
        Some(Type::Literal(of)) if of.value.is_empty() => return Err(missing("literal.value")),
        Some(Type::Literal(of)) => TagValue::Literal(of.value.clone()),
        Some(Type::Metadata(of)) => {
            let (namespace, path) = decode_key(of.metadata_key.as_ref()).at("metadata.metadata_key")?;
            let kind = of.kind.as_ref().and_then(|kind| kind.kind.as_ref());
            let holder = match kind.ok_or_else(|| missing("metadata.kind"))? {
                metadata_kind::Kind::Cluster(_) => MetadataHolder::Cluster,
                metadata_kind::Kind::Host(_) => MetadataHolder::UpstreamHost,
                metadata_kind::Kind::Request(_) => MetadataHolder::Request,
                metadata_kind::Kind::Route(_) => MetadataHolder::Route,
            };
            TagValue::Metadata { of: holder, namespace, path, default: of.default_value.clone() }
        }
        Some(Type::RequestHeader(of)) => TagValue::RequestHeader {
            name: named(&of.name).at("request_header")?.to_ascii_lowercase(),
            default: of.default_value.clone(),
        },
        Some(Type::Value(_)) => return Err(DecodeError::unsupported("value")),
        None => return Err(missing("type")),
    };
    Ok(CustomTag { tag: tag.tag.clone(), value })
}

fn missing(field: &str) -> DecodeError {
    DecodeError::new(field, "is missing")
}
