//! Which of Leno's own policies hold for what, and what is said of each in its status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::leno::{LimitKey, RequestLimit, TargetRef};
use leno_api::{Kind, ParentRef, Resource, ResourceKey, annotation};
use leno_names::ServiceKey;

use crate::attached::{Attached, HeldPolicies, RoutePolicies, ServicePolicies};
use crate::status::{AncestorStatus, CONTROLLER, Condition, PolicyStatus, Status};
use crate::{Problem, Service};

const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// Everything that policies may be attached to, with what is.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    mesh: HeldPolicies,
    namespaces: BTreeMap<String, HeldPolicies>,
    targets: BTreeMap<ResourceKey, Attached>,
    pub(super) routes: RoutePolicies,
    pub(super) statuses: BTreeMap<ResourceKey, Status>,
    pub(super) problems: Vec<Problem>,
}

/// What a policy may name.
struct Known<'a> {
    services: &'a BTreeMap<ServiceKey, Service>,
    /// Routes and gateways, with the names of their rules and listeners.
    objects: BTreeMap<ResourceKey, BTreeSet<&'a str>>,
}

impl<'a> Known<'a> {
    fn new(resources: &'a [Arc<Resource>], services: &'a BTreeMap<ServiceKey, Service>) -> Self {
        let sections = |resource: &'a Resource| -> Option<BTreeSet<&'a str>> {
            Some(match resource {
                Resource::Gateway(object) => object.spec.listeners.iter().map(|listener| &*listener.name).collect(),
                Resource::GrpcRoute(object) => {
                    object.spec.rules.iter().filter_map(|rule| rule.name.as_deref()).collect()
                }
                Resource::HttpRoute(object) => {
                    object.spec.rules.iter().filter_map(|rule| rule.name.as_deref()).collect()
                }
                _ => return None,
            })
        };
        let objects = resources.iter().filter_map(|resource| Some((resource.key(), sections(resource)?)));
        Self { services, objects: objects.collect() }
    }

    /// The object that is meant.
    fn find(&self, target: &TargetRef, policy: &ResourceKey) -> Result<ResourceKey, String> {
        let kind = match target.kind.as_str() {
            "Gateway" => Kind::Gateway,
            "GRPCRoute" => Kind::GrpcRoute,
            "HTTPRoute" => Kind::HttpRoute,
            _ => Kind::Service,
        };
        let key = ResourceKey::new(kind, &policy.namespace, &target.name);
        let section = target.section_name.as_deref();
        let has_section = if kind == Kind::Service {
            let service = self.services.get(&ServiceKey::new(&policy.namespace, &target.name));
            service.map(|service| {
                section.is_none_or(|name| service.ports.iter().any(|port| port.name.as_deref() == Some(name)))
            })
        } else {
            self.objects.get(&key).map(|names| section.is_none_or(|name| names.contains(name)))
        };
        match (has_section, section) {
            (None, _) => Err(format!("there is no {key}")),
            (Some(false), Some(section)) => Err(format!("{key} has nothing called \"{section}\"")),
            _ => Ok(key),
        }
    }
}

impl Attachments {
    /// Of resources in order of age.
    pub(super) fn of(resources: &[Arc<Resource>], services: &BTreeMap<ServiceKey, Service>, root: &str) -> Self {
        let mut all = Self::default();
        let mut policies = resources.iter().filter_map(|resource| Some((resource, HeldPolicies::of(resource)?)));
        let Some(first) = policies.next() else { return all };
        let known = Known::new(resources, services);
        for (resource, (policy, targets)) in std::iter::once(first).chain(policies) {
            let key = resource.key();
            let is_over = resource.metadata().annotation(annotation::OVER).is_some();
            all.problems.extend(not_yet(&key, &policy));
            let mut ancestors = Vec::new();
            if targets.is_empty() {
                let (slot, ancestor) = if key.namespace == root {
                    (&mut all.mesh, reference("leno.dev", Kind::MeshConfig, "default"))
                } else {
                    let slot = all.namespaces.entry(key.namespace.clone()).or_default();
                    (slot, reference("", Kind::Namespace, &key.namespace))
                };
                let result = if is_over { Err(over()) } else { slot.add(&policy).map_err(conflicted) };
                ancestors.push(all.told(&key, "spec.targetRefs", ancestor, result));
            }
            for (index, target) in targets.iter().enumerate() {
                let result = all.attach(&known, &key, &policy, target, is_over);
                let group = if target.kind == "Service" { "" } else { GATEWAY_GROUP };
                let ancestor = ParentRef {
                    group: Some(group.to_owned()),
                    kind: Some(target.kind.clone()),
                    name: target.name.clone(),
                    namespace: Some(key.namespace.clone()),
                    section_name: target.section_name.clone(),
                    ..ParentRef::default()
                };
                ancestors.push(all.told(&key, &format!("spec.targetRefs[{index}]"), ancestor, result));
            }
            all.statuses.insert(key, Status::Policy(PolicyStatus { ancestors }));
        }
        all.routes = all.of_routes(&known);
        all
    }

