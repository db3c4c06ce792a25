mod filters;
mod matches;

use leno_ir::{
    AccessLogMoments, Direction, FilterChain, FilterChainMatch, Flavor, Listener, ListenerOptions, NetworkFilter,
    TcpProxy, WeightedCluster,
};
use leno_proto::envoy::config::core::v3::TrafficDirection;
use leno_proto::envoy::config::listener::v3::{
    AdditionalAddress, ApiListener, Filter, FilterChain as ProtoChain, Listener as Proto, filter,
};
use leno_proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy as ProtoTcp, tcp_proxy};
use leno_proto::google::protobuf::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use super::common::{
    address, any, bool_value, duration, duration_or_off, has_ipv4_compat, is_type, read_address, read_limit,
    set_ipv4_compat, u32_value, unpack, with_type,
};
use super::error::{At, DecodeError, Result, refuse};
use super::{access_log, connection_filter, hash, http, metadata, tls};

const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
/// Envoy's default for both protocols.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

pub(super) fn encode(listener: &Listener, flavor: Flavor) -> Proto {
    let mut proto = Proto { name: listener.name.clone(), ..Proto::default() };
    if listener.api {
        let manager = listener.filter_chains.iter().find_map(|chain| match &chain.filter {
            NetworkFilter::Http(manager) => Some(http::encode(manager, flavor)),
            NetworkFilter::Tcp(_) => None,
        });
        proto.api_listener = Some(ApiListener { api_listener: manager.map(|manager| any(http::TYPE, &manager)) });
        return proto;
    }
    proto.address = address(listener.address);
    proto.traffic_direction = match listener.direction {
        Direction::Inbound => TrafficDirection::Inbound,
        Direction::Outbound => TrafficDirection::Outbound,
        Direction::Unspecified => TrafficDirection::Unspecified,
    }
    .into();
    filters::encode(listener, &mut proto);
    let options = &listener.options;
    let additional = |addr: &SocketAddr| AdditionalAddress { address: address(*addr), ..AdditionalAddress::default() };
    proto.additional_addresses = options.additional_addresses.iter().map(additional).collect();
    if options.ipv4_compat {
        let addresses = proto.additional_addresses.iter_mut().map(|additional| &mut additional.address);
        addresses.chain([&mut proto.address]).flatten().for_each(set_ipv4_compat);
    }
    proto.metadata = metadata::encode(&options.metadata);
    proto.tcp_backlog_size = options.backlog.and_then(u32_value);
    proto.bind_to_port = if options.is_unbound { bool_value(false) } else { None };
    proto.use_original_dst = if options.use_original_dst { bool_value(true) } else { None };
    proto.filter_chains = listener.filter_chains.iter().map(|chain| encode_chain(chain, flavor)).collect();
    proto.default_filter_chain = listener.default_filter_chain.as_ref().map(|chain| encode_chain(chain, flavor));
    proto.enable_reuse_port = bool_value(true);
    proto
}

fn encode_chain(chain: &FilterChain, flavor: Flavor) -> ProtoChain {
    let (name, config) = match &chain.filter {
        NetworkFilter::Http(manager) => {
            ("envoy.filters.network.http_connection_manager", any(http::TYPE, &http::encode(manager, flavor)))
        }
        NetworkFilter::Tcp(proxy) => ("envoy.filters.network.tcp_proxy", any(TCP_PROXY, &encode_tcp(proxy))),
    };
    let last = Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(config)) };
    let filters = chain.connection_filters.iter().map(connection_filter::encode).chain([last]).collect();
    let matches = &chain.matches;
    ProtoChain {
        name: chain.name.clone(),
        filter_chain_match: (*matches != FilterChainMatch::default()).then(|| matches::encode(matches)),
        transport_socket: chain.tls.as_ref().map(|settings| tls::downstream(settings, flavor)),
        filters,
        ..ProtoChain::default()
    }
}

