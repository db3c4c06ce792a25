use std::collections::BTreeMap;

use serde::Serialize;

use crate::MetadataValue;

/// Puts what headers and cookies say into metadata (Envoy's HTTP filter `header_to_metadata`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct HeaderToMetadata {
    pub request_rules: Vec<HeaderToMetadataRule>,
    /// Cookies of responses are none: they are looked for in `cookie`.
    pub response_rules: Vec<HeaderToMetadataRule>,
    /// Empty: nothing is counted.
    pub stat_prefix: String,
}

impl HeaderToMetadata {
    /// The namespace of what names none.
    pub const NAMESPACE: &str = "envoy.filters.http.header_to_metadata";
    /// Longer values are left out, in bytes.
    pub const MAX_VALUE_BYTES: usize = 8 * 1024;
}

/// At least one of `present` and `missing` is set.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HeaderToMetadataRule {
    pub source: MetadataSourceField,
    pub present: Option<HeaderMetadata>,
    /// Its value is a literal one.
    pub missing: Option<HeaderMetadata>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataSourceField {
    /// An empty one is none.
    Cookie(String),
    /// Several lines of a name are joined by commas. Lower case.
    Header { name: String, remove: bool },
}

/// What is put where.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HeaderMetadata {
    pub namespace: String,
    pub key: String,
    pub value: HeaderMetadataValue,
    pub kind: HeaderMetadataKind,
    /// The value is decoded before it is taken for anything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_base64: bool,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderMetadataValue {
    /// What the header or cookie says.
    Field,
    /// Not empty.
    Literal(String),
    /// What it says, with every match replaced.
    Rewritten { pattern: String, substitution: String },
}

/// What a value is taken for; one that is none is left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderMetadataKind {
    Number,
    /// `google.protobuf.Value`, encoded.
    Protobuf,
    #[default]
    String,
}

/// Puts fixed values into metadata (Envoy's HTTP filter `set_metadata`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SetMetadata {
    pub entries: Vec<FixedMetadata>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FixedMetadata {
    pub namespace: String,
    /// Fields of a namespace that is there are changed: lists grow, structures are merged, all else is replaced. Otherwise the
    /// namespace stays as it is.
    pub allow_overwrite: bool,
    pub fields: BTreeMap<String, MetadataValue>,
}
