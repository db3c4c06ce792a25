//! Filters that write metadata.

use leno_ir::{
    FixedMetadata, HeaderMetadata, HeaderMetadataKind, HeaderMetadataValue, HeaderToMetadata, HeaderToMetadataRule,
    MetadataSourceField, SetMetadata,
};
use leno_proto::envoy::extensions::filters::http::header_to_metadata::v3::{
    Config as ProtoHeaders,
    config::{KeyValuePair, Rule, ValueEncode, ValueType},
};
use leno_proto::envoy::extensions::filters::http::set_metadata::v3::{Config as ProtoFixed, Metadata as ProtoEntry};
use leno_proto::google::protobuf::Any;

use crate::codec::common::{any, unpack};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::route::rewrite;
use crate::codec::subset::{decode_fields, encode_fields};

/// For the filter and for routes.
pub(super) const HEADERS: &str = "envoy.extensions.filters.http.header_to_metadata.v3.Config";
pub(super) const FIXED: &str = "envoy.extensions.filters.http.set_metadata.v3.Config";

pub(super) fn encode_headers(filter: &HeaderToMetadata) -> Any {
    let proto = ProtoHeaders {
        request_rules: filter.request_rules.iter().map(encode_rule).collect(),
        response_rules: filter.response_rules.iter().map(encode_rule).collect(),
        stat_prefix: filter.stat_prefix.clone(),
    };
    any(HEADERS, &proto)
}

fn encode_rule(rule: &HeaderToMetadataRule) -> Rule {
    let (header, cookie, remove) = match &rule.source {
        MetadataSourceField::Cookie(name) => (String::new(), name.clone(), false),
        MetadataSourceField::Header { name, remove } => (name.clone(), String::new(), *remove),
    };
    Rule {
        header,
        cookie,
        on_header_present: rule.present.as_ref().map(encode_pair),
        on_header_missing: rule.missing.as_ref().map(encode_pair),
        remove,
    }
}

fn encode_pair(metadata: &HeaderMetadata) -> KeyValuePair {
    let (value, regex_value_rewrite) = match &metadata.value {
        HeaderMetadataValue::Field => (String::new(), None),
        HeaderMetadataValue::Literal(text) => (text.clone(), None),
        HeaderMetadataValue::Rewritten { pattern, substitution } => {
            (String::new(), Some(rewrite::substitution(pattern, substitution)))
        }
    };
    KeyValuePair {
        metadata_namespace: metadata.namespace.clone(),
        key: metadata.key.clone(),
        value,
        regex_value_rewrite,
        r#type: match metadata.kind {
            HeaderMetadataKind::Number => ValueType::Number,
            HeaderMetadataKind::Protobuf => ValueType::ProtobufValue,
            HeaderMetadataKind::String => ValueType::String,
        }
        .into(),
        encode: if metadata.is_base64 { ValueEncode::Base64 } else { ValueEncode::None }.into(),
    }
}

pub(super) fn decode_headers(config: &Any) -> Result<HeaderToMetadata> {
    let proto: ProtoHeaders = unpack(Some(config), HEADERS)?;
    let rules = |rules: &[Rule], field| {
        let rule = |(index, rule)| decode_rule(rule).at_index(field, index);
        rules.iter().enumerate().map(rule).collect::<Result<Vec<_>>>()
    };
    Ok(HeaderToMetadata {
        request_rules: rules(&proto.request_rules, "request_rules")?,
        response_rules: rules(&proto.response_rules, "response_rules")?,
        stat_prefix: proto.stat_prefix,
    })
}

/// # Errors
/// Routes must have rules.
pub(super) fn decode_headers_of_route(config: &Any) -> Result<HeaderToMetadata> {
    let decoded = decode_headers(config)?;
    if decoded.request_rules.is_empty() && decoded.response_rules.is_empty() {
        return Err(DecodeError::new("request_rules", "and response_rules are both empty"));
    }
    Ok(decoded)
}

