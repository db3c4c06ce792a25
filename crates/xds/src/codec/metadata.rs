//! Conditions on metadata.

use leno_ir::{Metadata, MetadataMatch, ValueMatch};
use leno_proto::envoy::config::core::v3::Metadata as Proto;
use leno_proto::envoy::r#type::matcher::v3::{
    DoubleMatcher, ListMatcher, MetadataMatcher, OrMatcher, ValueMatcher, double_matcher, list_matcher,
    metadata_matcher, value_matcher,
};
use leno_proto::envoy::r#type::metadata::v3::{MetadataKey, metadata_key};
use leno_proto::envoy::r#type::v3::DoubleRange;

use super::error::{At, DecodeError, Result, refuse};
use super::matching;
use super::subset::{decode_fields, encode_fields};

pub(super) fn encode_match(matches: &MetadataMatch) -> MetadataMatcher {
    let segment = |key: &String| metadata_matcher::PathSegment {
        segment: Some(metadata_matcher::path_segment::Segment::Key(key.clone())),
    };
    MetadataMatcher {
        filter: matches.filter.clone(),
        path: matches.path.iter().map(segment).collect(),
        value: Some(encode_value_match(&matches.value)),
        invert: matches.invert,
    }
}

pub(super) fn decode_match(matcher: &MetadataMatcher) -> Result<MetadataMatch> {
    let segment = |segment: &metadata_matcher::PathSegment| match &segment.segment {
        Some(metadata_matcher::path_segment::Segment::Key(key)) if !key.is_empty() => Ok(key.clone()),
        _ => Err(DecodeError::new("path", "a segment has no key")),
    };
    if matcher.filter.is_empty() {
        return Err(DecodeError::new("filter", "is missing"));
    }
    if matcher.path.is_empty() {
        return Err(DecodeError::new("path", "is missing"));
    }
    Ok(MetadataMatch {
        filter: matcher.filter.clone(),
        path: matcher.path.iter().map(segment).collect::<Result<_>>()?,
        value: decode_value_match(matcher.value.as_ref()).at("value")?,
        invert: matcher.invert,
    })
}

/// Namespace and path to one value.
pub(super) fn encode_key(namespace: &str, path: &[String]) -> MetadataKey {
    let segment = |key: &String| metadata_key::PathSegment {
        segment: Some(metadata_key::path_segment::Segment::Key(key.clone())),
    };
    MetadataKey { key: namespace.to_owned(), path: path.iter().map(segment).collect() }
}

pub(super) fn decode_key(key: Option<&MetadataKey>) -> Result<(String, Vec<String>)> {
    let key = key.ok_or_else(|| DecodeError::new("", "is missing"))?;
    let segment = |segment: &metadata_key::PathSegment| match &segment.segment {
        Some(metadata_key::path_segment::Segment::Key(key)) if !key.is_empty() => Ok(key.clone()),
        _ => Err(DecodeError::new("path", "a segment has no key")),
    };
    if key.key.is_empty() {
        return Err(DecodeError::new("key", "is missing"));
    }
    if key.path.is_empty() {
        return Err(DecodeError::new("path", "is missing"));
    }
    Ok((key.key.clone(), key.path.iter().map(segment).collect::<Result<_>>()?))
}

/// All of what is said somewhere.
pub(super) fn encode(metadata: &Metadata) -> Option<Proto> {
    let fields = |(namespace, fields): (&String, &_)| (namespace.clone(), encode_fields(fields));
    let filter_metadata = metadata.iter().map(fields).collect();
    (!metadata.is_empty()).then(|| Proto { filter_metadata, ..Proto::default() })
}

pub(super) fn decode(proto: Option<&Proto>) -> Result<Metadata> {
    let Some(proto) = proto else { return Ok(Metadata::new()) };
    refuse!(proto, typed_filter_metadata);
    Ok(proto.filter_metadata.iter().map(|(namespace, fields)| (namespace.clone(), decode_fields(fields))).collect())
}

