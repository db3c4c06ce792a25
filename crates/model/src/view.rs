//! The mesh as a client sees it: what is exported to it, and of several rules for one service those that hold for it.
//!
//! Invariants  a host has one service; a service that looks the same to all is the same `Arc`
//! Cost        one look-up per service and rule that may mean it; nothing is copied for services without rules of their own
//! Source      Istio: `exportTo`; DestinationRules are looked for in the client's, the service's and the root namespace

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use leno_api::OutboundMode;
use leno_names::ServiceKey;

use crate::hosts::Hosts;
use crate::rulebook::Affected;
use crate::sidecar::Egress;
use crate::{Client, Rules, Scope, Service, Services, Snapshot};

impl Snapshot {
    pub fn scope_of(&self, client: Client<'_>) -> Scope {
        self.rulebook.differences.scope(client)
    }

    /// Scopes that together see every object, whatever clients there are.
    pub fn scopes(&self) -> Vec<Scope> {
        let named = self.rulebook.differences.namespaces.iter().cloned();
        std::iter::once(String::new())
            .chain(named)
            .map(|namespace| Scope { namespace, labels: BTreeMap::new() })
            .collect()
    }

    /// The same mesh with what clients of a scope see.
    pub fn seen_by(&self, scope: &Scope) -> Self {
        let egress = self.rulebook.sidecars.egress(scope, &self.settings.root_namespace);
        let mut services = Services::new();
        // Hosts that routes lead to are seen because the routes are.
        let mut led_to = Vec::new();
        for (_, keys) in self.hosts.iter() {
            let Some(service) = self.visible(keys, &scope.namespace) else { continue };
            let imported = match &egress {
                Some(egress) => egress.of(service),
                None => Some(service.clone()),
            };
            let Some(service) = imported else { continue };
            let service = self.with_rules_for(&service, scope, egress.as_ref());
            if egress.is_some() {
                led_to.extend(service.destinations());
            }
            services.insert(service.key.clone(), service);
        }
        for (host, namespace) in led_to {
            let keys = self.hosts.of(&self.hosts.canonical(&host, &namespace));
            if let Some(service) = self.visible(keys, &scope.namespace) {
                let add = || self.with_rules_for(service, scope, egress.as_ref());
                services.entry(service.key.clone()).or_insert_with(add);
            }
        }
        let mut hosts = Hosts::new(&self.settings.domain);
        services.values().for_each(|service| hosts.add(&service.fqdn, &service.key));
        let ingress = self.rulebook.sidecars.ingress(scope, &self.settings.root_namespace);
        Self { services, hosts: Arc::new(hosts), ingress, outbound: self.outbound_of(scope), ..self.clone() }
    }

    fn outbound_of(&self, scope: &Scope) -> OutboundMode {
        let of_mesh = self.mesh.outbound_traffic_policy.as_ref().and_then(|policy| policy.mode);
        let said = self.rulebook.sidecars.outbound(scope, &self.settings.root_namespace).or(of_mesh);
        said.unwrap_or(self.outbound)
    }

    /// The services that are not what they were in `before`; `None`: there are others, or they are seen by others.
    pub fn changed_since(&self, before: &Self) -> Option<BTreeSet<ServiceKey>> {
        let same_hosts = Arc::ptr_eq(&self.hosts, &before.hosts) || self.hosts == before.hosts;
        if !same_hosts || self.settings != before.settings {
            return None;
        }
        let Affected::Some(mut changed) = self.rulebook.affected(&before.rulebook, &self.hosts) else { return None };
        for item in before.services.diff(&self.services) {
            match item {
                DiffItem::Update { old: (key, old), new: (_, new) } if old.visibility == new.visibility => {
                    changed.insert(key.clone());
                }
                _ => return None,
            }
        }
        Some(changed)
    }

    /// [`Snapshot::seen_by`] once more, after a mesh was seen as `seen` since which only some services have changed.
    pub fn seen_again(&self, scope: &Scope, changed: &BTreeSet<ServiceKey>, seen: &Arc<Self>) -> Arc<Self> {
        Arc::new(self.changed_for(scope, changed, seen).unwrap_or_else(|| self.seen_by(scope)))
    }

    /// `None`: what is visible may be another.
    fn changed_for(&self, scope: &Scope, changed: &BTreeSet<ServiceKey>, seen: &Self) -> Option<Self> {
        let egress = self.rulebook.sidecars.egress(scope, &self.settings.root_namespace);
        let mut services = seen.services.clone();
        for key in changed {
            let Some(service) = self.services.get(key) else { continue };
            let Some(old) = seen.services.get(key) else {
                // It may have got the port that is asked for.
                if egress.as_ref().is_some_and(|egress| egress.of(service).is_some()) {
                    return None;
                }
                continue;
            };
            // Those that routes lead to are seen although nobody imports them.
            let imported = egress.as_ref().and_then(|egress| egress.of(service)).unwrap_or_else(|| service.clone());
            let new = self.with_rules_for(&imported, scope, egress.as_ref());
            // Where routes lead is seen because of them.
            if egress.is_some() && old.ports != new.ports {
                return None;
            }
            if egress.is_some() && old.rules != new.rules && old.destinations() != new.destinations() {
                return None;
            }
            services.insert(key.clone(), new);
        }
        let (hosts, ingress) = (seen.hosts.clone(), seen.ingress.clone());
        Some(Self { services, hosts, ingress, outbound: self.outbound_of(scope), ..self.clone() })
    }

    /// Whether every client is of the scope that it was of.
    pub fn has_scopes_of(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.rulebook, &before.rulebook) || self.rulebook.differences == before.rulebook.differences
    }

    /// Of the services of one host that which clients in `namespace` see: their own first.
    fn visible<'a>(&'a self, keys: &'a [ServiceKey], namespace: &str) -> Option<&'a Arc<Service>> {
        let seen = |key: &&ServiceKey| self.services.get(*key).is_some_and(|s| s.visibility.includes(namespace));
        let own = keys.iter().filter(|key| key.namespace == namespace).find(seen);
        self.services.get(own.or_else(|| keys.iter().find(seen))?)
    }

    pub(crate) fn with_rules_for(
        &self,
        service: &Arc<Service>,
        scope: &Scope,
        egress: Option<&Egress>,
    ) -> Arc<Service> {
        let policies = self.rulebook.policies(service, scope, &self.settings.root_namespace);
        let rules = match self.rulebook.virtual_service(&service.fqdn, &scope.namespace, egress) {
            Some(routes) => {
                let own = routes.for_clients(scope);
                Rules::VirtualService(if own == **routes { routes.clone() } else { Arc::new(own) })
            }
            None => self.rulebook.routes(&service.key, &scope.namespace),
        };
        if policies.as_ref() == service.policies.as_deref() && rules == service.rules {
            return service.clone();
        }
        Arc::new(Service { policies: policies.map(Arc::new), rules, ..Service::clone(service) })
    }
}
