//! One exchange from its request's head to its record: route, tries, relay, or a local reply.
//!
//! Shape       route -> cluster -> n tries (endpoint, connection, head, body) -> 1 response, streamed while the request still may be
//! Invariants  every exchange is recorded and logged exactly once; buffers are bounded, a side that does not take stops the other
//! Errors      `Failure`: answered locally while nothing was sent, otherwise the client's stream is cut
//! Cost        no task, no timer and no channel per exchange: both directions are polled in one loop
//! Source      Envoy router filter (retries, timeouts, details), RFC 9110 §9.2.2 (idempotent methods)

mod counting;
mod edge;
mod edit;
mod filters;
mod hash;
mod hedge;
mod internal_redirect;
mod local_reply;
mod mirror;
mod prepare;
mod pump;
mod retry;
mod server_name;
mod timeouts;
mod tries;
mod wishes;

pub(crate) use hash::{hash_of_ip, request_hash};

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use leno_ir::{
    AttemptCount, Cluster, HttpConnectionManager, ProxyProtocolVersion, Redirect, RouteAction, RouterOptions,
    WeightedCluster,
};
use leno_routing::Matched;

use self::edge::Spelling;
use self::filters::Filtered;
use self::hedge::Hedge;
use self::internal_redirect::Followed;
use self::local_reply::{NOTHING, Reply};
use self::timeouts::Deadlines;
use super::described::Described;
use super::downstream::Downstream;
use super::failure::Failure;
use super::head::{Framing, RequestHead, ResponseHead};
use super::timer::Timer;
use super::{HttpManager, Routes};
use crate::connection::Connection;
use crate::exchange::{Exchange, LogMoment};
use crate::filter::{Dice, FilterRun, Picked, RouteRules};
use crate::stats::{HttpCounter, HttpGauge};
use crate::worker::Worker;

/// What exchanges of one connection share.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) connection: Rc<Connection>,
    pub(super) manager: Rc<HttpManager>,
    pub(super) worker: Rc<Worker>,
}

impl Context {
    pub(super) fn config(&self) -> &HttpConnectionManager {
        &self.manager.config
    }

    /// Whether the connection is to end after the exchange that is beginning on it, for want of memory.
    pub(super) fn ends_keepalive(&self) -> bool {
        let ends = self.worker.ends_keepalive();
        if ends {
            self.manager.stats.count(HttpCounter::CxOverloadDisableKeepalive);
        }
        ends
    }
}

/// The route of an exchange, and its table.
#[derive(Clone, Copy)]
struct Route<'r> {
    rules: &'r RouteRules,
    matched: Matched<'r>,
}

/// What the record says of the route.
fn note_route(exchange: &mut Exchange, matched: Option<Matched<'_>>) {
    exchange.route_name = matched.and_then(|matched| matched.route_name());
    let metadata = matched.map(|matched| &matched.route.metadata).filter(|metadata| !metadata.is_empty());
    exchange.route_metadata = metadata.cloned();
}

/// One exchange under way.
#[derive(Debug)]
pub(super) struct Forwarder<'a, 'd> {
    context: &'a Context,
    downstream: &'a mut Downstream<'d>,
    timer: &'a mut Timer,
    request: &'a mut RequestHead,
    response: &'a mut ResponseHead,
    /// Of the request.
    framing: Framing,
    exchange: &'a mut Exchange,
    deadlines: Deadlines,
    attempt_count: AttemptCount,
    /// `None`: there are no filters, or the request has not come so far.
    run: Option<Box<FilterRun>>,
    is_tunnel: bool,
    /// Of what goes to the upstream as bytes without a head: the PROXY header before them.
    raw: Option<Option<ProxyProtocolVersion>>,
    /// The server that TLS with endpoints is for; `None`: their configuration says it.
    server_name: Option<Rc<str>>,
    /// `None`: no redirect was followed.
    followed: Option<Box<Followed>>,
    /// The request has `x-envoy-…` headers, and its client may have them.
    has_envoy_headers: bool,
    /// A trusted client wants 204 where it would get 504.
    answers_timeouts_with_204: bool,
    /// `None`: a try that runs out of time is given up.
    hedge: Option<Box<Hedge>>,
    /// The response's head is on its way to the client.
    has_responded: bool,
    /// When the next line of the access log is due; `None`: at the end.
    logs_at: Option<Instant>,
    /// The last byte of the response went out.
    ended: Option<Instant>,
}

