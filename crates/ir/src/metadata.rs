use std::collections::BTreeMap;

use serde::Serialize;

use crate::StringMatch;

/// What filters and routes say about a request beside its headers: namespace to fields (Envoy `core.v3.Metadata`).
///
/// The namespace is the name of the filter that the fields are for or from.
pub type Metadata = BTreeMap<String, BTreeMap<String, MetadataValue>>;

/// The value at `path` in a namespace.
pub fn metadata_value<'m>(metadata: &'m Metadata, namespace: &str, path: &[String]) -> Option<&'m MetadataValue> {
    let (first, rest) = path.split_first()?;
    metadata.get(namespace)?.get(first)?.at(rest)
}

/// One value, as in JSON (`google.protobuf.Value`).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MetadataValue {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    List(Vec<MetadataValue>),
    Struct(BTreeMap<String, MetadataValue>),
}

impl MetadataValue {
    /// The value at `path` inside of this one.
    pub fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |value, step| match value {
            Self::Struct(fields) => fields.get(step),
            _ => None,
        })
    }
}

impl From<&str> for MetadataValue {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// A condition on one value of metadata (Envoy `type.matcher.v3.MetadataMatcher`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetadataMatch {
    /// Namespace.
    pub filter: String,
    /// From the namespace's fields inwards; at least one step.
    pub path: Vec<String>,
    pub value: ValueMatch,
    pub invert: bool,
}

impl MetadataMatch {
    /// Whether what is said fits.
    pub fn holds(&self, metadata: &Metadata) -> bool {
        self.is_match(metadata_value(metadata, &self.filter, &self.path))
    }

    /// `value` is what stands at `path`.
    pub fn is_match(&self, value: Option<&MetadataValue>) -> bool {
        self.value.is_match(value) != self.invert
    }
}

/// Envoy `type.matcher.v3.ValueMatcher`. Only `Present(false)` matches a value that is not there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueMatch {
    AnyOf(Vec<ValueMatch>),
    Bool(bool),
    Null,
    Number(f64),
    /// `start <= value < end`.
    NumberRange {
        start: f64,
        end: f64,
    },
    /// A list with an element that matches.
    OneOf(Box<ValueMatch>),
    Present(bool),
    String(StringMatch),
}

impl ValueMatch {
    pub fn is_match(&self, value: Option<&MetadataValue>) -> bool {
        match (self, value) {
            (Self::AnyOf(any), value) => any.iter().any(|matches| matches.is_match(value)),
            (Self::Present(present), value) => value.is_some() == *present,
            (Self::Bool(wanted), Some(MetadataValue::Bool(value))) => wanted == value,
            (Self::Null, Some(MetadataValue::Null)) => true,
            (Self::Number(wanted), Some(MetadataValue::Number(value))) => wanted == value,
            (Self::NumberRange { start, end }, Some(MetadataValue::Number(value))) => (start..end).contains(&value),
            (Self::OneOf(matches), Some(MetadataValue::List(values))) => {
                values.iter().any(|value| matches.is_match(Some(value)))
            }
            (Self::String(matches), Some(MetadataValue::String(value))) => matches.is_match(value),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_there_matches_only_its_absence() {
        let matches = |value, invert| MetadataMatch { filter: "f".into(), path: vec!["a".into()], value, invert };
        assert!(matches(ValueMatch::Present(false), false).is_match(None));
        assert!(!matches(ValueMatch::Null, false).is_match(None));
        assert!(matches(ValueMatch::Null, true).is_match(None));
        assert!(matches(ValueMatch::Null, false).is_match(Some(&MetadataValue::Null)));
    }

    #[test]
    fn kinds_are_not_converted() {
        assert!(!ValueMatch::Number(1.0).is_match(Some(&"1".into())));
        assert!(ValueMatch::String(StringMatch::exact("1")).is_match(Some(&"1".into())));
        let list = MetadataValue::List(vec!["a".into(), MetadataValue::Bool(true)]);
        assert!(ValueMatch::OneOf(Box::new(ValueMatch::Bool(true))).is_match(Some(&list)));
        assert!(!ValueMatch::OneOf(Box::new(ValueMatch::Bool(false))).is_match(Some(&list)));
    }

    #[test]
    fn a_path_leads_inwards() {
        let inner = BTreeMap::from([("b".to_owned(), MetadataValue::Number(2.0))]);
        let value = MetadataValue::Struct(BTreeMap::from([("a".to_owned(), MetadataValue::Struct(inner))]));
        assert_eq!(value.at(&["a".into(), "b".into()]), Some(&MetadataValue::Number(2.0)));
        assert_eq!(value.at(&["a".into(), "c".into()]), None);
    }
}
