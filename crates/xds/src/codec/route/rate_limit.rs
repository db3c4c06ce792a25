use leno_ir::{HitsAddend, LimitOverride, MetadataSource, RateLimitAction, RateLimitRule};
use leno_proto::envoy::config::route::v3::{
    RateLimit as Proto,
    rate_limit::{
        Action, HitsAddend as ProtoAddend, Override,
        action::{
            ActionSpecifier, DestinationCluster, GenericKey, HeaderValueMatch, MaskedRemoteAddress, MetaData,
            QueryParameterValueMatch, QueryParameters, RemoteAddress, RequestHeaders, SourceCluster, meta_data,
        },
        r#override::{DynamicMetadata, OverrideSpecifier, RateLimitOverride},
    },
};

use leno_proto::google::protobuf::{UInt32Value, UInt64Value};

use super::matches;
use crate::codec::common::{bool_value, u32_value};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::metadata;

/// Envoy's.
const MOST_HITS: u64 = 1_000_000_000;
/// Envoy's.
const MAX_STAGE: u32 = 10;

pub(in crate::codec) fn encode(rules: &[RateLimitRule]) -> Vec<Proto> {
    let rule = |rule: &RateLimitRule| Proto {
        // Some places of Envoy know no stage at all, not even the first.
        stage: Some(rule.stage).filter(|stage| *stage > 0).and_then(u32_value),
        actions: rule.actions.iter().map(encode_action).collect(),
        limit: rule.limit.as_ref().map(encode_override),
        hits_addend: rule.hits_addend.as_ref().map(|addend| match addend {
            HitsAddend::Format(format) => ProtoAddend { format: format.clone(), ..ProtoAddend::default() },
            HitsAddend::Number(value) => {
                ProtoAddend { number: Some(UInt64Value { value: *value }), ..ProtoAddend::default() }
            }
        }),
        ..Proto::default()
    };
    rules.iter().map(rule).collect()
}

/// Of routes and virtual hosts.
pub(in crate::codec) fn decode(protos: &[Proto]) -> Result<Vec<RateLimitRule>> {
    let rule = |(index, proto)| decode_rule(proto).at_index("rate_limits", index);
    protos.iter().enumerate().map(rule).collect()
}

/// Of filters: these have no stage, and only these may say how many hits a request counts as.
pub(in crate::codec) fn decode_of_filter(protos: &[Proto]) -> Result<Vec<RateLimitRule>> {
    let one = |proto: &Proto| {
        if proto.stage.is_some() || !proto.disable_key.is_empty() {
            return Err(DecodeError::new("stage", "is only for routes"));
        }
        let hits_addend = proto.hits_addend.as_ref().map(decode_addend).transpose().at("hits_addend")?;
        let without = Proto { hits_addend: None, ..proto.clone() };
        Ok(RateLimitRule { hits_addend, ..decode_rule(&without)? })
    };
    let rule = |(index, proto)| one(proto).at_index("rate_limits", index);
    protos.iter().enumerate().map(rule).collect()
}

fn decode_addend(addend: &ProtoAddend) -> Result<HitsAddend> {
    match &addend.number {
        Some(_) if !addend.format.is_empty() => {
            Err(DecodeError::new("format", "must be empty where there is a number"))
        }
        Some(number) if number.value > MOST_HITS => {
            Err(DecodeError::new("number", format!("{} is above {MOST_HITS}", number.value)))
        }
        Some(number) => Ok(HitsAddend::Number(number.value)),
        None if addend.format.starts_with('%') && addend.format.ends_with('%') && addend.format.len() > 2 => {
            Ok(HitsAddend::Format(addend.format.clone()))
        }
        None => Err(DecodeError::new("format", "must be one command operator")),
    }
}

fn encode_override(limit: &LimitOverride) -> Override {
    let specifier = match limit {
        LimitOverride::Fixed { requests_per_unit, unit } => {
            OverrideSpecifier::RateLimit(RateLimitOverride { requests_per_unit: *requests_per_unit, unit: *unit })
        }
        LimitOverride::Metadata { namespace, path } => OverrideSpecifier::DynamicMetadata(DynamicMetadata {
            metadata_key: Some(metadata::encode_key(namespace, path)),
        }),
    };
    Override { override_specifier: Some(specifier) }
}

fn decode_override(limit: &Override) -> Result<LimitOverride> {
    match &limit.override_specifier {
        Some(OverrideSpecifier::DynamicMetadata(of)) => {
            let (namespace, path) =
                metadata::decode_key(of.metadata_key.as_ref()).at("dynamic_metadata.metadata_key")?;
            Ok(LimitOverride::Metadata { namespace, path })
        }
        Some(OverrideSpecifier::RateLimit(of)) if (0..=7).contains(&of.unit) => {
            Ok(LimitOverride::Fixed { requests_per_unit: of.requests_per_unit, unit: of.unit })
        }
        Some(OverrideSpecifier::RateLimit(of)) => {
            Err(DecodeError::new("rate_limit.unit", format!("{} is no unit", of.unit)))
        }
        None => Err(DecodeError::new("override_specifier", "is missing")),
    }
}

