use std::collections::HashMap;
use std::sync::Arc;

use leno_ir::{
    BalancerPolicy, Balancing, Cluster, Discovery, Flavor, LocalityBalancing, UpstreamHttp, UpstreamProtocol,
};
use leno_names::{Fraction, ServiceKey};
use leno_proto::envoy::config::cluster::v3::{
    Cluster as Proto, LoadBalancingPolicy,
    cluster::{
        ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbConfig, LbPolicy,
        LeastRequestLbConfig,
        common_lb_config::{ConsistentHashingLbConfig, LocalityConfigSpecifier, LocalityWeightedLbConfig},
    },
    load_balancing_policy::Policy,
};
use leno_proto::envoy::config::core::v3::{
    Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as CommonOptions, Metadata, TypedExtensionConfig,
};
use leno_proto::envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest;
use leno_proto::envoy::extensions::upstreams::http::v3::{
    HttpProtocolOptions,
    http_protocol_options::{
        ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
    },
};
use leno_proto::envoy::r#type::v3::Percent;
use leno_proto::google::protobuf::Any;
use leno_proto::leno::{PEAK_EWMA_TYPE, PeakEwma};

use super::common::{
    ads, any, as_list, as_struct, as_text, duration, duration_or_off, is_type, list, object, read_duration, read_limit,
    string, structure, u32_value, unpack,
};
use super::error::{At, DecodeError, Result, refuse};
use super::http::options;
use super::{dns, endpoints, hash, health_check, outlier, policy, proxy_protocol, subset};

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const LEAST_REQUEST_TYPE: &str = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
const ROUND_ROBIN_TYPE: &str = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin";
const RANDOM_TYPE: &str = "envoy.extensions.load_balancing_policies.random.v3.Random";
const FILTER: &str = "istio";
/// Envoy's default when a cluster names no number of choices.
const CHOICES: u32 = 2;
/// "No limit" for streams of one HTTP/2 connection (RFC 9113 §6.5.2).
const MAX_STREAMS: u32 = 0x7fff_ffff;

pub(super) fn encode(cluster: &Cluster, flavor: Flavor) -> Proto {
    let mut proto = Proto {
        name: cluster.name.clone(),
        connect_timeout: duration(cluster.connect_timeout),
        circuit_breakers: Some(policy::encode_breakers(&cluster.circuit_breakers)),
        transport_socket: proxy_protocol::encode(cluster, flavor),
        metadata: cluster.service.as_ref().map(metadata),
        ..Proto::default()
    };
    let discovery = match &cluster.discovery {
        Discovery::Dns(config) => dns::encode(&mut proto, config),
        Discovery::Eds { service_name } => {
            proto.eds_cluster_config = Some(EdsClusterConfig { eds_config: ads(), service_name: service_name.clone() });
            DiscoveryType::Eds
        }
        Discovery::Static(set) => {
            proto.load_assignment = Some(endpoints::encode(set));
            DiscoveryType::Static
        }
    };
    proto.cluster_discovery_type = Some(ClusterDiscoveryType::Type(discovery.into()));
    encode_balancer(&mut proto, &cluster.balancer, flavor);
    if flavor == Flavor::Grpc {
        return proto;
    }
    let detection = cluster.outlier_detection.as_ref();
    proto.outlier_detection = detection.map(outlier::encode);
    encode_balancing(&mut proto, &cluster.balancing, flavor);
    proto.health_checks = cluster.health_check.iter().map(|check| health_check::encode(check)).collect();
    proto.typed_extension_protocol_options =
        HashMap::from([(OPTIONS.to_owned(), any(OPTIONS, &encode_http(&cluster.http)))]);
    proto
}

fn encode_balancing(proto: &mut Proto, balancing: &Balancing, flavor: Flavor) {
    // Envoy's default would use unhealthy endpoints once half are.
    let default = (flavor == Flavor::Envoy).then_some(Fraction::ZERO);
    let threshold = balancing.panic_threshold.or(default);
    proto.common_lb_config = Some(CommonLbConfig {
        healthy_panic_threshold: threshold.map(|share| Percent { value: share.as_f64() * 100.0 }),
        ignore_new_hosts_until_first_hc: balancing.ignore_new_until_checked,
        locality_config_specifier: match balancing.localities {
            LocalityBalancing::Ignored => None,
            LocalityBalancing::Weighted => {
                Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}))
            }
        },
        ..CommonLbConfig::default()
    });
    proto.lb_subset_config = balancing.subsets.as_deref().map(subset::encode);
    proto.ignore_health_on_host_removal = balancing.ignore_health_on_removal;
}

