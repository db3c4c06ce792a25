//! Routes to listeners and services.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{BackendRef, Filter, Kind, ParentRef, Resource, ResourceKey};
use leno_names::ServiceKey;

use super::listeners::Draft;
use super::{Attached, Built, GROUP, World, backend};
use crate::gateway::{AttachedRoute, MeshRoute, RouteObject, intersection};
use crate::status::{CONTROLLER, Condition, ParentStatus, RouteStatus, Status};

/// What all kinds of route have.
struct Route<'a> {
    key: ResourceKey,
    /// `None`: UDP, which is attached and not served.
    object: Option<RouteObject>,
    parents: &'a [ParentRef],
    hostnames: &'a [String],
    backends: Vec<&'a BackendRef>,
    /// Filters that nothing here knows.
    unknown_filter: Option<&'static str>,
}

pub(super) fn routes(world: &World<'_>, drafts: &mut BTreeMap<ResourceKey, Draft<'_>>, built: &mut Built) {
    for resource in world.resources {
        let Some(route) = Route::of(resource) else { continue };
        let mut status = RouteStatus::default();
        for parent in route.parents {
            let Some(mut conditions) = route.attach(world, parent, drafts, built) else { continue };
            conditions.push(route.resolved(world, parent));
            status.parents.push(ParentStatus { parent_ref: parent.clone(), controller_name: CONTROLLER, conditions });
        }
        built.statuses.insert(route.key, Status::Route(status));
    }
}

impl<'a> Route<'a> {
    fn of(resource: &'a Arc<Resource>) -> Option<Self> {
        let key = resource.key();
        let l4 = |rules: &'a [leno_api::L4Rule]| rules.iter().flat_map(|rule| &rule.backend_refs).collect();
        Some(match &**resource {
            Resource::HttpRoute(object) => {
                let parts = object.spec.rules.iter().map(|rule| (&*rule.filters, &*rule.backend_refs));
                let (backends, unknown_filter) = followed(parts);
                Self {
                    object: Some(RouteObject::Http(object.clone())),
                    parents: &object.spec.parent_refs,
                    hostnames: &object.spec.hostnames,
                    backends,
                    unknown_filter,
                    key,
                }
            }
            Resource::GrpcRoute(object) => {
                let parts = object.spec.rules.iter().map(|rule| (&*rule.filters, &*rule.backend_refs));
                let (backends, unknown_filter) = followed(parts);
                Self {
                    object: Some(RouteObject::Grpc(object.clone())),
                    parents: &object.spec.parent_refs,
                    hostnames: &object.spec.hostnames,
                    backends,
                    unknown_filter,
                    key,
                }
            }
            Resource::TcpRoute(object) => Self {
                object: Some(RouteObject::Tcp(object.clone())),
                parents: &object.spec.parent_refs,
                hostnames: &[],
                backends: l4(&object.spec.rules),
                unknown_filter: None,
                key,
            },
            Resource::TlsRoute(object) => Self {
                object: Some(RouteObject::Tls(object.clone())),
                parents: &object.spec.parent_refs,
                hostnames: &object.spec.hostnames,
                backends: l4(&object.spec.rules),
                unknown_filter: None,
                key,
            },
            Resource::UdpRoute(object) => Self {
                object: None,
                parents: &object.spec.parent_refs,
                hostnames: &[],
                backends: l4(&object.spec.rules),
                unknown_filter: None,
                key,
            },
            _ => return None,
        })
    }

    /// The condition `ResolvedRefs` at one parent.
    fn resolved(&self, world: &World<'_>, parent: &ParentRef) -> Condition {
        let from = (self.key.kind, &*self.key.namespace);
        let attached = match parent.kind.as_deref() {
            Some("Service") => Attached::Service { port: parent.port.or_else(|| self.first_port(world, parent)) },
            _ => Attached::Gateway(world.grants),
        };
        let error = self.backends.iter().find_map(|to| backend(world.services, attached, from, to).err());
        match error {
            Some(error) => Condition::fails("ResolvedRefs", error.reason, error.message),
            None => Condition::holds("ResolvedRefs", "ResolvedRefs"),
        }
    }

    fn first_port(&self, world: &World<'_>, parent: &ParentRef) -> Option<u16> {
        let namespace = parent.namespace.as_deref().unwrap_or(&self.key.namespace);
        world.services.get(&ServiceKey::new(namespace, &parent.name))?.ports.first().map(|port| port.number)
    }

    fn accepted(&self) -> Vec<Condition> {
        let condition = match self.unknown_filter {
            Some(filter) => {
                Condition::fails("Accepted", "UnsupportedValue", format!("a filter of type {filter} is not known here"))
            }
            None => Condition::holds("Accepted", "Accepted"),
        };
        vec![condition]
    }

