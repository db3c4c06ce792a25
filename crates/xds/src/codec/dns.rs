//! Clusters whose endpoints are looked up by name, both ways.
//!
//! Errors      resolvers of other kinds, and what a resolver may be told that we do not do
//! Source      Envoy cluster.proto, cares_dns_resolver.proto, dns_cluster.proto v3, 1.40

use std::sync::Arc;

use leno_ir::{Discovery, Dns, DnsLookupFamily, DnsResolver};
use leno_proto::envoy::config::cluster::v3::Cluster as Proto;
use leno_proto::envoy::config::cluster::v3::cluster::{DiscoveryType, DnsLookupFamily as ProtoFamily, RefreshRate};
use leno_proto::envoy::config::core::v3::{Address, DnsResolverOptions, TypedExtensionConfig};
use leno_proto::envoy::extensions::clusters::common::dns::v3::DnsLookupFamily as NewFamily;
use leno_proto::envoy::extensions::clusters::dns::v3::DnsCluster;
use leno_proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use leno_proto::google::protobuf::{Any, UInt64Value};

use super::common::{address, any, duration, is_type, read_address, read_duration, u32_value, unpack};
use super::endpoints;
use super::error::{At, DecodeError, Result, refuse};

pub(super) const DNS_CLUSTER: &str = "envoy.extensions.clusters.dns.v3.DnsCluster";
const CARES: &str = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
const GETADDRINFO: &str = "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig";

#[allow(deprecated, reason = "the fields that older Envoys know, too")]
pub(super) fn encode(proto: &mut Proto, dns: &Dns) -> DiscoveryType {
    proto.load_assignment = Some(endpoints::encode(&dns.endpoints));
    proto.dns_refresh_rate = duration(dns.refresh_rate);
    proto.dns_failure_refresh_rate = dns
        .failure_refresh_rate
        .map(|(base, max)| RefreshRate { base_interval: duration(base), max_interval: duration(max) });
    proto.dns_jitter = if dns.jitter.is_zero() { None } else { duration(dns.jitter) };
    proto.respect_dns_ttl = dns.respect_ttl;
    proto.dns_lookup_family = family(dns.lookup_family).into();
    if dns.resolver != DnsResolver::default() {
        let config = CaresDnsResolverConfig {
            resolvers: dns.resolver.servers.iter().filter_map(|server| address(*server)).collect(),
            dns_resolver_options: Some(DnsResolverOptions {
                use_tcp_for_dns_lookups: dns.resolver.use_tcp,
                no_default_search_domain: dns.resolver.no_search_domain,
            }),
            query_timeout_seconds: dns.resolver.query_timeout.map(|time| UInt64Value { value: time.as_secs().max(1) }),
            query_tries: dns.resolver.query_tries.and_then(u32_value),
            ..CaresDnsResolverConfig::default()
        };
        proto.typed_dns_resolver_config = Some(TypedExtensionConfig {
            name: "envoy.network.dns_resolver.cares".to_owned(),
            typed_config: Some(any(CARES, &config)),
        });
    }
    if dns.is_logical { DiscoveryType::LogicalDns } else { DiscoveryType::StrictDns }
}

pub(super) const fn family(family: DnsLookupFamily) -> ProtoFamily {
    match family {
        DnsLookupFamily::All => ProtoFamily::All,
        DnsLookupFamily::Auto => ProtoFamily::Auto,
        DnsLookupFamily::V4Only => ProtoFamily::V4Only,
        DnsLookupFamily::V4Preferred => ProtoFamily::V4Preferred,
        DnsLookupFamily::V6Only => ProtoFamily::V6Only,
    }
}

pub(super) const fn read_family(family: ProtoFamily) -> DnsLookupFamily {
    match family {
        ProtoFamily::All => DnsLookupFamily::All,
        ProtoFamily::Auto => DnsLookupFamily::Auto,
        ProtoFamily::V4Only => DnsLookupFamily::V4Only,
        ProtoFamily::V4Preferred => DnsLookupFamily::V4Preferred,
        ProtoFamily::V6Only => DnsLookupFamily::V6Only,
    }
}

