//! Which service a route's reference means.

use std::collections::BTreeMap;

use leno_api::{BackendRef, Kind};
use leno_names::ServiceKey;

use super::GROUP;
use crate::grants::{Grants, Referent, Referrer};
use crate::{Service, ServicePort};

/// Why a backend cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendError {
    /// Of the condition `ResolvedRefs`: `BackendNotFound`, `InvalidKind` or `RefNotPermitted`.
    pub reason: &'static str,
    pub message: String,
}

/// Where a route is attached, which decides what its references mean.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attached<'a> {
    /// What was hidden may become visible to strangers: backends of other namespaces have to be granted.
    Gateway(&'a Grants),
    /// To a port of a service, which a backend without a port means, too. Clients could call the backend themselves, so
    /// nobody is asked (GEP-1294).
    Service { port: Option<u16> },
}

/// The service and the port behind a reference of a route of `kind` in `namespace`.
pub(crate) fn backend<'a, S: AsRef<Service>>(
    services: &'a BTreeMap<ServiceKey, S>,
    attached: Attached<'_>,
    (kind, namespace): (Kind, &str),
    to: &BackendRef,
) -> Result<(&'a Service, &'a ServicePort), BackendError> {
    let fail = |reason, message: String| Err(BackendError { reason, message });
    let group = to.group.as_deref().unwrap_or_default();
    let backend_kind = to.kind.as_deref().unwrap_or("Service");
    if !(group.is_empty() || group == "core") || backend_kind != "Service" {
        return fail("InvalidKind", format!("a backend of kind {backend_kind} is not known"));
    }
    let target = to.namespace.as_deref().unwrap_or(namespace);
    let referrer = Referrer { group: GROUP, kind: kind.as_str(), namespace };
    let referent = Referent { group: "", kind: "Service", namespace: target, name: &to.name };
    if let Attached::Gateway(grants) = attached
        && !grants.permit(referrer, referent)
    {
        return fail("RefNotPermitted", format!("a backend in namespace {target} needs a ReferenceGrant there"));
    }
    let key = ServiceKey::new(target, &to.name);
    let Some(service) = services.get(&key).map(AsRef::as_ref) else {
        return fail("BackendNotFound", format!("there is no service {key}"));
    };
    let default = match attached {
        Attached::Gateway(_) => None,
        Attached::Service { port } => port,
    };
    let Some(number) = to.port.or(default) else {
        return fail("BackendNotFound", format!("which port of service {key} is not said"));
    };
    match service.port(number) {
        Some(port) => Ok((service, port)),
        None => fail("BackendNotFound", format!("service {key} has no port {number}")),
    }
}
