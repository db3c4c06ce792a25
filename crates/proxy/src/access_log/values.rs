use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use leno_telemetry::access_log::{Field, MetadataOf, Side, TimePoint, Values};

use super::metadata::{write_metadata, write_namespace};
use crate::connection::Connection;
use crate::exchange::{Exchange, HeaderLookup, LogMoment, Protocol};
use crate::tls::TlsSession;

/// What the operators of one line read from.
pub(crate) struct LineValues<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) connection: &'a Connection,
    pub(crate) request: &'a dyn HeaderLookup,
    pub(crate) response: &'a dyn HeaderLookup,
}

impl Values for LineValues<'_> {
    fn request_header(&self, lower_case_name: &str) -> Option<&[u8]> {
        self.request.header(lower_case_name)
    }

    fn response_header(&self, lower_case_name: &str) -> Option<&[u8]> {
        self.response.header(lower_case_name)
    }

    fn response_trailer(&self, lower_case_name: &str) -> Option<&[u8]> {
        self.exchange.trailers.as_ref()?.header(lower_case_name)
    }

    fn emit_time(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn time_point(&self, of: TimePoint) -> Option<Duration> {
        let exchange = self.exchange;
        match of {
            TimePoint::RequestBegan => Some(Duration::ZERO),
            TimePoint::RequestEnded => exchange.request_duration,
            // An answer of our own has its head at its end.
            TimePoint::ResponseBegan => {
                exchange.response_duration.or((exchange.status > 0).then_some(exchange.duration))
            }
            TimePoint::UpstreamResponseBegan => exchange.response_duration,
            TimePoint::ResponseEnded => Some(exchange.duration),
            TimePoint::UpstreamRequestEnded => exchange.response_duration?.checked_sub(exchange.upstream_service_time?),
        }
    }

    fn start_time(&self) -> Duration {
        self.exchange.started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn write_metadata(&self, of: MetadataOf, namespace: &str, path: &[String], out: &mut Vec<u8>) -> bool {
        let Self { exchange, connection, .. } = self;
        match of {
            MetadataOf::Cluster => {
                exchange.cluster.as_ref().is_some_and(|cluster| write_metadata(&cluster.metadata, namespace, path, out))
            }
            MetadataOf::Exchange => write_metadata(&exchange.metadata, namespace, path, out),
            MetadataOf::Listener => write_metadata(&connection.chain.listener_metadata, namespace, path, out),
            MetadataOf::Route => {
                exchange.route_metadata.as_ref().is_some_and(|metadata| write_metadata(metadata, namespace, path, out))
            }
            MetadataOf::UpstreamHost => {
                let Some(host) = &exchange.host else { return false };
                let endpoint = host.endpoint();
                match namespace {
                    SUBSETS if endpoint.labels.is_empty() => false,
                    SUBSETS => write_namespace(&endpoint.labels, path, out),
                    SOCKETS if endpoint.socket_labels.is_empty() => false,
                    SOCKETS => write_namespace(&endpoint.socket_labels, path, out),
                    _ => write_metadata(&endpoint.metadata, namespace, path, out),
                }
            }
        }
    }

    fn validity(&self, side: Side) -> Option<(Duration, Duration)> {
        self.session(side)?.validity()
    }

    fn write(&self, field: Field, out: &mut Vec<u8>) {
        let (exchange, connection) = (self.exchange, self.connection);
        match field {
            Field::AccessLogType => {
                let is_tcp = matches!(exchange.protocol, Protocol::Tcp);
                let name = match exchange.log_moment {
                    LogMoment::Start if is_tcp => "TcpConnectionStart",
                    LogMoment::Start => "DownstreamStart",
                    LogMoment::Connected if is_tcp => "TcpUpstreamConnected",
                    LogMoment::Connected => "DownstreamTunnelSuccessfullyEstablished",
                    LogMoment::Periodic if is_tcp => "TcpPeriodic",
                    LogMoment::Periodic => "DownstreamPeriodic",
                    LogMoment::End if is_tcp => "TcpConnectionEnd",
                    LogMoment::End => "DownstreamEnd",
                };
                text(name, out);
            }
            Field::BytesReceived => number(exchange.bytes_received, out),
            Field::BytesSent => number(exchange.bytes_sent, out),
            Field::ConnectionId => number(connection.id, out),
            Field::ConnectionTerminationDetails => text(&exchange.termination_details, out),
            Field::DownstreamDirectRemoteAddress => address(Some(connection.direct_remote), out),
            Field::DownstreamDirectRemoteAddressWithoutPort => ip(connection.direct_remote.ip(), out),
            Field::DownstreamDirectRemotePort => number(connection.direct_remote.port().into(), out),
            Field::DownstreamRemoteAddress => address(Some(exchange.remote.unwrap_or(connection.remote)), out),
            Field::DownstreamRemoteAddressWithoutPort => ip(exchange.remote.unwrap_or(connection.remote).ip(), out),
            Field::DownstreamLocalAddress => address(Some(connection.local), out),
            Field::DownstreamLocalAddressWithoutPort => ip(connection.local.ip(), out),
            Field::DownstreamLocalPort => number(connection.local.port().into(), out),
            Field::DownstreamDirectLocalAddress => address(Some(connection.direct_local), out),
            Field::DownstreamDirectLocalAddressWithoutPort => ip(connection.direct_local.ip(), out),
            Field::DownstreamDirectLocalPort => number(connection.direct_local.port().into(), out),
            Field::DownstreamRemotePort => number(exchange.remote.unwrap_or(connection.remote).port().into(), out),
            // There is none before the end.
            Field::Duration if exchange.log_moment != LogMoment::End => {}
            Field::Duration => number(milliseconds(exchange.duration), out),
            Field::FilterChainName => text(&connection.chain.chain, out),
            Field::GrpcStatus => text(exchange.grpc_status.map(grpc_name).unwrap_or_default(), out),
            Field::GrpcStatusNumber => number_if(exchange.grpc_status.map(u64::from), out),
            Field::GrpcStatusSnake => text(exchange.grpc_status.map(grpc_snake_name).unwrap_or_default(), out),
            Field::LocalReplyBody => out.extend_from_slice(&exchange.local_reply_body),
            Field::Nothing => {}
            Field::Protocol => text(exchange.protocol.version().unwrap_or_default(), out),
            Field::RequestDuration => number_if(exchange.request_duration.map(milliseconds), out),
            Field::RequestHeadersBytes => number(exchange.request_header_bytes, out),
            Field::RequestedServerName => text(connection.server_name.as_deref().unwrap_or_default(), out),
            Field::ResponseCode => number(exchange.status.into(), out),
            Field::ResponseCodeDetails => text(&exchange.details, out),
            Field::ResponseDuration => number_if(exchange.response_duration.map(milliseconds), out),
            // Envoy writes the dash in JSON too.
            Field::ResponseFlags | Field::ResponseFlagsLong if exchange.flags.is_empty() => text("-", out),
            Field::ResponseFlags => list(exchange.flags.short_names(), out),
            Field::ResponseFlagsLong => list(exchange.flags.long_names(), out),
            Field::ResponseHeadersBytes => number(exchange.response_header_bytes, out),
            Field::ResponseTrailersBytes => {
                let trailers = exchange.trailers.as_ref();
                number(
                    trailers.map_or(0, |trailers| {
                        trailers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() as u64
                    }),
                    out,
                );
            }
            Field::ResponseTxDuration => {
                let since = exchange.response_duration.map(|first| exchange.duration.saturating_sub(first));
                number_if(since.map(milliseconds), out);
            }
            Field::RouteName => text(exchange.route_name.as_deref().unwrap_or_default(), out),
            Field::UpstreamCluster | Field::UpstreamClusterRaw => {
                text(exchange.cluster.as_ref().map(|cluster| cluster.name.as_str()).unwrap_or_default(), out);
            }
            Field::UpstreamHost => address(exchange.upstream, out),
            Field::UpstreamHostName | Field::UpstreamHostNameWithoutPort => {
                let name = exchange.host.as_ref().map(|host| host.endpoint().hostname.as_str()).unwrap_or_default();
                match field {
                    _ if !name.is_empty() => text(name, out),
                    Field::UpstreamHostName => address(exchange.upstream, out),
                    _ => display(exchange.upstream.map(|at| at.ip()).as_ref(), out),
                }
            }
            Field::UpstreamRemoteAddress => address(reached(exchange), out),
            Field::UpstreamLocalAddress => address(exchange.upstream_local, out),
            Field::UpstreamLocalAddressWithoutPort => display(exchange.upstream_local.map(|at| at.ip()).as_ref(), out),
            Field::UpstreamLocalPort => number_if(exchange.upstream_local.map(|address| address.port().into()), out),
            Field::UpstreamProtocol => {
                text(exchange.upstream_protocol.and_then(Protocol::version).unwrap_or_default(), out);
            }
            Field::UpstreamRemoteAddressWithoutPort => display(reached(exchange).map(|at| at.ip()).as_ref(), out),
            Field::UpstreamRemotePort => number_if(reached(exchange).map(|address| address.port().into()), out),
            Field::UpstreamRequestAttemptCount => number(exchange.attempts.into(), out),
            Field::UpstreamTransportFailureReason => {
                text(exchange.upstream_failure.as_deref().unwrap_or_default(), out)
            }
            Field::Tls(side, field) => {
                if let Some(session) = self.session(side) {
                    text(&session.text(field), out);
                }
            }
            Field::VirtualClusterName => {}
            Field::Zero => number(0, out),
        }
    }
}

/// The namespace of what subsets tell endpoints apart by.
const SUBSETS: &str = "envoy.lb";
/// The namespace of what decides how to connect to them.
const SOCKETS: &str = "envoy.transport_socket_match";

impl LineValues<'_> {
    pub(super) fn session(&self, side: Side) -> Option<&TlsSession> {
        match side {
            Side::Downstream => self.connection.session.as_deref(),
            Side::Upstream => self.exchange.upstream_session.as_deref(),
        }
    }
}

