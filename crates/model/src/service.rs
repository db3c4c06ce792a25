use std::collections::BTreeSet;
use std::sync::Arc;

use leno_api::{IntOrString, ResourceKey};
use leno_names::ServiceKey;
use serde::Serialize;

use crate::{
    BackendTraffic, MeshRoute, Policies, PolicySubset, Protocol, ServicePolicies, VirtualRoutes, Visibility, Workload,
};

/// A name that clients call, what stands behind it and how requests get there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// The name is the whole host where that is not made of the key: for hosts of ServiceEntries.
    pub key: ServiceKey,
    /// The host that clients call; may begin with `*.`.
    pub fqdn: String,
    /// The objects that say what it is; none where workloads alone do.
    pub origins: Vec<ResourceKey>,
    pub visibility: Visibility,
    pub location: Location,
    pub resolution: Resolution,
    /// Virtual addresses and ranges that stand for it, as written.
    pub addresses: Vec<String>,
    /// Names that its certificates may have besides those of `service_accounts`.
    pub subject_alt_names: Vec<String>,
    /// Its number in the mesh: last two bytes of its loopback address. `None`: not allotted yet, not reachable by address.
    pub index: Option<u16>,
    /// In order of number.
    pub ports: Vec<ServicePort>,
    /// Who may stand behind it.
    pub service_accounts: BTreeSet<String>,
    /// By name; all have an allowed service account. Then what EndpointSlices name.
    pub workloads: Vec<Arc<Workload>>,
    #[serde(skip_serializing_if = "Strangers::is_none")]
    pub strangers: Strangers,
    pub rules: Rules,
    pub policies: Option<Arc<Policies>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Arc<BackendTraffic>>,
    /// What Leno's own policies say of it, those for its namespace and the mesh included.
    #[serde(skip)]
    pub attached: Option<Arc<ServicePolicies>>,
    /// Nobody wrote it: workloads named it.
    pub implicit: bool,
}

/// Who runs a service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// Strangers: they know nothing of the mesh's mutual TLS.
    External,
    #[default]
    Internal,
}

/// Whether what stands behind a service may know nothing of the mesh, as EndpointSlices say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strangers {
    /// All endpoints do not.
    All,
    #[default]
    None,
    /// Each endpoint says.
    Some,
}

impl Strangers {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// How a service's endpoints are found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// All addresses of the endpoints' names, or of the host itself.
    Dns,
    /// Of the name the first address at the time a connection is made.
    DnsRoundRobin,
    /// The addresses of whatever host a request names.
    DynamicDns,
    /// Wherever the request was going, which is what the host's name stands for: the mesh itself put other addresses there.
    None,
    /// The addresses are known.
    #[default]
    Static,
}

/// How requests to a service are routed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rules {
    /// Evenly to all endpoints.
    #[default]
    Default,
    /// Oldest first.
    #[serde(serialize_with = "as_names")]
    Routes(Vec<MeshRoute>),
    VirtualService(Arc<VirtualRoutes>),
}

fn as_names<S: serde::Serializer>(routes: &[MeshRoute], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(routes.iter().map(|route| &route.route.metadata().name))
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServicePort {
    pub number: u16,
    pub name: Option<String>,
    pub target: IntOrString,
    pub protocol: Protocol,
}

impl ServicePort {
    /// Where `workload` takes what comes to this port; `None` when it does not.
    pub fn on(&self, workload: &Workload) -> Option<u16> {
        let target = match &self.target {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => name.clone(),
        };
        let named = self.name.as_ref().and_then(|name| workload.ports.get(name));
        if let Some(port) = named.or_else(|| workload.ports.get(&target)) {
            return Some(*port);
        }
        match &self.target {
            _ if workload.registered => None,
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(_) => Some(self.number),
        }
    }
}

impl AsRef<Self> for Service {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Service {
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }

    pub fn subsets(&self) -> &[PolicySubset] {
        self.policies.as_ref().map_or(&[], |policies| &policies.subsets)
    }

    /// Its endpoints are a resource of their own; otherwise they are a part of its clusters.
    pub fn has_endpoint_sets(&self) -> bool {
        self.resolution == Resolution::Static
    }

    /// A Service, written or implied, not the host of a ServiceEntry.
    pub fn is_of_mesh(&self) -> bool {
        self.origins.first().is_none_or(|object| object.kind == leno_api::Kind::Service)
    }

    /// `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub fn cluster_name(&self, port: u16, subset: Option<&str>) -> String {
        format!("outbound|{port}|{}|{}", subset.unwrap_or_default(), self.fqdn)
    }

    /// The objects that say how it is called.
    pub fn rules_keys(&self) -> Vec<ResourceKey> {
        let mut keys: Vec<_> = self.policies.iter().flat_map(|policies| policies.objects.iter().cloned()).collect();
        keys.extend(self.traffic.iter().map(|traffic| traffic.policy.clone()));
        keys.extend(self.attached.iter().flat_map(|attached| attached.objects()).cloned());
        match &self.rules {
            Rules::Default => {}
            Rules::Routes(routes) => keys.extend(routes.iter().map(|route| route.route.key())),
            Rules::VirtualService(routes) => {
                keys.push(routes.key.clone());
                let delegates = routes.http.iter().map(|rule| &rule.object).filter(|object| **object != routes.key);
                keys.extend(delegates.cloned());
            }
        }
        keys
    }
}