fn encode_balancer(proto: &mut Proto, balancer: &BalancerPolicy, flavor: Flavor) {
    if flavor == Flavor::Grpc && !matches!(balancer, BalancerPolicy::RingHash { .. }) {
        // What gRPC has for all the others (A27, A42).
        proto.lb_policy = LbPolicy::RoundRobin.into();
        return;
    }
    let least_request = |proto: &mut Proto, choices: u32| {
        proto.lb_policy = LbPolicy::LeastRequest.into();
        proto.lb_config = Some(LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
            choice_count: u32_value(choices.max(CHOICES)),
            ..LeastRequestLbConfig::default()
        }));
    };
    match balancer {
        BalancerPolicy::LeastRequest { choices } => least_request(proto, *choices),
        BalancerPolicy::Maglev { table_size } => hash::encode_maglev(proto, *table_size),
        BalancerPolicy::Random => proto.lb_policy = LbPolicy::Random.into(),
        BalancerPolicy::RingHash { minimum_ring_size, maximum_ring_size } => {
            hash::encode_ring(proto, *minimum_ring_size, *maximum_ring_size);
        }
        BalancerPolicy::RoundRobin => proto.lb_policy = LbPolicy::RoundRobin.into(),
        BalancerPolicy::PeakEwma { .. } if flavor == Flavor::Envoy => least_request(proto, CHOICES),
        BalancerPolicy::PeakEwma { default_rtt, decay } => {
            let config = PeakEwma { default_rtt: duration(*default_rtt), decay: duration(*decay) };
            proto.load_balancing_policy = Some(LoadBalancingPolicy {
                policies: vec![Policy {
                    typed_extension_config: Some(TypedExtensionConfig {
                        name: "leno.peak_ewma".to_owned(),
                        typed_config: Some(any(PEAK_EWMA_TYPE, &config)),
                    }),
                }],
            });
        }
    }
}

fn encode_http(http: &UpstreamHttp) -> HttpProtocolOptions {
    let http1 = || options::encode_http1(&http.http1);
    let http2 = || Http2ProtocolOptions {
        max_concurrent_streams: u32_value(http.max_concurrent_streams.clamp(1, MAX_STREAMS)),
        ..options::encode_http2(&http.http2)
    };
    let explicit =
        |config| UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) });
    HttpProtocolOptions {
        common_http_protocol_options: Some(CommonOptions {
            idle_timeout: duration_or_off(Some(http.idle_timeout)),
            max_requests_per_connection: http.max_requests_per_connection.and_then(u32_value),
            max_connection_duration: http.max_connection_duration.and_then(duration),
            ..CommonOptions::default()
        }),
        upstream_protocol_options: Some(match http.protocol {
            UpstreamProtocol::Http1 => explicit(ProtocolConfig::HttpProtocolOptions(http1())),
            UpstreamProtocol::Http2 => explicit(ProtocolConfig::Http2ProtocolOptions(http2())),
            UpstreamProtocol::SameAsDownstream => {
                UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                    http_protocol_options: Some(http1()),
                    http2_protocol_options: Some(http2()),
                    ..UseDownstreamHttpConfig::default()
                })
            }
        }),
        ..HttpProtocolOptions::default()
    }
}

/// As Istio names the services behind a cluster.
fn metadata(service: &ServiceKey) -> Metadata {
    let entry = object([("name", string(service.name.as_str())), ("namespace", string(service.namespace.as_str()))]);
    let fields = structure([("services", list(vec![entry]))]);
    Metadata { filter_metadata: HashMap::from([(FILTER.to_owned(), fields)]), ..Metadata::default() }
}

fn read_service(metadata: Option<&Metadata>) -> Option<ServiceKey> {
    let fields = metadata?.filter_metadata.get(FILTER)?;
    let entry = as_struct(as_list(fields.fields.get("services")).first()?)?;
    let text = |name: &str| as_text(entry.fields.get(name));
    Some(ServiceKey::new(text("namespace")?, text("name")?))
}

pub(super) fn decode(proto: &Proto) -> Result<Cluster> {
    let discovery = decode_discovery(proto)?;
    refuse!(proto, transport_socket_matches, filters, upstream_bind_config);
    refuse!(proto, close_connections_on_host_health_failure);
    refuse!(proto, upstream_config, connection_pool_per_downstream_connection);
    let socket = proto.transport_socket.as_ref().map(proxy_protocol::decode).transpose().at("transport_socket")?;
    let (proxy_protocol, tls) = socket.unwrap_or_default();
    let health_check = health_check::decode_one(&proto.health_checks)?;
    if tls.is_some() && health_check.as_ref().is_some_and(|check| !check.alpn.is_empty()) {
        // Without TLS it means nothing.
        return Err(DecodeError::unsupported("health_checks[0].tls_options.alpn_protocols"));
    }
    let subsets = proto.lb_subset_config.as_ref().map(subset::decode).transpose().at("lb_subset_config")?.flatten();
    let subsets = subsets.map(Box::new);
    Ok(Cluster {
        name: proto.name.clone(),
        discovery,
        connect_timeout: read_duration(proto.connect_timeout.as_ref()).unwrap_or(policy::CONNECT_TIMEOUT),
        balancer: decode_balancer(proto)?,
        balancing: Balancing { subsets, ..decode_balancing(proto)? },
        health_check,
        circuit_breakers: policy::decode_breakers(proto.circuit_breakers.as_ref()).at("circuit_breakers")?,
        outlier_detection: proto.outlier_detection.as_ref().map(outlier::decode).transpose().at("outlier_detection")?,
        tls,
        proxy_protocol,
        http: decode_http(proto)?,
        service: read_service(proto.metadata.as_ref()),
    })
}

