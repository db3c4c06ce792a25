//! Network filters before the last one of a chain.

use leno_ir::{
    ConnectionFilter, ConnectionLimit, ConnectionRateLimit, ConnectionRbac, Permission, Principal, Rbac,
    RbacEnforcement, TokenBucket,
};
use leno_proto::envoy::config::core::v3::RuntimeFeatureFlag;
use leno_proto::envoy::config::listener::v3::{Filter, filter};
use leno_proto::envoy::config::rbac::v3::Rbac as ProtoRules;
use leno_proto::envoy::extensions::filters::network::connection_limit::v3::ConnectionLimit as ProtoLimit;
use leno_proto::envoy::extensions::filters::network::local_ratelimit::v3::LocalRateLimit;
use leno_proto::envoy::extensions::filters::network::rbac::v3::{Rbac as ProtoRbac, rbac::EnforcementType};
use leno_proto::envoy::r#type::v3::TokenBucket as ProtoBucket;
use leno_proto::google::protobuf::{Any, UInt64Value};

use super::common::{any, duration, is_type, read_duration, u32_value, unpack, with_type};
use super::error::{At, DecodeError, Result, refuse};
use super::rbac;

const CONNECTION_LIMIT: &str = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";
const LOCAL_RATE_LIMIT: &str = "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit";
const RBAC: &str = "envoy.extensions.filters.network.rbac.v3.RBAC";

pub(super) fn encode(filter: &ConnectionFilter) -> Filter {
    let (name, config) = match filter {
        ConnectionFilter::Limit(limit) => {
            let proto = ProtoLimit {
                stat_prefix: limit.stat_prefix.clone(),
                max_connections: Some(UInt64Value { value: limit.max_connections }),
                delay: limit.delay.and_then(duration),
                ..ProtoLimit::default()
            };
            ("envoy.filters.network.connection_limit", any(CONNECTION_LIMIT, &proto))
        }
        ConnectionFilter::RateLimit(limit) => {
            let proto = LocalRateLimit {
                stat_prefix: limit.stat_prefix.clone(),
                token_bucket: Some(encode_bucket(&limit.token_bucket)),
                share_key: limit.share_key.clone(),
                ..LocalRateLimit::default()
            };
            ("envoy.filters.network.local_ratelimit", any(LOCAL_RATE_LIMIT, &proto))
        }
        ConnectionFilter::Rbac(rbac) => ("envoy.filters.network.rbac", any(RBAC, &encode_rbac(rbac))),
    };
    Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(config)) }
}

/// `None`: switched off. The error names the filter as `name` when it is none that we have.
pub(super) fn decode(config: Option<&Any>, name: &str) -> Result<Option<ConnectionFilter>> {
    if is_type(config, CONNECTION_LIMIT) {
        decode_limit(&unpack(config, CONNECTION_LIMIT)?).at("typed_config")
    } else if is_type(config, LOCAL_RATE_LIMIT) {
        decode_rate_limit(&unpack(config, LOCAL_RATE_LIMIT)?).at("typed_config")
    } else if is_type(config, RBAC) {
        decode_rbac(&unpack(config, RBAC)?).at("typed_config").map(Some)
    } else {
        Err(DecodeError::new("", format!("no such network filter here: {}", with_type(name, config))))
    }
}

fn decode_limit(proto: &ProtoLimit) -> Result<Option<ConnectionFilter>> {
    let most = proto.max_connections.as_ref().map_or(0, |most| most.value);
    if most == 0 {
        return Err(DecodeError::new("max_connections", "must be at least 1"));
    }
    let limit = ConnectionLimit {
        stat_prefix: stat_prefix(&proto.stat_prefix)?,
        max_connections: most,
        delay: read_duration(proto.delay.as_ref()),
    };
    Ok(is_enabled(proto.runtime_enabled.as_ref()).then_some(ConnectionFilter::Limit(limit)))
}

fn decode_rate_limit(proto: &LocalRateLimit) -> Result<Option<ConnectionFilter>> {
    let limit = ConnectionRateLimit {
        stat_prefix: stat_prefix(&proto.stat_prefix)?,
        token_bucket: decode_bucket(proto.token_bucket.as_ref()).at("token_bucket")?,
        share_key: proto.share_key.clone(),
    };
    Ok(is_enabled(proto.runtime_enabled.as_ref()).then_some(ConnectionFilter::RateLimit(limit)))
}

