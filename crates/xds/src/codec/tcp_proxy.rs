//! The TCP proxy: the last network filter of a chain that carries bytes.

use std::num::NonZeroU32;
use std::time::Duration;

use leno_ir::{AccessLogMoments, HeaderOps, TcpProxy, Tunneling, WeightedCluster};
use leno_proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy as ProtoTcp, tcp_proxy};

use super::common::{duration, duration_or_off, headers_to_add, read_header_ops, read_limit, u32_value};
use super::error::{At, DecodeError, Result, refuse};
use super::{access_log, hash};

pub(super) const TYPE: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
/// Envoy's default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

pub(super) fn encode(proxy: &TcpProxy) -> ProtoTcp {
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
        tunneling_config: proxy.tunneling.as_deref().map(encode_tunneling),
        ..ProtoTcp::default()
    }
}

fn encode_tunneling(tunneling: &Tunneling) -> tcp_proxy::TunnelingConfig {
    tcp_proxy::TunnelingConfig {
        hostname: tunneling.hostname.clone(),
        use_post: tunneling.post_path.is_some(),
        post_path: tunneling.post_path.clone().unwrap_or_default(),
        headers_to_add: headers_to_add(&tunneling.headers),
        ..tcp_proxy::TunnelingConfig::default()
    }
}

pub(super) fn decode(proxy: &ProtoTcp) -> Result<TcpProxy> {
    let clusters = match &proxy.cluster_specifier {
        Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => vec![WeightedCluster::new(name.clone(), 1)],
        Some(tcp_proxy::ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted.clusters.iter().map(|cluster| WeightedCluster::new(cluster.name.clone(), cluster.weight)).collect()
        }
        None => return Err(DecodeError::new("cluster_specifier", "is missing")),
    };
    refuse!(proxy, metadata_match, on_demand, max_downstream_connection_duration_jitter_percentage);
    refuse!(
        proxy,
        backoff_options,
        proxy_protocol_tlvs,
        upstream_connect_mode,
        max_early_data_bytes,
        check_drain_close
    );
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
        tunneling: proxy
            .tunneling_config
            .as_ref()
            .map(decode_tunneling)
            .transpose()
            .at("tunneling_config")?
            .map(Box::new),
    })
}

fn decode_tunneling(tunneling: &tcp_proxy::TunnelingConfig) -> Result<Tunneling> {
    refuse!(tunneling, request_id_extension, request_id_header, request_id_metadata_key, formatters);
    // What a response says is kept for other filters of the connection, and there are none that would ask for it:
    // `propagate_response_headers` and `propagate_response_trailers` have no effect.
    if tunneling.hostname.is_empty() {
        return Err(DecodeError::new("hostname", "is missing"));
    }
    let post_path = match (tunneling.use_post, tunneling.post_path.as_str()) {
        (false, "") => None,
        (false, _) => return Err(DecodeError::new("post_path", "is only for use_post")),
        (true, "") => Some("/".to_owned()),
        (true, path) => Some(path.to_owned()),
    };
    let headers: HeaderOps = read_header_ops(&tunneling.headers_to_add, &[]).at("headers_to_add")?;
    Ok(Tunneling { hostname: tunneling.hostname.clone(), post_path, headers })
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
