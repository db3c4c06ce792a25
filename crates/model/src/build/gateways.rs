//! Gateways and their listeners, the routes attached to them, and what is said of each in its status.
//!
//! Shape       classes -> gateways that are ours -> listeners, checked -> routes, attached -> statuses
//! Invariants  of listeners that exclude each other the Gateway's own win, then the oldest ListenerSet's; of routes the oldest
//! Source      Gateway API v1.6: GatewayClass, Gateway, ListenerSet, HTTPRoute and the other routes

mod attach;
mod backends;
mod certificates;
mod listeners;
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{Resource, ResourceKey, annotation};
use leno_names::ServiceKey;

use crate::gateway::{Gateway, MeshRoute};
use crate::status::{CONTROLLER, ClassStatus, Condition, Feature, Status};
use crate::{BackendTls, Grants, Problem, Service};
pub use backends::BackendError;
pub(crate) use backends::{Attached, backend};
use certificates::Vault;
pub(super) use certificates::value as secret_value;

/// The class that exists without anybody writing it, and the one that Istio's users name.
const BUILT_IN_CLASSES: [&str; 2] = ["leno", "istio"];
/// Controllers whose classes are ours: where Leno runs, Istio does not.
const CONTROLLERS: [&str; 2] = [CONTROLLER, "istio.io/gateway-controller"];
/// Of an XMesh.
const MESH_CONTROLLER: &str = "leno.dev/mesh-controller";

const GROUP: &str = "gateway.networking.k8s.io";

/// Everything that a build of the gateways looks at.
pub(super) struct World<'a> {
    /// Oldest first.
    pub(super) resources: &'a [Arc<Resource>],
    pub(super) services: &'a BTreeMap<ServiceKey, Service>,
    pub(super) grants: &'a Grants,
    vault: Vault<'a>,
    namespaces: BTreeMap<&'a str, &'a BTreeMap<String, String>>,
}

#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) gateways: BTreeMap<ResourceKey, Arc<Gateway>>,
    pub(super) mesh_routes: Vec<(ServiceKey, MeshRoute)>,
    pub(super) backend_tls: BTreeMap<(ServiceKey, u16), BackendTls>,
    pub(super) statuses: BTreeMap<ResourceKey, Status>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        resources: &'a [Arc<Resource>],
        services: &'a BTreeMap<ServiceKey, Service>,
        grants: &'a Grants,
    ) -> Self {
        let labels = |resource: &'a Arc<Resource>| match &**resource {
            Resource::Namespace(object) => Some((object.metadata.name.as_str(), &object.metadata.labels)),
            _ => None,
        };
        let namespaces = resources.iter().filter_map(labels).collect();
        Self { resources, services, grants, vault: Vault::new(resources), namespaces }
    }

    /// With the label that Kubernetes puts on each.
    fn labels_of(&self, namespace: &str) -> BTreeMap<String, String> {
        let mut labels = self.namespaces.get(namespace).map(|labels| (*labels).clone()).unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        labels
    }
}

pub(super) fn build(world: &World<'_>) -> Built {
    let mut built = Built::default();
    let classes = classes(world, &mut built);
    let mut drafts = listeners::drafts(world, &classes);
    attach::routes(world, &mut drafts, &mut built);
    policies::backend_tls(world, &mut drafts, &mut built);
    for (key, draft) in drafts {
        built.statuses.extend(draft.statuses());
        built.gateways.insert(key, Arc::new(draft.finish()));
    }
    built.problems.extend(built.statuses.iter().flat_map(|(key, status)| problems(key, status)));
    built
}

/// Names of the classes that are ours.
fn classes<'a>(world: &World<'a>, built: &mut Built) -> Vec<&'a str> {
    let mut ours = Vec::new();
    let mut written = BTreeSet::new();
    for resource in world.resources {
        match &**resource {
            Resource::GatewayClass(class) => {
                let name = class.metadata.name.as_str();
                written.insert(name);
                if !CONTROLLERS.contains(&class.spec.controller_name.as_str()) {
                    continue;
                }
                let accepted = accepted(class.spec.parameters_ref.is_some());
                if accepted.is_true() {
                    ours.push(name);
                }
                let conditions = vec![accepted, Condition::holds("SupportedVersion", "SupportedVersion")];
                built.statuses.insert(resource.key(), with_features(conditions));
            }
            Resource::XMesh(mesh) if is_mesh(&mesh.spec.controller_name) => {
                let conditions = vec![accepted(mesh.spec.parameters_ref.is_some())];
                built.statuses.insert(resource.key(), with_features(conditions));
            }
            _ => {}
        }
    }
    ours.extend(BUILT_IN_CLASSES.iter().filter(|class| !written.contains(*class)));
    ours
}

fn is_mesh(controller: &str) -> bool {
    controller == MESH_CONTROLLER || CONTROLLERS.contains(&controller)
}

fn accepted(has_parameters: bool) -> Condition {
    if has_parameters {
        Condition::fails("Accepted", "InvalidParameters", "parameters of a class are not known here")
    } else {
        Condition::holds("Accepted", "Accepted")
    }
}

fn with_features(conditions: Vec<Condition>) -> Status {
    let supported_features = FEATURES.iter().map(|&name| Feature { name }).collect();
    Status::Class(ClassStatus { conditions, supported_features })
}

/// What status says is wrong, for those who read problems.
pub(super) fn problems(key: &ResourceKey, status: &Status) -> Vec<Problem> {
    let wrong = |condition: &&Condition| {
        // `Conflicted` is bad when it holds.
        condition.is_true() == (condition.kind == "Conflicted") && !condition.message.is_empty()
    };
    let problem =
        |field: String, condition: &Condition| Problem::error(key, field, condition.reason, condition.message.clone());
    match status {
        Status::Class(class) => class.conditions.iter().filter(wrong).map(|c| problem(String::new(), c)).collect(),
        Status::Gateway(gateway) => {
            let own = gateway.conditions.iter().filter(|c| c.kind != "Programmed");
            let own = own.filter(wrong).map(|c| problem(String::new(), c));
            let listeners = gateway.listeners.iter().enumerate().flat_map(|(index, listener)| {
                let conditions = listener.conditions.iter().filter(|c| c.kind != "Programmed");
                conditions.filter(wrong).map(move |c| problem(format!("spec.listeners[{index}]"), c))
            });
            own.chain(listeners).collect()
        }
        Status::Policy(policy) => {
            let all = policy.ancestors.iter().flat_map(|ancestor| &ancestor.conditions);
            all.filter(wrong).map(|c| problem(String::new(), c)).collect()
        }
        Status::Route(route) => {
            let all = route.parents.iter().enumerate().flat_map(|(index, parent)| {
                let conditions = parent.conditions.iter().filter(|c| c.kind == "Accepted");
                conditions.filter(wrong).map(move |c| problem(format!("spec.parentRefs[{index}]"), c))
            });
            all.collect()
        }
    }
}

/// Service accounts that may ask for the configuration of a gateway.
fn accounts(object: &leno_api::Gateway) -> Vec<String> {
    let written = object.metadata.annotation(annotation::SERVICE_ACCOUNTS).unwrap_or(&object.metadata.name);
    written.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Names of the specification's features of which a conformance case passes (docs/conformance.md), sorted as it wants them.
/// What is done and not shown there is not claimed.
const FEATURES: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendRequestRedirect",
    "HTTPRouteBackendTimeout",
    "HTTPRouteBackendURLRewrite",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetry",
    "HTTPRouteRetryBackendTimeout",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "Mesh",
    "MeshClusterIPMatching",
    "MeshConsumerRoute",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteNamedRouteRule",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
];
