use leno_ir::{RateLimitAction, RateLimitRule};
use leno_proto::envoy::config::route::v3::{
    RateLimit as Proto,
    rate_limit::{
        Action,
        action::{ActionSpecifier, DestinationCluster, GenericKey, HeaderValueMatch, RemoteAddress, RequestHeaders},
    },
};

use super::matches;
use crate::codec::common::{bool_value, u32_value};
use crate::codec::error::{At, DecodeError, Result, refuse};

/// Envoy's.
const MAX_STAGE: u32 = 10;

pub(in crate::codec) fn encode(rules: &[RateLimitRule]) -> Vec<Proto> {
    let rule = |rule: &RateLimitRule| Proto {
        // Some places of Envoy know no stage at all, not even the first.
        stage: Some(rule.stage).filter(|stage| *stage > 0).and_then(u32_value),
        actions: rule.actions.iter().map(encode_action).collect(),
        ..Proto::default()
    };
    rules.iter().map(rule).collect()
}

pub(in crate::codec) fn decode(protos: &[Proto]) -> Result<Vec<RateLimitRule>> {
    let rule = |(index, proto)| decode_rule(proto).at_index("rate_limits", index);
    protos.iter().enumerate().map(rule).collect()
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
        RateLimitAction::RemoteAddress => ActionSpecifier::RemoteAddress(RemoteAddress {}),
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
    refuse!(proto, limit, hits_addend, apply_on_stream_done);
    let stage = read_stage(proto.stage.as_ref().map_or(0, |stage| stage.value))?;
    if proto.actions.is_empty() {
        return Err(DecodeError::new("actions", "must not be empty"));
    }
    let action = |(index, action)| decode_action(action).at_index("actions", index);
    Ok(RateLimitRule { stage, actions: proto.actions.iter().enumerate().map(action).collect::<Result<_>>()? })
}

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
        Some(ActionSpecifier::RemoteAddress(_)) => Ok(RateLimitAction::RemoteAddress),
        Some(ActionSpecifier::RequestHeaders(request)) => Ok(RateLimitAction::RequestHeader {
            header: some(&request.header_name, "header_name")?.to_ascii_lowercase(),
            key: some(&request.descriptor_key, "descriptor_key")?,
            skip_if_absent: request.skip_if_absent,
        }),
        Some(_) => Err(DecodeError::new(
            "",
            "no such action here: destination_cluster, generic_key, header_value_match, remote_address and request_headers are",
        )),
        None => Err(DecodeError::new("action_specifier", "is missing")),
    }
}

fn some(text: &str, field: &str) -> Result<String> {
    if text.is_empty() { Err(DecodeError::new(field, "is missing")) } else { Ok(text.to_owned()) }
}
