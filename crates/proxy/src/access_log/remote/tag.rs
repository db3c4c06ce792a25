//! Tags that a configuration adds to entries.

use leno_ir::{CustomTag, MetadataHolder, TagValue};
use leno_telemetry::access_log::{MetadataOf, Values as _};

use crate::access_log::values::LineValues;
use crate::exchange::HeaderLookup;

/// `None`: it has no value.
pub(super) fn value(tag: &CustomTag, values: &LineValues<'_>) -> Option<String> {
    let (found, default) = match &tag.value {
        TagValue::Literal(text) => return Some(text.clone()),
        TagValue::Environment { name, default } => (std::env::var(name).ok(), default),
        TagValue::RequestHeader { name, default } => {
            let value = HeaderLookup::header(values.request, name);
            (value.map(|value| String::from_utf8_lossy(value).into_owned()), default)
        }
        TagValue::Metadata { of, namespace, path, default } => {
            let of = match of {
                MetadataHolder::Cluster => MetadataOf::Cluster,
                MetadataHolder::Request => MetadataOf::Exchange,
                MetadataHolder::Route => MetadataOf::Route,
                MetadataHolder::UpstreamHost => MetadataOf::UpstreamHost,
            };
            let mut text = Vec::new();
            values.write_metadata(of, namespace, path, &mut text);
            (Some(String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty()), default)
        }
    };
    found.or_else(|| Some(default.clone())).filter(|value| !value.is_empty())
}
