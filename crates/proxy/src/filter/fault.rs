use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use leno_ir::{Fault, FaultAbortKind, FaultDelayKind, FaultRateLimitKind, ShareUnit};
use leno_names::Fraction;
use leno_routing::header_matches;

use super::overrides::RouteFilter;
use super::{GrpcReply, LocalReply, Place, RequestContext, Resume, RouteRef, Step};
use crate::flags::ResponseFlags;
use crate::http::RequestHead;
use crate::stats::{Counter, Gauge, GaugeGuard};

/// Delays requests, answers them with errors, and slows responses down, on purpose.
#[derive(Debug)]
pub(crate) struct FaultFilter {
    config: Fault,
    /// Requests with a fault now, on all workers.
    active: Arc<AtomicU64>,
    active_faults: Gauge,
    aborts_injected: Counter,
    delays_injected: Counter,
    faults_overflow: Counter,
    response_rl_injected: Counter,
}

#[derive(Debug)]
pub(crate) struct ActiveFault {
    filter: Rc<FaultFilter>,
    counted: Option<FaultPermit>,
}

/// One request that has a fault.
#[derive(Debug)]
struct FaultPermit {
    active: Arc<AtomicU64>,
    _level: GaugeGuard,
}

impl Drop for FaultPermit {
    fn drop(&mut self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FaultFilter {
    pub(super) fn new(config: &Fault, place: Place<'_>) -> Self {
        let key = format!("active faults {}", place.stat_prefix);
        Self {
            config: config.clone(),
            active: place.worker.shared_states().get(key, AtomicU64::default),
            active_faults: place.gauge("fault.active_faults"),
            aborts_injected: place.counter("fault.aborts_injected"),
            delays_injected: place.counter("fault.delays_injected"),
            faults_overflow: place.counter("fault.faults_overflow"),
            response_rl_injected: place.counter("fault.response_rl_injected"),
        }
    }
}

impl ActiveFault {
    pub(super) fn new(filter: Rc<FaultFilter>) -> Self {
        Self { filter, counted: None }
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        let filter = self.filter.clone();
        let fault = settings(&filter.config, cx.route, cx.name);
        if fault.max_active.is_some_and(|most| filter.active.load(Ordering::Relaxed) >= u64::from(most)) {
            filter.faults_overflow.increment();
            return Step::Continue;
        }
        if !is_for(fault, cx) {
            return Step::Continue;
        }
        self.limit_response(fault, cx);
        if let Some(delay) = delay_of(fault, cx) {
            self.count();
            filter.delays_injected.increment();
            cx.exchange.flags.insert(ResponseFlags::DELAY_INJECTED);
            return Step::Wait(Box::pin(async move {
                tokio::time::sleep(delay).await;
                Resume::Delay
            }));
        }
        self.abort(fault, cx)
    }

    /// After the delay.
    pub(super) fn on_resume(&mut self, cx: &mut RequestContext<'_>) -> Step {
        let filter = self.filter.clone();
        self.abort(settings(&filter.config, cx.route, cx.name), cx)
    }

    fn limit_response(&mut self, fault: &Fault, cx: &mut RequestContext<'_>) {
        let Some(limit) = &fault.response_rate_limit else { return };
        let (rate, share) = match limit.kind {
            FaultRateLimitKind::Fixed(rate) => (Some(rate), limit.share),
            FaultRateLimitKind::Header(unit) => {
                let rate = number(cx.request, "x-envoy-fault-throughput-response").filter(|rate| *rate > 0);
                (rate, asked_share(cx.request, "x-envoy-fault-throughput-response-percentage", limit.share, unit))
            }
        };
        if let Some(rate) = rate.filter(|_| cx.chance(share)) {
            self.count();
            self.filter.response_rl_injected.increment();
            cx.response_kib_per_second = Some(rate);
        }
    }

    fn abort(&mut self, fault: &Fault, cx: &mut RequestContext<'_>) -> Step {
        let Some(abort) = &fault.abort else { return Step::Continue };
        let header = |name| number(cx.request, name);
        let (status, grpc, share) = match abort.kind {
            FaultAbortKind::Grpc(status) => (200, GrpcReply::Status(status), abort.share),
            FaultAbortKind::Http(status) => (status, GrpcReply::Mapped, abort.share),
            FaultAbortKind::Header(unit) => {
                let share = asked_share(cx.request, "x-envoy-fault-abort-request-percentage", abort.share, unit);
                let status = header("x-envoy-fault-abort-request").filter(|status| (200..600).contains(status));
                let grpc = header("x-envoy-fault-abort-grpc-request");
                match (status.and_then(|status| u16::try_from(status).ok()), grpc) {
                    (Some(status), _) => (status, GrpcReply::Mapped, share),
                    (None, Some(grpc)) => (200, GrpcReply::Status(u32::try_from(grpc).unwrap_or(u32::MAX)), share),
                    (None, None) => return Step::Continue,
                }
            }
        };
        if !cx.chance(share) {
            return Step::Continue;
        }
        self.count();
        self.filter.aborts_injected.increment();
        let body = match abort.body.as_str() {
            "" => Bytes::from_static(b"fault filter abort"),
            body => Bytes::copy_from_slice(body.as_bytes()),
        };
        let flags = ResponseFlags::FAULT_INJECTED;
        Step::Reply(Box::new(LocalReply { body, grpc, flags, ..LocalReply::new(status, "fault_filter_abort") }))
    }

    pub(super) fn on_end(&mut self) {
        self.counted = None;
    }

    /// However many faults it has, a request counts once.
    fn count(&mut self) {
        let filter = &self.filter;
        self.counted.get_or_insert_with(|| {
            filter.active.fetch_add(1, Ordering::Relaxed);
            FaultPermit { active: filter.active.clone(), _level: filter.active_faults.one_more() }
        });
    }
}

/// The route's, or else the filter's own.
fn settings<'a>(own: &'a Fault, route: Option<&'a RouteRef>, name: &str) -> &'a Fault {
    let said = route.and_then(|route| {
        route.configs(name).find_map(|config| match config {
            RouteFilter::Fault(fault) => Some(&**fault),
            _ => None,
        })
    });
    said.unwrap_or(own)
}

fn is_for(fault: &Fault, cx: &RequestContext<'_>) -> bool {
    let goes_to = || cx.route.and_then(|route| route.cluster()).is_some_and(|it| it.name == fault.upstream_cluster);
    let node = || cx.request.headers.get("x-envoy-downstream-service-node");
    (fault.upstream_cluster.is_empty() || goes_to())
        && (fault.downstream_nodes.is_empty()
            || node().is_some_and(|node| fault.downstream_nodes.iter().any(|name| name.as_bytes() == node)))
        && fault.headers.iter().all(|header| header_matches(header, &*cx.request))
}

/// In whole milliseconds, at least one.
fn delay_of(fault: &Fault, cx: &RequestContext<'_>) -> Option<Duration> {
    let delay = fault.delay.as_ref()?;
    let (span, share) = match delay.kind {
        FaultDelayKind::Fixed(span) => (Some(span), delay.share),
        FaultDelayKind::Header(unit) => (
            number(cx.request, "x-envoy-fault-delay-request").map(Duration::from_millis),
            asked_share(cx.request, "x-envoy-fault-delay-request-percentage", delay.share, unit),
        ),
    };
    span.filter(|span| span.as_millis() > 0 && cx.chance(share))
}

fn number(request: &RequestHead, name: &str) -> Option<u64> {
    request.headers.get_str(name)?.trim_ascii().parse().ok()
}

/// What the request asks for, at most what is configured.
fn asked_share(request: &RequestHead, header: &str, most: Fraction, unit: ShareUnit) -> Fraction {
    let asked = number(request, header).and_then(|count| u32::try_from(count).ok());
    let asked = asked.map(|count| count.saturating_mul(unit.parts_per_million()).min(most.parts_per_million()));
    asked.and_then(Fraction::from_parts_per_million).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_only_ask_for_less() {
        let mut request = RequestHead::default();
        let ten = Fraction::from_percent(10).expect("a share");
        assert_eq!(asked_share(&request, "x-p", ten, ShareUnit::Percent), ten);
        for (value, unit, parts) in [
            ("3", ShareUnit::Percent, 30_000),
            ("30", ShareUnit::Percent, 100_000),
            ("30", ShareUnit::TenThousandth, 3_000),
            ("30", ShareUnit::Millionth, 30),
            ("x", ShareUnit::Percent, 100_000),
            ("-1", ShareUnit::Percent, 100_000),
        ] {
            request.headers.set("x-p", value.as_bytes());
            assert_eq!(asked_share(&request, "x-p", ten, unit).parts_per_million(), parts, "{value}");
        }
    }
}
