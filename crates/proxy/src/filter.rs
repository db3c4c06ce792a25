//! HTTP filters: what happens to a request between its codec and the router, and to the response on its way back.
//!
//! Shape       1 connection manager -> 1 `Filters` (compiled, per worker) -> per exchange 1 `FilterRun` -> n `ActiveFilter`,
//!             each with its configuration and whatever it must remember. `http::forward::filters` drives them.
//! Invariants  request hooks run in the configured order, response hooks in reverse; every response passes the response hooks
//!             once, local replies of filters and of the router included; a filter that is off for the route has no hooks
//! Cost        none without filters: one check per exchange. Otherwise two allocations per exchange
//! Source      Envoy's HTTP filter chain (decode and encode callbacks, `sendLocalReply`, `clearRouteCache`)
//!
//! # To add a filter
//!
//! 1. `ir`: a variant of `HttpFilterConfig`, and of `RouteFilterConfig` when routes may configure it.
//! 2. `xds`: a file below `codec/filter/` and its arms in `codec/filter.rs`; its fields in `bootstrap::fields`; its messages
//!    in `cargo xtask descriptors`; a generator in `tests/support/filter.rs`.
//! 3. Here: a file with a compiled type (`Cors`), made by [`Filter::compile`], and an active one (`ActiveCors`); arms in
//!    [`Filter::activate`] and in the hooks of [`ActiveFilter`] that it needs. A route's configuration is a variant of
//!    `RouteFilter`; the filter reads it through `RouteRef::configs`, the most specific first.
//! 4. What workers must share (token buckets) comes from `SharedStates`; what is counted has Envoy's name for it.
//!
//! A hook of the request's head that must wait returns [`Step::Wait`] with a future that owns what it needs; time-outs and a
//! client that leaves end the wait. One that needs the whole body returns [`Step::Buffer`]. Both continue in
//! [`ActiveFilter::on_resume`]. Bodies pass a filter by unless its hook of the head said `cx.transforms_body = true`; then its
//! frame hooks see every frame, may hold back and change them, and must let one through that ends the body. A response filter
//! that changes the length removes `content-length` and sets `cx.framing`.

mod buffer;
mod compressor;
mod context;
mod cors;
mod decompressor;
mod descriptors;
mod fault;
mod header_to_metadata;
mod health_check;
mod local_rate_limit;
mod overrides;
mod pace;
mod rate_limit;
mod rbac;
mod run;
mod set_metadata;
mod stateful_session;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use leno_ir::{HttpFilter, HttpFilterConfig};

use self::buffer::ActiveBuffer;
pub(crate) use self::buffer::data_bytes;
use self::compressor::{ActiveCompressor, Compressor};
pub(crate) use self::context::{RequestContext, ResponseContext};
use self::cors::{ActiveCors, Cors};
use self::decompressor::{ActiveDecompressor, Decompressor};
use self::fault::{ActiveFault, FaultFilter};
use self::header_to_metadata::{ActiveHeaderToMetadata, HeaderToMetadata};
use self::health_check::{ActiveHealthCheck, HealthCheckFilter};
use self::local_rate_limit::{ActiveLocalRateLimit, LocalRateLimit};
pub(crate) use self::overrides::{Dice, Picked, RouteRef, RouteRules};
use self::rate_limit::{ActiveRateLimit, Answer, RateLimit};
use self::rbac::Rbac;
pub(crate) use self::rbac::joined;
pub(crate) use self::run::{FilterRun, RequestParts};
use self::set_metadata::SetMetadata;
pub(crate) use self::stateful_session::HostOverride;
use self::stateful_session::{ActiveSession, SessionFilter};
use crate::exchange::Exchange;
use crate::flags::ResponseFlags;
use crate::http::Frame;
use crate::stats::{Counter, Gauge};
use crate::worker::Worker;

/// The filters of one connection manager, without the router.
#[derive(Debug, Default)]
pub(crate) struct Filters(Vec<Configured>);

#[derive(Debug)]
struct Configured {
    name: Rc<str>,
    disabled: bool,
    filter: Filter,
}

impl Filters {
    /// `place` names the field with the filters among all of the configuration; `stat_prefix` is the connection manager's.
    pub(crate) fn compile(filters: &[HttpFilter], place: &str, stat_prefix: &str, worker: &Worker) -> Self {
        let compile = |(index, filter): (usize, &HttpFilter)| Configured {
            name: filter.name.as_str().into(),
            disabled: filter.disabled,
            filter: Filter::compile(&filter.config, Place { name: &format!("{place}[{index}]"), stat_prefix, worker }),
        };
        Self(filters.iter().enumerate().map(compile).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are on for an exchange with this route, which is how things stay whatever its route becomes (Envoy).
    fn activate(&self, route: Option<&RouteRef>) -> impl Iterator<Item = (Rc<str>, ActiveFilter)> {
        let is_on = move |filter: &&Configured| {
            let said = route.and_then(|route| route.is_on(&filter.name));
            said.unwrap_or(!filter.disabled)
        };
        self.0.iter().filter(is_on).map(|filter| (filter.name.clone(), filter.filter.activate()))
    }
}

/// Where a filter is, and what it is made with.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    /// Among all of the configuration; the key of what workers share.
    name: &'a str,
    /// Of the connection manager.
    stat_prefix: &'a str,
    worker: &'a Worker,
}

impl Place<'_> {
    /// What the filter counts, by Envoy's name without `http.<stat_prefix>.`.
    fn counter(self, name: &str) -> Counter {
        self.worker.stats.filter_counter(format!("http.{}.{name}", self.stat_prefix))
    }

