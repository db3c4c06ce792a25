mod filters;
mod matches;
mod socket;

use leno_ir::{Direction, FilterChain, FilterChainMatch, Flavor, Listener, ListenerOptions, NetworkFilter};
use leno_proto::envoy::config::core::v3::TrafficDirection;
use leno_proto::envoy::config::listener::v3::{
    AdditionalAddress, ApiListener, Filter, FilterChain as ProtoChain, Listener as Proto, filter,
};
use leno_proto::google::protobuf::Any;
use std::net::{Ipv4Addr, SocketAddr};

use super::common::{
    address, any, bool_value, has_ipv4_compat, is_type, read_address, set_ipv4_compat, u32_value, unpack, with_type,
};
use super::error::{At, DecodeError, Result, refuse};
use super::{access_log, connection_filter, http, tcp_proxy, tls};

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
    proto.tcp_backlog_size = options.backlog.and_then(u32_value);
    proto.bind_to_port = if options.is_unbound { bool_value(false) } else { None };
    proto.use_original_dst = if options.use_original_dst { bool_value(true) } else { None };
    proto.filter_chains = listener.filter_chains.iter().map(|chain| encode_chain(chain, flavor)).collect();
    proto.default_filter_chain = listener.default_filter_chain.as_ref().map(|chain| encode_chain(chain, flavor));
    proto.enable_reuse_port = bool_value(true);
    proto.access_log = options.access_log.iter().map(access_log::encode).collect();
    proto.per_connection_buffer_limit_bytes = options.buffer_limit_bytes.and_then(u32_value);
    socket::encode(&options.socket, &mut proto);
    proto
}

fn encode_chain(chain: &FilterChain, flavor: Flavor) -> ProtoChain {
    let (name, config) = match &chain.filter {
        NetworkFilter::Http(manager) => {
            ("envoy.filters.network.http_connection_manager", any(http::TYPE, &http::encode(manager, flavor)))
        }
        NetworkFilter::Tcp(proxy) => {
            ("envoy.filters.network.tcp_proxy", any(tcp_proxy::TYPE, &tcp_proxy::encode(proxy)))
        }
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

pub(super) fn decode(proto: &Proto) -> Result<Listener> {
    if let Some(api) = &proto.api_listener {
        return decode_api(proto, api);
    }
    let filters = filters::decode(proto)?;
    refuse!(proto, fcds_config, filter_chain_matcher, udp_listener_config, listener_specifier);
    let mut access_log = Vec::with_capacity(proto.access_log.len());
    for (index, log) in proto.access_log.iter().enumerate() {
        access_log.push(access_log::decode(log).at_index("access_log", index)?);
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
            is_unbound: proto.bind_to_port.as_ref().is_some_and(|bind| !bind.value),
            use_original_dst: is_set(&proto.use_original_dst),
            // As in Envoy, the field brings the filter with it.
            original_dst: filters.original_dst || is_set(&proto.use_original_dst),
            proxy_protocol: filters.proxy_protocol,
            rate_limits: filters.rate_limits,
            access_log,
            buffer_limit_bytes: proto.per_connection_buffer_limit_bytes.map(|limit| limit.value),
            socket: socket::decode(proto)?,
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
    } else if is_type(config, tcp_proxy::TYPE) {
        Ok(NetworkFilter::Tcp(tcp_proxy::decode(&unpack(config, tcp_proxy::TYPE)?).at("typed_config")?))
    } else {
        let filter = with_type(&filter.name, config);
        let reason = format!("the last network filter serves the connection, and {filter} is none that does so here");
        Err(DecodeError::new("", reason))
    }
}