    fn of_routes(&self, known: &Known<'_>) -> RoutePolicies {
        let mut policies = RoutePolicies::default();
        for key in known.objects.keys() {
            let mut attached = self.targets.get(key).cloned().unwrap_or_default();
            if key.kind == Kind::Gateway {
                let namespace = self.namespaces.get(&key.namespace).cloned().unwrap_or_default();
                attached.whole = attached.whole.or(&namespace).or(&self.mesh);
            }
            let of_kind = if key.kind == Kind::Gateway { &mut policies.gateways } else { &mut policies.routes };
            if !attached.is_empty() {
                of_kind.insert(key.clone(), attached);
            }
        }
        policies
    }

    fn attach(
        &mut self,
        known: &Known<'_>,
        key: &ResourceKey,
        policy: &HeldPolicies,
        target: &TargetRef,
        is_over: bool,
    ) -> Result<(), Condition> {
        let not_found = |message| Condition::fails("Accepted", "TargetNotFound", message);
        let found = known.find(target, key).map_err(not_found)?;
        if policy.traffic.is_some() && found.kind != Kind::Service {
            let message = "a TrafficPolicy is for Services: how a route is taken does not change who is connected to";
            return Err(Condition::fails("Accepted", "Invalid", message));
        }
        if is_over {
            return Err(over());
        }
        let attached = self.targets.entry(found).or_default();
        let slot = match &target.section_name {
            Some(section) => attached.sections.entry(section.clone()).or_default(),
            None => &mut attached.whole,
        };
        slot.add(policy).map_err(conflicted)
    }

    /// Says in the status, and among the problems, what became of one target.
    fn told(
        &mut self,
        key: &ResourceKey,
        field: &str,
        ancestor_ref: ParentRef,
        result: Result<(), Condition>,
    ) -> AncestorStatus {
        let mut conditions = vec![result.err().unwrap_or_else(|| Condition::holds("Accepted", "Accepted"))];
        let accepted = &conditions[0];
        let (reason, message) = (accepted.reason, accepted.message.clone());
        match reason {
            "Accepted" => {}
            // It ends as its author has said.
            "Expired" => self.problems.push(Problem::warning(key, "spec.until", reason, &*message)),
            _ => self.problems.push(Problem::error(key, field, reason, &*message)),
        }
        conditions.push(if reason == "TargetNotFound" {
            Condition::fails("ResolvedRefs", reason, message)
        } else {
            Condition::holds("ResolvedRefs", "ResolvedRefs")
        });
        AncestorStatus { ancestor_ref, controller_name: CONTROLLER, conditions }
    }

    /// `None` where nothing holds.
    pub(super) fn of_service(&self, key: &ServiceKey) -> Option<Arc<ServicePolicies>> {
        let object = ResourceKey::new(Kind::Service, &key.namespace, &key.name);
        let policies = ServicePolicies {
            mesh: self.mesh.clone(),
            namespace: self.namespaces.get(&key.namespace).cloned().unwrap_or_default(),
            own: self.targets.get(&object).cloned().unwrap_or_default(),
        };
        (policies != ServicePolicies::default()).then(|| Arc::new(policies))
    }
}

/// Limits by claims have no effect as long as nobody verifies tokens.
fn not_yet(key: &ResourceKey, policy: &HeldPolicies) -> Vec<Problem> {
    let limits = policy.rate_limit.iter().flat_map(|held| held.spec.limits.iter().enumerate());
    let by_claim = limits.filter(|(_, limit)| limit.by.iter().any(|by| by.r#type == LimitKey::Claim));
    let problem = |(index, _): (usize, &RequestLimit)| {
        let message = "not supported yet: limits by claims of tokens; this limit has no effect";
        Problem::warning(key, format!("spec.limits[{index}].by"), "not_supported_yet", message)
    };
    by_claim.map(problem).collect()
}

fn reference(group: &str, kind: Kind, name: &str) -> ParentRef {
    ParentRef {
        group: Some(group.to_owned()),
        kind: Some(kind.as_str().to_owned()),
        name: name.to_owned(),
        ..ParentRef::default()
    }
}

fn conflicted(winner: ResourceKey) -> Condition {
    Condition::fails("Accepted", "Conflicted", format!("{winner} is older and has the same target"))
}

fn over() -> Condition {
    Condition::fails("Accepted", "Expired", "its end has come; it has no effect any more")
}