fn refuse_hashing(hashing: &ConsistentHashingLbConfig) -> Result<()> {
    refuse!(hashing, use_hostname_for_hashing, hash_balance_factor);
    Ok(())
}

fn decode_balancing(proto: &Proto) -> Result<Balancing> {
    let none = CommonLbConfig::default();
    let common = proto.common_lb_config.as_ref().unwrap_or(&none);
    let decode = || {
        if let Some(hashing) = &common.consistent_hashing_lb_config {
            refuse_hashing(hashing).at("consistent_hashing_lb_config")?;
        }
        Ok(Balancing {
            panic_threshold: common
                .healthy_panic_threshold
                .as_ref()
                .map(|percent| Fraction::from_percent_f64(percent.value))
                .transpose()
                .map_err(|error| DecodeError::new("healthy_panic_threshold", error.to_string()))?,
            localities: match &common.locality_config_specifier {
                None => LocalityBalancing::Ignored,
                Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => LocalityBalancing::Weighted,
                Some(LocalityConfigSpecifier::ZoneAwareLbConfig(_)) => {
                    return Err(DecodeError::unsupported("zone_aware_lb_config"));
                }
            },
            ignore_new_until_checked: common.ignore_new_hosts_until_first_hc,
            ignore_health_on_removal: proto.ignore_health_on_host_removal,
            subsets: None,
        })
    };
    decode().at("common_lb_config")
}

fn decode_discovery(proto: &Proto) -> Result<Discovery> {
    let kind = match &proto.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(*kind).unwrap_or(DiscoveryType::Static),
        Some(ClusterDiscoveryType::ClusterType(custom)) if is_type(custom.typed_config.as_ref(), dns::DNS_CLUSTER) => {
            return dns::decode_extension(proto, custom.typed_config.as_ref()).at("cluster_type");
        }
        Some(ClusterDiscoveryType::ClusterType(_)) => return Err(DecodeError::unsupported("cluster_type")),
        None => DiscoveryType::Static,
    };
    match kind {
        DiscoveryType::Eds => {
            let config = proto.eds_cluster_config.clone().unwrap_or_default();
            let name = if config.service_name.is_empty() { proto.name.clone() } else { config.service_name };
            Ok(Discovery::Eds { service_name: name })
        }
        DiscoveryType::LogicalDns => dns::decode(proto, true),
        DiscoveryType::StrictDns => dns::decode(proto, false),
        DiscoveryType::Static => {
            let set = proto.load_assignment.as_ref().map(endpoints::decode).transpose().at("load_assignment")?;
            Ok(Discovery::Static(Arc::new(set.unwrap_or_default())))
        }
        other => Err(DecodeError::new("type", format!("{} is not supported", other.as_str_name()))),
    }
}

fn decode_balancer(proto: &Proto) -> Result<BalancerPolicy> {
    if let Some(policies) = &proto.load_balancing_policy {
        for (index, policy) in policies.policies.iter().enumerate() {
            let config = policy.typed_extension_config.as_ref().and_then(|extension| extension.typed_config.as_ref());
            let Some(config) = config else { continue };
            let known = decode_extension(config).at_index("load_balancing_policy.policies", index)?;
            if let Some(known) = known {
                return Ok(known);
            }
        }
        return Err(DecodeError::new("load_balancing_policy", "none of the policies is supported"));
    }
    match proto.lb_policy() {
        LbPolicy::LeastRequest => {
            let choices = match &proto.lb_config {
                Some(LbConfig::LeastRequestLbConfig(config)) => config.choice_count.as_ref().map(|count| count.value),
                _ => None,
            };
            Ok(BalancerPolicy::LeastRequest { choices: choices.unwrap_or(CHOICES) })
        }
        LbPolicy::Maglev => hash::decode_maglev(proto.lb_config.as_ref()),
        LbPolicy::Random => Ok(BalancerPolicy::Random),
        LbPolicy::RingHash => hash::decode_ring(proto.lb_config.as_ref()),
        LbPolicy::RoundRobin => Ok(BalancerPolicy::RoundRobin),
        other => Err(DecodeError::new("lb_policy", format!("{} is not supported", other.as_str_name()))),
    }
}

