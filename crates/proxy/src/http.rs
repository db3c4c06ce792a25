//! HTTP: from an accepted stream to finished exchanges, in HTTP/1 and HTTP/2 on either side.
//!
//! Shape       connection -> `http1::serve` | `http2::serve` -> n exchanges (`forward::Forwarder`) -> n tries (`peer::Peer`)
//!             `codec` (bytes to heads and bodies, no sockets) below `http1`; `headers`, `head` are what both protocols share
//! Invariants  what RFC 9112 calls faulty framing never reaches an upstream; every exchange is recorded once
//! Cost        an HTTP/1 exchange without surprises: two reads, two writes, no task, no timer set
//! Source      RFC 9110, RFC 9112, RFC 9113; Envoy's connection manager and router for everything a user configures

pub(crate) mod codec;
mod cookie;
mod date;
mod described;
mod downstream;
mod failure;
mod forward;
mod grpc;
mod grpc_frame;
mod head;
mod header_ops;
mod headers;
mod http1;
pub(crate) mod http2;
#[cfg(feature = "measuring")]
pub(crate) mod measuring;
mod path;
mod peer;
mod replay;
mod replies;
mod scopes;
#[cfg(test)]
mod tests;
mod timer;
mod tunnel;
mod write_buffer;

use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use leno_ir::{
    ClientCertDetails, ForwardClientCert, HttpCodec, HttpConnectionManager, RouteSource, RouterOptions, Upgrade,
    UpgradeFilters,
};
use tokio::io::AsyncReadExt;

pub(crate) use self::cookie::{SetCookie, cookie_value};
pub(crate) use self::described::Described;
pub(crate) use self::failure::grpc_status_of;
use self::forward::Context;
pub(crate) use self::forward::hash_of_ip;
pub(crate) use self::grpc::{CallError, ClientStream, call};
pub(crate) use self::grpc_frame::{frame, message_of};
pub(crate) use self::head::{Frame, Framing, RequestHead, ResponseHead};
pub(crate) use self::header_ops::{HeaderEdits, HeaderFormats, Levels};
pub(crate) use self::headers::Headers;
pub(crate) use self::replies::Replies;
pub(crate) use self::scopes::ScopeIndex;
use self::scopes::Scopes;
pub(crate) use self::tunnel::{Tunnel, TunnelError};
use crate::access_log::AccessLogger;
use crate::connection::{Alpn, Connection};
use crate::filter::{Filters, RouteRules};
use crate::stats::{HttpCounter, HttpGauge, HttpHistogram, HttpStats, ListenerStats};
use crate::stream::Stream;
use crate::worker::Worker;

/// How one filter chain speaks HTTP, on one worker.
#[derive(Debug)]
pub(crate) struct HttpManager {
    pub(crate) config: HttpConnectionManager,
    pub(crate) routes: Routes,
    filters: Filters,
    upgrades: Box<[UpgradeChain]>,
    pub(crate) access_log: AccessLogger,
    pub(crate) stats: HttpStats,
    /// Of the listener: most of a request's body that is kept, in bytes.
    buffer_limit: Option<u32>,
    /// `None`: responses of our own stay as they are.
    replies: Option<Box<Replies>>,
}

/// What requests for an upgrade pass in the place of the manager's filters.
#[derive(Debug)]
struct UpgradeChain {
    /// Lower case.
    protocol: String,
    filters: Filters,
    router: RouterOptions,
}

#[derive(Debug)]
pub(crate) enum Routes {
    Inline(Arc<RouteRules>),
    Rds(String),
    Scoped(Box<Scopes>),
}

impl HttpManager {
    /// `place` names the filter chain among all of the configuration.
    pub(crate) fn new(
        config: &HttpConnectionManager,
        place: &str,
        (listener, buffer_limit): (&ListenerStats, Option<u32>),
        worker: &Worker,
    ) -> Self {
        let routes = match &config.routes {
            RouteSource::Inline(table) => {
                let place = format!("{place}.route_config");
                Routes::Inline(Arc::new(RouteRules::new(table.clone(), &place, worker.shared_states())))
            }
            RouteSource::Rds(name) => Routes::Rds(name.clone()),
            RouteSource::Scoped(scoped) => {
                let place = format!("{place}.scoped_routes");
                Routes::Scoped(Box::new(Scopes::new(scoped, &place, worker.shared_states())))
            }
        };
        let compile = |filters: &[_], place: String| Filters::compile(filters, &place, &config.stat_prefix, worker);
        let upgrade = |(at, upgrade): (usize, &Upgrade)| {
            let UpgradeFilters { filters, router } = upgrade.filters.as_ref()?;
            let filters = compile(filters, format!("{place}.upgrade_configs[{at}].filters"));
            Some(UpgradeChain { protocol: upgrade.protocol.clone(), filters, router: router.clone() })
        };
        Self {
            config: config.clone(),
            routes,
            buffer_limit,
            filters: compile(&config.filters, format!("{place}.http_filters")),
            upgrades: config.upgrades.iter().enumerate().filter_map(upgrade).collect(),
            access_log: AccessLogger::new(&config.access_log, worker.access_logs()),
            replies: Replies::new(&config.local_replies),
            stats: worker.stats.http(&config.stat_prefix, listener),
        }
    }
}