fn encode_tcp(proxy: &TcpProxy) -> ProtoTcp {
    let specifier = match proxy.clusters.as_slice() {
        [only] if only.weight == 1 => tcp_proxy::ClusterSpecifier::Cluster(only.name.clone()),
        clusters => tcp_proxy::ClusterSpecifier::WeightedClusters(tcp_proxy::WeightedCluster {
            clusters: clusters
                .iter()
                .map(|cluster| tcp_proxy::weighted_cluster::ClusterWeight {
                    name: cluster.name.clone(),
                    weight: cluster.weight,
                    ..Default::default()
                })
                .collect(),
        }),
    };
    ProtoTcp {
        stat_prefix: proxy.stat_prefix.clone(),
        cluster_specifier: Some(specifier),
        idle_timeout: duration_or_off(proxy.idle_timeout),
        max_connect_attempts: u32_value(proxy.max_connect_attempts.get()),
        max_downstream_connection_duration: proxy.max_connection_duration.and_then(duration),
        access_log: proxy.access_log.iter().map(access_log::encode).collect(),
        access_log_options: encode_moments(&proxy.access_log_moments),
        hash_policy: hash::encode_tcp(proxy.hash_source_ip),
        ..ProtoTcp::default()
    }
}

pub(super) fn decode(proto: &Proto) -> Result<Listener> {
    if let Some(api) = &proto.api_listener {
        return decode_api(proto, api);
    }
    let filters = filters::decode(proto)?;
    refuse!(proto, fcds_config, filter_chain_matcher, udp_listener_config, listener_specifier);
    refuse!(proto, freebind, socket_options, tcp_fast_open_queue_length, enable_mptcp, tcp_keepalive, access_log);
    if proto.transparent.as_ref().is_some_and(|flag| flag.value) {
        return Err(DecodeError::unsupported("transparent"));
    }
    let mut filter_chains = Vec::with_capacity(proto.filter_chains.len());
    for (index, chain) in proto.filter_chains.iter().enumerate() {
        filter_chains.push(decode_chain(chain).at_index("filter_chains", index)?);
    }
    matches::check_duplicates(&filter_chains)?;
    let additional = proto.additional_addresses.iter().enumerate().map(|(index, additional)| {
        refuse!(additional, socket_options, tcp_keepalive);
        read_address(additional.address.as_ref()).at_index("additional_addresses", index)
    });
    let additional_addresses = additional.collect::<Result<Vec<_>>>()?;
    let is_set = |flag: &Option<leno_proto::google::protobuf::BoolValue>| flag.as_ref().is_some_and(|flag| flag.value);
    Ok(Listener {
        name: proto.name.clone(),
        address: read_address(proto.address.as_ref())?,
        direction: match proto.traffic_direction() {
            TrafficDirection::Inbound => Direction::Inbound,
            TrafficDirection::Outbound => Direction::Outbound,
            TrafficDirection::Unspecified => Direction::Unspecified,
        },
        inspect_tls: filters.inspect_tls,
        inspect_http: filters.inspect_http,
        filter_chains,
        default_filter_chain: proto
            .default_filter_chain
            .as_ref()
            .map(decode_chain)
            .transpose()
            .at("default_filter_chain")?,
        options: ListenerOptions {
            additional_addresses,
            ipv4_compat: has_ipv4_compat(proto.address.as_ref()),
            backlog: proto.tcp_backlog_size.as_ref().map(|size| size.value),
            metadata: metadata::decode(proto.metadata.as_ref()).at("metadata")?,
            is_unbound: proto.bind_to_port.as_ref().is_some_and(|bind| !bind.value),
            use_original_dst: is_set(&proto.use_original_dst),
            // As in Envoy, the field brings the filter with it.
            original_dst: filters.original_dst || is_set(&proto.use_original_dst),
            proxy_protocol: filters.proxy_protocol,
            rate_limits: filters.rate_limits,
        },
        api: false,
    })
}

fn decode_api(proto: &Proto, api: &ApiListener) -> Result<Listener> {
    let manager = unpack(api.api_listener.as_ref(), http::TYPE).at("api_listener")?;
    let chain = FilterChain {
        name: String::new(),
        matches: FilterChainMatch::default(),
        tls: None,
        connection_filters: Vec::new(),
        filter: NetworkFilter::Http(Box::new(http::decode(&manager).at("api_listener")?)),
    };
    Ok(Listener {
        name: proto.name.clone(),
        address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        direction: Direction::Unspecified,
        inspect_tls: false,
        inspect_http: false,
        filter_chains: vec![chain],
        default_filter_chain: None,
        options: ListenerOptions::default(),
        api: true,
    })
}

