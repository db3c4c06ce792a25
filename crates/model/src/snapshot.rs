use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{MeshConfig, Resource};
use leno_names::{ServiceKey, TrustDomain};
use serde::Serialize;

use crate::build;
use crate::hosts::{self, Hosts};
use crate::rulebook::Rulebook;
use crate::{Ingress, Problem, Service};

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
    #[serde(skip)]
    pub(crate) hosts: Hosts,
    #[serde(skip)]
    pub(crate) rulebook: Arc<Rulebook>,
}

impl Snapshot {
    pub fn empty(settings: MeshSettings) -> Self {
        let hosts = Hosts::new(&settings.domain);
        Self { settings, services: BTreeMap::new(), mesh: Arc::default(), ingress: Ingress::default(), hosts, rulebook: Arc::default() }
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

    /// The service that `host` means, if it exists: one of the mesh, or the host of a ServiceEntry.
    pub fn service(&self, host: &str, namespace: &str) -> Option<&Arc<Service>> {
        self.services.get(self.hosts.find(host, namespace)?)
    }
}
