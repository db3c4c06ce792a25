use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use leno_ir::{Cluster, Metadata, UpstreamTls};

use crate::flags::ResponseFlags;
use crate::http::Headers;
use crate::stats::WorkloadId;
use crate::tls::TlsSession;
use crate::upstream::EndpointSource;
use crate::worker::Worker;

/// What happened between one request and the end of its response, or on one TCP connection.
///
/// Filled while it happens; read once, at the end, by `WorkerStats` and `AccessLogger`. Heads are passed beside it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// Where the client is by what forwarded the request, when that is believed.
    pub(crate) remote: Option<std::net::SocketAddr>,
    pub(crate) protocol: Protocol,
    pub(crate) started: Instant,
    pub(crate) started_at: SystemTime,
    /// From `started` to the last byte of the request.
    pub(crate) request_duration: Option<Duration>,
    /// From `started` to the first byte of the upstream's response.
    pub(crate) response_duration: Option<Duration>,
    /// The upstream's own time: from the request's last byte sent to the response's first received.
    pub(crate) upstream_service_time: Option<Duration>,
    /// From `started` to the end; set by `finish`.
    pub(crate) duration: Duration,
    /// Of the line that is being written.
    pub(crate) log_moment: LogMoment,
    /// 0: no response was sent.
    pub(crate) status: u16,
    /// `content-type: application/grpc…`.
    pub(crate) is_grpc: bool,
    pub(crate) grpc_status: Option<u32>,
    /// It asks a health check filter how things are.
    pub(crate) is_health_check: bool,
    pub(crate) flags: ResponseFlags,
    /// Envoy's `%RESPONSE_CODE_DETAILS%`: `via_upstream`, `route_not_found` …; empty: not known.
    pub(crate) details: Cow<'static, str>,
    /// Of a response of our own, before a format was applied to it.
    pub(crate) local_reply_body: Bytes,
    /// What filters have said about the request, by namespace (Envoy's dynamic metadata).
    pub(crate) metadata: Metadata,
    /// Why the downstream connection was closed by us; empty: it was not.
    pub(crate) termination_details: Cow<'static, str>,
    /// Why the upstream connection failed.
    pub(crate) upstream_failure: Option<String>,
    /// Body bytes, as they came in and went out downstream; on TCP all bytes.
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) request_header_bytes: u64,
    pub(crate) response_header_bytes: u64,
    /// Tries made; 1 without a retry, 0 when none got as far.
    pub(crate) attempts: u32,
    /// Of the response, where a log may show them.
    pub(crate) trailers: Option<Box<Headers>>,
    pub(crate) route_name: Option<Arc<str>>,
    /// The cluster the request was last sent to.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// The endpoint of the last try.
    pub(crate) upstream: Option<SocketAddr>,
    /// What is configured of it.
    pub(crate) host: Option<Rc<EndpointSource>>,
    /// What it speaks.
    pub(crate) upstream_protocol: Option<Protocol>,
    /// Who runs there: `WorkerStats::workload(&pick.endpoint().workload)`.
    pub(crate) workload: WorkloadId,
    /// Our side of the connection to it.
    pub(crate) upstream_local: Option<SocketAddr>,
    /// What is shown of its TLS.
    pub(crate) upstream_session: Option<Rc<TlsSession>>,
    /// What is said of the route, if anything is.
    pub(crate) route_metadata: Option<Arc<Metadata>>,
}

/// When a line of the access log is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum LogMoment {
    Start,
    Connected,
    Periodic,
    #[default]
    End,
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Protocol {
    Http10,
    Http11,
    Http2,
    Tcp,
}

impl Protocol {
    /// Envoy's `%PROTOCOL%`; `None` for TCP.
    pub(crate) const fn version(self) -> Option<&'static str> {
        match self {
            Self::Http10 => Some("HTTP/1.0"),
            Self::Http11 => Some("HTTP/1.1"),
            Self::Http2 => Some("HTTP/2"),
            Self::Tcp => None,
        }
    }
}

impl Exchange {
    /// One that begins now.
    pub(crate) fn begin(protocol: Protocol, worker: &Worker) -> Self {
        let now = worker.now();
        Self::new(protocol, now, worker.time_of_day(now))
    }

    /// TLS with the endpoint, or with any where none was chosen.
    pub(crate) fn upstream_tls<'c>(&self, cluster: &'c Cluster) -> Option<&'c UpstreamTls> {
        if cluster.socket_matches.is_empty() {
            return cluster.tls.as_ref();
        }
        cluster.tls_of(self.host.as_ref().and_then(|host| host.socket(cluster)))
    }

    pub(crate) fn new(protocol: Protocol, started: Instant, started_at: SystemTime) -> Self {
        Self {
            remote: None,
            protocol,
            started,
            started_at,
            request_duration: None,
            response_duration: None,
            upstream_service_time: None,
            duration: Duration::ZERO,
            log_moment: LogMoment::End,
            status: 0,
            is_grpc: false,
            grpc_status: None,
            is_health_check: false,
            flags: ResponseFlags::NONE,
            details: Cow::Borrowed(""),
            local_reply_body: Bytes::new(),
            metadata: Metadata::new(),
            termination_details: Cow::Borrowed(""),
            upstream_failure: None,
            bytes_received: 0,
            bytes_sent: 0,
            request_header_bytes: 0,
            response_header_bytes: 0,
            attempts: 0,
            trailers: None,
            route_name: None,
            cluster: None,
            upstream: None,
            host: None,
            upstream_protocol: None,
            workload: WorkloadId::UNKNOWN,
            upstream_local: None,
            upstream_session: None,
            route_metadata: None,
        }
    }

    /// Of one that is finished.
    pub(crate) fn ended(&self) -> Instant {
        self.started.checked_add(self.duration).unwrap_or(self.started)
    }

    /// Notes the end; call it before the exchange is recorded.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.duration = now.saturating_duration_since(self.started);
    }
}

/// A head whose values can be asked for; pseudo-headers (`:method`, `:path`, `:authority`, `:scheme`, `:status`) included.
pub(crate) trait HeaderLookup {
    /// The first value; `None` when there is none.
    fn header(&self, lower_case_name: &str) -> Option<&[u8]>;
}

/// The head of an exchange that has none: TCP, or a response that never came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoHeaders;

impl HeaderLookup for NoHeaders {
    fn header(&self, _lower_case_name: &str) -> Option<&[u8]> {
        None
    }
}

impl HeaderLookup for Headers {
    fn header(&self, lower_case_name: &str) -> Option<&[u8]> {
        self.get(lower_case_name)
    }
}

impl HeaderLookup for http::HeaderMap {
    fn header(&self, lower_case_name: &str) -> Option<&[u8]> {
        self.get(lower_case_name).map(http::HeaderValue::as_bytes)
    }
}