/// There is no runtime to change it: the default counts. Absent: on.
pub(super) fn is_enabled(flag: Option<&RuntimeFeatureFlag>) -> bool {
    flag.is_none_or(|flag| flag.default_value.as_ref().is_some_and(|value| value.value))
}

pub(super) fn stat_prefix(prefix: &str) -> Result<String> {
    if prefix.is_empty() {
        return Err(DecodeError::new("stat_prefix", "is missing"));
    }
    Ok(prefix.to_owned())
}

pub(super) fn encode_bucket(bucket: &TokenBucket) -> ProtoBucket {
    ProtoBucket {
        max_tokens: bucket.max_tokens,
        tokens_per_fill: u32_value(bucket.tokens_per_fill),
        fill_interval: duration(bucket.fill_interval),
    }
}

pub(super) fn decode_bucket(proto: Option<&ProtoBucket>) -> Result<TokenBucket> {
    let proto = proto.ok_or_else(|| DecodeError::new("", "is missing"))?;
    let bucket = TokenBucket {
        max_tokens: proto.max_tokens,
        tokens_per_fill: proto.tokens_per_fill.as_ref().map_or(1, |tokens| tokens.value),
        fill_interval: read_duration(proto.fill_interval.as_ref()).unwrap_or_default(),
    };
    if bucket.tokens_per_fill == 0 {
        return Err(DecodeError::new("tokens_per_fill", "must be at least 1"));
    }
    if bucket.fill_interval < TokenBucket::MIN_FILL_INTERVAL {
        return Err(DecodeError::new("fill_interval", "must be at least 50 ms"));
    }
    Ok(bucket)
}

fn encode_rbac(filter: &ConnectionRbac) -> ProtoRbac {
    ProtoRbac {
        stat_prefix: filter.stat_prefix.clone(),
        rules: filter.rules.as_ref().map(rbac::encode),
        shadow_rules: filter.shadow_rules.as_ref().map(rbac::encode),
        shadow_rules_stat_prefix: filter.shadow_rules_stat_prefix.clone(),
        enforcement_type: match filter.enforcement {
            RbacEnforcement::Continuous => EnforcementType::Continuous,
            RbacEnforcement::OneTime => EnforcementType::OneTimeOnFirstByte,
        }
        .into(),
        delay_deny: filter.delay_deny.and_then(duration),
        ..ProtoRbac::default()
    }
}

fn decode_rbac(proto: &ProtoRbac) -> Result<ConnectionFilter> {
    refuse!(proto, matcher, shadow_matcher);
    let rules = |rules: Option<&ProtoRules>, field| {
        let rules = rules.map(rbac::decode).transpose().at(field)?;
        rules.as_ref().map_or(Ok(()), without_headers).at(field)?;
        Ok(rules)
    };
    Ok(ConnectionFilter::Rbac(Box::new(ConnectionRbac {
        stat_prefix: stat_prefix(&proto.stat_prefix)?,
        rules: rules(proto.rules.as_ref(), "rules")?,
        shadow_rules: rules(proto.shadow_rules.as_ref(), "shadow_rules")?,
        shadow_rules_stat_prefix: proto.shadow_rules_stat_prefix.clone(),
        enforcement: match proto.enforcement_type() {
            EnforcementType::Continuous => RbacEnforcement::Continuous,
            EnforcementType::OneTimeOnFirstByte => RbacEnforcement::OneTime,
        },
        delay_deny: read_duration(proto.delay_deny.as_ref()),
    })))
}

/// As in Envoy: a connection has no headers, so whoever names one expects something else.
fn without_headers(rules: &Rbac) -> Result<()> {
    for (name, policy) in &rules.policies {
        if policy.permissions.iter().any(permission_has_header) || policy.principals.iter().any(principal_has_header) {
            let field = format!("policies[\"{name}\"]");
            return Err(DecodeError::new(field, "has a condition on a header, and a connection has none"));
        }
    }
    Ok(())
}

fn permission_has_header(permission: &Permission) -> bool {
    match permission {
        Permission::AllOf(each) | Permission::AnyOf(each) => each.iter().any(permission_has_header),
        Permission::Header(_) => true,
        Permission::Not(inner) => permission_has_header(inner),
        _ => false,
    }
}

fn principal_has_header(principal: &Principal) -> bool {
    match principal {
        Principal::AllOf(each) | Principal::AnyOf(each) => each.iter().any(principal_has_header),
        Principal::Header(_) => true,
        Principal::Not(inner) => principal_has_header(inner),
        _ => false,
    }
}
