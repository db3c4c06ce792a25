use std::time::Duration;

use serde::Serialize;

/// Limits that run from the beginning of the request to the end of the response; then 408 or 504 (Envoy `max_stream_duration`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct StreamDuration {
    /// `Some(ZERO)`: unbounded.
    pub max: Option<Duration>,
    /// When set, a gRPC request that says how long it may take (`grpc-timeout`) gets that long, but at most this; `Some(ZERO)`: no
    /// upper bound.
    pub grpc_header_max: Option<Duration>,
    /// Taken off what `grpc-timeout` says, so that we give up before the client does.
    pub grpc_header_offset: Option<Duration>,
}

/// How a gRPC request's own `grpc-timeout` becomes the time-out of the route (Envoy `max_grpc_timeout`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct GrpcTimeout {
    /// Also of requests without the header. `None`: no upper bound, and requests without the header have none at all.
    pub max: Option<Duration>,
    /// Taken off the header's value unless nothing would be left.
    pub offset: Option<Duration>,
}
