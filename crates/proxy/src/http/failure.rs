use std::borrow::Cow;

use h2::Reason;

use super::codec::Malformed;
use super::peer::PeerError;
use crate::flags::ResponseFlags;
use crate::upstream::{ConnectError, Dropped};

/// Why an exchange did not end with the upstream's response.
#[derive(Debug)]
pub(super) enum Failure {
    Connect(ConnectError),
    /// The client closed.
    DownstreamGone,
    DownstreamMalformed(Malformed),
    /// The client gave up this exchange.
    DownstreamReset,
    /// One of the cluster's shares that are refused (Envoy `drop_overloads`).
    Dropped(Dropped),
    /// Not of the exchange: an earlier try, which went on beside this one, has answered.
    Hedged,
    /// No bytes for the stream's idle time; `request_was_complete` tells whose silence it was.
    Idle {
        request_was_complete: bool,
    },
    NoCluster {
        status: u16,
    },
    /// 503, unless a session says otherwise.
    NoHealthyUpstream {
        status: u16,
    },
    NoRoute,
    Overflow,
    /// Memory is short.
    Overload,
    PerTryIdle,
    PerTryTimeout,
    Peer(PeerError),
    /// No upgrade or tunnel is allowed here.
    Refused {
        status: u16,
        details: &'static str,
    },
    /// The request did not end in time.
    RequestTimeout,
    /// The whole exchange took longer than a stream may.
    StreamDuration {
        request_was_complete: bool,
    },
    Timeout,
    /// A header that must be understood is not.
    WrongHeader {
        name: &'static str,
        value: String,
    },
}

