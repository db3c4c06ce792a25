//! The mesh as a client sees it: what is exported to it, and of several rules for one service those that hold for it.
//!
//! Invariants  a host has one service; a service that looks the same to all is the same `Arc`
//! Cost        one look-up per service and rule that may mean it; nothing is copied for services without rules of their own
//! Source      Istio: `exportTo`; DestinationRules are looked for in the client's, the service's and the root namespace

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_names::ServiceKey;

use crate::hosts::Hosts;
use crate::sidecar::{self, Egress};
use crate::{Client, Rules, Scope, Service, Snapshot};

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

    /// Gives each service the rules that clients of its own namespace see.
    pub(crate) fn bind_to_own_namespaces(&mut self) {
        let bound = self.services.iter().map(|(key, service)| {
            let scope = Scope { namespace: key.namespace.clone(), labels: BTreeMap::new() };
            (key.clone(), self.with_rules_for(service, &scope, None))
        });
        self.services = bound.collect();
    }

    /// The same mesh with what clients of a scope see.
    pub fn seen_by(&self, scope: &Scope) -> Self {
        let egress = self.rulebook.sidecars.egress(scope, &self.settings.root_namespace);
        let mut services = BTreeMap::new();
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
                led_to.extend(sidecar::destinations(&service));
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
        let of_mesh = self.mesh.outbound_traffic_policy.as_ref().and_then(|policy| policy.mode);
        let said = self.rulebook.sidecars.outbound(scope, &self.settings.root_namespace).or(of_mesh);
        let outbound = said.unwrap_or(self.outbound);
        Self { services, hosts, ingress, outbound, ..self.clone() }
    }

    /// Of the services of one host that which clients in `namespace` see: their own first.
    fn visible<'a>(&'a self, keys: &'a [ServiceKey], namespace: &str) -> Option<&'a Arc<Service>> {
        let seen = |key: &&ServiceKey| self.services.get(*key).is_some_and(|s| s.visibility.includes(namespace));
        let own = keys.iter().filter(|key| key.namespace == namespace).find(seen);
        self.services.get(own.or_else(|| keys.iter().find(seen))?)
    }

    fn with_rules_for(&self, service: &Arc<Service>, scope: &Scope, egress: Option<&Egress>) -> Arc<Service> {
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
