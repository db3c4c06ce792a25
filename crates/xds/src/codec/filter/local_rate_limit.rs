use leno_ir::{LimitedDescriptor, LocalRateLimit, RateLimitRule, VirtualHostRules};
use leno_names::Fraction;
use leno_proto::envoy::extensions::common::ratelimit::v3::{
    LocalClusterRateLimit, LocalRateLimitDescriptor, VhRateLimitsOptions, XRateLimitHeadersRfcVersion,
    rate_limit_descriptor::Entry,
};
use leno_proto::envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit as Proto;
use leno_proto::google::protobuf::Any;

use super::rate_limit::{http_status, read_limited_status};
use crate::codec::common::{
    any, bool_value, headers_to_add, read_header_ops, read_runtime_fraction, runtime_fraction, u32_value, unpack,
};
use crate::codec::connection_filter::{decode_bucket, encode_bucket};
use crate::codec::error::{At, DecodeError, Result};
use crate::codec::route::rate_limit;

/// For the filter and for routes.
pub(super) const TYPE: &str = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";

pub(super) fn encode(filter: &LocalRateLimit) -> Any {
    let proto = Proto {
        stat_prefix: filter.stat_prefix.clone(),
        status: http_status(filter.status),
        token_bucket: filter.token_bucket.as_ref().map(encode_bucket),
        filter_enabled: Some(runtime_fraction(filter.enabled)),
        filter_enforced: Some(runtime_fraction(filter.enforced)),
        request_headers_to_add_when_not_enforced: headers_to_add(&filter.unenforced_request_headers),
        response_headers_to_add: headers_to_add(&filter.response_headers),
        descriptors: filter.descriptors.iter().map(encode_descriptor).collect(),
        stage: filter.stage,
        local_cluster_rate_limit: filter.shared_by_cluster.then(LocalClusterRateLimit::default),
        local_rate_limit_per_downstream_connection: filter.per_connection,
        enable_x_ratelimit_headers: match filter.limit_headers {
            false => XRateLimitHeadersRfcVersion::Off,
            true => XRateLimitHeadersRfcVersion::DraftVersion03,
        }
        .into(),
        vh_rate_limits: match filter.virtual_host_rules {
            VirtualHostRules::Ignore => VhRateLimitsOptions::Ignore,
            VirtualHostRules::Include => VhRateLimitsOptions::Include,
            VirtualHostRules::Override => VhRateLimitsOptions::Override,
        }
        .into(),
        always_consume_default_token_bucket: bool_value(filter.always_consumes_default),
        rate_limited_as_resource_exhausted: filter.resource_exhausted,
        rate_limits: rate_limit::encode(&filter.rules),
        max_dynamic_descriptors: u32_value(filter.max_dynamic_descriptors),
        enable_retry_after_header: filter.retry_after_header,
    };
    any(TYPE, &proto)
}

fn encode_descriptor(descriptor: &LimitedDescriptor) -> LocalRateLimitDescriptor {
    let entry = |(key, value): &(String, String)| Entry { key: key.clone(), value: value.clone() };
    LocalRateLimitDescriptor {
        entries: descriptor.entries.iter().map(entry).collect(),
        token_bucket: Some(encode_bucket(&descriptor.token_bucket)),
        shadow_mode: descriptor.is_shadow,
    }
}