    /// As [`Place::counter`], for what goes up and down.
    fn gauge(self, name: &str) -> Gauge {
        self.worker.stats.filter_gauge(format!("http.{}.{name}", self.stat_prefix))
    }
}

/// One filter as configured.
#[derive(Debug)]
enum Filter {
    Buffer(Rc<leno_ir::Buffer>),
    Cors(Rc<Cors>),
    Decompressor(Rc<Decompressor>),
    Fault(Rc<FaultFilter>),
    HealthCheck(Rc<HealthCheckFilter>),
    HeaderToMetadata(Rc<HeaderToMetadata>),
    Compressor(Rc<Compressor>),
    LocalRateLimit(Rc<LocalRateLimit>),
    RateLimit(Rc<RateLimit>),
    Rbac(Rc<Rbac>),
    SetMetadata(Rc<SetMetadata>),
    StatefulSession(Rc<SessionFilter>),
}

impl Filter {
    fn compile(config: &HttpFilterConfig, place: Place<'_>) -> Self {
        match config {
            HttpFilterConfig::Buffer(buffer) => Self::Buffer(Rc::new(*buffer)),
            HttpFilterConfig::Decompressor(filter) => Self::Decompressor(Rc::new(Decompressor::new(filter, place))),
            HttpFilterConfig::Fault(fault) => Self::Fault(Rc::new(FaultFilter::new(fault, place))),
            HttpFilterConfig::HealthCheck(check) => Self::HealthCheck(Rc::new(HealthCheckFilter::new(check, place))),
            HttpFilterConfig::Compressor(filter) => Self::Compressor(Rc::new(Compressor::new(filter, place))),
            HttpFilterConfig::Cors => Self::Cors(Rc::new(Cors::new(place))),
            HttpFilterConfig::HeaderToMetadata(filter) => {
                Self::HeaderToMetadata(Rc::new(HeaderToMetadata::new(filter, place)))
            }
            HttpFilterConfig::LocalRateLimit(filter) => {
                Self::LocalRateLimit(Rc::new(LocalRateLimit::new(filter, place)))
            }
            HttpFilterConfig::RateLimit(filter) => Self::RateLimit(Rc::new(RateLimit::new(filter, place))),
            HttpFilterConfig::Rbac(filter) => Self::Rbac(Rc::new(Rbac::new(filter, place))),
            HttpFilterConfig::SetMetadata(filter) => Self::SetMetadata(Rc::new(SetMetadata::new(filter, place))),
            HttpFilterConfig::StatefulSession(filter) => {
                Self::StatefulSession(Rc::new(SessionFilter::new(filter, place)))
            }
        }
    }

    fn activate(&self) -> ActiveFilter {
        match self {
            Self::Buffer(buffer) => ActiveFilter::Buffer(ActiveBuffer::new(buffer.clone())),
            Self::Cors(cors) => ActiveFilter::Cors(ActiveCors::new(cors.clone())),
            Self::Decompressor(filter) => ActiveFilter::Decompressor(ActiveDecompressor::new(filter.clone())),
            Self::Fault(fault) => ActiveFilter::Fault(ActiveFault::new(fault.clone())),
            Self::HealthCheck(check) => ActiveFilter::HealthCheck(ActiveHealthCheck::new(check.clone())),
            Self::Compressor(filter) => ActiveFilter::Compressor(ActiveCompressor::new(filter.clone())),
            Self::HeaderToMetadata(filter) => {
                ActiveFilter::HeaderToMetadata(ActiveHeaderToMetadata::new(filter.clone()))
            }
            Self::LocalRateLimit(filter) => ActiveFilter::LocalRateLimit(ActiveLocalRateLimit::new(filter.clone())),
            Self::RateLimit(filter) => ActiveFilter::RateLimit(ActiveRateLimit::new(filter.clone())),
            Self::Rbac(rbac) => ActiveFilter::Rbac(rbac.clone()),
            Self::SetMetadata(filter) => ActiveFilter::SetMetadata(filter.clone()),
            Self::StatefulSession(filter) => ActiveFilter::StatefulSession(ActiveSession::new(filter.clone())),
        }
    }
}

/// One filter at work on one exchange.
#[derive(Debug)]
pub(crate) enum ActiveFilter {
    Buffer(ActiveBuffer),
    Cors(ActiveCors),
    Decompressor(ActiveDecompressor),
    Fault(ActiveFault),
    HealthCheck(ActiveHealthCheck),
    Compressor(ActiveCompressor),
    HeaderToMetadata(ActiveHeaderToMetadata),
    LocalRateLimit(ActiveLocalRateLimit),
    RateLimit(ActiveRateLimit),
    Rbac(Rc<Rbac>),
    SetMetadata(Rc<SetMetadata>),
    StatefulSession(ActiveSession),
}

