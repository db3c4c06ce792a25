use std::pin::Pin;

use leno_names::SpiffeId;
use leno_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryService;
use leno_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use leno_runtime::Tasks;
use leno_xds::{DeltaServer, FullServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::body::BodyEnd;
use crate::protocol::Protocol;
use crate::serve::LocalAddr;
use crate::stream::{Context, Stream};

/// Room for one unanswered response per type and a few answers to foreign types.
const RESPONSES: usize = 8;

/// The gRPC service: one task per stream.
pub(crate) struct Ads {
    pub(crate) context: Context,
    pub(crate) tasks: Tasks,
}

impl Ads {
    fn open<P: Protocol>(
        &self,
        request: Request<Streaming<P::Request>>,
    ) -> Result<Response<BoxStream<P::Response>>, Status> {
        let Some(peer) = request.extensions().get::<SpiffeId>().cloned() else {
            return Err(Status::unauthenticated(
                "discovery needs a client certificate with a SPIFFE ID that the mesh's root has signed",
            ));
        };
        let body_end = request.extensions().get::<BodyEnd>().cloned().unwrap_or_default();
        let local = request.extensions().get::<LocalAddr>().map(|local| local.0);
        let (responses, receiver) = mpsc::channel(RESPONSES);
        let (context, requests) = (self.context.clone(), request.into_inner());
        let stream = Stream::<P> { context, peer, local, requests, responses, body_end };
        self.tasks.spawn("xds-stream", stream.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

type BoxStream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = BoxStream<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = BoxStream<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.open::<FullServer>(request)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.open::<DeltaServer>(request)
    }
}
