use std::collections::HashMap;
use std::net::SocketAddr;

use leno_ir::{
    Endpoint, EndpointCheck, EndpointHealth, EndpointPolicy, EndpointSet, LocalityEndpoints, WorkloadLabels,
};
use leno_names::{Fraction, Locality};
use leno_proto::envoy::config::core::v3::{
    Address, HealthStatus, HealthStatusSet, Locality as ProtoLocality, Metadata,
};
use leno_proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as ProtoEndpoint, LbEndpoint, LocalityLbEndpoints,
    cluster_load_assignment::{Policy, policy::DropOverload},
    endpoint::HealthCheckConfig,
    lb_endpoint::HostIdentifier,
};

use super::common::{
    address, as_text, fraction, named_address, read_address, read_fraction, read_named, string, structure, u32_value,
};
use super::error::{At, DecodeError, Result, refuse};
use super::metadata::{decode_beside, encode_beside};
use super::subset;

/// Istio's metadata: filter `istio`, key `workload`.
const FILTER: &str = "istio";
const WORKLOAD: &str = "workload";

pub(super) fn encode(set: &EndpointSet) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: set.name.clone(),
        endpoints: set.localities.iter().map(encode_locality).collect(),
        policy: (set.policy != EndpointPolicy::default()).then(|| encode_policy(&set.policy)),
        ..ClusterLoadAssignment::default()
    }
}

fn encode_policy(policy: &EndpointPolicy) -> Policy {
    let drop = |(number, share): (usize, &Fraction)| DropOverload {
        category: format!("drop-{number}"),
        drop_percentage: Some(fraction(*share)),
    };
    Policy {
        drop_overloads: policy.drop_overloads.iter().enumerate().map(drop).collect(),
        overprovisioning_factor: u32_value(policy.overprovisioning_percent),
        weighted_priority_health: policy.weighted_priority_health,
        ..Policy::default()
    }
}

fn encode_locality(locality: &LocalityEndpoints) -> LocalityLbEndpoints {
    LocalityLbEndpoints {
        locality: Some(proto_locality(&locality.locality)),
        priority: locality.priority,
        // gRPC leaves out localities without a weight.
        load_balancing_weight: (locality.weight > 0).then_some(locality.weight).and_then(u32_value),
        lb_endpoints: locality.endpoints.iter().map(encode_endpoint).collect(),
        metadata: subset::encode_socket_labels(&locality.socket_labels, None),
        ..LocalityLbEndpoints::default()
    }
}

fn encode_endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let check = &endpoint.check;
    let host = ProtoEndpoint {
        address: match &endpoint.resolve {
            None => address(endpoint.address),
            Some(name) => named_address(name, endpoint.address.port()),
        },
        hostname: endpoint.hostname.clone(),
        health_check_config: (*check != EndpointCheck::default()).then(|| HealthCheckConfig {
            port_value: check.port.unwrap_or_default().into(),
            hostname: check.hostname.clone(),
            address: check.address.map(|ip| SocketAddr::new(ip, check.port.unwrap_or_default())).and_then(address),
            disable_active_health_check: check.disabled,
        }),
        ..ProtoEndpoint::default()
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(host)),
        health_status: proto_health(endpoint.health).into(),
        load_balancing_weight: u32_value(endpoint.weight.max(1)),
        metadata: encode_beside(
            &endpoint.metadata,
            subset::encode_socket_labels(
                &endpoint.socket_labels,
                subset::encode_labels(&endpoint.labels, metadata(&endpoint.workload)),
            ),
        ),
    }
}

fn proto_health(health: EndpointHealth) -> HealthStatus {
    match health {
        EndpointHealth::Degraded => HealthStatus::Degraded,
        EndpointHealth::Draining => HealthStatus::Draining,
        EndpointHealth::Healthy => HealthStatus::Healthy,
        EndpointHealth::Unhealthy => HealthStatus::Unhealthy,
        EndpointHealth::Unknown => HealthStatus::Unknown,
    }
}

fn read_health(status: HealthStatus) -> EndpointHealth {
    match status {
        HealthStatus::Degraded => EndpointHealth::Degraded,
        HealthStatus::Draining => EndpointHealth::Draining,
        HealthStatus::Healthy => EndpointHealth::Healthy,
        HealthStatus::Timeout | HealthStatus::Unhealthy => EndpointHealth::Unhealthy,
        HealthStatus::Unknown => EndpointHealth::Unknown,
    }
}

/// A time-out is not told apart from other reasons to be unhealthy, so both are written.
pub(super) fn encode_statuses(statuses: &[EndpointHealth]) -> HealthStatusSet {
    let is_unhealthy = statuses.contains(&EndpointHealth::Unhealthy);
    let statuses = statuses.iter().map(|health| proto_health(*health));
    HealthStatusSet { statuses: statuses.chain(is_unhealthy.then_some(HealthStatus::Timeout)).map(i32::from).collect() }
}

pub(super) fn decode_statuses(set: &HealthStatusSet) -> Result<Vec<EndpointHealth>> {
    let mut decoded = Vec::with_capacity(set.statuses.len());
    for status in set.statuses() {
        let health = read_health(status);
        if status == HealthStatus::Timeout && !set.statuses().any(|status| status == HealthStatus::Unhealthy) {
            let reason = "TIMEOUT is not told apart from UNHEALTHY, so it cannot be set without it";
            return Err(DecodeError::new("override_host_status.statuses", reason));
        }
        if !decoded.contains(&health) {
            decoded.push(health);
        }
    }
    Ok(decoded)
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
    decode_with(set, read_plain)
}