pub(super) fn decode(config: &Any) -> Result<LocalRateLimit> {
    let proto: Proto = unpack(Some(config), TYPE)?;
    if proto.stat_prefix.is_empty() {
        return Err(DecodeError::new("stat_prefix", "is missing"));
    }
    let max_dynamic =
        proto.max_dynamic_descriptors.as_ref().map_or(LocalRateLimit::MAX_DYNAMIC_DESCRIPTORS, |it| it.value);
    if max_dynamic == 0 {
        return Err(DecodeError::new("max_dynamic_descriptors", "must be at least 1"));
    }
    if proto.local_cluster_rate_limit.is_some() && proto.local_rate_limit_per_downstream_connection {
        let problem = "goes not with local_rate_limit_per_downstream_connection";
        return Err(DecodeError::new("local_cluster_rate_limit", problem));
    }
    Ok(LocalRateLimit {
        status: read_limited_status(&proto.status, "status.code")?,
        token_bucket: proto.token_bucket.as_ref().map(|it| decode_bucket(Some(it))).transpose().at("token_bucket")?,
        enabled: read_runtime_fraction(proto.filter_enabled.as_ref(), Fraction::ZERO).at("filter_enabled")?,
        enforced: read_runtime_fraction(proto.filter_enforced.as_ref(), Fraction::ZERO).at("filter_enforced")?,
        unenforced_request_headers: read_header_ops(&proto.request_headers_to_add_when_not_enforced, &[])
            .at("request_headers_to_add_when_not_enforced")?,
        response_headers: read_header_ops(&proto.response_headers_to_add, &[]).at("response_headers_to_add")?,
        descriptors: decode_descriptors(&proto.descriptors)?,
        stage: rate_limit::read_stage(proto.stage)?,
        rules: decode_rules(&proto)?,
        virtual_host_rules: match proto.vh_rate_limits() {
            VhRateLimitsOptions::Ignore => VirtualHostRules::Ignore,
            VhRateLimitsOptions::Include => VirtualHostRules::Include,
            VhRateLimitsOptions::Override => VirtualHostRules::Override,
        },
        shared_by_cluster: proto.local_cluster_rate_limit.is_some(),
        per_connection: proto.local_rate_limit_per_downstream_connection,
        always_consumes_default: proto.always_consume_default_token_bucket.is_none_or(|always| always.value),
        max_dynamic_descriptors: max_dynamic,
        limit_headers: proto.enable_x_ratelimit_headers() == XRateLimitHeadersRfcVersion::DraftVersion03,
        retry_after_header: proto.enable_retry_after_header,
        resource_exhausted: proto.rate_limited_as_resource_exhausted,
        stat_prefix: proto.stat_prefix,
    })
}

/// Unlike those of routes they have no stage.
fn decode_rules(proto: &Proto) -> Result<Vec<RateLimitRule>> {
    let rules = rate_limit::decode(&proto.rate_limits)?;
    if let Some(index) = rules.iter().position(|rule| rule.limit.is_some()) {
        return Err(DecodeError::unsupported(format!("rate_limits[{index}].limit")));
    }
    match rules.iter().position(|rule| rule.stage != 0) {
        None => Ok(rules),
        Some(index) => Err(DecodeError::new(format!("rate_limits[{index}].stage"), "is only for routes")),
    }
}

fn decode_descriptors(protos: &[LocalRateLimitDescriptor]) -> Result<Vec<LimitedDescriptor>> {
    let mut descriptors: Vec<LimitedDescriptor> = Vec::with_capacity(protos.len());
    for (index, proto) in protos.iter().enumerate() {
        let descriptor = decode_descriptor(proto).at_index("descriptors", index)?;
        if descriptors.iter().any(|other| other.entries == descriptor.entries) {
            return Err(DecodeError::new(format!("descriptors[{index}]"), "has the entries of one before it"));
        }
        descriptors.push(descriptor);
    }
    Ok(descriptors)
}

fn decode_descriptor(proto: &LocalRateLimitDescriptor) -> Result<LimitedDescriptor> {
    let missing = |field: String| DecodeError::new(field, "is missing");
    if proto.entries.is_empty() {
        return Err(missing("entries".to_owned()));
    }
    let entry = |(index, entry): (usize, &Entry)| match entry.key.as_str() {
        "" => Err(missing(format!("entries[{index}].key"))),
        key => Ok((key.to_owned(), entry.value.clone())),
    };
    Ok(LimitedDescriptor {
        entries: proto.entries.iter().enumerate().map(entry).collect::<Result<_>>()?,
        token_bucket: decode_bucket(proto.token_bucket.as_ref()).at("token_bucket")?,
        is_shadow: proto.shadow_mode,
    })
}

/// # Errors
/// Routes must say how much is let through.
pub(super) fn decode_route(config: &Any) -> Result<LocalRateLimit> {
    let decoded = decode(config)?;
    if decoded.token_bucket.is_none() {
        return Err(DecodeError::new("token_bucket", "is missing"));
    }
    Ok(decoded)
}
