use std::time::Duration;

use leno_ir::{Flavor, Forward, GrpcTimeout, StreamDuration};
use leno_proto::envoy::config::route::v3::{RouteAction as Proto, route_action};

use crate::codec::common::{duration, duration_or_off, read_duration, read_limit};

/// What Envoy does with a route that says nothing.
const ENVOY_TIMEOUT: Duration = Duration::from_secs(15);

#[allow(deprecated, reason = "the newer fields replace the time-out of all requests, not only that of gRPC")]
pub(super) fn encode(forward: &Forward, action: &mut Proto, flavor: Flavor) {
    action.timeout = duration_or_off(forward.timeout);
    action.idle_timeout = forward.idle_timeout.and_then(duration);
    action.flush_timeout = forward.flush_timeout.and_then(duration);
    // The only time limit of a route that gRPC knows (A31).
    let of_grpc = || StreamDuration { max: forward.timeout, ..StreamDuration::default() };
    let limits = forward.stream_duration.clone();
    let limits = limits.or_else(|| (flavor == Flavor::Grpc && forward.timeout.is_some()).then(of_grpc));
    action.max_stream_duration = limits.map(|limits| route_action::MaxStreamDuration {
        max_stream_duration: limits.max.and_then(duration),
        grpc_timeout_header_max: limits.grpc_header_max.and_then(duration),
        grpc_timeout_header_offset: limits.grpc_header_offset.and_then(duration),
    });
    if let Some(grpc) = &forward.grpc_timeout {
        action.max_grpc_timeout = duration_or_off(grpc.max);
        action.grpc_timeout_offset = grpc.offset.and_then(duration);
    }
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
pub(super) fn decode(action: &Proto, forward: &mut Forward) {
    forward.timeout = read_limit(action.timeout.as_ref(), Some(ENVOY_TIMEOUT));
    forward.idle_timeout = read_duration(action.idle_timeout.as_ref());
    forward.flush_timeout = read_duration(action.flush_timeout.as_ref());
    forward.stream_duration = action.max_stream_duration.as_ref().map(|limits| StreamDuration {
        max: read_duration(limits.max_stream_duration.as_ref()),
        grpc_header_max: read_duration(limits.grpc_timeout_header_max.as_ref()),
        grpc_header_offset: read_duration(limits.grpc_timeout_header_offset.as_ref()),
    });
    forward.grpc_timeout = action.max_grpc_timeout.as_ref().map(|max| GrpcTimeout {
        max: read_duration(Some(max)).filter(|max| !max.is_zero()),
        offset: read_duration(action.grpc_timeout_offset.as_ref()),
    });
}