fn encode_action(action: &RateLimitAction) -> Action {
    let specifier = match action {
        RateLimitAction::DestinationCluster => ActionSpecifier::DestinationCluster(DestinationCluster {}),
        RateLimitAction::GenericKey { key, value } => ActionSpecifier::GenericKey(GenericKey {
            descriptor_key: key.clone(),
            descriptor_value: value.clone(),
            ..GenericKey::default()
        }),
        RateLimitAction::HeaderValueMatch { key, value, expect_match, headers } => {
            ActionSpecifier::HeaderValueMatch(HeaderValueMatch {
                descriptor_key: key.clone(),
                descriptor_value: value.clone(),
                expect_match: bool_value(*expect_match),
                headers: headers.iter().map(matches::encode_header).collect(),
                ..HeaderValueMatch::default()
            })
        }
        RateLimitAction::MaskedRemoteAddress { v4_prefix_len, v6_prefix_len } => {
            ActionSpecifier::MaskedRemoteAddress(MaskedRemoteAddress {
                v4_prefix_mask_len: u32_value((*v4_prefix_len).into()),
                v6_prefix_mask_len: u32_value((*v6_prefix_len).into()),
            })
        }
        RateLimitAction::Metadata { key, source, namespace, path, default, skip_if_absent } => {
            ActionSpecifier::Metadata(MetaData {
                descriptor_key: key.clone(),
                metadata_key: Some(metadata::encode_key(namespace, path)),
                default_value: default.clone(),
                source: match source {
                    MetadataSource::Dynamic => meta_data::Source::Dynamic,
                    MetadataSource::Route => meta_data::Source::RouteEntry,
                }
                .into(),
                skip_if_absent: *skip_if_absent,
            })
        }
        RateLimitAction::QueryParameter { name, key, skip_if_absent } => {
            ActionSpecifier::QueryParameters(QueryParameters {
                query_parameter_name: name.clone(),
                descriptor_key: key.clone(),
                skip_if_absent: *skip_if_absent,
            })
        }
        RateLimitAction::QueryValueMatch { key, value, expect_match, parameters } => {
            ActionSpecifier::QueryParameterValueMatch(QueryParameterValueMatch {
                descriptor_key: key.clone(),
                descriptor_value: value.clone(),
                expect_match: bool_value(*expect_match),
                query_parameters: parameters.iter().map(matches::encode_query).collect(),
                ..QueryParameterValueMatch::default()
            })
        }
        RateLimitAction::RemoteAddress => ActionSpecifier::RemoteAddress(RemoteAddress {}),
        RateLimitAction::SourceCluster => ActionSpecifier::SourceCluster(SourceCluster {}),
        RateLimitAction::RequestHeader { header, key, skip_if_absent } => {
            ActionSpecifier::RequestHeaders(RequestHeaders {
                header_name: header.clone(),
                descriptor_key: key.clone(),
                skip_if_absent: *skip_if_absent,
            })
        }
    };
    Action { action_specifier: Some(specifier) }
}

pub(in crate::codec) fn read_stage(stage: u32) -> Result<u32> {
    if stage > MAX_STAGE {
        return Err(DecodeError::new("stage", format!("{stage} is above {MAX_STAGE}")));
    }
    Ok(stage)
}

fn decode_rule(proto: &Proto) -> Result<RateLimitRule> {
    // `disable_key` names a runtime flag, of which there are none here.
    refuse!(proto, hits_addend, apply_on_stream_done, x_ratelimit_option);
    let stage = read_stage(proto.stage.as_ref().map_or(0, |stage| stage.value))?;
    if proto.actions.is_empty() {
        return Err(DecodeError::new("actions", "must not be empty"));
    }
    let action = |(index, action)| decode_action(action).at_index("actions", index);
    let actions = proto.actions.iter().enumerate().map(action).collect::<Result<_>>()?;
    let limit = proto.limit.as_ref().map(decode_override).transpose().at("limit")?;
    Ok(RateLimitRule { stage, limit, ..RateLimitRule::new(actions) })
}

