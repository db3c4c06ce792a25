use std::collections::HashMap;
use std::sync::Arc;

use leno_balance::Together;
use leno_ir::{Cluster, Config, Discovery, EndpointSet};
use rustc_hash::FxHashMap;

use crate::dynamics::Dynamics;
use crate::filter::RouteRules;
use crate::http::ScopeIndex;
use crate::shared::SharedStates;
use crate::upstream::{Limits, Shared};

/// A configuration, prepared once for all workers.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    /// Every route table, indexed for matching.
    pub(crate) routes: FxHashMap<String, Arc<RouteRules>>,
    /// Of SRDS.
    pub(crate) scopes: Arc<ScopeIndex>,
    /// By cluster name; the same as long as the cluster stays.
    pub(crate) limits: HashMap<String, (Arc<Limits>, Together)>,
    /// Of the clusters that have any.
    pub(crate) dynamics: HashMap<String, Arc<Dynamics>>,
    /// The same in every plan.
    shared_states: SharedStates,
}

impl Plan {
    /// Nothing is configured.
    pub(crate) fn new(shared_states: SharedStates) -> Self {
        Self { shared_states, ..Self::default() }
    }

    /// Keeps what did not change of `self`.
    pub(crate) fn next(&self, config: Arc<Config>, dynamics: HashMap<String, Arc<Dynamics>>) -> Self {
        let route_table = |(name, table): (&String, &Arc<leno_ir::RouteTable>)| {
            let kept = self
                .config
                .route_tables
                .get(name)
                .filter(|old| Arc::ptr_eq(old, table) || old == &table)
                .and_then(|_| self.routes.get(name).cloned());
            let new = || Arc::new(RouteRules::new(table.clone(), &format!("route table {name}"), &self.shared_states));
            (name.clone(), kept.unwrap_or_else(new))
        };
        let routes = config.route_tables.iter().map(route_table).collect();
        let scopes = match self.config.scopes == config.scopes {
            true => self.scopes.clone(),
            false => {
                let scopes = config.scopes.values().map(AsRef::as_ref);
                Arc::new(ScopeIndex::new(scopes, "scopes", &self.shared_states))
            }
        };
        let limits = config
            .clusters
            .keys()
            .map(|name| (name.clone(), self.limits.get(name).cloned().unwrap_or_default()))
            .collect();
        Self { config, routes, scopes, limits, dynamics, shared_states: self.shared_states.clone() }
    }

    /// What workers share of a cluster.
    pub(crate) fn shared(&self, cluster: &str) -> Shared {
        let (limits, together) = self.limits.get(cluster).cloned().unwrap_or_default();
        Shared { limits, together, dynamics: self.dynamics.get(cluster).cloned() }
    }

    /// The endpoints of a cluster; none while they have not arrived.
    pub(crate) fn endpoints(&self, cluster: &Cluster) -> Arc<EndpointSet> {
        match &cluster.discovery {
            Discovery::Eds { service_name } => self.config.endpoints.get(service_name).cloned().unwrap_or_default(),
            // What its names lead to is found out while it runs.
            Discovery::Aggregate(_)
            | Discovery::Dns(_)
            | Discovery::DynamicHosts(_)
            | Discovery::OriginalDestination(_) => Arc::default(),
            Discovery::Static(endpoints) => endpoints.clone(),
        }
    }
}