/// `STRICT_DNS` and `LOGICAL_DNS`.
#[allow(deprecated, reason = "most clusters are still written so")]
pub(super) fn decode(proto: &Proto, is_logical: bool) -> Result<Discovery> {
    let resolver = match (&proto.typed_dns_resolver_config, &proto.dns_resolution_config) {
        (Some(typed), _) => read_resolver(typed).at("typed_dns_resolver_config")?,
        (None, Some(config)) => {
            let resolver = with_options(config.dns_resolver_options.as_ref());
            DnsResolver { servers: servers(&config.resolvers).at("dns_resolution_config")?, ..resolver }
        }
        (None, None) => DnsResolver {
            servers: servers(&proto.dns_resolvers).at("dns_resolvers")?,
            use_tcp: proto.use_tcp_for_dns_lookups,
            ..DnsResolver::default()
        },
    };
    let lookup_family = read_family(proto.dns_lookup_family());
    let failure = proto.dns_failure_refresh_rate.as_ref();
    finish(
        proto,
        Dns {
            is_logical,
            refresh_rate: read_duration(proto.dns_refresh_rate.as_ref()).unwrap_or(Dns::REFRESH_RATE),
            failure_refresh_rate: failure.and_then(|rate| {
                let base = read_duration(rate.base_interval.as_ref())?;
                Some((base, read_duration(rate.max_interval.as_ref()).unwrap_or(base * 10)))
            }),
            jitter: read_duration(proto.dns_jitter.as_ref()).unwrap_or_default(),
            respect_ttl: proto.respect_dns_ttl,
            lookup_family,
            resolver,
            ..Dns::new(Arc::default())
        },
    )
}

/// `envoy.cluster.dns`.
pub(super) fn decode_extension(proto: &Proto, config: Option<&Any>) -> Result<Discovery> {
    let config: DnsCluster = unpack(config, DNS_CLUSTER)?;
    refuse!(config, dns_min_refresh_rate);
    let resolver = config.typed_dns_resolver_config.as_ref().map(read_resolver).transpose();
    let lookup_family = match config.dns_lookup_family() {
        NewFamily::All => DnsLookupFamily::All,
        NewFamily::Auto | NewFamily::Unspecified => DnsLookupFamily::Auto,
        NewFamily::V4Only => DnsLookupFamily::V4Only,
        NewFamily::V4Preferred => DnsLookupFamily::V4Preferred,
        NewFamily::V6Only => DnsLookupFamily::V6Only,
    };
    let failure = config.dns_failure_refresh_rate.as_ref();
    finish(
        proto,
        Dns {
            is_logical: config.all_addresses_in_single_endpoint,
            refresh_rate: read_duration(config.dns_refresh_rate.as_ref()).unwrap_or(Dns::REFRESH_RATE),
            failure_refresh_rate: failure.and_then(|rate| {
                let base = read_duration(rate.base_interval.as_ref())?;
                Some((base, read_duration(rate.max_interval.as_ref()).unwrap_or(base * 10)))
            }),
            jitter: read_duration(config.dns_jitter.as_ref()).unwrap_or_default(),
            respect_ttl: config.respect_dns_ttl,
            lookup_family,
            resolver: resolver.at("typed_dns_resolver_config")?.unwrap_or_default(),
            ..Dns::new(Arc::default())
        },
    )
}

fn finish(proto: &Proto, dns: Dns) -> Result<Discovery> {
    let set = proto.load_assignment.as_ref().map(endpoints::decode_named).transpose().at("load_assignment")?;
    let set = set.unwrap_or_default();
    if dns.is_logical && (set.localities.len() != 1 || set.endpoints().count() != 1) {
        return Err(DecodeError::new("load_assignment", "a logical DNS cluster has one locality with one endpoint"));
    }
    Ok(Discovery::Dns(Box::new(Dns { endpoints: Arc::new(set), ..dns })))
}

fn read_resolver(typed: &TypedExtensionConfig) -> Result<DnsResolver> {
    let config = typed.typed_config.as_ref();
    if is_type(config, GETADDRINFO) {
        return Ok(DnsResolver::default());
    }
    let config: CaresDnsResolverConfig = unpack(config, CARES)?;
    refuse!(config, use_resolvers_as_fallback, filter_unroutable_families);
    Ok(DnsResolver {
        servers: servers(&config.resolvers).at("typed_config")?,
        query_timeout: config.query_timeout_seconds.map(|time| std::time::Duration::from_secs(time.value)),
        query_tries: config.query_tries.map(|tries| tries.value),
        ..with_options(config.dns_resolver_options.as_ref())
    })
}

fn with_options(options: Option<&DnsResolverOptions>) -> DnsResolver {
    let option = |of: fn(&DnsResolverOptions) -> bool| options.is_some_and(of);
    DnsResolver {
        use_tcp: option(|options| options.use_tcp_for_dns_lookups),
        no_search_domain: option(|options| options.no_default_search_domain),
        ..DnsResolver::default()
    }
}

fn servers(addresses: &[Address]) -> Result<Vec<std::net::SocketAddr>> {
    let read = |(index, server)| read_address(Some(server)).at_index("resolvers", index);
    addresses.iter().enumerate().map(read).collect()
}