    /// What is said of it at one parent; nothing when the parent is not ours.
    fn attach(
        &self,
        world: &World<'_>,
        parent: &ParentRef,
        drafts: &mut BTreeMap<ResourceKey, Draft<'_>>,
        built: &mut Built,
    ) -> Option<Vec<Condition>> {
        let namespace = parent.namespace.as_deref().unwrap_or(&self.key.namespace);
        let group = parent.group.as_deref().unwrap_or(GROUP);
        match (group, parent.kind.as_deref().unwrap_or("Gateway")) {
            (GROUP, "Gateway") => {
                let key = ResourceKey::new(Kind::Gateway, namespace, &parent.name);
                self.to_listeners(world, parent, drafts.get_mut(&key)?, &key)
            }
            (GROUP, "ListenerSet") => {
                let key = ResourceKey::new(Kind::ListenerSet, namespace, &parent.name);
                let draft = drafts.values_mut().find(|draft| draft.listeners.iter().any(|one| one.owner == key))?;
                self.to_listeners(world, parent, draft, &key)
            }
            // Users of meshes write the group of a parent Service in several ways, or leave it out.
            (_, "Service") => Some(self.to_service(world, parent, namespace, built)),
            _ => None,
        }
    }

    fn to_listeners(
        &self,
        world: &World<'_>,
        parent: &ParentRef,
        draft: &mut Draft<'_>,
        owner: &ResourceKey,
    ) -> Option<Vec<Condition>> {
        let fail = |reason, message: String| Some(vec![Condition::fails("Accepted", reason, message)]);
        let named = |name: &str, port: u16| {
            parent.section_name.as_deref().is_none_or(|section| section == name)
                && parent.port.is_none_or(|wanted| wanted == port)
        };
        let mut listeners: Vec<_> = draft
            .listeners
            .iter_mut()
            .filter(|one| one.owner == *owner && named(&one.written.name, one.written.port))
            .collect();
        if listeners.is_empty() {
            return fail("NoMatchingParent", format!("{owner} has no listener of that name and port"));
        }
        listeners.retain(|one| one.is_accepted());
        listeners.retain(|one| one.kinds.contains(&self.key.kind) && one.admits(world, &self.key.namespace));
        if listeners.is_empty() {
            let message =
                format!("no listener of {owner} takes a {} of namespace {}", self.key.kind, self.key.namespace);
            return fail("NotAllowedByListeners", message);
        }
        let mut matched = false;
        for listener in listeners {
            let Some(hostnames) = self.hosts_in_common(listener.hostname.as_deref()) else { continue };
            matched = true;
            listener.attached += 1;
            if let Some(object) = &self.object {
                listener.routes.push(AttachedRoute { route: object.clone(), hostnames });
            }
        }
        if matched {
            return Some(self.accepted());
        }
        fail("NoMatchingListenerHostname", format!("no listener of {owner} has a host in common with the route"))
    }

    /// `None`: there is none. Empty: every host.
    fn hosts_in_common(&self, listener: Option<&str>) -> Option<Vec<String>> {
        if self.hostnames.is_empty() {
            return Some(listener.map(str::to_owned).into_iter().collect());
        }
        let lower: Vec<_> = self.hostnames.iter().map(|host| host.to_ascii_lowercase()).collect();
        let common = lower.iter().filter_map(|host| intersection(listener, Some(host))).flatten();
        let common: Vec<_> = common.map(str::to_owned).collect();
        (!common.is_empty()).then_some(common)
    }

    fn to_service(&self, world: &World<'_>, parent: &ParentRef, namespace: &str, built: &mut Built) -> Vec<Condition> {
        let fail = |reason, message: String| vec![Condition::fails("Accepted", reason, message)];
        let key = ServiceKey::new(namespace, &parent.name);
        let Some(service) = world.services.get(&key) else {
            return fail("NoMatchingParent", format!("there is no service {key}"));
        };
        let named = |port: &&crate::ServicePort| {
            parent.port.is_none_or(|number| number == port.number)
                && parent.section_name.as_deref().is_none_or(|name| port.name.as_deref() == Some(name))
        };
        let Some(port) = service.ports.iter().find(named) else {
            let what = parent.port.map_or_else(|| "of that name".to_owned(), |port| port.to_string());
            return fail("NoMatchingParent", format!("service {key} has no port {what}"));
        };
        if let Some(object) = &self.object {
            let specific = parent.port.is_some() || parent.section_name.is_some();
            let consumer = (namespace != self.key.namespace).then(|| self.key.namespace.clone());
            let route = MeshRoute { route: object.clone(), port: specific.then_some(port.number), consumer };
            // Those of one object come after one another.
            let mut own = built.mesh_routes.iter().rev().take_while(|(_, one)| one.route == route.route);
            if !own.any(|(service, one)| *service == key && *one == route) {
                built.mesh_routes.push((key, route));
            }
        }
        self.accepted()
    }
}

/// All backends of rules, given as filters and backends of each: those that get requests, then those that get copies. And
/// a filter that nothing here knows.
fn followed<'a>(
    rules: impl Iterator<Item = (&'a [Filter], &'a [BackendRef])> + Clone,
) -> (Vec<&'a BackendRef>, Option<&'static str>) {
    let to = rules.clone().flat_map(|(_, backends)| backends);
    let outer = rules.flat_map(|(filters, _)| filters);
    let filters = outer.chain(to.clone().flat_map(|to| &to.filters));
    let mirrors = filters.clone().filter_map(|filter| filter.request_mirror.as_ref()).map(|mirror| &mirror.backend_ref);
    (to.chain(mirrors).collect(), unknown(filters))
}

fn unknown<'a>(mut filters: impl Iterator<Item = &'a Filter>) -> Option<&'static str> {
    filters.find_map(|filter| {
        let extension = filter.extension_ref.is_some().then_some("ExtensionRef");
        extension.or(filter.external_auth.is_some().then_some("ExternalAuth"))
    })
}
