use std::collections::BTreeSet;
use std::sync::Arc;

use leno_api::{DestinationRule, IntOrString, ResourceKey, Subset, VirtualService};
use leno_names::ServiceKey;
use serde::Serialize;

use crate::gateway::MeshRoute;
use crate::{Protocol, Workload};

/// A name that clients call, what stands behind it and how requests get there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    pub key: ServiceKey,
    pub fqdn: String,
    /// Its number in the mesh: last two bytes of its loopback address. `None`: not allotted yet, not reachable by address.
    pub index: Option<u16>,
    /// In order of number.
    pub ports: Vec<ServicePort>,
    /// Who may stand behind it.
    pub service_accounts: BTreeSet<String>,
    /// By name; all have an allowed service account.
    pub workloads: Vec<Arc<Workload>>,
    pub rules: Rules,
    #[serde(skip)]
    pub destination_rule: Option<Arc<DestinationRule>>,
    /// Nobody wrote it: workloads named it.
    pub implicit: bool,
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
    #[serde(serialize_with = "as_name")]
    VirtualService(Arc<VirtualService>),
}

fn as_names<S: serde::Serializer>(routes: &[MeshRoute], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(routes.iter().map(|route| &route.route.metadata().name))
}

fn as_name<S: serde::Serializer>(object: &Arc<VirtualService>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&object.metadata.name)
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

    pub fn subsets(&self) -> &[Subset] {
        self.destination_rule.as_ref().map_or(&[], |rule| &rule.spec.subsets)
    }

    /// `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub fn cluster_name(&self, port: u16, subset: Option<&str>) -> String {
        format!("outbound|{port}|{}|{}", subset.unwrap_or_default(), self.fqdn)
    }

    /// The objects that say how it is called.
    pub fn rules_keys(&self) -> Vec<ResourceKey> {
        let mut keys: Vec<_> = self.destination_rule_key().into_iter().collect();
        match &self.rules {
            Rules::Default => {}
            Rules::Routes(routes) => keys.extend(routes.iter().map(|route| route.route.key())),
            Rules::VirtualService(object) => keys.push(key_of(leno_api::Kind::VirtualService, &object.metadata)),
        }
        keys
    }

    /// The object to blame for its routing.
    pub fn destination_rule_key(&self) -> Option<ResourceKey> {
        let metadata = &self.destination_rule.as_ref()?.metadata;
        Some(ResourceKey::new(leno_api::Kind::DestinationRule, metadata.namespace(), &metadata.name))
    }
}

fn key_of(kind: leno_api::Kind, metadata: &leno_api::ObjectMeta) -> ResourceKey {
    ResourceKey::new(kind, metadata.namespace(), &metadata.name)
}
