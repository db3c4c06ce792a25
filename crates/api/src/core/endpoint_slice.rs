use crate::ObjectMeta;
use crate::schema::{Opaque, schema};

schema! {
    /// Kubernetes `discovery.k8s.io/v1` EndpointSlice: endpoints of the service that the label
    /// `kubernetes.io/service-name` names.
    pub struct EndpointSlice {
        pub api_version: String,
        pub kind: String,
        pub metadata: ObjectMeta,
        /// `IPv4`, `IPv6` or `FQDN`.
        pub address_type: String,
        pub endpoints: Vec<SliceEndpoint>,
        pub ports: Vec<EndpointPort>,
        /// Not part of the kind; here so that all objects are alike.
        pub status: Opaque,
    }
    pub struct SliceEndpoint {
        pub addresses: Vec<String>,
        pub conditions: EndpointConditions,
        pub deprecated_topology: Opaque,
        pub hints: Opaque,
        pub hostname: Option<String>,
        pub node_name: Option<String>,
        pub target_ref: Opaque,
        pub zone: Option<String>,
    }
    /// What is not said counts as ready.
    pub struct EndpointConditions {
        pub ready: Option<bool>,
        pub serving: Option<bool>,
        pub terminating: Option<bool>,
    }
    pub struct EndpointPort {
        pub app_protocol: Option<String>,
        /// The name of the service's port.
        pub name: Option<String>,
        pub port: Option<u16>,
        pub protocol: Option<String>,
    }
}
