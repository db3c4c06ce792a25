use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{BackendRef, EnvoyFilter, Kind, MeshConfig, OutboundMode, Resource, ResourceKey};
use leno_names::{ServiceKey, TrustDomain};
use serde::Serialize;

use crate::build::{self, Attached};
use crate::hosts::{self, Hosts};
use crate::rulebook::Rulebook;
use crate::status::Status;
use crate::{
    AccessRule, BackendError, BackendTls, Client, Gateway, Grants, Ingress, IstioGateway, Problem, RoutePolicies,
    Service, ServicePort,
};

/// What holds for the mesh as a whole.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MeshSettings {
    pub trust_domain: TrustDomain,
    /// What service names end in. Default `cluster.local`.
    pub domain: String,
    /// Where objects for the whole mesh live. Default `leno-system`.
    pub root_namespace: String,
}

impl MeshSettings {
    /// Istio's ConfigMap has the last word where it says something.
    pub(crate) fn with(&self, mesh: &MeshConfig) -> Self {
        let root = mesh.root_namespace.clone().filter(|namespace| !namespace.is_empty());
        Self { root_namespace: root.unwrap_or_else(|| self.root_namespace.clone()), ..self.clone() }
    }

    pub fn new(trust_domain: TrustDomain) -> Self {
        Self { trust_domain, domain: "cluster.local".to_owned(), root_namespace: "leno-system".to_owned() }
    }
}

/// The mesh at one moment, as a whole or as [some clients see it](Snapshot::seen_by).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    pub settings: MeshSettings,
    /// With the rules that hold for clients of its own namespace.
    pub services: BTreeMap<ServiceKey, Arc<Service>>,
    /// What Istio's ConfigMap says.
    #[serde(skip)]
    pub mesh: Arc<MeshConfig>,
    /// How workloads of those who see it so are reached.
    #[serde(skip)]
    pub ingress: Ingress,
    /// What becomes of requests to hosts that nobody has described; ours: they are refused unless somebody wants it otherwise.
    #[serde(skip)]
    pub outbound: OutboundMode,
    /// By their Gateway.
    #[serde(serialize_with = "as_list")]
    pub gateways: BTreeMap<ResourceKey, Arc<Gateway>>,
    /// Istio's, oldest first.
    #[serde(skip)]
    pub istio_gateways: Vec<Arc<IstioGateway>>,
    /// Those of a smaller priority, then the older ones, first.
    #[serde(skip)]
    pub envoy_filters: Vec<Arc<EnvoyFilter>>,
    /// By service and port.
    #[serde(skip)]
    pub backend_tls: BTreeMap<(ServiceKey, u16), BackendTls>,
    #[serde(skip)]
    pub grants: Grants,
    /// Who may call whom; service accounts that are not in it may be called by everybody of the mesh.
    #[serde(skip)]
    pub access: BTreeMap<(String, String), Vec<AccessRule>>,
    /// What Leno's own policies say of routes and gateways.
    #[serde(skip)]
    pub route_policies: Arc<RoutePolicies>,
    /// Of the objects that have more to say than problems.
    #[serde(skip)]
    pub statuses: BTreeMap<ResourceKey, Status>,
    #[serde(skip)]
    pub(crate) hosts: Hosts,
    #[serde(skip)]
    pub(crate) rulebook: Arc<Rulebook>,
}

fn as_list<S: serde::Serializer>(
    gateways: &BTreeMap<ResourceKey, Arc<Gateway>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(gateways.values())
}

impl Snapshot {
    pub fn empty(settings: MeshSettings) -> Self {
        let hosts = Hosts::new(&settings.domain);
        Self {
            settings,
            services: BTreeMap::new(),
            gateways: BTreeMap::new(),
            istio_gateways: Vec::new(),
            envoy_filters: Vec::new(),
            backend_tls: BTreeMap::new(),
            grants: Grants::default(),
            route_policies: Arc::default(),
            statuses: BTreeMap::new(),
            mesh: Arc::default(),
            access: BTreeMap::new(),
            ingress: Ingress::default(),
            outbound: OutboundMode::RegistryOnly,
            hosts,
            rulebook: Arc::default(),
        }
    }

    /// The service and port that a route of `kind` in `namespace` means that is attached to a gateway.
    ///
    /// # Errors
    /// There is none, or it may not be used.
    pub fn backend(&self, from: (Kind, &str), to: &BackendRef) -> Result<(&Service, &ServicePort), BackendError> {
        build::backend(&self.services, Attached::Gateway(&self.grants), from, to)
    }

    /// The same for a route that is attached to `port` of a service.
    ///
    /// # Errors
    /// There is none.
    pub fn mesh_backend(
        &self,
        from: (Kind, &str),
        to: &BackendRef,
        port: u16,
    ) -> Result<(&Service, &ServicePort), BackendError> {
        build::backend(&self.services, Attached::Service { port: Some(port) }, from, to)
    }

    /// `indices` are the numbers of [`service_keys`](crate::service_keys). Problems come sorted.
    pub fn build(
        resources: &[Arc<Resource>],
        settings: &MeshSettings,
        indices: &BTreeMap<ServiceKey, u16>,
    ) -> (Self, Vec<Problem>) {
        build::build(resources, settings, indices)
    }

    /// The service that `host` means when it is said in `namespace`: `reviews`, `reviews.ns`, `reviews.ns.svc` or the
    /// whole name. `None` for names outside the mesh; the service need not exist.
    pub fn resolve(&self, host: &str, namespace: &str) -> Option<ServiceKey> {
        hosts::resolve(host, namespace, &self.settings.domain)
    }

    /// The EnvoyFilters of a workload in the order in which they hold: first those of the root namespace (Istio).
    pub fn envoy_filters_of(&self, client: Client<'_>) -> Vec<&Arc<EnvoyFilter>> {
        let root = self.settings.root_namespace.as_str();
        let mut namespaces = vec![root];
        if client.namespace != root {
            namespaces.push(client.namespace);
        }
        let selects = |filter: &&Arc<EnvoyFilter>| {
            let selector = filter.spec.workload_selector.as_ref();
            selector.is_none_or(|selector| selector.labels.iter().all(|(k, v)| client.labels.get(k) == Some(v)))
        };
        let of = |namespace| {
            let all = self.envoy_filters.iter();
            all.filter(move |filter| filter.metadata.namespace() == namespace).filter(selects)
        };
        namespaces.into_iter().flat_map(of).collect()
    }

    /// The service that `host` means, if it exists: one of the mesh, or the host of a ServiceEntry.
    pub fn service(&self, host: &str, namespace: &str) -> Option<&Arc<Service>> {
        self.services.get(self.hosts.find(host, namespace)?)
    }
}