fn decode_chain(chain: &ProtoChain) -> Result<FilterChain> {
    let Some((last, before)) = chain.filters.split_last() else {
        return Err(DecodeError::new("filters", "must not be empty"));
    };
    let mut connection_filters = Vec::with_capacity(before.len());
    for (index, filter) in before.iter().enumerate() {
        let decoded = connection_filter::decode(typed_config(filter), &filter.name).at_index("filters", index)?;
        connection_filters.extend(decoded);
    }
    let last = decode_last_filter(last).at_index("filters", before.len())?;
    let matches = chain.filter_chain_match.as_ref().map(matches::decode).transpose().at("filter_chain_match")?;
    Ok(FilterChain {
        name: chain.name.clone(),
        matches: matches.unwrap_or_default(),
        tls: chain.transport_socket.as_ref().map(tls::read_downstream).transpose().at("transport_socket")?.flatten(),
        connection_filters,
        filter: last,
    })
}

fn typed_config(filter: &Filter) -> Option<&Any> {
    match &filter.config_type {
        Some(filter::ConfigType::TypedConfig(config)) => Some(config),
        _ => None,
    }
}

fn decode_last_filter(filter: &Filter) -> Result<NetworkFilter> {
    let config = typed_config(filter);
    if is_type(config, http::TYPE) {
        let manager = unpack(config, http::TYPE)?;
        Ok(NetworkFilter::Http(Box::new(http::decode(&manager).at("typed_config")?)))
    } else if is_type(config, TCP_PROXY) {
        Ok(NetworkFilter::Tcp(decode_tcp(&unpack(config, TCP_PROXY)?).at("typed_config")?))
    } else {
        let filter = with_type(&filter.name, config);
        let reason = format!("the last network filter serves the connection, and {filter} is none that does so here");
        Err(DecodeError::new("", reason))
    }
}

fn decode_tcp(proxy: &ProtoTcp) -> Result<TcpProxy> {
    let clusters = match &proxy.cluster_specifier {
        Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => vec![WeightedCluster::new(name.clone(), 1)],
        Some(tcp_proxy::ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted.clusters.iter().map(|cluster| WeightedCluster::new(cluster.name.clone(), cluster.weight)).collect()
        }
        None => return Err(DecodeError::new("cluster_specifier", "is missing")),
    };
    refuse!(proxy, tunneling_config, metadata_match, on_demand, max_downstream_connection_duration_jitter_percentage);
    let attempts = proxy.max_connect_attempts.as_ref().map_or(1, |attempts| attempts.value);
    let mut access_logs = Vec::with_capacity(proxy.access_log.len());
    for (index, log) in proxy.access_log.iter().enumerate() {
        access_logs.push(access_log::decode(log).at_index("access_log", index)?);
    }
    Ok(TcpProxy {
        stat_prefix: proxy.stat_prefix.clone(),
        clusters,
        hash_source_ip: hash::decode_tcp(&proxy.hash_policy)?,
        idle_timeout: read_limit(proxy.idle_timeout.as_ref(), Some(IDLE_TIMEOUT)),
        max_connect_attempts: NonZeroU32::new(attempts)
            .ok_or_else(|| DecodeError::new("max_connect_attempts", "must be at least 1"))?,
        max_connection_duration: read_limit(proxy.max_downstream_connection_duration.as_ref(), None),
        access_log: access_logs,
        access_log_moments: decode_moments(proxy).at("access_log_options")?,
    })
}

fn encode_moments(moments: &AccessLogMoments) -> Option<tcp_proxy::TcpAccessLogOptions> {
    (*moments != AccessLogMoments::default()).then(|| tcp_proxy::TcpAccessLogOptions {
        access_log_flush_interval: moments.interval.and_then(duration),
        flush_access_log_on_connected: moments.when_connected,
        flush_access_log_on_start: moments.at_start,
    })
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
fn decode_moments(proxy: &ProtoTcp) -> Result<AccessLogMoments> {
    let older = tcp_proxy::TcpAccessLogOptions {
        access_log_flush_interval: proxy.access_log_flush_interval,
        flush_access_log_on_connected: proxy.flush_access_log_on_connected,
        flush_access_log_on_start: false,
    };
    let options = proxy.access_log_options.as_ref().unwrap_or(&older);
    Ok(AccessLogMoments {
        at_start: options.flush_access_log_on_start,
        when_connected: options.flush_access_log_on_connected,
        interval: access_log::read_interval(options.access_log_flush_interval.as_ref())?,
    })
}