/// With what has a field of its own, which `proto` says.
pub(super) fn encode_beside(metadata: &Metadata, proto: Option<Proto>) -> Option<Proto> {
    let Some(mut all) = encode(metadata) else { return proto };
    for (namespace, fields) in proto.unwrap_or_default().filter_metadata {
        all.filter_metadata.entry(namespace).or_default().fields.extend(fields.fields);
    }
    Some(all)
}

/// All but what has a field of its own: `key` of a namespace.
pub(super) fn decode_beside(proto: Option<&Proto>, namespace: &str, key: &str) -> Metadata {
    let Some(proto) = proto else { return Metadata::new() };
    let mut metadata: Metadata =
        proto.filter_metadata.iter().map(|(namespace, fields)| (namespace.clone(), decode_fields(fields))).collect();
    if let Some(fields) = metadata.get_mut(namespace)
        && fields.remove(key).is_some()
        && fields.is_empty()
    {
        metadata.remove(namespace);
    }
    metadata
}

fn encode_value_match(matches: &ValueMatch) -> ValueMatcher {
    use value_matcher::MatchPattern;
    let number = |pattern| MatchPattern::DoubleMatch(DoubleMatcher { match_pattern: Some(pattern) });
    let pattern = match matches {
        ValueMatch::AnyOf(any) => {
            MatchPattern::OrMatch(OrMatcher { value_matchers: any.iter().map(encode_value_match).collect() })
        }
        ValueMatch::Bool(value) => MatchPattern::BoolMatch(*value),
        ValueMatch::Null => MatchPattern::NullMatch(value_matcher::NullMatch {}),
        ValueMatch::Number(value) => number(double_matcher::MatchPattern::Exact(*value)),
        ValueMatch::NumberRange { start, end } => {
            number(double_matcher::MatchPattern::Range(DoubleRange { start: *start, end: *end }))
        }
        ValueMatch::OneOf(matches) => MatchPattern::ListMatch(Box::new(ListMatcher {
            match_pattern: Some(list_matcher::MatchPattern::OneOf(Box::new(encode_value_match(matches)))),
        })),
        ValueMatch::Present(present) => MatchPattern::PresentMatch(*present),
        ValueMatch::String(matches) => MatchPattern::StringMatch(matching::encode(matches)),
    };
    ValueMatcher { match_pattern: Some(pattern) }
}

fn decode_value_match(matcher: Option<&ValueMatcher>) -> Result<ValueMatch> {
    use value_matcher::MatchPattern;
    let missing = || DecodeError::new("match_pattern", "is missing");
    let pattern = matcher.and_then(|matcher| matcher.match_pattern.as_ref()).ok_or_else(missing)?;
    Ok(match pattern {
        MatchPattern::BoolMatch(value) => ValueMatch::Bool(*value),
        MatchPattern::DoubleMatch(matcher) => match matcher.match_pattern {
            Some(double_matcher::MatchPattern::Exact(value)) => ValueMatch::Number(value),
            Some(double_matcher::MatchPattern::Range(range)) => {
                ValueMatch::NumberRange { start: range.start, end: range.end }
            }
            None => return Err(missing()).at("double_match"),
        },
        MatchPattern::ListMatch(matcher) => match &matcher.match_pattern {
            Some(list_matcher::MatchPattern::OneOf(inner)) => {
                ValueMatch::OneOf(Box::new(decode_value_match(Some(inner)).at("list_match.one_of")?))
            }
            None => return Err(missing()).at("list_match"),
        },
        MatchPattern::NullMatch(_) => ValueMatch::Null,
        MatchPattern::OrMatch(matcher) => {
            let one = |matcher| decode_value_match(Some(matcher)).at("or_match.value_matchers");
            ValueMatch::AnyOf(matcher.value_matchers.iter().map(one).collect::<Result<_>>()?)
        }
        MatchPattern::PresentMatch(present) => ValueMatch::Present(*present),
        MatchPattern::StringMatch(matcher) => ValueMatch::String(matching::decode(matcher).at("string_match")?),
    })
}
