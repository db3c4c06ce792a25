//! Balancing by hash: the tables of a cluster, and what of a request or connection is hashed.
//!
//! Errors      what would hash otherwise than we do: rewritten headers, filter state
//! Source      Envoy cluster.proto, route_components.proto, hash_policy.proto v1.31 and their limits

use leno_ir::{BalancerPolicy, HashCookie, HashPolicy, HashSource, RingFunction};
use leno_proto::envoy::config::cluster::v3::Cluster as ProtoCluster;
use leno_proto::envoy::config::cluster::v3::cluster::{
    LbConfig, LbPolicy, MaglevLbConfig, RingHashLbConfig, ring_hash_lb_config,
};
use leno_proto::envoy::config::route::v3::route_action::{
    HashPolicy as Proto,
    hash_policy::{ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter},
};
use leno_proto::envoy::extensions::load_balancing_policies::maglev::v3::Maglev;
use leno_proto::envoy::extensions::load_balancing_policies::ring_hash::v3::{RingHash, ring_hash};
use leno_proto::envoy::r#type::v3::{HashPolicy as ProtoTcp, hash_policy};
use leno_proto::google::protobuf::UInt64Value;

use super::common::{duration, read_duration};
use super::error::{At, DecodeError, Result, refuse};

pub(super) const MAGLEV_TYPE: &str = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev";
pub(super) const RING_HASH_TYPE: &str = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash";

pub(super) fn encode_ring(cluster: &mut ProtoCluster, minimum_size: u32, maximum_size: u32, function: RingFunction) {
    cluster.lb_policy = LbPolicy::RingHash.into();
    cluster.lb_config = Some(LbConfig::RingHashLbConfig(RingHashLbConfig {
        minimum_ring_size: u64_value(minimum_size),
        maximum_ring_size: u64_value(maximum_size),
        hash_function: match function {
            RingFunction::MurmurHash2 => ring_hash_lb_config::HashFunction::MurmurHash2,
            RingFunction::XxHash => ring_hash_lb_config::HashFunction::XxHash,
        }
        .into(),
    }));
}

pub(super) fn encode_maglev(cluster: &mut ProtoCluster, table_size: u32) {
    cluster.lb_policy = LbPolicy::Maglev.into();
    cluster.lb_config = Some(LbConfig::MaglevLbConfig(MaglevLbConfig { table_size: u64_value(table_size) }));
}

fn u64_value(value: u32) -> Option<UInt64Value> {
    Some(UInt64Value { value: value.into() })
}

pub(super) fn decode_ring(config: Option<&LbConfig>) -> Result<BalancerPolicy> {
    let default = RingHashLbConfig::default();
    let config = match config {
        Some(LbConfig::RingHashLbConfig(config)) => config,
        _ => &default,
    };
    let function = match config.hash_function() {
        ring_hash_lb_config::HashFunction::MurmurHash2 => RingFunction::MurmurHash2,
        ring_hash_lb_config::HashFunction::XxHash => RingFunction::XxHash,
    };
    let sizes = (config.minimum_ring_size.as_ref(), config.maximum_ring_size.as_ref());
    ring(sizes, function).at("ring_hash_lb_config")
}

pub(super) fn decode_maglev(config: Option<&LbConfig>) -> Result<BalancerPolicy> {
    let size = match config {
        Some(LbConfig::MaglevLbConfig(config)) => config.table_size.as_ref(),
        _ => None,
    };
    maglev(size).at("maglev_lb_config")
}

pub(super) fn decode_ring_extension(config: &RingHash) -> Result<BalancerPolicy> {
    let function = match config.hash_function() {
        ring_hash::HashFunction::MurmurHash2 => RingFunction::MurmurHash2,
        ring_hash::HashFunction::DefaultHash | ring_hash::HashFunction::XxHash => RingFunction::XxHash,
    };
    ring((config.minimum_ring_size.as_ref(), config.maximum_ring_size.as_ref()), function)
}

pub(super) fn decode_maglev_extension(config: &Maglev) -> Result<BalancerPolicy> {
    maglev(config.table_size.as_ref())
}

fn ring(
    (minimum, maximum): (Option<&UInt64Value>, Option<&UInt64Value>),
    function: RingFunction,
) -> Result<BalancerPolicy> {
    let size = |value: Option<&UInt64Value>, default: u32, field: &str| match value {
        None => Ok(default),
        Some(size) => u32::try_from(size.value)
            .ok()
            .filter(|size| *size <= BalancerPolicy::MAXIMUM_RING_SIZE)
            .ok_or_else(|| DecodeError::new(field, format!("is above {}", BalancerPolicy::MAXIMUM_RING_SIZE))),
    };
    let minimum_ring_size = size(minimum, BalancerPolicy::MINIMUM_RING_SIZE, "minimum_ring_size")?;
    let maximum_ring_size = size(maximum, BalancerPolicy::MAXIMUM_RING_SIZE, "maximum_ring_size")?;
    if minimum_ring_size > maximum_ring_size {
        return Err(DecodeError::new("minimum_ring_size", "is above maximum_ring_size"));
    }
    Ok(BalancerPolicy::RingHash { minimum_ring_size, maximum_ring_size, function })
}