impl ActiveFilter {
    /// The head of the request is there; nothing was sent upstream.
    fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        match self {
            Self::Buffer(buffer) => buffer.on_request(cx),
            Self::Cors(cors) => cors.on_request(cx),
            Self::Decompressor(filter) => filter.on_request(cx),
            Self::Fault(fault) => fault.on_request(cx),
            Self::HealthCheck(check) => check.on_request(cx),
            Self::Compressor(filter) => filter.on_request(cx),
            Self::HeaderToMetadata(filter) => filter.on_request(cx),
            Self::LocalRateLimit(filter) => filter.on_request(cx),
            Self::RateLimit(filter) => filter.on_request(cx),
            Self::Rbac(rbac) => rbac.on_request(cx),
            Self::SetMetadata(filter) => filter.on_request(cx),
            Self::StatefulSession(session) => session.on_request(cx),
        }
    }

    /// What [`ActiveFilter::on_request`] asked for has come.
    fn on_resume(&mut self, resume: Resume, cx: &mut RequestContext<'_>) -> Step {
        match self {
            Self::RateLimit(filter) => filter.on_resume(resume, cx),
            Self::Buffer(buffer) => buffer.on_resume(resume, cx),
            Self::Fault(fault) => fault.on_resume(cx),
            Self::HealthCheck(check) => check.on_resume(cx),
            _ => Step::Continue,
        }
    }

    /// A piece of the request's body; only with `RequestContext::transforms_body`.
    fn on_request_frame(&mut self, frame: Frame, out: &mut VecDeque<Frame>) {
        match self {
            Self::Compressor(filter) => filter.on_request_frame(frame, out),
            Self::Decompressor(filter) => filter.on_request_frame(frame, out),
            _ => out.push_back(frame),
        }
    }

    /// The head of the response is about to be sent.
    fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        match self {
            Self::Compressor(filter) => filter.on_response(cx),
            Self::Cors(cors) => cors.on_response(cx),
            Self::Decompressor(filter) => filter.on_response(cx),
            Self::HealthCheck(check) => check.on_response(cx),
            Self::HeaderToMetadata(filter) => filter.on_response(cx),
            Self::LocalRateLimit(filter) => filter.on_response(cx),
            Self::RateLimit(filter) => filter.on_response(cx),
            Self::StatefulSession(session) => session.on_response(cx),
            _ => {}
        }
    }

    /// A piece of the response's body; only with `ResponseContext::transforms_body`.
    fn on_response_frame(&mut self, frame: Frame, out: &mut VecDeque<Frame>) {
        match self {
            Self::Compressor(filter) => filter.on_response_frame(frame, out),
            Self::Decompressor(filter) => filter.on_response_frame(frame, out),
            _ => out.push_back(frame),
        }
    }

    /// The exchange is over, whatever became of it.
    fn on_end(&mut self, _exchange: &Exchange) {
        if let Self::Fault(fault) = self {
            fault.on_end();
        }
    }
}

/// What comes after a filter has seen a request.
pub(crate) enum Step {
    /// The next filter.
    Continue,
    /// The whole body is read first; 413 when it is longer. Then [`ActiveFilter::on_resume`] with [`Resume::Body`].
    Buffer { limit_bytes: u64 },
    /// The body is read and thrown away first. Then [`ActiveFilter::on_resume`] with [`Resume::Body`].
    Discard,
    /// The request ends here.
    Reply(Box<LocalReply>),
    /// [`ActiveFilter::on_resume`] with what the future gives.
    Wait(Pin<Box<dyn Future<Output = Resume>>>),
}

/// What a filter waited for.
#[derive(Debug)]
pub(crate) enum Resume {
    /// The body is in memory, and will follow, or is gone.
    Body { bytes: u64 },
    /// The time has passed.
    Delay,
    /// The rate limit service has answered, or has not.
    RateLimit(Answer),
}

/// A response of a filter's own.
#[derive(Debug)]
pub(crate) struct LocalReply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// Added last, over those of the route.
    pub(crate) headers: Vec<(Cow<'static, str>, Bytes)>,
    pub(crate) grpc: GrpcReply,
    /// Whether the route's changes of response headers apply. Off only for what Envoy sends past its local replies.
    pub(crate) has_route_headers: bool,
    pub(crate) flags: ResponseFlags,
    pub(crate) details: Cow<'static, str>,
}

/// What a client that speaks gRPC gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum GrpcReply {
    /// The same as everybody.
    Plain,
    /// The status that stands for the HTTP status.
    #[default]
    Mapped,
    Status(u32),
}

impl LocalReply {
    pub(crate) fn new(status: u16, details: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            body: Bytes::new(),
            headers: Vec::new(),
            grpc: GrpcReply::default(),
            has_route_headers: true,
            flags: ResponseFlags::NONE,
            details: details.into(),
        }
    }
}