#[allow(deprecated, reason = "other control planes still write `dynamic_metadata`")]
fn decode_action(proto: &Action) -> Result<RateLimitAction> {
    match &proto.action_specifier {
        Some(ActionSpecifier::DestinationCluster(_)) => Ok(RateLimitAction::DestinationCluster),
        Some(ActionSpecifier::GenericKey(generic)) => {
            refuse!(generic, default_value);
            let (key, value) = (generic.descriptor_key.clone(), some(&generic.descriptor_value, "descriptor_value")?);
            Ok(RateLimitAction::GenericKey { key, value })
        }
        Some(ActionSpecifier::HeaderValueMatch(matched)) => {
            refuse!(matched, default_value);
            let header = |(index, header)| matches::decode_header(header).at_index("headers", index);
            let headers = matched.headers.iter().enumerate().map(header).collect::<Result<Vec<_>>>()?;
            if headers.is_empty() {
                return Err(DecodeError::new("headers", "must not be empty"));
            }
            Ok(RateLimitAction::HeaderValueMatch {
                key: matched.descriptor_key.clone(),
                value: some(&matched.descriptor_value, "descriptor_value")?,
                expect_match: matched.expect_match.as_ref().is_none_or(|expect| expect.value),
                headers,
            })
        }
        Some(ActionSpecifier::DynamicMetadata(dynamic)) => {
            let (namespace, path) = metadata::decode_key(dynamic.metadata_key.as_ref()).at("metadata_key")?;
            Ok(RateLimitAction::Metadata {
                key: some(&dynamic.descriptor_key, "descriptor_key")?,
                source: MetadataSource::Dynamic,
                namespace,
                path,
                default: dynamic.default_value.clone(),
                skip_if_absent: false,
            })
        }
        Some(ActionSpecifier::MaskedRemoteAddress(masked)) => {
            let length = |length: &Option<UInt32Value>, most: u8, field| match length {
                None => Ok(most),
                Some(length) => u8::try_from(length.value)
                    .ok()
                    .filter(|length| *length <= most)
                    .ok_or_else(|| DecodeError::new(field, format!("{} is above {most}", length.value))),
            };
            Ok(RateLimitAction::MaskedRemoteAddress {
                v4_prefix_len: length(&masked.v4_prefix_mask_len, 32, "v4_prefix_mask_len")?,
                v6_prefix_len: length(&masked.v6_prefix_mask_len, 128, "v6_prefix_mask_len")?,
            })
        }
        Some(ActionSpecifier::Metadata(of)) => {
            let (namespace, path) = metadata::decode_key(of.metadata_key.as_ref()).at("metadata_key")?;
            Ok(RateLimitAction::Metadata {
                key: some(&of.descriptor_key, "descriptor_key")?,
                source: match of.source() {
                    meta_data::Source::Dynamic => MetadataSource::Dynamic,
                    meta_data::Source::RouteEntry => MetadataSource::Route,
                    _ => return Err(DecodeError::new("source", "is none that is known when a request comes")),
                },
                namespace,
                path,
                default: of.default_value.clone(),
                skip_if_absent: of.skip_if_absent,
            })
        }
        Some(ActionSpecifier::QueryParameters(query)) => Ok(RateLimitAction::QueryParameter {
            name: some(&query.query_parameter_name, "query_parameter_name")?,
            key: some(&query.descriptor_key, "descriptor_key")?,
            skip_if_absent: query.skip_if_absent,
        }),
        Some(ActionSpecifier::QueryParameterValueMatch(matched)) => {
            refuse!(matched, default_value);
            let parameter = |(index, parameter)| matches::decode_query(parameter).at_index("query_parameters", index);
            let parameters = matched.query_parameters.iter().enumerate().map(parameter).collect::<Result<Vec<_>>>()?;
            if parameters.is_empty() {
                return Err(DecodeError::new("query_parameters", "must not be empty"));
            }
            Ok(RateLimitAction::QueryValueMatch {
                key: matched.descriptor_key.clone(),
                value: some(&matched.descriptor_value, "descriptor_value")?,
                expect_match: matched.expect_match.as_ref().is_none_or(|expect| expect.value),
                parameters,
            })
        }
        Some(ActionSpecifier::SourceCluster(_)) => Ok(RateLimitAction::SourceCluster),
        Some(ActionSpecifier::RemoteAddress(_)) => Ok(RateLimitAction::RemoteAddress),
        Some(ActionSpecifier::RequestHeaders(request)) => Ok(RateLimitAction::RequestHeader {
            header: some(&request.header_name, "header_name")?.to_ascii_lowercase(),
            key: some(&request.descriptor_key, "descriptor_key")?,
            skip_if_absent: request.skip_if_absent,
        }),
        Some(ActionSpecifier::Extension(_)) => Err(DecodeError::unsupported("extension")),
        Some(ActionSpecifier::RemoteAddressMatch(_)) => Err(DecodeError::unsupported("remote_address_match")),
        None => Err(DecodeError::new("action_specifier", "is missing")),
    }
}

fn some(text: &str, field: &str) -> Result<String> {
    if text.is_empty() { Err(DecodeError::new(field, "is missing")) } else { Ok(text.to_owned()) }
}
