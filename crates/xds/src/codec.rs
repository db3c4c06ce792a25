//! Between `ir` and Envoy's protobuf, both ways, one resource at a time.
//!
//! What a flavor cannot use is left out for it; what Envoy's API cannot say travels in places Envoy does not look at:
//! an extension policy for peak EWMA, the word `leno-safe-only` in `retry_on`, Istio's metadata for names.
//!
//! Invariants  `decode(encode(x, Leno)) == x` for everything the compiler makes; equal values have equal versions
//! Errors      `DecodeError` names the field by its path; what would change behaviour is refused, not ignored
//! Source      Envoy v3 API 1.40; gRPC A27, A28, A29; Istio's `istio` metadata

mod access_log;
mod balancer;
mod cluster;
mod common;
mod connection_filter;
mod data_source;
mod discovery;
mod dns;
mod endpoints;
mod error;
mod filter;
mod hash;
mod health_check;
mod http;
mod listener;
mod matching;
mod metadata;
mod node;
mod outlier;
mod overload;
mod policy;
mod proxy_protocol;
mod rbac;
mod route;
mod router;
mod scoped_routes;
mod socket;
mod subset;
mod tcp_proxy;
mod tls;

use std::net::SocketAddr;

use leno_ir::{Cluster, EndpointSet, Flavor, Listener, Overload, RouteTable, Scope};
use leno_proto::envoy::config;
use prost::Message;

pub use error::DecodeError;
pub use node::{decode_node, encode_node};

use crate::{Resource, ResourceKind};

/// Changes when the encoding does, so that a node does not keep what an older version sent under an equal version.
const ENCODING: &str = "1";

pub fn encode_cluster(cluster: &Cluster, flavor: Flavor) -> Resource {
    resource(ResourceKind::Cluster, &cluster.name, cluster, flavor, &cluster::encode(cluster, flavor))
}

pub fn encode_endpoints(endpoints: &EndpointSet, flavor: Flavor) -> Resource {
    resource(ResourceKind::Endpoints, &endpoints.name, endpoints, flavor, &endpoints::encode(endpoints))
}

pub fn encode_listener(listener: &Listener, flavor: Flavor) -> Resource {
    resource(ResourceKind::Listener, &listener.name, listener, flavor, &listener::encode(listener, flavor))
}

pub fn encode_route_table(table: &RouteTable, flavor: Flavor) -> Resource {
    resource(ResourceKind::RouteTable, &table.name, table, flavor, &route::encode(table, flavor))
}

pub fn encode_scope(scope: &Scope, flavor: Flavor) -> Resource {
    resource(ResourceKind::Scope, &scope.name, scope, flavor, &scoped_routes::encode_scope(scope, flavor))
}

/// # Errors
/// When the bytes are no scope, or one that we cannot serve as it says.
pub fn decode_scope(body: &[u8]) -> Result<Scope, DecodeError> {
    scoped_routes::decode_scope(&message::<config::route::v3::ScopedRouteConfiguration>(body)?)
}

/// # Errors
/// When the bytes are no cluster, or one that we cannot serve as it says.
pub fn decode_cluster(body: &[u8]) -> Result<Cluster, DecodeError> {
    cluster::decode(&message::<config::cluster::v3::Cluster>(body)?)
}

/// # Errors
/// When the bytes are no load assignment, or one with addresses that are no IP addresses.
pub fn decode_endpoints(body: &[u8]) -> Result<EndpointSet, DecodeError> {
    endpoints::decode(&message::<config::endpoint::v3::ClusterLoadAssignment>(body)?)
}

/// # Errors
/// When the bytes are no listener, or one that we cannot serve as it says.
pub fn decode_listener(body: &[u8]) -> Result<Listener, DecodeError> {
    listener::decode(&message::<config::listener::v3::Listener>(body)?)
}

/// # Errors
/// When the bytes are no route configuration, or one that we cannot serve as it says.
pub fn decode_route_table(body: &[u8]) -> Result<RouteTable, DecodeError> {
    route::decode(&message::<config::route::v3::RouteConfiguration>(body)?)
}

/// Where a bootstrap has its admin interface.
pub(crate) fn decode_admin(body: &[u8]) -> Result<Option<SocketAddr>, DecodeError> {
    let admin = message::<config::bootstrap::v3::Admin>(body)?;
    admin.address.as_ref().map(|address| common::read_address(Some(address))).transpose()
}

/// What a bootstrap sheds under pressure.
pub(crate) fn decode_overload(body: &[u8]) -> Result<Overload, DecodeError> {
    overload::decode(&message::<config::overload::v3::OverloadManager>(body)?)
}

/// A secret that a bootstrap has itself, and its name.
/// What is in an `Any`, if it is of that type.
pub(crate) fn any_of(bytes: &[u8], type_name: &str) -> Option<Vec<u8>> {
    let any: leno_proto::google::protobuf::Any = message(bytes).ok()?;
    common::is_type(Some(&any), type_name).then_some(any.value)
}

pub(crate) fn decode_secret(body: &[u8]) -> Result<(String, leno_ir::Secret), DecodeError> {
    tls::decode_secret(&message(body)?)
}

fn resource(
    kind: ResourceKind,
    name: &str,
    value: &impl std::fmt::Debug,
    flavor: Flavor,
    message: &impl Message,
) -> Resource {
    // The value is hashed, not the bytes: protobuf maps have no order.
    let text = format!("{ENCODING} {flavor:?} {value:?}");
    Resource {
        name: name.to_owned(),
        type_url: kind.type_url(),
        version: format!("{:016x}", xxhash_rust::xxh64::xxh64(text.as_bytes(), 0)),
        body: message.encode_to_vec(),
    }
}

fn message<M: Message + Default>(body: &[u8]) -> Result<M, DecodeError> {
    M::decode(body).map_err(|error| DecodeError::new("", format!("is no valid protobuf: {error}")))
}

#[cfg(test)]
mod tests;