/// The same for clusters that look names up.
pub(super) fn decode_named(set: &ClusterLoadAssignment) -> Result<EndpointSet> {
    decode_with(set, read_named)
}

/// Address, and the name that has to be looked up for it.
type ReadAddress = fn(Option<&Address>) -> Result<(SocketAddr, Option<String>)>;

fn read_plain(address: Option<&Address>) -> Result<(SocketAddr, Option<String>)> {
    Ok((read_address(address)?, None))
}

fn decode_with(set: &ClusterLoadAssignment, read: ReadAddress) -> Result<EndpointSet> {
    let mut localities = Vec::with_capacity(set.endpoints.len());
    for (index, locality) in set.endpoints.iter().enumerate() {
        localities.push(decode_locality(locality, read).at_index("endpoints", index)?);
    }
    let policy = set.policy.as_ref().map(decode_policy).transpose().at("policy")?.unwrap_or_default();
    Ok(EndpointSet { name: set.cluster_name.clone(), localities, policy })
}

fn decode_policy(policy: &Policy) -> Result<EndpointPolicy> {
    refuse!(policy, endpoint_stale_after);
    let drop = |(index, drop): (usize, &DropOverload)| {
        read_fraction(&drop.drop_percentage.unwrap_or_default()).at_index("drop_overloads", index)
    };
    let overprovisioning = policy.overprovisioning_factor.as_ref().map(|factor| factor.value);
    if overprovisioning == Some(0) {
        return Err(DecodeError::new("overprovisioning_factor", "must be above 0"));
    }
    Ok(EndpointPolicy {
        drop_overloads: policy.drop_overloads.iter().enumerate().map(drop).collect::<Result<_>>()?,
        overprovisioning_percent: overprovisioning.unwrap_or(EndpointPolicy::OVERPROVISIONING_PERCENT),
        weighted_priority_health: policy.weighted_priority_health,
    })
}

fn decode_locality(locality: &LocalityLbEndpoints, read: ReadAddress) -> Result<LocalityEndpoints> {
    let mut endpoints = Vec::with_capacity(locality.lb_endpoints.len());
    for (index, endpoint) in locality.lb_endpoints.iter().enumerate() {
        endpoints.push(decode_endpoint(endpoint, read).at_index("lb_endpoints", index)?);
    }
    Ok(LocalityEndpoints {
        locality: read_locality(locality.locality.as_ref()),
        priority: locality.priority,
        weight: locality.load_balancing_weight.as_ref().map_or(0, |weight| weight.value),
        socket_labels: subset::decode_socket_labels(locality.metadata.as_ref()),
        endpoints,
    })
}

fn decode_endpoint(endpoint: &LbEndpoint, read: ReadAddress) -> Result<Endpoint> {
    let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else {
        return Err(DecodeError::unsupported("endpoint_name"));
    };
    refuse!(host, additional_addresses);
    let (address, resolve) = read(host.address.as_ref()).at("endpoint")?;
    Ok(Endpoint {
        address,
        resolve,
        hostname: host.hostname.clone(),
        weight: endpoint.load_balancing_weight.as_ref().map_or(1, |weight| weight.value).max(1),
        health: read_health(endpoint.health_status()),
        check: host.health_check_config.as_ref().map(decode_check).transpose().at("endpoint")?.unwrap_or_default(),
        workload: read_labels(endpoint.metadata.as_ref()),
        labels: subset::decode_labels(endpoint.metadata.as_ref()),
        metadata: {
            let mut rest = decode_beside(endpoint.metadata.as_ref(), FILTER, WORKLOAD);
            rest.remove(subset::FILTER);
            rest.remove(subset::SOCKET_FILTER);
            rest
        },
        socket_labels: subset::decode_socket_labels(endpoint.metadata.as_ref()),
    })
}

fn decode_check(config: &HealthCheckConfig) -> Result<EndpointCheck> {
    let port = |port: u32| match u16::try_from(port) {
        Ok(0) => Ok(None),
        Ok(port) => Ok(Some(port)),
        Err(_) => Err(DecodeError::new("health_check_config.port_value", format!("{port} is no port"))),
    };
    let address = config.address.as_ref().map(|address| read_address(Some(address))).transpose();
    let address = address.at("health_check_config")?;
    Ok(EndpointCheck {
        address: address.map(|address| address.ip()),
        // An address of its own brings its port, which a port of its own overrides.
        port: port(config.port_value)?.or(address.map(|address| address.port()).filter(|port| *port > 0)),
        hostname: config.hostname.clone(),
        disabled: config.disable_active_health_check,
    })
}

fn read_labels(metadata: Option<&Metadata>) -> WorkloadLabels {
    let fields = metadata.and_then(|metadata| metadata.filter_metadata.get(FILTER));
    let text = fields.and_then(|fields| as_text(fields.fields.get(WORKLOAD))).unwrap_or_default();
    let mut parts = text.split(';').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    WorkloadLabels { workload: next(), namespace: next(), service: next(), version: next(), cluster: next() }
}
