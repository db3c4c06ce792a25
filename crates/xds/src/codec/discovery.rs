use std::sync::Arc;

use leno_ir::{Discovery, DynamicHosts, OriginalDestination};
use leno_proto::envoy::config::cluster::v3::{
    Cluster as Proto,
    cluster::{
        ClusterDiscoveryType, CustomClusterType, DiscoveryType, EdsClusterConfig, LbConfig, OriginalDstLbConfig,
    },
};
use leno_proto::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use leno_proto::envoy::extensions::clusters::dynamic_forward_proxy::v3::ClusterConfig as DynamicConfig;
use leno_proto::envoy::extensions::clusters::dynamic_forward_proxy::v3::cluster_config::ClusterImplementationSpecifier;
use leno_proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;

use super::common::{ads, any, duration, is_type, read_duration, u32_value, unpack};
use super::error::{At, DecodeError, Result, refuse};
use super::{dns, endpoints};

const AGGREGATE_TYPE: &str = "envoy.extensions.clusters.aggregate.v3.ClusterConfig";

const DYNAMIC_TYPE: &str = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";

pub(super) fn encode(proto: &mut Proto, discovery: &Discovery) {
    let kind = match discovery {
        Discovery::Aggregate(clusters) => {
            let config = ClusterConfig { clusters: clusters.clone() };
            proto.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(CustomClusterType {
                name: "envoy.clusters.aggregate".to_owned(),
                typed_config: Some(any(AGGREGATE_TYPE, &config)),
            }));
            return;
        }
        Discovery::Dns(config) => dns::encode(proto, config),
        Discovery::DynamicHosts(config) => {
            let cache = DnsCacheConfig {
                name: cache_name(config),
                dns_lookup_family: dns::family(config.lookup_family).into(),
                dns_refresh_rate: duration(config.refresh_rate),
                host_ttl: duration(config.host_ttl),
                ..DnsCacheConfig::default()
            };
            let config = DynamicConfig {
                cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(cache)),
                // The cluster's TLS says itself which names are checked.
                allow_insecure_cluster_options: true,
                ..DynamicConfig::default()
            };
            proto.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(CustomClusterType {
                name: "envoy.clusters.dynamic_forward_proxy".to_owned(),
                typed_config: Some(any(DYNAMIC_TYPE, &config)),
            }));
            return;
        }
        Discovery::Eds { service_name } => {
            proto.eds_cluster_config = Some(EdsClusterConfig { eds_config: ads(), service_name: service_name.clone() });
            DiscoveryType::Eds
        }
        Discovery::OriginalDestination(config) => {
            proto.cleanup_interval = duration(config.cleanup_interval);
            proto.lb_config = Some(LbConfig::OriginalDstLbConfig(OriginalDstLbConfig {
                use_http_header: config.header.is_some(),
                http_header_name: config.header.clone().unwrap_or_default(),
                upstream_port_override: config.port.and_then(|port| u32_value(port.into())),
                ..OriginalDstLbConfig::default()
            }));
            DiscoveryType::OriginalDst
        }
        Discovery::Static(set) => {
            proto.load_assignment = Some(endpoints::encode(set));
            DiscoveryType::Static
        }
    };
    proto.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind.into()));
}

