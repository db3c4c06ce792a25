use leno_ir::{Flavor, Forward, WeightedCluster};
use leno_proto::envoy::config::route::v3::{
    WeightedCluster as ProtoWeightedCluster, route_action,
    weighted_cluster::{ClusterWeight, RandomValueSpecifier, cluster_weight::HostRewriteSpecifier},
};
use leno_proto::google::protobuf::BoolValue;

use crate::codec::common::{headers_to_add, read_header_ops, read_visible, u32_value};
use crate::codec::error::{At, DecodeError, Result};
use crate::codec::{filter, subset};

/// A single cluster without more to say is written the short way.
pub(super) fn encode(forward: &Forward, flavor: Flavor) -> route_action::ClusterSpecifier {
    let Forward { clusters, cluster_number_header: number_header, clusters_by_hash, .. } = forward;
    if let [only] = clusters.as_slice()
        && only.weight == 1
        && only.request_headers.is_empty()
        && only.response_headers.is_empty()
        && only.filters.is_empty()
        && only.metadata_match.is_empty()
        && only.host_rewrite.is_none()
        && number_header.is_none()
        && !clusters_by_hash
    {
        return match &only.name_header {
            Some(header) => route_action::ClusterSpecifier::ClusterHeader(header.clone()),
            None => route_action::ClusterSpecifier::Cluster(only.name.clone()),
        };
    }
    let encode = |cluster: &WeightedCluster| ClusterWeight {
        name: cluster.name.clone(),
        cluster_header: cluster.name_header.clone().unwrap_or_default(),
        weight: u32_value(cluster.weight),
        request_headers_to_add: headers_to_add(&cluster.request_headers),
        request_headers_to_remove: cluster.request_headers.remove.clone(),
        response_headers_to_add: headers_to_add(&cluster.response_headers),
        response_headers_to_remove: cluster.response_headers.remove.clone(),
        typed_per_filter_config: filter::encode_overrides(&cluster.filters, flavor),
        metadata_match: subset::encode_labels(&cluster.metadata_match, None),
        host_rewrite_specifier: cluster.host_rewrite.clone().map(HostRewriteSpecifier::HostRewriteLiteral),
    };
    let clusters = clusters.iter().map(encode).collect();
    let by_hash = || clusters_by_hash.then_some(RandomValueSpecifier::UseHashPolicy(BoolValue { value: true }));
    let random_value_specifier = number_header.clone().map(RandomValueSpecifier::HeaderName).or_else(by_hash);
    let clusters = ProtoWeightedCluster { clusters, random_value_specifier, ..Default::default() };
    route_action::ClusterSpecifier::WeightedClusters(clusters)
}

pub(super) fn decode(specifier: Option<&route_action::ClusterSpecifier>) -> Result<Vec<WeightedCluster>> {
    match specifier {
        Some(route_action::ClusterSpecifier::Cluster(name)) => Ok(vec![WeightedCluster::new(name.clone(), 1)]),
        Some(route_action::ClusterSpecifier::ClusterHeader(header)) => {
            Ok(vec![WeightedCluster { name_header: Some(header.to_ascii_lowercase()), ..WeightedCluster::new("", 1) }])
        }
        Some(route_action::ClusterSpecifier::WeightedClusters(weighted)) if !weighted.clusters.is_empty() => {
            weighted.clusters.iter().map(decode_weight).collect::<Result<_>>().at("weighted_clusters")
        }
        Some(route_action::ClusterSpecifier::WeightedClusters(_)) => {
            Err(DecodeError::new("weighted_clusters.clusters", "is empty"))
        }
        Some(_) => Err(DecodeError::new("cluster_specifier", "a plugin is not supported")),
        None => Err(DecodeError::new("cluster_specifier", "is missing")),
    }
}

/// What decides between the clusters: the header with a number, or the request's hash.
pub(super) fn decode_decider(specifier: Option<&route_action::ClusterSpecifier>) -> (Option<String>, bool) {
    let Some(route_action::ClusterSpecifier::WeightedClusters(weighted)) = specifier else { return (None, false) };
    match &weighted.random_value_specifier {
        None => (None, false),
        Some(RandomValueSpecifier::HeaderName(name)) => (Some(name.to_ascii_lowercase()), false),
        Some(RandomValueSpecifier::UseHashPolicy(BoolValue { value })) => (None, *value),
    }
}

fn decode_weight(cluster: &ClusterWeight) -> Result<WeightedCluster> {
    if cluster.name.is_empty() == cluster.cluster_header.is_empty() {
        return Err(DecodeError::new("name", "either name or cluster_header must be set"));
    }
    let name_header = (!cluster.cluster_header.is_empty()).then(|| cluster.cluster_header.to_ascii_lowercase());
    Ok(WeightedCluster {
        name: cluster.name.clone(),
        name_header,
        weight: cluster.weight.as_ref().map_or(0, |weight| weight.value),
        request_headers: read_header_ops(&cluster.request_headers_to_add, &cluster.request_headers_to_remove)
            .at("request_headers_to_add")?,
        response_headers: read_header_ops(&cluster.response_headers_to_add, &cluster.response_headers_to_remove)
            .at("response_headers_to_add")?,
        filters: filter::decode_overrides(&cluster.typed_per_filter_config)?,
        metadata_match: subset::decode_labels(cluster.metadata_match.as_ref()),
        host_rewrite: cluster
            .host_rewrite_specifier
            .as_ref()
            .map(|HostRewriteSpecifier::HostRewriteLiteral(host)| read_visible(host, "host_rewrite_literal"))
            .transpose()?,
    })
}
