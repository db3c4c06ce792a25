//! What Sidecars let workloads see of the mesh, and how they want them reached.
//!
//! Invariants  one Sidecar holds for a workload: the oldest that selects it, or its namespace's, or the root namespace's; what
//!             that one leaves out the next of them may say
//! Source      Istio Sidecar. Where a VirtualService that is seen leads is seen, too

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{ConnectionPool, IngressListener, OutboundMode, Resource, ResourceKey, Sidecar};

use crate::client::Differences;
use crate::hosts::covers;
use crate::{Rules, Scope, Service, VirtualRoutes, Visibility};

/// All Sidecars, by namespace, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sidecars {
    all: BTreeMap<String, Vec<(ResourceKey, Arc<Sidecar>)>>,
}

/// How workloads of a scope are reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ingress {
    /// None: as workloads say themselves.
    pub listeners: Vec<IngressListener>,
    pub pool: Option<ConnectionPool>,
}

impl Sidecars {
    pub(crate) fn new(resources: &[Arc<Resource>], root: &str, differences: &mut Differences) -> Self {
        let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for resource in resources {
            let Resource::Sidecar(object) = &**resource else { continue };
            let key = resource.key();
            if key.namespace == root && object.spec.workload_selector.is_none() {
                // It may speak of `.`, which is another namespace for each.
                differences.every_namespace = true;
            }
            differences.see(&Visibility::Everywhere, &key.namespace);
            if let Some(selector) = &object.spec.workload_selector {
                differences.select(&selector.labels);
            }
            all.entry(key.namespace.clone()).or_default().push((key, Arc::new((**object).clone())));
        }
        Self { all }
    }

    /// Those that hold for clients of a scope, the closest first.
    fn of<'a>(&'a self, scope: &'a Scope, root: &'a str) -> impl Iterator<Item = &'a Sidecar> {
        let own = || self.all.get(&scope.namespace).into_iter().flatten().map(|(_, sidecar)| &**sidecar);
        let selects = |sidecar: &&Sidecar| match &sidecar.spec.workload_selector {
            Some(selector) => scope.has(&selector.labels),
            None => false,
        };
        let general = |sidecar: &&Sidecar| sidecar.spec.workload_selector.is_none();
        let roots = self.all.get(root).into_iter().flatten().map(|(_, sidecar)| &**sidecar);
        own().find(selects).into_iter().chain(own().find(general)).chain(roots.into_iter().find(general))
    }

    /// What clients of a scope may reach; `None`: everything.
    pub(crate) fn egress(&self, scope: &Scope, root: &str) -> Option<Egress> {
        let sidecar = self.of(scope, root).find(|sidecar| !sidecar.spec.egress.is_empty())?;
        let listeners = sidecar.spec.egress.iter().flat_map(|listener| {
            let port = listener.port.as_ref().map(|port| port.number).filter(|port| *port > 0);
            listener.hosts.iter().filter_map(move |host| Import::read(host, port))
        });
        Some(Egress { imports: listeners.collect(), namespace: scope.namespace.clone() })
    }

    /// What becomes of requests to strangers, where a Sidecar says it.
    pub(crate) fn outbound(&self, scope: &Scope, root: &str) -> Option<OutboundMode> {
        self.of(scope, root).find_map(|sidecar| sidecar.spec.outbound_traffic_policy.as_ref()?.mode)
    }

    pub(crate) fn ingress(&self, scope: &Scope, root: &str) -> Ingress {
        let Some(sidecar) = self.of(scope, root).next() else { return Ingress::default() };
        Ingress { listeners: sidecar.spec.ingress.clone(), pool: sidecar.spec.inbound_connection_pool.clone() }
    }
}

/// The hosts that clients of a scope may reach.
#[derive(Debug)]
pub(crate) struct Egress {
    imports: Vec<Import>,
    namespace: String,
}

/// `namespace/host`, perhaps for one port.
#[derive(Debug)]
struct Import {
    namespace: String,
    host: String,
    port: Option<u16>,
}

impl Import {
    fn read(text: &str, port: Option<u16>) -> Option<Self> {
        let (namespace, host) = text.split_once('/')?;
        Some(Self { namespace: namespace.to_owned(), host: host.to_ascii_lowercase(), port })
    }

    fn is_of(&self, namespace: &str, own: &str) -> bool {
        match self.namespace.as_str() {
            "*" => true,
            "." => namespace == own,
            "~" => false,
            named => namespace == named,
        }
    }
}

impl Egress {
    /// The service with those ports that are seen; `None` when none is.
    pub(crate) fn of(&self, service: &Arc<Service>) -> Option<Arc<Service>> {
        let fits = |import: &&Import| {
            import.is_of(&service.key.namespace, &self.namespace) && covers(&import.host, &service.fqdn)
        };
        let imports: Vec<_> = self.imports.iter().filter(fits).collect();
        if imports.is_empty() || imports.iter().any(|import| import.port.is_none()) {
            return (!imports.is_empty()).then(|| service.clone());
        }
        let numbers: BTreeSet<_> = imports.iter().filter_map(|import| import.port).collect();
        let mut some = Service::clone(service);
        some.ports.retain(|port| numbers.contains(&port.number));
        (!some.ports.is_empty()).then(|| Arc::new(some))
    }

    /// Whether the VirtualService of a namespace for a host is seen.
    pub(crate) fn sees(&self, routes: &VirtualRoutes, host: &str) -> bool {
        let fits = |import: &Import| {
            let named = covers(&import.host, host) || host.starts_with('*') && covers(host, &import.host);
            import.is_of(&routes.key.namespace, &self.namespace) && named
        };
        self.imports.iter().any(fits)
    }
}

/// The hosts that the routes of a service lead to, as they are written, with the namespace they are said in.
pub(crate) fn destinations(service: &Service) -> Vec<(String, String)> {
    let routes = match &service.rules {
        Rules::Default => return Vec::new(),
        Rules::Routes(routes) => {
            let all = routes.iter().flat_map(|route| {
                let own = route.route.metadata().namespace();
                let backends = route.route.backends().into_iter();
                backends.map(move |to| (to.name.clone(), to.namespace.clone().unwrap_or_else(|| own.to_owned())))
            });
            return all.collect();
        }
        Rules::VirtualService(routes) => routes,
    };
    let mut all = Vec::new();
    for rule in &routes.http {
        let route = &rule.route;
        let mirrors = route.mirror.iter().chain(route.mirrors.iter().map(|mirror| &mirror.destination));
        let targets = route.route.iter().map(|target| &target.destination).chain(mirrors);
        all.extend(targets.map(|target| (target.host.clone(), rule.object.namespace.clone())));
    }
    let tcp = routes.tcp.iter().flat_map(|(_, route)| &route.route);
    let tls = routes.tls.iter().flat_map(|(_, route)| &route.route);
    all.extend(tcp.chain(tls).map(|target| (target.destination.host.clone(), routes.key.namespace.clone())));
    all
}