pub(super) fn decode(proto: &Proto) -> Result<Discovery> {
    let kind = match &proto.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(*kind).unwrap_or(DiscoveryType::Static),
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            let config = custom.typed_config.as_ref();
            if is_type(config, dns::DNS_CLUSTER) {
                return dns::decode_extension(proto, config).at("cluster_type");
            }
            if is_type(config, AGGREGATE_TYPE) {
                return decode_aggregate(&unpack(config, AGGREGATE_TYPE)?).at("cluster_type.typed_config");
            }
            if is_type(config, DYNAMIC_TYPE) {
                return decode_dynamic(&unpack(config, DYNAMIC_TYPE)?).at("cluster_type.typed_config");
            }
            return Err(DecodeError::unsupported("cluster_type"));
        }
        None => DiscoveryType::Static,
    };
    match kind {
        DiscoveryType::Eds => {
            let config = proto.eds_cluster_config.clone().unwrap_or_default();
            let name = if config.service_name.is_empty() { proto.name.clone() } else { config.service_name };
            Ok(Discovery::Eds { service_name: name })
        }
        DiscoveryType::LogicalDns => dns::decode(proto, true),
        DiscoveryType::OriginalDst => decode_original(proto),
        DiscoveryType::StrictDns => dns::decode(proto, false),
        DiscoveryType::Static => {
            let set = proto.load_assignment.as_ref().map(endpoints::decode).transpose().at("load_assignment")?;
            Ok(Discovery::Static(Arc::new(set.unwrap_or_default())))
        }
    }
}

fn decode_aggregate(config: &ClusterConfig) -> Result<Discovery> {
    if config.clusters.is_empty() {
        return Err(DecodeError::new("clusters", "is empty"));
    }
    Ok(Discovery::Aggregate(config.clusters.clone()))
}

/// Envoy wants caches of one name to have the same settings.
fn cache_name(config: &DynamicHosts) -> String {
    let DynamicHosts { lookup_family, refresh_rate, host_ttl } = config;
    format!("hosts-{lookup_family:?}-{}-{}", refresh_rate.as_nanos(), host_ttl.as_nanos())
}

/// One cache of all that is looked up; caches of others have no limits that we could share.
fn decode_dynamic(config: &DynamicConfig) -> Result<Discovery> {
    refuse!(config, allow_coalesced_connections);
    let Some(ClusterImplementationSpecifier::DnsCacheConfig(cache)) = &config.cluster_implementation_specifier else {
        return Err(DecodeError::unsupported("sub_clusters_config"));
    };
    let decode = || {
        refuse!(
            cache,
            dns_failure_refresh_rate,
            dns_cache_circuit_breaker,
            typed_dns_resolver_config,
            preresolve_hostnames,
            key_value_config
        );
        Ok(Discovery::DynamicHosts(DynamicHosts {
            lookup_family: dns::read_family(cache.dns_lookup_family()),
            refresh_rate: read_duration(cache.dns_refresh_rate.as_ref()).unwrap_or(DynamicHosts::REFRESH_RATE),
            host_ttl: read_duration(cache.host_ttl.as_ref()).unwrap_or(DynamicHosts::HOST_TTL),
        }))
    };
    decode().at("dns_cache_config")
}

fn decode_original(proto: &Proto) -> Result<Discovery> {
    refuse!(proto, load_assignment);
    let default = OriginalDstLbConfig::default();
    let config = match &proto.lb_config {
        Some(LbConfig::OriginalDstLbConfig(config)) => config,
        _ => &default,
    };
    let decode = || {
        refuse!(config, metadata_key);
        let header = match config.http_header_name.as_str() {
            "" => OriginalDestination::HEADER.to_owned(),
            name => name.to_ascii_lowercase(),
        };
        let port = config.upstream_port_override.as_ref().map(|port| u16::try_from(port.value)).transpose();
        Ok(Discovery::OriginalDestination(OriginalDestination {
            header: config.use_http_header.then_some(header),
            port: port.map_err(|_| DecodeError::new("upstream_port_override", "is no port"))?,
            cleanup_interval: read_duration(proto.cleanup_interval.as_ref())
                .unwrap_or(OriginalDestination::CLEANUP_INTERVAL),
        }))
    };
    decode().at("original_dst_lb_config")
}

/// Whether such a cluster chooses its endpoints itself.
pub(super) fn provides_balancer(discovery: &Discovery) -> bool {
    matches!(discovery, Discovery::Aggregate(_) | Discovery::DynamicHosts(_) | Discovery::OriginalDestination(_))
}