impl<'a, 'd> Forwarder<'a, 'd> {
    pub(super) fn new(
        context: &'a Context,
        downstream: &'a mut Downstream<'d>,
        timer: &'a mut Timer,
        (request, framing): (&'a mut RequestHead, Framing),
        response: &'a mut ResponseHead,
        exchange: &'a mut Exchange,
    ) -> Self {
        let mut deadlines = Deadlines::new(exchange.started, context.config().stream_idle_timeout);
        if let Some(limit) = context.config().limits.request_timeout.filter(|_| !downstream.request_is_done()) {
            deadlines.request = exchange.started.checked_add(limit);
        }
        response.headers.clear();
        response.status = 0;
        Self {
            context,
            downstream,
            timer,
            request,
            response,
            framing,
            exchange,
            deadlines,
            attempt_count: AttemptCount::default(),
            run: None,
            is_tunnel: false,
            raw: None,
            server_name: None,
            followed: None,
            has_envoy_headers: false,
            answers_timeouts_with_204: false,
            hedge: None,
            has_responded: false,
            logs_at: None,
            ended: None,
        }
    }

    /// To the end, record included.
    pub(super) async fn run(&mut self) {
        let _active = self.context.worker.stats.active_request(self.context.connection.direction);
        let _counted = self.context.manager.stats.hold(HttpGauge::RqActive);
        loop {
            self.count_request();
            if let Err(failure) = self.route_and_serve().await {
                self.fail(failure, NOTHING).await;
            }
            self.record();
            if !self.begins_again() {
                return;
            }
        }
    }

    /// For what is not even a request.
    pub(super) async fn refuse(&mut self, failure: Failure) {
        self.count_request();
        self.fail(failure, NOTHING).await;
        self.record();
    }

    async fn route_and_serve(&mut self) -> Result<(), Failure> {
        let rules = self.rules();
        if let Spelling::Elsewhere(location) = self.spell()? {
            self.exchange.details = "path_normalization_failed".into();
            self.context.manager.stats.count(HttpCounter::RqRedirectedWithNormalizedPath);
            let location = Some(location.as_str());
            return self.reply(Reply { location, ..Reply::new(307, bytes::Bytes::new()) }).await;
        }
        if self.followed.is_none() {
            self.prepare(rules.as_ref().map(|rules| &**rules.routes.table()))?;
        }
        let worker = &self.context.worker;
        if let Some(overload) = worker.overload()
            && overload.sheds_request(|| worker.random())
        {
            return Err(Failure::Overload);
        }
        let dice = Dice { route: worker.random(), cluster: worker.random() };
        let mut picked = rules.as_ref().and_then(|rules| rules.pick(&self.described(), dice));
        if self.request.wants_tunnel()
            && let Some(matched) =
                rules.as_ref().zip(picked).and_then(|(rules, picked)| rules.routes.at(picked.position))
        {
            let forward = match &matched.route.action {
                RouteAction::Forward(forward) => Some(forward),
                RouteAction::Direct(_) | RouteAction::Redirect(_) => None,
            };
            if let Err(failure) = self.check_upgrade(forward.map(|forward| &**forward)) {
                let chosen = forward.zip(picked.and_then(|picked| picked.cluster));
                let chosen = chosen.and_then(|(forward, at)| forward.clusters.get(at));
                let cluster = chosen.and_then(|chosen| self.context.worker.cluster(&chosen.name));
                self.exchange.cluster = cluster.map(|cluster| cluster.config.clone());
                return Err(failure);
            }
        }
        if !self.context.config().forwards_informational && !self.framing.is_empty() {
            self.continue_ourselves().await?;
        }
        let moments = &self.context.config().access_log_moments;
        self.logs_at = moments.interval.and_then(|interval| self.exchange.started.checked_add(interval));
        if moments.at_start && self.followed.is_none() {
            self.note_destination(rules.as_deref(), picked.as_ref());
            self.log_at(LogMoment::Start);
        }
        let filters = self.context.manager.chain_of(self.request).0;
        if !filters.is_empty() {
            picked = match self.filter_request(filters, rules.as_ref(), picked, dice).await? {
                Filtered::Answered => return Ok(()),
                Filtered::Continue(picked) => picked,
            };
        }
        let stats = &self.context.manager.stats;
        stats.count(HttpCounter::RouterRqTotal);
        let (Some(rules), Some(picked)) = (rules, picked) else { return Err(Failure::NoRoute) };
        let matched = rules.routes.at(picked.position).ok_or(Failure::NoRoute)?;
        note_route(self.exchange, Some(matched));
        match &matched.route.action {
            RouteAction::Direct(direct) => {
                stats.count(HttpCounter::RqDirectResponse);
                self.exchange.details = "direct_response".into();
                let body = bytes::Bytes::copy_from_slice(direct.body.as_bytes());
                // Envoy: the address asked for, where a status promises one (RFC 9110 §15.3.2, §15.4).
                let location = matches!(direct.status, 201 | 300..=399).then(|| {
                    let (scheme, host, port, path) = (None, None, None, None);
                    let same = Redirect { scheme, host, port, path, status: direct.status, strip_query: false };
                    matched.redirect_location(&same, &*self.request)
                });
                let ops = rules.response_headers(matched, None);
                let location = location.as_deref();
                self.reply(Reply { location, ops: &ops, ..Reply::new(direct.status, body) }).await
            }
            RouteAction::Redirect(redirect) => {
                // So Envoy counts it, too.
                stats.count(HttpCounter::RqDirectResponse);
                self.exchange.details = "direct_response".into();
                let location = matched.redirect_location(redirect, &*self.request);
                let ops = rules.response_headers(matched, None);
                let location = Some(location.as_str());
                self.reply(Reply { location, ops: &ops, ..Reply::new(redirect.status, bytes::Bytes::new()) }).await
            }
            RouteAction::Forward(forward) => {
                let status = forward.cluster_not_found_status;
                let chosen = picked.cluster.and_then(|at| forward.clusters.get(at));
                let chosen = chosen.ok_or(Failure::NoCluster { status })?;
                let chosen = self.where_the_session_is(&forward.clusters, chosen);
                let ops = rules.response_headers(matched, Some(chosen));
                self.attempt_count = matched.virtual_host.attempt_count;
                if let Err(failure) = self.serve(Route { rules: &rules, matched }, forward, chosen, &ops).await {
                    self.fail(failure, &ops).await;
                }
                Ok(())
            }
        }
    }

    /// A session stays at its endpoint even where a route splits its traffic (GEP-1619). Envoy lets the dice decide, and then
    /// the session is over.
    fn where_the_session_is<'c>(
        &self,
        clusters: &'c [WeightedCluster],
        chosen: &'c WeightedCluster,
    ) -> &'c WeightedCluster {
        let wanted = self.run.as_ref().and_then(|run| run.host_override).and_then(|wanted| wanted.address);
        let Some(address) = wanted.filter(|_| clusters.len() > 1) else { return chosen };
        let has_it = |one: &&WeightedCluster| {
            self.context.worker.cluster(&one.name).is_some_and(|cluster| cluster.has_endpoint(address))
        };
        std::iter::once(chosen).chain(clusters).find(has_it).unwrap_or(chosen)
    }

    /// What the router at the end of the filters has been told.
    fn router(&self) -> &'a RouterOptions {
        self.context.manager.chain_of(self.request).1
    }

    fn rules(&self) -> Option<std::sync::Arc<RouteRules>> {
        match &self.context.manager.routes {
            Routes::Inline(table) => Some(table.clone()),
            Routes::Rds(name) => self.context.worker.route_table(name),
            Routes::Scoped(scopes) => scopes.table(self.request, &self.context.worker),
        }
    }

    /// The request as routes see it.
    fn described(&self) -> Described<'_> {
        let metadata = &self.exchange.metadata;
        Described { request: self.request, metadata, connection: &self.context.connection }
    }

    /// Marks progress, for the idle time-out.
    fn touch(&mut self) -> Instant {
        let now = self.context.worker.now();
        self.deadlines.last_activity = Some(now);
        now
    }

    /// When something last moved: exact at the moment a head or a body has come, and no look at the clock.
    fn last_activity(&self) -> Instant {
        self.deadlines.last_activity.unwrap_or(self.exchange.started)
    }

    /// Where the request goes if no filter decides otherwise.
    fn note_destination(&mut self, rules: Option<&RouteRules>, picked: Option<&Picked>) {
        let (Some(rules), Some(picked)) = (rules, picked) else { return };
        let Some(matched) = rules.routes.at(picked.position) else { return };
        note_route(self.exchange, Some(matched));
        if let Some(cluster) = self.cluster_of(*picked, matched) {
            self.exchange.cluster = Some(cluster);
        }
    }

    /// The cluster a route has chosen.
    fn cluster_of(&self, picked: Picked, matched: Matched<'_>) -> Option<Arc<Cluster>> {
        let RouteAction::Forward(forward) = &matched.route.action else { return None };
        let chosen = forward.clusters.get(picked.cluster?)?;
        Some(self.context.worker.cluster(&chosen.name)?.config.clone())
    }

    /// A line of the access log before the end.
    fn log_at(&mut self, moment: LogMoment) {
        let Context { connection, manager, .. } = self.context;
        self.exchange.log_moment = moment;
        manager.access_log.log(self.exchange, connection, &*self.request, &*self.response);
        self.exchange.log_moment = LogMoment::End;
    }

    fn record(&mut self) {
        let Context { connection, manager, worker } = self.context;
        self.exchange.finish(self.ended.take().unwrap_or_else(|| worker.now()));
        if let Some(run) = &mut self.run {
            run.on_end(self.exchange);
        }
        worker.stats.record(self.exchange, connection);
        self.count_end();
        self.name_destination();
        manager.access_log.log(self.exchange, connection, &*self.request, &*self.response);
    }
}
