use leno_ir::WeightedCluster;
use leno_model::api::{BackendRef, ResourceKey};
use leno_model::{Problem, Service};

use super::Scope;
use super::filters::Effects;
use super::rule::Rule;
use crate::gateway;

/// The backends of a rule by what becomes of a request.
pub(super) struct Backends {
    /// Weight of those that cannot be used: their share fails.
    pub(super) broken: u64,
    /// Those whose filters concern the whole request.
    pub(super) special: Vec<Special>,
    pub(super) plain: Vec<WeightedCluster>,
}

pub(super) struct Special {
    pub(super) weight: u64,
    pub(super) cluster: WeightedCluster,
    pub(super) effects: Effects,
}

impl Backends {
    pub(super) fn of(scope: &mut Scope<'_>, route: &ResourceKey, rule: &Rule<'_>) -> Self {
        let mut all = Self { broken: 0, special: Vec::new(), plain: Vec::new() };
        for (index, to) in rule.backends.iter().enumerate() {
            let weight = to.weight.unwrap_or(1);
            let at = format!("{}.backendRefs[{index}]", rule.at);
            let Some((name, service)) = cluster_of(scope, route, to, &at) else {
                all.broken += u64::from(weight);
                continue;
            };
            let mut cluster = WeightedCluster::new(name, weight);
            let mut effects = Effects::of_filters(scope, route, &to.filters, &at);
            // What a rule says of sessions holds for all its backends (GEP-1619).
            if rule.session.is_none() {
                effects = effects.with_session(service);
            }
            if effects.concerns_the_request() {
                cluster.weight = 1;
                all.special.push(Special { weight: u64::from(weight), cluster, effects });
            } else {
                cluster.request_headers = effects.request;
                cluster.response_headers = effects.response;
                all.plain.push(cluster);
            }
        }
        all
    }

    pub(super) fn total(&self) -> u64 {
        let special: u64 = self.special.iter().map(|one| one.weight).sum();
        let plain: u64 = self.plain.iter().map(|one| u64::from(one.weight)).sum();
        self.broken + special + plain
    }
}

/// The cluster behind a reference; `None` with a problem.
pub(super) fn cluster(scope: &mut Scope<'_>, route: &ResourceKey, to: &BackendRef, at: &str) -> Option<String> {
    cluster_of(scope, route, to, at).map(|(name, _)| name)
}

/// With the service that it belongs to.
fn cluster_of<'a>(
    scope: &mut Scope<'a>,
    route: &ResourceKey,
    to: &BackendRef,
    at: &str,
) -> Option<(String, &'a Service)> {
    let (kind, namespace) = (route.kind, route.namespace.as_str());
    let found = match scope.default_port {
        Some(port) => scope.snapshot.mesh_backend((kind, namespace), to, port),
        None => scope.snapshot.backend((kind, namespace), to),
    };
    let (service, port) = match found {
        Ok(found) => found,
        Err(error) => {
            let message = format!("{}; its share of the requests gets 500", error.message);
            scope.problems.push(Problem::error(route, at, error.reason, message));
            return None;
        }
    };
    let key = (service.key.clone(), port.number);
    let plain = service.cluster_name(port.number, None);
    let name = if scope.gateway.is_some() { gateway::cluster_name(scope.snapshot, &key, plain)? } else { plain };
    scope.used.insert(key);
    Some((name, service))
}