impl Failure {
    /// 0: there is nobody to answer.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::DownstreamGone | Self::DownstreamReset | Self::Hedged => 0,
            Self::DownstreamMalformed(malformed) => malformed.status(),
            Self::Idle { request_was_complete: false }
            | Self::RequestTimeout
            | Self::StreamDuration { request_was_complete: false } => 408,
            Self::Idle { .. }
            | Self::PerTryIdle
            | Self::PerTryTimeout
            | Self::StreamDuration { .. }
            | Self::Timeout => 504,
            Self::WrongHeader { .. } => 400,
            Self::NoRoute => 404,
            Self::NoCluster { status } | Self::NoHealthyUpstream { status } | Self::Refused { status, .. } => *status,
            Self::Peer(PeerError::Protocol(_)) => 502,
            Self::Connect(_) | Self::Dropped(_) | Self::Overflow | Self::Overload | Self::Peer(_) => 503,
        }
    }

    pub(super) fn flag(&self) -> ResponseFlags {
        match self {
            Self::Connect(ConnectError::Overflow(_)) | Self::Overflow => ResponseFlags::UPSTREAM_OVERFLOW,
            Self::Connect(_) => ResponseFlags::UPSTREAM_CONNECTION_FAILURE,
            Self::DownstreamGone => ResponseFlags::DOWNSTREAM_TERMINATION,
            Self::DownstreamMalformed(_) => ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR,
            Self::DownstreamReset => ResponseFlags::DOWNSTREAM_RESET,
            Self::Dropped(Dropped::Always) => ResponseFlags::UNCONDITIONAL_DROP_OVERLOAD,
            Self::Dropped(Dropped::Share) => ResponseFlags::DROP_OVERLOAD,
            Self::Idle { .. } => ResponseFlags::STREAM_IDLE_TIMEOUT,
            Self::NoCluster { .. } => ResponseFlags::NO_CLUSTER,
            Self::NoHealthyUpstream { .. } => ResponseFlags::NO_HEALTHY_UPSTREAM,
            Self::NoRoute => ResponseFlags::NO_ROUTE,
            Self::PerTryIdle | Self::PerTryTimeout | Self::Timeout => ResponseFlags::UPSTREAM_TIMEOUT,
            Self::Peer(PeerError::Closed) => ResponseFlags::UPSTREAM_CONNECTION_TERMINATION,
            Self::Peer(PeerError::Protocol(_)) => ResponseFlags::UPSTREAM_PROTOCOL_ERROR,
            Self::Peer(PeerError::Reset(_)) => ResponseFlags::UPSTREAM_RESET,
            // As in Envoy, only the details tell of an overload and of a stream's duration.
            Self::Hedged
            | Self::Overload
            | Self::Refused { .. }
            | Self::RequestTimeout
            | Self::StreamDuration { .. } => ResponseFlags::NONE,
            Self::WrongHeader { .. } => ResponseFlags::INVALID_HEADERS,
        }
    }

    /// Envoy's words for it, in `%RESPONSE_CODE_DETAILS%`.
    pub(super) fn details(&self, has_started: bool) -> Cow<'static, str> {
        if let Some(reason) = self.reset_reason() {
            let when = if has_started { "after" } else { "before" };
            let mut reason = reason.replace(' ', "_");
            if let Self::Connect(error @ ConnectError::Refused { .. }) = self {
                reason = format!("{reason}|{}", error.transport_failure());
            }
            return Cow::Owned(format!("upstream_reset_{when}_response_started{{{reason}}}"));
        }
        if let Self::WrongHeader { name, .. } = self {
            return Cow::Owned(format!("request_headers_failed_strict_check{{{name}}}"));
        }
        Cow::Borrowed(match self {
            Self::DownstreamGone => "downstream_remote_disconnect",
            Self::DownstreamMalformed(malformed) => malformed.details(),
            Self::DownstreamReset => "http2.remote_reset",
            Self::Dropped(Dropped::Always) => "unconditional_drop_overload",
            Self::Dropped(Dropped::Share) => "drop_overload",
            Self::Idle { .. } => "stream_idle_timeout",
            Self::NoCluster { .. } => "cluster_not_found",
            Self::NoHealthyUpstream { .. } => "no_healthy_upstream",
            Self::NoRoute => "route_not_found",
            Self::Overload => "overload",
            Self::PerTryIdle => "upstream_per_try_idle_timeout",
            Self::PerTryTimeout => "upstream_per_try_timeout",
            Self::StreamDuration { .. } => "max_duration_timeout",
            Self::Refused { details, .. } => details,
            Self::RequestTimeout => "request_overall_timeout",
            _ => "response_timeout",
        })
    }

    fn reset_reason(&self) -> Option<&'static str> {
        match self {
            Self::Connect(ConnectError::Overflow(_)) | Self::Overflow => Some("overflow"),
            Self::Connect(ConnectError::Timeout { .. }) => Some("connection timeout"),
            Self::Connect(_) => Some("remote connection failure"),
            Self::Peer(PeerError::Closed) => Some("connection termination"),
            Self::Peer(PeerError::Protocol(_)) => Some("protocol error"),
            Self::Peer(PeerError::Reset(Reason::REFUSED_STREAM)) => Some("remote refused stream reset"),
            Self::Peer(PeerError::Reset(_)) => Some("remote reset"),
            _ => None,
        }
    }

    /// The body of the local reply, as Envoy words it.
    pub(super) fn body(&self, was_retried: bool) -> Cow<'static, str> {
        if let Some(reason) = self.reset_reason() {
            let retried = if was_retried { "retried and the latest " } else { "" };
            return Cow::Owned(format!(
                "upstream connect error or disconnect/reset before headers. {retried}reset reason: {reason}"
            ));
        }
        if let Self::WrongHeader { name, value } = self {
            return Cow::Owned(format!("invalid header '{name}' with value '{value}'"));
        }
        Cow::Borrowed(match self {
            Self::DownstreamMalformed(Malformed::HeadTooLarge) => "Request Header Fields Too Large",
            Self::DownstreamMalformed(Malformed::TransferEncoding) => "Not Implemented",
            Self::DownstreamMalformed(_) => "Bad Request",
            Self::Refused { status: 426, .. } => "Upgrade Required",
            Self::Refused { details: "request_header_timeout", .. } => "request header timeout",
            Self::Dropped(Dropped::Always) => "unconditional drop overload",
            Self::Dropped(Dropped::Share) => "drop overload",
            Self::Idle { .. } => "stream timeout",
            Self::RequestTimeout => "request timeout",
            Self::NoHealthyUpstream { .. } => "no healthy upstream",
            Self::Overload => "envoy overloaded",
            Self::PerTryIdle | Self::PerTryTimeout | Self::Timeout => "upstream request timeout",
            Self::StreamDuration { .. } => "downstream duration timeout",
            _ => "",
        })
    }

    /// `None`: the one that the HTTP status maps to.
    pub(super) fn grpc_status(&self) -> Option<u32> {
        // DEADLINE_EXCEEDED.
        matches!(self, Self::StreamDuration { .. }).then_some(4)
    }

    /// What a client is told whose response is cut. As in Envoy, the end of our patience is our fault.
    pub(super) fn reset_of_client(&self) -> Reason {
        match self {
            Self::Idle { .. } | Self::StreamDuration { .. } | Self::Timeout => Reason::INTERNAL_ERROR,
            _ => self.reset_code(),
        }
    }

    /// What an HTTP/2 peer is told when a message that has begun cannot be finished.
    pub(super) fn reset_code(&self) -> Reason {
        match self {
            Self::Peer(PeerError::Reset(reason)) => *reason,
            Self::DownstreamGone
            | Self::DownstreamReset
            | Self::Hedged
            | Self::Idle { .. }
            | Self::PerTryIdle
            | Self::PerTryTimeout
            | Self::RequestTimeout
            | Self::StreamDuration { .. }
            | Self::Timeout => Reason::CANCEL,
            Self::DownstreamMalformed(_) => Reason::PROTOCOL_ERROR,
            _ => Reason::INTERNAL_ERROR,
        }
    }
}

/// Envoy's mapping of an HTTP status to a gRPC status (its `httpToGrpcStatus`, by the gRPC specification's table).
pub(crate) const fn grpc_status_of(http: u16) -> u32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The HTTP status that a gRPC status counts as, for outlier detection (Envoy's `grpcToHttpStatus`).
pub(super) const fn http_status_of(grpc: u32) -> u16 {
    match grpc {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}