/// `None`: a policy we do not have.
fn decode_extension(config: &Any) -> Result<Option<BalancerPolicy>> {
    if let Ok(ewma) = unpack::<PeakEwma>(Some(config), PEAK_EWMA_TYPE) {
        let (default_rtt, decay) = (read_duration(ewma.default_rtt.as_ref()), read_duration(ewma.decay.as_ref()));
        return Ok(default_rtt.zip(decay).map(|(default_rtt, decay)| BalancerPolicy::PeakEwma { default_rtt, decay }));
    }
    if let Ok(least_request) = unpack::<LeastRequest>(Some(config), LEAST_REQUEST_TYPE) {
        let choices = least_request.choice_count.map_or(CHOICES, |count| count.value);
        return Ok(Some(BalancerPolicy::LeastRequest { choices }));
    }
    if let Ok(ring) = unpack(Some(config), hash::RING_HASH_TYPE) {
        return hash::decode_ring_extension(&ring).map(Some);
    }
    if let Ok(maglev) = unpack(Some(config), hash::MAGLEV_TYPE) {
        return hash::decode_maglev_extension(&maglev).map(Some);
    }
    if is_type(Some(config), ROUND_ROBIN_TYPE) {
        return Ok(Some(BalancerPolicy::RoundRobin));
    }
    Ok(is_type(Some(config), RANDOM_TYPE).then_some(BalancerPolicy::Random))
}

/// What goes before the options of the protocol says nothing where those are given, as in Envoy.
#[allow(deprecated, reason = "other control planes still say it on the cluster itself")]
fn decode_http(proto: &Proto) -> Result<UpstreamHttp> {
    if let Some(other) = proto.typed_extension_protocol_options.keys().find(|name| *name != OPTIONS) {
        return Err(DecodeError::unsupported(format!("typed_extension_protocol_options[{other}]")));
    }
    let Some(config) = proto.typed_extension_protocol_options.get(OPTIONS) else {
        let protocol =
            if proto.http2_protocol_options.is_some() { UpstreamProtocol::Http2 } else { UpstreamProtocol::Http1 };
        let common = proto.common_http_protocol_options.unwrap_or_default();
        let http = decode_common(&common, protocol, None, proto.http2_protocol_options.as_ref())?;
        let requests = proto.max_requests_per_connection.map(|count| count.value).filter(|count| *count > 0);
        return Ok(UpstreamHttp { max_requests_per_connection: http.max_requests_per_connection.or(requests), ..http });
    };
    let options: HttpProtocolOptions =
        unpack(Some(config), OPTIONS).at(&format!("typed_extension_protocol_options[{OPTIONS}]"))?;
    let common = options.common_http_protocol_options.unwrap_or_default();
    let (protocol, http1, http2) = match options.upstream_protocol_options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => match explicit.protocol_config {
            Some(ProtocolConfig::Http2ProtocolOptions(http2)) => (UpstreamProtocol::Http2, None, Some(http2)),
            Some(ProtocolConfig::HttpProtocolOptions(http1)) => (UpstreamProtocol::Http1, Some(http1), None),
            None => (UpstreamProtocol::Http1, None, None),
            Some(_) => return Err(DecodeError::new("explicit_http_config", "only HTTP/1.1 and HTTP/2 are supported")),
        },
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(same)) => {
            (UpstreamProtocol::SameAsDownstream, same.http_protocol_options, same.http2_protocol_options)
        }
        Some(UpstreamProtocolOptions::AutoConfig(_)) => return Err(DecodeError::unsupported("auto_config")),
        None => (UpstreamProtocol::Http1, None, None),
    };
    decode_common(&common, protocol, http1.as_ref(), http2.as_ref())
}

fn decode_common(
    common: &CommonOptions,
    protocol: UpstreamProtocol,
    http1: Option<&Http1ProtocolOptions>,
    http2: Option<&Http2ProtocolOptions>,
) -> Result<UpstreamHttp> {
    refuse!(common, max_headers_count, max_stream_duration);
    let default = UpstreamHttp::default();
    let streams = http2.and_then(|http2| http2.max_concurrent_streams).map(|streams| streams.value);
    let requests = common.max_requests_per_connection.map(|count| count.value);
    Ok(UpstreamHttp {
        protocol,
        max_requests_per_connection: requests.filter(|count| *count > 0),
        idle_timeout: read_duration(common.idle_timeout.as_ref()).unwrap_or(default.idle_timeout),
        max_connection_duration: read_limit(common.max_connection_duration.as_ref(), None),
        max_concurrent_streams: streams.unwrap_or(default.max_concurrent_streams),
        http1: options::decode_http1(http1).at("http_protocol_options")?,
        http2: options::decode_http2(http2).at("http2_protocol_options")?,
    })
}
