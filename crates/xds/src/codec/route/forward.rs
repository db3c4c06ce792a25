use leno_ir::{Flavor, Forward, Mirror, PathMatch, Rewrite, WeightedCluster};
use leno_names::Fraction;
use leno_proto::envoy::config::route::v3::{
    RouteAction as Proto, WeightedCluster as ProtoWeightedCluster, route_action, weighted_cluster::ClusterWeight,
};

use leno_proto::google::protobuf::BoolValue;

use super::rewrite::{self, WHOLE_PATH, prefix_substitution, substitution};
use super::{rate_limit, retry, timeouts};
use crate::codec::common::{headers_to_add, read_fraction, read_header_ops, read_visible, runtime_fraction, u32_value};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::{filter, hash};

pub(super) fn takes_nothing(forward: &Forward) -> bool {
    forward.clusters.iter().all(|cluster| cluster.weight == 0)
}

#[allow(deprecated, reason = "Envoy still reads the older field")]
pub(super) fn encode(forward: &Forward, matched: &PathMatch, flavor: Flavor) -> Proto {
    let mut action = Proto {
        // gRPC refuses a policy of no attempts (A44).
        retry_policy: forward
            .retry
            .as_ref()
            .filter(|retry| flavor != Flavor::Grpc || retry.attempts > 0)
            .map(|retry| retry::encode(retry, flavor)),
        host_rewrite_specifier: forward
            .host_rewrite
            .clone()
            .map(route_action::HostRewriteSpecifier::HostRewriteLiteral),
        request_mirror_policies: forward.mirrors.iter().map(encode_mirror).collect(),
        cluster_specifier: Some(encode_clusters(&forward.clusters, flavor)),
        hash_policy: forward.hash_policies.iter().map(hash::encode).collect(),
        rate_limits: rate_limit::encode(&forward.rate_limits),
        include_vh_rate_limits: forward.include_host_rate_limits.then_some(BoolValue { value: true }),
        ..Proto::default()
    };
    timeouts::encode(forward, &mut action, flavor);
    match &forward.rewrite {
        None => {}
        Some(Rewrite::Prefix(prefix)) => match prefix_substitution(prefix, matched, flavor) {
            Some(rewrite) => action.regex_rewrite = Some(rewrite),
            None => action.prefix_rewrite.clone_from(prefix),
        },
        Some(Rewrite::Path(path)) => action.regex_rewrite = Some(substitution(WHOLE_PATH, &path.replace('\\', "\\\\"))),
        Some(Rewrite::Regex { pattern, substitution: by }) => action.regex_rewrite = Some(substitution(pattern, by)),
    }
    action
}

#[allow(deprecated, reason = "other control planes still write the older field")]
fn include_host_rate_limits(action: &Proto) -> bool {
    action.include_vh_rate_limits.as_ref().is_some_and(|include| include.value)
}

pub(super) fn decode(action: &Proto) -> Result<Forward> {
    refuse!(action, internal_redirect_policy, hedge_policy, metadata_match, path_rewrite_policy);
    refuse!(action, path_rewrite, append_x_forwarded_host, retry_policy_typed_config, upgrade_configs);
    refuse!(action, cluster_not_found_response_code);
    let mut mirrors = Vec::with_capacity(action.request_mirror_policies.len());
    for (index, mirror) in action.request_mirror_policies.iter().enumerate() {
        let share = mirror.runtime_fraction.as_ref().and_then(|share| share.default_value.as_ref());
        let fraction = share.map_or(Ok(Fraction::ONE), read_fraction);
        let fraction = fraction.at_index("request_mirror_policies", index)?;
        mirrors.push(Mirror { cluster: mirror.cluster.clone(), fraction });
    }
    let mut forward = Forward {
        clusters: decode_clusters(action.cluster_specifier.as_ref())?,
        rate_limits: rate_limit::decode(&action.rate_limits)?,
        include_host_rate_limits: include_host_rate_limits(action),
        retry: action.retry_policy.as_ref().map(retry::decode).transpose().at("retry_policy")?,
        rewrite: rewrite::decode(action)?,
        host_rewrite: match &action.host_rewrite_specifier {
            None => None,
            Some(route_action::HostRewriteSpecifier::HostRewriteLiteral(host)) => {
                Some(read_visible(host, "host_rewrite_literal")?)
            }
            Some(_) => {
                return Err(DecodeError::new("host_rewrite_specifier", "only host_rewrite_literal is supported"));
            }
        },
        mirrors,
        hash_policies: hash::decode_all(&action.hash_policy)?,
        ..Forward::to("")
    };
    timeouts::decode(action, &mut forward);
    Ok(forward)
}

fn encode_mirror(mirror: &Mirror) -> route_action::RequestMirrorPolicy {
    route_action::RequestMirrorPolicy {
        cluster: mirror.cluster.clone(),
        runtime_fraction: Some(runtime_fraction(mirror.fraction)),
        ..Default::default()
    }
}

/// A single cluster without more to say is written the short way.
fn encode_clusters(clusters: &[WeightedCluster], flavor: Flavor) -> route_action::ClusterSpecifier {
    if let [only] = clusters
        && only.weight == 1
        && only.request_headers.is_empty()
        && only.response_headers.is_empty()
        && only.filters.is_empty()
    {
        return route_action::ClusterSpecifier::Cluster(only.name.clone());
    }
    let encode = |cluster: &WeightedCluster| ClusterWeight {
        name: cluster.name.clone(),
        weight: u32_value(cluster.weight),
        request_headers_to_add: headers_to_add(&cluster.request_headers),
        request_headers_to_remove: cluster.request_headers.remove.clone(),
        response_headers_to_add: headers_to_add(&cluster.response_headers),
        response_headers_to_remove: cluster.response_headers.remove.clone(),
        typed_per_filter_config: filter::encode_overrides(&cluster.filters, flavor),
        ..ClusterWeight::default()
    };
    let clusters = clusters.iter().map(encode).collect();
    route_action::ClusterSpecifier::WeightedClusters(ProtoWeightedCluster { clusters, ..Default::default() })
}

fn decode_clusters(specifier: Option<&route_action::ClusterSpecifier>) -> Result<Vec<WeightedCluster>> {
    match specifier {
        Some(route_action::ClusterSpecifier::Cluster(name)) => Ok(vec![WeightedCluster::new(name.clone(), 1)]),
        Some(route_action::ClusterSpecifier::WeightedClusters(weighted)) if !weighted.clusters.is_empty() => {
            weighted.clusters.iter().map(decode_weight).collect::<Result<_>>().at("weighted_clusters")
        }
        Some(route_action::ClusterSpecifier::WeightedClusters(_)) => {
            Err(DecodeError::new("weighted_clusters.clusters", "is empty"))
        }
        Some(_) => Err(DecodeError::new("cluster_specifier", "only cluster and weighted_clusters are supported")),
        None => Err(DecodeError::new("cluster_specifier", "is missing")),
    }
}

fn decode_weight(cluster: &ClusterWeight) -> Result<WeightedCluster> {
    refuse!(cluster, cluster_header, metadata_match, host_rewrite_specifier);
    Ok(WeightedCluster {
        name: cluster.name.clone(),
        weight: cluster.weight.as_ref().map_or(0, |weight| weight.value),
        request_headers: read_header_ops(&cluster.request_headers_to_add, &cluster.request_headers_to_remove)
            .at("request_headers_to_add")?,
        response_headers: read_header_ops(&cluster.response_headers_to_add, &cluster.response_headers_to_remove)
            .at("response_headers_to_add")?,
        filters: filter::decode_overrides(&cluster.typed_per_filter_config)?,
    })
}
