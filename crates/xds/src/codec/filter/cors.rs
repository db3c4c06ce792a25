use leno_ir::CorsPolicy;
use leno_names::Fraction;
use leno_proto::envoy::extensions::filters::http::cors::v3::{Cors, CorsPolicy as Proto};
use leno_proto::google::protobuf::{Any, BoolValue};

use crate::codec::common::{any, bool_value, read_runtime_fraction, runtime_fraction, unpack};
use crate::codec::error::{At, Result};
use crate::codec::matching;

pub(super) const TYPE: &str = "envoy.extensions.filters.http.cors.v3.Cors";
pub(super) const POLICY_TYPE: &str = "envoy.extensions.filters.http.cors.v3.CorsPolicy";

pub(super) fn encode() -> Any {
    any(TYPE, &Cors {})
}

pub(super) fn encode_policy(policy: &CorsPolicy) -> Any {
    let proto = Proto {
        allow_origin_string_match: policy.allow_origins.iter().map(matching::encode).collect(),
        allow_methods: policy.allow_methods.clone(),
        allow_headers: policy.allow_headers.clone(),
        expose_headers: policy.expose_headers.clone(),
        max_age: policy.max_age.clone(),
        allow_credentials: policy.allow_credentials.and_then(bool_value),
        allow_private_network_access: policy.allow_private_network_access.and_then(bool_value),
        forward_not_matching_preflights: policy.forward_not_matching_preflights.and_then(bool_value),
        filter_enabled: Some(runtime_fraction(policy.enabled)),
        shadow_enabled: Some(runtime_fraction(policy.shadow_enabled)),
    };
    any(POLICY_TYPE, &proto)
}

pub(super) fn decode_policy(config: &Any) -> Result<CorsPolicy> {
    let proto: Proto = unpack(Some(config), POLICY_TYPE)?;
    let mut allow_origins = Vec::with_capacity(proto.allow_origin_string_match.len());
    for (index, origin) in proto.allow_origin_string_match.iter().enumerate() {
        allow_origins.push(matching::decode(origin).at_index("allow_origin_string_match", index)?);
    }
    let flag = |value: Option<&BoolValue>| value.map(|value| value.value);
    Ok(CorsPolicy {
        allow_origins,
        allow_credentials: flag(proto.allow_credentials.as_ref()),
        allow_private_network_access: flag(proto.allow_private_network_access.as_ref()),
        forward_not_matching_preflights: flag(proto.forward_not_matching_preflights.as_ref()),
        enabled: read_runtime_fraction(proto.filter_enabled.as_ref(), Fraction::ONE).at("filter_enabled")?,
        shadow_enabled: read_runtime_fraction(proto.shadow_enabled.as_ref(), Fraction::ZERO).at("shadow_enabled")?,
        allow_methods: proto.allow_methods,
        allow_headers: proto.allow_headers,
        expose_headers: proto.expose_headers,
        max_age: proto.max_age,
    })
}