impl HttpManager {
    /// What a request passes, and the router at its end.
    fn chain_of(&self, request: &RequestHead) -> (&Filters, &RouterOptions) {
        let own = match &*self.upgrades {
            [] => None,
            upgrades => request.tunnel_protocol().and_then(|wanted| {
                upgrades.iter().find(|chain| chain.protocol.as_bytes().eq_ignore_ascii_case(wanted))
            }),
        };
        own.map_or((&self.filters, &self.config.router), |own| (&own.filters, &own.router))
    }

    /// What upstreams are told of a client's certificate.
    pub(crate) fn told_of_client(&self) -> Option<ClientCertDetails> {
        match self.config.forward_client_cert {
            ForwardClientCert::AppendForward | ForwardClientCert::SanitizeSet => Some(self.config.client_cert_details),
            ForwardClientCert::AlwaysForwardOnly | ForwardClientCert::ForwardOnly | ForwardClientCert::Sanitize => None,
        }
    }
}

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one connection to its end.
pub(crate) async fn serve(
    mut stream: Stream,
    mut first_bytes: BytesMut,
    connection: Rc<Connection>,
    manager: Rc<HttpManager>,
    worker: Rc<Worker>,
) {
    let stats = manager.stats.clone();
    let context = Context { connection, manager, worker };
    let started = context.worker.now();
    let _counted =
        (stats.hold(HttpGauge::CxActive), context.connection.is_tls.then(|| stats.hold(HttpGauge::CxSslActive)));
    stats.count(HttpCounter::CxTotal);
    if context.connection.is_tls {
        stats.count(HttpCounter::CxSslTotal);
    }
    let (may_be_http1, may_be_http2) = match (context.config().codec, context.connection.alpn) {
        (HttpCodec::Http1, _) | (HttpCodec::Auto, Some(Alpn::Http1)) => (true, false),
        (HttpCodec::Http2, _) | (HttpCodec::Auto, Some(Alpn::Http2)) => (false, true),
        (HttpCodec::Auto, _) => (true, true),
    };
    if may_be_http2 && starts_http2(&mut stream, &mut first_bytes, &context).await {
        stats.count(HttpCounter::CxHttp2Total);
        let _counted = stats.hold(HttpGauge::CxHttp2Active);
        http2::serve(stream, first_bytes, &context).await;
    } else if may_be_http1 {
        stats.count(HttpCounter::CxHttp1Total);
        let _counted = stats.hold(HttpGauge::CxHttp1Active);
        http1::serve(stream, first_bytes, &context).await;
    }
    stats.count(HttpCounter::CxDestroy);
    stats.count(match context.connection.closed_by_client.get() {
        true => HttpCounter::CxDestroyRemote,
        false => HttpCounter::CxDestroyLocal,
    });
    stats.observe(HttpHistogram::CxLength, context.worker.now().saturating_duration_since(started));
    // Who must speak HTTP/2 and does not would not understand an answer. All it sent was read, so this close is no reset.
}

/// Reads only as long as the bytes may be the start of the preface (RFC 9113 §3.4), and only for the idle time-out.
async fn starts_http2(stream: &mut Stream, first_bytes: &mut BytesMut, context: &Context) -> bool {
    let drain = context.connection.drain.clone();
    let reading = async {
        while first_bytes.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(first_bytes) {
            // The end and errors are met again by the codec.
            match stream.read_buf(first_bytes).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    let patience = context.config().request_headers_timeout.unwrap_or(std::time::Duration::from_secs(60));
    tokio::select! {
        biased;
        () = reading => {}
        () = drain.draining() => {}
        () = tokio::time::sleep(patience) => {}
    }
    first_bytes.starts_with(HTTP2_PREFACE)
}
