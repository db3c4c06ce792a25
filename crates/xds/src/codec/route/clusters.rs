use leno_ir::{Flavor, WeightedCluster};
use leno_proto::envoy::config::route::v3::{
    WeightedCluster as ProtoWeightedCluster, route_action, weighted_cluster::ClusterWeight,
};

use crate::codec::common::{headers_to_add, read_header_ops, u32_value};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::{filter, subset};

/// A single cluster without more to say is written the short way.
pub(super) fn encode(clusters: &[WeightedCluster], flavor: Flavor) -> route_action::ClusterSpecifier {
    if let [only] = clusters
        && only.weight == 1
        && only.request_headers.is_empty()
        && only.response_headers.is_empty()
        && only.filters.is_empty()
        && only.metadata_match.is_empty()
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
        ..ClusterWeight::default()
    };
    let clusters = clusters.iter().map(encode).collect();
    route_action::ClusterSpecifier::WeightedClusters(ProtoWeightedCluster { clusters, ..Default::default() })
}

pub(super) fn decode(specifier: Option<&route_action::ClusterSpecifier>) -> Result<Vec<WeightedCluster>> {
    match specifier {
        Some(route_action::ClusterSpecifier::Cluster(name)) => Ok(vec![WeightedCluster::new(name.clone(), 1)]),
        Some(route_action::ClusterSpecifier::ClusterHeader(header)) => {
            Ok(vec![WeightedCluster { name_header: Some(header.to_ascii_lowercase()), ..WeightedCluster::new("", 1) }])
        }
        Some(route_action::ClusterSpecifier::WeightedClusters(weighted)) if !weighted.clusters.is_empty() => {
            // A random value out of the request would be another choice than ours.
            refuse!(weighted, random_value_specifier);
            weighted.clusters.iter().map(decode_weight).collect::<Result<_>>().at("weighted_clusters")
        }
        Some(route_action::ClusterSpecifier::WeightedClusters(_)) => {
            Err(DecodeError::new("weighted_clusters.clusters", "is empty"))
        }
        Some(_) => Err(DecodeError::new("cluster_specifier", "a plugin is not supported")),
        None => Err(DecodeError::new("cluster_specifier", "is missing")),
    }
}

fn decode_weight(cluster: &ClusterWeight) -> Result<WeightedCluster> {
    refuse!(cluster, host_rewrite_specifier);
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
    })
}
