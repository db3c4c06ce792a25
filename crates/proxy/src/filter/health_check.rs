use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use leno_ir::{EndpointHealth, HttpHealthCheck};
use leno_names::Fraction;
use leno_routing::header_matches;

use super::{LocalReply, Place, RequestContext, ResponseContext, Step};
use crate::flags::ResponseFlags;
use crate::http::ResponseHead;
use crate::worker::Worker;

/// Answers requests that ask whether the proxy is well, or remembers what the upstream answers to them.
#[derive(Debug)]
pub(crate) struct HealthCheckFilter {
    config: HttpHealthCheck,
    /// Of all workers. A lock, because it is taken only for such requests.
    cache: Option<Arc<Mutex<Cached>>>,
    /// The admin interface was told so.
    is_unwell: Arc<AtomicBool>,
}

/// The upstream's last answer.
#[derive(Debug, Default)]
struct Cached {
    until: Option<Instant>,
    status: u16,
    is_degraded: bool,
}

#[derive(Debug)]
pub(crate) struct ActiveHealthCheck {
    filter: Rc<HealthCheckFilter>,
    is_asked: bool,
    reply: Option<LocalReply>,
    /// The answer is of our own making.
    is_answered: bool,
}

impl HealthCheckFilter {
    pub(super) fn new(config: &HttpHealthCheck, place: Place<'_>) -> Self {
        let cached =
            || place.worker.shared_states().get(format!("{} {config:?}", place.name), Mutex::<Cached>::default);
        let is_unwell = place.worker.shared_states().unwell();
        Self { config: config.clone(), cache: config.cache_time.map(|_| cached()), is_unwell }
    }

    /// `None`: it is for the upstream to say.
    fn answer(&self, cx: &RequestContext<'_>) -> Option<LocalReply> {
        if self.is_unwell.load(Ordering::Relaxed) || cx.connection.drain.is_draining() {
            return Some(unwell("health_check_failed"));
        }
        if self.config.pass_through {
            let cached = self.cache.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
            cached.until.filter(|until| *until > cx.worker.now())?;
            let mut reply = LocalReply::new(cached.status, "health_check_cached");
            if cached.is_degraded {
                reply.headers.push(("x-envoy-degraded".into(), Bytes::new()));
            }
            if !(200..300).contains(&cached.status) {
                reply.flags = ResponseFlags::FAILED_LOCAL_HEALTH_CHECK;
            }
            return Some(reply);
        }
        let well =
            if self.config.min_healthy.is_empty() { "health_check_ok" } else { "health_check_ok_cluster_healthy" };
        let failed = self.config.min_healthy.iter().find_map(|(name, least)| problem(cx.worker, name, *least));
        Some(failed.map_or_else(|| LocalReply::new(200, well), unwell))
    }

    fn remember(&self, response: &ResponseHead, now: Instant) {
        let (Some(cache), Some(time)) = (&self.cache, self.config.cache_time) else { return };
        let is_degraded = response.headers.contains("x-envoy-degraded");
        *cache.lock().unwrap_or_else(PoisonError::into_inner) =
            Cached { until: now.checked_add(time), status: response.status, is_degraded };
    }
}

fn unwell(details: &'static str) -> LocalReply {
    LocalReply { flags: ResponseFlags::FAILED_LOCAL_HEALTH_CHECK, ..LocalReply::new(503, details) }
}

/// Why a cluster does not let us be well.
fn problem(worker: &Worker, cluster: &str, least: Fraction) -> Option<&'static str> {
    let Some(cluster) = worker.cluster(cluster) else { return Some("health_check_failed_no_cluster_found") };
    let endpoints = cluster.status(worker.now()).endpoints;
    // Envoy counts in whole percents.
    let percent = u64::from(least.parts_per_million() / 10_000);
    if endpoints.is_empty() {
        return (percent > 0).then_some("health_check_failed_cluster_empty");
    }
    let is_well = |health| !matches!(health, EndpointHealth::Unhealthy);
    let well = endpoints.iter().filter(|endpoint| is_well(endpoint.health) && !endpoint.is_ejected).count() as u64;
    (100 * well < endpoints.len() as u64 * percent).then_some("health_check_failed_cluster_unhealthy")
}

impl ActiveHealthCheck {
    pub(super) fn new(filter: Rc<HealthCheckFilter>) -> Self {
        Self { filter, is_asked: false, reply: None, is_answered: false }
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        self.is_asked = self.filter.config.headers.iter().all(|header| header_matches(header, &*cx.request));
        if !self.is_asked {
            return Step::Continue;
        }
        cx.exchange.is_health_check = true;
        self.reply = self.filter.answer(cx);
        // Envoy answers at the end of the request.
        if self.reply.is_some() { Step::Discard } else { Step::Continue }
    }

    pub(super) fn on_resume(&mut self, _cx: &RequestContext<'_>) -> Step {
        let Some(reply) = self.reply.take() else { return Step::Continue };
        self.is_answered = true;
        Step::Reply(Box::new(reply))
    }

    pub(super) fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        if self.filter.is_unwell.load(Ordering::Relaxed) {
            cx.response.headers.set("x-envoy-immediate-health-check-fail", b"true");
        }
        if !self.is_asked {
            return;
        }
        if !self.is_answered {
            self.filter.remember(cx.response, cx.worker.now());
        }
        let name = cx.worker.local_cluster();
        cx.response.headers.set("x-envoy-upstream-healthchecked-cluster", name.as_bytes());
    }
}