/// The endpoint of the last try, once there was a connection to it.
fn reached(exchange: &Exchange) -> Option<SocketAddr> {
    exchange.upstream.filter(|_| exchange.upstream_local.is_some())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn text(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(value.as_bytes());
}

fn number(value: u64, out: &mut Vec<u8>) {
    text(itoa::Buffer::new().format(value), out);
}

fn number_if(value: Option<u64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        number(value, out);
    }
}

// Writing to a Vec cannot fail, here and below.
fn display(value: Option<&impl std::fmt::Display>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        let _ = write!(out, "{value}");
    }
}

fn address(value: Option<SocketAddr>, out: &mut Vec<u8>) {
    display(value.as_ref(), out);
}

fn ip(value: IpAddr, out: &mut Vec<u8>) {
    display(Some(&value), out);
}

fn list(names: impl Iterator<Item = &'static str>, out: &mut Vec<u8>) {
    for (at, name) in names.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text(name, out);
    }
}

/// Envoy's spelling of the codes of `google.rpc.Code`.
fn grpc_name(status: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    usize::try_from(status).ok().and_then(|at| NAMES.get(at).copied()).unwrap_or("InvalidCode")
}

/// The names of `google.rpc.Code`.
fn grpc_snake_name(status: u32) -> &'static str {
    usize::try_from(status).ok().and_then(|at| leno_names::GRPC_STATUSES.get(at).copied()).unwrap_or("INVALID_CODE")
}
