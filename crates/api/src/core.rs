//! Objects of Kubernetes' own groups that a mesh reads.
mod data;
mod endpoint_slice;
mod service;

pub use data::{ConfigMap, Secret};
pub use endpoint_slice::{EndpointConditions, EndpointPort, EndpointSlice, SliceEndpoint};
pub use service::{IntOrString, ServicePort, ServiceSpec};
