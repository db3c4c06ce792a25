//! Resources to snapshot, at once or change by change.

mod attach;
mod bind;
mod builder;
mod credentials;
mod entries;
mod gateways;
mod istio_gateways;
mod objects;
mod rules;
mod services;
mod settings;
mod slices;
mod smi;
mod traffic;
mod workloads;

use std::collections::BTreeSet;
use std::sync::Arc;

use leno_api::{Resource, annotation};
use leno_names::ServiceKey;

pub use builder::Builder;
pub use gateways::BackendError;
pub(crate) use gateways::{Attached, backend};

/// Every service of the mesh, those included that only workloads name: each wants a number.
pub fn service_keys(resources: &[Arc<Resource>]) -> BTreeSet<ServiceKey> {
    let entry_keys = |resource: &Arc<Resource>| match &**resource {
        Resource::ServiceEntry(object) => entries::own_keys(object),
        _ => Vec::new(),
    };
    let key = |resource: &Arc<Resource>| match &**resource {
        Resource::Service(object) => Some(ServiceKey::new(object.metadata.namespace(), &object.metadata.name)),
        Resource::WorkloadEntry(object) => object
            .metadata
            .annotation(annotation::SERVICE)
            .filter(|name| leno_names::dns_label(name).is_ok())
            .map(|name| ServiceKey::new(object.metadata.namespace(), name)),
        _ => None,
    };
    resources.iter().filter_map(key).chain(resources.iter().flat_map(entry_keys)).collect()
}
