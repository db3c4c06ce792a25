use std::sync::Arc;

use leno_proto::envoy::config::core::v3::Node;
use leno_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use leno_xds::{DeltaServer, FullServer, Pacing, Report, Resource, ResourceKind};
use prost::Message;

/// What the two variants of the protocol have in common for the stream that carries them.
pub(crate) trait Protocol: Send + 'static {
    type Request: Send + 'static;
    type Response: Message + Send + 'static;

    fn new(pacing: Pacing) -> Self;
    fn node(request: &Self::Request) -> Option<&Node>;
    fn type_url(response: &Self::Response) -> &str;
    fn set(&mut self, kind: ResourceKind, resource: Arc<Resource>);
    fn remove(&mut self, kind: ResourceKind, name: &str);
    fn handle(&mut self, request: &Self::Request) -> Vec<Report>;
    fn poll_response(&mut self) -> Option<(Self::Response, Option<Report>)>;
}

macro_rules! protocol {
    ($server:ty, $request:ty, $response:ty) => {
        impl Protocol for $server {
            type Request = $request;
            type Response = $response;

            fn new(pacing: Pacing) -> Self {
                Self::new(pacing)
            }

            fn node(request: &Self::Request) -> Option<&Node> {
                request.node.as_ref()
            }

            fn type_url(response: &Self::Response) -> &str {
                &response.type_url
            }

            fn set(&mut self, kind: ResourceKind, resource: Arc<Resource>) {
                self.set(kind, resource);
            }

            fn remove(&mut self, kind: ResourceKind, name: &str) {
                self.remove(kind, name);
            }

            fn handle(&mut self, request: &Self::Request) -> Vec<Report> {
                self.handle(request)
            }

            fn poll_response(&mut self) -> Option<(Self::Response, Option<Report>)> {
                self.poll_response()
            }
        }
    };
}

protocol!(DeltaServer, DeltaDiscoveryRequest, DeltaDiscoveryResponse);
protocol!(FullServer, DiscoveryRequest, DiscoveryResponse);
