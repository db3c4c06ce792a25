//! Endpoints that nobody registered: those that EndpointSlices name.
//!
//! Shape       1 EndpointSlice -> 1 service (its label) -> n endpoint x n address
//! Invariants  an address that a workload of the namespace has means that workload, whoever it says it belongs to: who writes
//!             a slice may write the Service's list of accounts, too
//! Source      Kubernetes discovery.k8s.io/v1; what is not said of an endpoint counts as ready. Ours: whoever is no workload
//!             of the mesh is spoken to in the clear

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use leno_api::{EndpointPort, EndpointSlice, IntOrString, Resource, ResourceKey};
use leno_names::ServiceKey;

use crate::{Address, Health, Problem, Service, Strangers, Workload};

/// Names the service.
const SERVICE: &str = "kubernetes.io/service-name";

/// Addresses that a service has already; those of strangers with their ports, as ports of one address may be spread over slices.
type Taken = BTreeSet<(IpAddr, Option<BTreeMap<String, u16>>)>;

/// Adds the endpoints of slices to the services that are written.
pub(super) fn add(
    resources: &[Arc<Resource>],
    workloads: &[Arc<Workload>],
    services: &mut BTreeMap<ServiceKey, Service>,
    problems: &mut Vec<Problem>,
) {
    let mut known = BTreeMap::new();
    let mut taken: BTreeMap<ServiceKey, Taken> = BTreeMap::new();
    for resource in resources {
        let Resource::EndpointSlice(slice) = &**resource else { continue };
        let key = resource.key();
        let Some(name) = slice.metadata.labels.get(SERVICE) else { continue };
        let Some(service) = services.get_mut(&ServiceKey::new(&key.namespace, name)) else { continue };
        if service.implicit {
            continue;
        }
        if known.is_empty() {
            known = workloads.iter().filter_map(|workload| Some((place(workload)?, workload))).collect();
        }
        let ports = ports(slice, service);
        let from = service.workloads.len();
        let own = || service.workloads.iter().filter_map(|workload| Some((place(workload)?.1, None))).collect();
        let taken = taken.entry(service.key.clone()).or_insert_with(own);
        for (index, endpoint) in slice.endpoints.iter().enumerate() {
            let Some(health) = health(slice, index) else { continue };
            for text in &endpoint.addresses {
                let Ok(ip) = text.parse::<IpAddr>() else {
                    let message = format!("\"{text}\" is no IP address; names are for ServiceEntries");
                    let field = format!("endpoints[{index}].addresses");
                    problems.push(Problem::error(&key, field, "name_not_looked_up", message));
                    continue;
                };
                let place = (ip, Some(ports.clone()));
                if taken.contains(&(ip, None)) || !taken.insert(place) {
                    continue;
                }
                if let Some(workload) = known.get(&(&*key.namespace, ip)) {
                    taken.insert((ip, None));
                    service.service_accounts.insert(workload.service_account.clone());
                    service.workloads.push(Arc::clone(workload));
                    continue;
                }
                let zone = endpoint.zone.as_deref().and_then(|zone| format!("/{zone}").parse().ok());
                service.workloads.push(Arc::new(Workload {
                    health,
                    ports: ports.clone(),
                    locality: zone.unwrap_or_default(),
                    registered: true,
                    is_stranger: true,
                    ..Workload::at(ResourceKey::clone(&key), Address::Ip(ip))
                }));
            }
        }
        let is_stranger = |workloads: &[Arc<Workload>]| workloads.iter().all(|workload| workload.is_stranger);
        service.strangers = match (is_stranger(&service.workloads), service.strangers) {
            (true, _) => Strangers::All,
            (false, Strangers::None) if !service.workloads[from..].iter().any(|workload| workload.is_stranger) => {
                Strangers::None
            }
            (false, _) => Strangers::Some,
        };
    }
}

fn place(workload: &Workload) -> Option<(&str, IpAddr)> {
    match workload.address {
        Address::Ip(ip) => Some((&workload.key.namespace, ip)),
        Address::Name(_) => None,
    }
}

/// `None`: it gets nothing.
fn health(slice: &EndpointSlice, index: usize) -> Option<Health> {
    let conditions = &slice.endpoints.get(index)?.conditions;
    if conditions.ready.unwrap_or(true) {
        return Some(Health::Healthy);
    }
    // Those that end and still answer are for when there is nobody else.
    let answers = conditions.serving.unwrap_or(false) && conditions.terminating.unwrap_or(false);
    answers.then_some(Health::Draining)
}

/// By name of the service's port; a port without one is known by what the service asks for.
fn ports(slice: &EndpointSlice, service: &Service) -> BTreeMap<String, u16> {
    let spoken = |port: &&EndpointPort| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
    let mut ports = BTreeMap::new();
    for port in slice.ports.iter().filter(spoken) {
        let name = port.name.as_deref().filter(|name| !name.is_empty());
        let meant = service.ports.iter().filter(|one| one.name.as_deref() == name);
        for one in meant {
            let target = match &one.target {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(text) => text.clone(),
            };
            // A port that is not said is any: then it is the service's.
            let number = port.port.unwrap_or(one.number);
            ports.insert(name.map_or(target, str::to_owned), number);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use leno_names::TrustDomain;

    use crate::{MeshSettings, Snapshot};

    const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: { name: db, namespace: shop }
spec: { clusterIP: None, ports: [{ name: sql, port: 5432 }, { name: admin, port: 80, targetPort: web }] }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: db-1, namespace: shop }
spec: { address: 10.0.0.1, serviceAccount: keeper, ports: { '5432': 15006 } }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: db-a, namespace: shop, labels: { kubernetes.io/service-name: db } }
addressType: IPv4
ports: [{ name: sql, port: 5433 }, { name: admin, port: 8080, protocol: TCP }, { name: admin, port: 9, protocol: UDP }]
endpoints:
  - { addresses: [10.0.0.1, 10.0.0.2] }
  - { addresses: [10.0.0.3], conditions: { ready: false } }
  - { addresses: [10.0.0.4], conditions: { ready: false, serving: true, terminating: true } }
";

    #[test]
    fn slices_name_workloads_and_strangers() {
        let parsed = leno_api::parse("shop.yaml", SHOP);
        let resources: Vec<_> = parsed.resources.into_iter().map(|located| located.value.into()).collect();
        let settings = MeshSettings::new("cluster.local".parse::<TrustDomain>().expect("a trust domain"));
        let (snapshot, problems) = Snapshot::build(&resources, &settings, &Default::default());
        assert!(problems.is_empty(), "{problems:?}");
        let service = snapshot.service("db", "shop").expect("it is written");
        let port = |number| service.port(number).expect("it is written");
        let said: Vec<_> = service
            .workloads
            .iter()
            .map(|one| {
                (format!("{:?}", one.address), one.is_stranger, port(5432).on(one), port(80).on(one), one.health)
            })
            .collect();
        let healthy = crate::Health::Healthy;
        assert_eq!(
            said,
            [
                ("Ip(10.0.0.1)".to_owned(), false, Some(15006), Some(80), healthy),
                ("Ip(10.0.0.2)".to_owned(), true, Some(5433), Some(8080), healthy),
                ("Ip(10.0.0.4)".to_owned(), true, Some(5433), Some(8080), crate::Health::Draining),
            ]
        );
        assert!(service.service_accounts.contains("keeper"));
    }
}
