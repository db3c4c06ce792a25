//! The objects of a large mesh, and a client of it.

use std::collections::BTreeMap;

use leno_api::{
    BackendRef, GatewayHttpRoute, HttpRouteRule, ParentRef, Resource, Service, ServicePort, Sidecar, WorkloadEntry,
};
use leno_ir::{Flavor, Node};

/// A service.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) service: usize,
}

pub(crate) fn namespace(index: usize) -> String {
    format!("team-{index:03}")
}

fn name(index: usize) -> String {
    format!("service-{index:05}")
}

pub(crate) fn service(place: Place<'_>) -> Resource {
    let mut service = Service::default();
    service.metadata.name = name(place.service);
    service.metadata.namespace = Some(place.namespace.to_owned());
    service.spec.selector = BTreeMap::from([("app".to_owned(), name(place.service))]);
    service.spec.ports = vec![ServicePort { name: Some("http".to_owned()), port: 80, ..ServicePort::default() }];
    service.into()
}

/// One of a service's; no weight is 0.
pub(crate) fn workload(place: Place<'_>, index: usize, weight: usize) -> Resource {
    let mut entry = WorkloadEntry::default();
    entry.metadata.name = format!("{}-{index}", name(place.service));
    entry.metadata.namespace = Some(place.namespace.to_owned());
    let number = place.service * 64 + index;
    entry.spec.address = Some(format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255));
    let labels = [("app".to_owned(), name(place.service)), ("version".to_owned(), "v1".to_owned())];
    entry.spec.labels = BTreeMap::from(labels);
    entry.spec.service_account = Some(name(place.service));
    entry.spec.weight = u32::try_from(weight).ok().filter(|weight| *weight > 0);
    entry.into()
}

/// To the service and its neighbour.
pub(crate) fn route(place: Place<'_>, weight: u32) -> Resource {
    let mut route = GatewayHttpRoute::default();
    route.metadata.name = name(place.service);
    route.metadata.namespace = Some(place.namespace.to_owned());
    route.spec.parent_refs = vec![ParentRef {
        group: Some(String::new()),
        kind: Some("Service".to_owned()),
        name: name(place.service),
        ..ParentRef::default()
    }];
    let backend = |name, weight| BackendRef { name, port: Some(80), weight: Some(weight), ..BackendRef::default() };
    let backend_refs = vec![backend(name(place.service), weight), backend(name(place.service + 1), 9)];
    route.spec.rules = vec![HttpRouteRule { backend_refs, ..HttpRouteRule::default() }];
    route.into()
}

/// What workloads of a namespace see: its own services, and those of another.
pub(crate) fn sidecar(namespace: &str, other: &str) -> Resource {
    let mut sidecar = Sidecar::default();
    sidecar.metadata.name = "default".to_owned();
    sidecar.metadata.namespace = Some(namespace.to_owned());
    let hosts = vec!["./*".to_owned(), format!("{other}/*")];
    sidecar.spec.egress = vec![leno_api::EgressListener { hosts, ..Default::default() }];
    sidecar.into()
}

pub(crate) fn node(id: String, namespace: &str) -> Node {
    Node {
        id,
        flavor: Flavor::Leno,
        locality: leno_names::Locality::default(),
        namespace: namespace.to_owned(),
        service_account: "client".to_owned(),
        workload: "client".to_owned(),
        service: None,
        labels: BTreeMap::new(),
        address: None,
        ports: Vec::new(),
        outbound_prefix: Some([127, 64]),
        http_proxy: None,
        gateway: None,
        access_log: None,
        access_log_format: None,
        control: None,
    }
}
