use std::collections::HashMap;

use leno_ir::{Endpoint, EndpointHealth, EndpointSet, LocalityEndpoints, WorkloadLabels};
use leno_names::Locality;
use leno_proto::envoy::config::core::v3::{HealthStatus, Locality as ProtoLocality, Metadata};
use leno_proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as ProtoEndpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};

use super::common::{address, as_text, read_address, string, structure, u32_value};
use super::error::{At, DecodeError, Result, refuse};

/// Istio's metadata: filter `istio`, key `workload`.
const FILTER: &str = "istio";
const WORKLOAD: &str = "workload";

pub(super) fn encode(set: &EndpointSet) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: set.name.clone(),
        endpoints: set.localities.iter().map(encode_locality).collect(),
        ..ClusterLoadAssignment::default()
    }
}

fn encode_locality(locality: &LocalityEndpoints) -> LocalityLbEndpoints {
    LocalityLbEndpoints {
        locality: Some(proto_locality(&locality.locality)),
        priority: locality.priority,
        // gRPC leaves out localities without a weight.
        load_balancing_weight: u32_value(locality.weight.max(1)),
        lb_endpoints: locality.endpoints.iter().map(encode_endpoint).collect(),
        ..LocalityLbEndpoints::default()
    }
}

fn encode_endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let host = ProtoEndpoint { address: address(endpoint.address), ..ProtoEndpoint::default() };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(host)),
        health_status: match endpoint.health {
            EndpointHealth::Draining => HealthStatus::Draining,
            EndpointHealth::Healthy => HealthStatus::Healthy,
            EndpointHealth::Unhealthy => HealthStatus::Unhealthy,
            EndpointHealth::Unknown => HealthStatus::Unknown,
        }
        .into(),
        load_balancing_weight: u32_value(endpoint.weight.max(1)),
        metadata: metadata(&endpoint.workload),
    }
}

fn metadata(labels: &WorkloadLabels) -> Option<Metadata> {
    if *labels == WorkloadLabels::default() {
        return None;
    }
    let WorkloadLabels { workload, namespace, service, version, cluster } = labels;
    let text = [workload, namespace, service, version, cluster].map(String::as_str).join(";");
    let fields = structure([(WORKLOAD, string(text))]);
    Some(Metadata { filter_metadata: HashMap::from([(FILTER.to_owned(), fields)]), ..Metadata::default() })
}

pub(super) fn proto_locality(locality: &Locality) -> ProtoLocality {
    ProtoLocality { region: locality.region.clone(), zone: locality.zone.clone(), sub_zone: locality.sub_zone.clone() }
}

pub(super) fn read_locality(locality: Option<&ProtoLocality>) -> Locality {
    locality.map_or_else(Locality::default, |locality| Locality {
        region: locality.region.clone(),
        zone: locality.zone.clone(),
        sub_zone: locality.sub_zone.clone(),
    })
}

pub(super) fn decode(set: &ClusterLoadAssignment) -> Result<EndpointSet> {
    refuse!(set.policy.clone().unwrap_or_default(), drop_overloads);
    let mut localities = Vec::with_capacity(set.endpoints.len());
    for (index, locality) in set.endpoints.iter().enumerate() {
        localities.push(decode_locality(locality).at_index("endpoints", index)?);
    }
    Ok(EndpointSet { name: set.cluster_name.clone(), localities })
}

fn decode_locality(locality: &LocalityLbEndpoints) -> Result<LocalityEndpoints> {
    let mut endpoints = Vec::with_capacity(locality.lb_endpoints.len());
    for (index, endpoint) in locality.lb_endpoints.iter().enumerate() {
        endpoints.push(decode_endpoint(endpoint).at_index("lb_endpoints", index)?);
    }
    Ok(LocalityEndpoints {
        locality: read_locality(locality.locality.as_ref()),
        priority: locality.priority,
        weight: locality.load_balancing_weight.as_ref().map_or(1, |weight| weight.value),
        endpoints,
    })
}

fn decode_endpoint(endpoint: &LbEndpoint) -> Result<Endpoint> {
    let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else {
        return Err(DecodeError::unsupported("endpoint_name"));
    };
    refuse!(host, additional_addresses);
    Ok(Endpoint {
        address: read_address(host.address.as_ref()).at("endpoint")?,
        weight: endpoint.load_balancing_weight.as_ref().map_or(1, |weight| weight.value).max(1),
        health: match endpoint.health_status() {
            HealthStatus::Draining => EndpointHealth::Draining,
            HealthStatus::Healthy => EndpointHealth::Healthy,
            HealthStatus::Timeout | HealthStatus::Unhealthy => EndpointHealth::Unhealthy,
            HealthStatus::Degraded | HealthStatus::Unknown => EndpointHealth::Unknown,
        },
        workload: read_labels(endpoint.metadata.as_ref()),
    })
}

fn read_labels(metadata: Option<&Metadata>) -> WorkloadLabels {
    let fields = metadata.and_then(|metadata| metadata.filter_metadata.get(FILTER));
    let text = fields.and_then(|fields| as_text(fields.fields.get(WORKLOAD))).unwrap_or_default();
    let mut parts = text.split(';').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    WorkloadLabels { workload: next(), namespace: next(), service: next(), version: next(), cluster: next() }
}
