use std::collections::BTreeMap;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::schema::{Opaque, schema};

schema! {
    /// Kubernetes `v1` Service. What only a cluster can do (node ports, load balancers) is accepted and does nothing.
    pub struct ServiceSpec {
        pub allocate_load_balancer_node_ports: Opaque,
        #[serde(rename = "clusterIP")]
        pub cluster_ip: Option<String>,
        #[serde(rename = "clusterIPs")]
        pub cluster_ips: Vec<String>,
        #[serde(rename = "externalIPs")]
        pub external_ips: Vec<String>,
        pub external_name: Option<String>,
        pub external_traffic_policy: Option<String>,
        pub health_check_node_port: Option<u16>,
        pub internal_traffic_policy: Option<String>,
        pub ip_families: Vec<String>,
        pub ip_family_policy: Option<String>,
        pub load_balancer_class: Option<String>,
        #[serde(rename = "loadBalancerIP")]
        pub load_balancer_ip: Option<String>,
        pub load_balancer_source_ranges: Vec<String>,
        pub ports: Vec<ServicePort>,
        pub publish_not_ready_addresses: Option<bool>,
        pub selector: BTreeMap<String, String>,
        pub session_affinity: Option<String>,
        pub session_affinity_config: Opaque,
        pub traffic_distribution: Option<String>,
        pub r#type: Option<String>,
    }
    pub struct ServicePort {
        /// Decides the protocol when `name` does not: `http`, `kubernetes.io/h2c`, `grpc`, `tcp` …
        pub app_protocol: Option<String>,
        pub name: Option<String>,
        pub node_port: Option<u16>,
        pub port: u16,
        pub protocol: Option<String>,
        /// Default: `port`.
        pub target_port: Option<IntOrString>,
    }
}

/// A port by number or by name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(untagged)]
pub enum IntOrString {
    Int(u16),
    String(String),
}

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = IntOrString;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a port between 1 and 65535 or the name of one")
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<IntOrString, E> {
                u16::try_from(value)
                    .map(IntOrString::Int)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<IntOrString, E> {
                u16::try_from(value)
                    .map(IntOrString::Int)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
            }
            fn visit_str<E>(self, value: &str) -> Result<IntOrString, E> {
                Ok(IntOrString::String(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