fn decode_rule(rule: &Rule) -> Result<HeaderToMetadataRule> {
    let source = match (rule.header.as_str(), rule.cookie.as_str()) {
        ("", "") => return Err(DecodeError::new("header", "and cookie are both missing")),
        (name, "") => {
            if rule.remove && name.starts_with(':') {
                return Err(DecodeError::new("remove", format!("{name} is not a line that can go")));
            }
            MetadataSourceField::Header { name: name.to_ascii_lowercase(), remove: rule.remove }
        }
        ("", name) => {
            refuse!(rule, remove);
            MetadataSourceField::Cookie(name.to_owned())
        }
        _ => return Err(DecodeError::new("cookie", "is set beside header")),
    };
    let pair = |pair: &Option<KeyValuePair>, field| pair.as_ref().map(decode_pair).transpose().at(field);
    let (present, missing) =
        (pair(&rule.on_header_present, "on_header_present")?, pair(&rule.on_header_missing, "on_header_missing")?);
    if present.is_none() && missing.is_none() {
        return Err(DecodeError::new("on_header_present", "and on_header_missing are both missing"));
    }
    if missing.as_ref().is_some_and(|missing| !matches!(missing.value, HeaderMetadataValue::Literal(_))) {
        return Err(DecodeError::new("on_header_missing.value", "is missing"));
    }
    Ok(HeaderToMetadataRule { source, present, missing })
}

fn decode_pair(pair: &KeyValuePair) -> Result<HeaderMetadata> {
    if pair.key.is_empty() {
        return Err(DecodeError::new("key", "is missing"));
    }
    let value = match (&pair.regex_value_rewrite, pair.value.as_str()) {
        (None, "") => HeaderMetadataValue::Field,
        (None, text) => HeaderMetadataValue::Literal(text.to_owned()),
        (Some(spec), "") => {
            let (pattern, substitution) = rewrite::decode_regex(spec).at("regex_value_rewrite")?;
            HeaderMetadataValue::Rewritten { pattern, substitution }
        }
        (Some(_), _) => return Err(DecodeError::new("regex_value_rewrite", "is set beside value")),
    };
    let namespace =
        if pair.metadata_namespace.is_empty() { HeaderToMetadata::NAMESPACE } else { &pair.metadata_namespace };
    Ok(HeaderMetadata {
        namespace: namespace.to_owned(),
        key: pair.key.clone(),
        value,
        kind: match pair.r#type() {
            ValueType::Number => HeaderMetadataKind::Number,
            ValueType::ProtobufValue => HeaderMetadataKind::Protobuf,
            ValueType::String => HeaderMetadataKind::String,
        },
        is_base64: pair.encode() == ValueEncode::Base64,
    })
}

pub(super) fn encode_fixed(filter: &SetMetadata) -> Any {
    let entry = |entry: &FixedMetadata| ProtoEntry {
        metadata_namespace: entry.namespace.clone(),
        allow_overwrite: entry.allow_overwrite,
        value: Some(encode_fields(&entry.fields)),
        ..ProtoEntry::default()
    };
    any(FIXED, &ProtoFixed { metadata: filter.entries.iter().map(entry).collect(), ..ProtoFixed::default() })
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
pub(super) fn decode_fixed(config: &Any) -> Result<SetMetadata> {
    let proto: ProtoFixed = unpack(Some(config), FIXED)?;
    let older = proto.value.as_ref().filter(|_| !proto.metadata_namespace.is_empty()).map(|value| FixedMetadata {
        namespace: proto.metadata_namespace.clone(),
        allow_overwrite: true,
        fields: decode_fields(value),
    });
    let mut entries: Vec<_> = older.into_iter().collect();
    for (index, entry) in proto.metadata.iter().enumerate() {
        entries.push(decode_entry(entry).at_index("metadata", index)?);
    }
    Ok(SetMetadata { entries })
}

fn decode_entry(entry: &ProtoEntry) -> Result<FixedMetadata> {
    refuse!(entry, typed_value);
    if entry.metadata_namespace.is_empty() {
        return Err(DecodeError::new("metadata_namespace", "is missing"));
    }
    Ok(FixedMetadata {
        namespace: entry.metadata_namespace.clone(),
        allow_overwrite: entry.allow_overwrite,
        fields: entry.value.as_ref().map(decode_fields).unwrap_or_default(),
    })
}