fn maglev(size: Option<&UInt64Value>) -> Result<BalancerPolicy> {
    let Some(size) = size else {
        return Ok(BalancerPolicy::Maglev { table_size: BalancerPolicy::MAGLEV_TABLE_SIZE });
    };
    let table_size = u32::try_from(size.value).ok().filter(|size| BalancerPolicy::is_maglev_table_size(*size));
    let error = || {
        DecodeError::new("table_size", format!("is no prime number up to {}", BalancerPolicy::MAX_MAGLEV_TABLE_SIZE))
    };
    Ok(BalancerPolicy::Maglev { table_size: table_size.ok_or_else(error)? })
}

pub(super) fn encode(policy: &HashPolicy) -> Proto {
    let specifier = match &policy.source {
        HashSource::Cookie(cookie) => {
            let attribute =
                |(name, value): &(String, String)| CookieAttribute { name: name.clone(), value: value.clone() };
            PolicySpecifier::Cookie(Cookie {
                name: cookie.name.clone(),
                ttl: cookie.ttl.and_then(duration),
                path: cookie.path.clone(),
                attributes: cookie.attributes.iter().map(attribute).collect(),
            })
        }
        HashSource::Header(name) => PolicySpecifier::Header(Header { header_name: name.clone(), regex_rewrite: None }),
        HashSource::QueryParameter(name) => PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() }),
        HashSource::SourceIp => PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }),
    };
    Proto { terminal: policy.terminal, policy_specifier: Some(specifier) }
}

pub(super) fn decode_all(policies: &[Proto]) -> Result<Vec<HashPolicy>> {
    let mut decoded = Vec::with_capacity(policies.len());
    for (index, policy) in policies.iter().enumerate() {
        let source = decode(policy.policy_specifier.as_ref()).at_index("hash_policy", index)?;
        decoded.extend(source.map(|source| HashPolicy { source, terminal: policy.terminal }));
    }
    Ok(decoded)
}

/// `None`: properties of a connection of which none is wanted.
fn decode(specifier: Option<&PolicySpecifier>) -> Result<Option<HashSource>> {
    Ok(Some(match specifier {
        Some(PolicySpecifier::Cookie(cookie)) => {
            let attribute = |attribute: &CookieAttribute| (attribute.name.clone(), attribute.value.clone());
            HashSource::Cookie(HashCookie {
                name: cookie.name.clone(),
                ttl: read_duration(cookie.ttl.as_ref()),
                path: cookie.path.clone(),
                attributes: cookie.attributes.iter().map(attribute).collect(),
            })
        }
        Some(PolicySpecifier::Header(header)) => {
            refuse!(header, regex_rewrite);
            HashSource::Header(header.header_name.to_ascii_lowercase())
        }
        Some(PolicySpecifier::QueryParameter(parameter)) => HashSource::QueryParameter(parameter.name.clone()),
        Some(PolicySpecifier::ConnectionProperties(properties)) if properties.source_ip => HashSource::SourceIp,
        Some(PolicySpecifier::ConnectionProperties(_)) => return Ok(None),
        Some(PolicySpecifier::FilterState(_)) => return Err(DecodeError::unsupported("filter_state")),
        None => return Err(DecodeError::new("policy_specifier", "is missing")),
    }))
}

pub(super) fn encode_tcp(source_ip: bool) -> Vec<ProtoTcp> {
    let specifier = hash_policy::PolicySpecifier::SourceIp(hash_policy::SourceIp {});
    source_ip.then_some(ProtoTcp { policy_specifier: Some(specifier) }).into_iter().collect()
}

/// Whether the source's address is hashed; there is nothing else that can be.
pub(super) fn decode_tcp(policies: &[ProtoTcp]) -> Result<bool> {
    for (index, policy) in policies.iter().enumerate() {
        match &policy.policy_specifier {
            Some(hash_policy::PolicySpecifier::SourceIp(_)) => {}
            Some(hash_policy::PolicySpecifier::FilterState(_)) => {
                return Err(DecodeError::unsupported("filter_state")).at_index("hash_policy", index);
            }
            None => return Err(DecodeError::new("policy_specifier", "is missing")).at_index("hash_policy", index),
        }
    }
    Ok(!policies.is_empty())
}
