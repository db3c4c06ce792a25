//! Asks a rate limit service about requests (Envoy's HTTP filter `ratelimit`).
//!
//! Shape       rules of route and virtual host -> descriptors -> 1 call over the worker's own cluster -> pass, 429, or an error
//! Errors      a service that does not answer in time: the request passes, or with `failure_mode_deny` gets an error
//! Cost        per request with descriptors one stream on a shared HTTP/2 connection; without descriptors nothing
//! Source      Envoy ratelimit filter v1.40; draft-polli-ratelimit-headers-03

mod message;
mod rules;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use leno_ir::{RateLimit as Config, RateLimitedRequests};
use prost::Message as _;

use self::message::{DescriptorStatus, Limit, RateLimitRequest, RateLimitResponse};
pub(super) use self::rules::RouteLimit;
use self::rules::{OwnRules, descriptor};
use super::descriptors::rules_of_route;
use super::overrides::RouteFilter;
use super::{GrpcReply, LocalReply, Place, RequestContext, ResponseContext, Resume, Step};
use crate::flags::ResponseFlags;
use crate::http::{CallError, HeaderEdits, Headers, call};
use crate::stats::{Counter, WorkerStats};

const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
/// gRPC status RESOURCE_EXHAUSTED.
pub(super) const RESOURCE_EXHAUSTED: u32 = 8;

/// The filter as configured.
#[derive(Debug)]
pub(crate) struct RateLimit {
    config: Config,
    rules: OwnRules,
    response_headers: HeaderEdits,
    /// By the cluster that requests go to, under whose name Envoy counts.
    counters: RefCell<HashMap<String, Rc<Counters>>>,
}

#[derive(Debug)]
struct Counters {
    ok: Counter,
    error: Counter,
    over_limit: Counter,
    failure_mode_allowed: Counter,
}

/// The filter at work on one exchange.
#[derive(Debug)]
pub(crate) struct ActiveRateLimit {
    filter: Rc<RateLimit>,
    counters: Option<Rc<Counters>>,
    /// For the response, whoever makes it.
    response_headers: Vec<(String, Vec<u8>)>,
    is_over_limit: bool,
}

/// What came of a call.
pub(crate) type Answer = Result<Bytes, CallError>;

impl RateLimit {
    pub(super) fn new(config: &Config, _place: Place<'_>) -> Self {
        Self {
            rules: OwnRules::new(&config.rules),
            response_headers: HeaderEdits::new(&config.response_headers),
            config: config.clone(),
            counters: RefCell::default(),
        }
    }

    fn counters(&self, cluster: &str, stats: &WorkerStats) -> Rc<Counters> {
        let mut counters = self.counters.borrow_mut();
        if let Some(counters) = counters.get(cluster) {
            return counters.clone();
        }
        let separator = if self.config.stat_prefix.is_empty() { "" } else { "." };
        let prefix = format!("cluster.{cluster}.ratelimit.{}{separator}", self.config.stat_prefix);
        let counter = |what: &str| stats.filter_counter(format!("{prefix}{what}"));
        let new = Rc::new(Counters {
            ok: counter("ok"),
            error: counter("error"),
            over_limit: counter("over_limit"),
            failure_mode_allowed: counter("failure_mode_allowed"),
        });
        counters.insert(cluster.to_owned(), new.clone());
        new
    }
}

impl ActiveRateLimit {
    pub(super) fn new(filter: Rc<RateLimit>) -> Self {
        Self { filter, counters: None, response_headers: Vec::new(), is_over_limit: false }
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        let config = &self.filter.config;
        let is_internal = cx.request.headers.get("x-envoy-internal") == Some(b"true");
        let is_asked = match config.requests {
            RateLimitedRequests::Both => true,
            RateLimitedRequests::External => !is_internal,
            RateLimitedRequests::Internal => is_internal,
        };
        let Some(route) = cx.route.filter(|route| is_asked && route.forwards()) else { return Step::Continue };
        let Some(cluster) = route.cluster() else { return Step::Continue };
        if !cx.chance(config.enabled) {
            return Step::Continue;
        }
        let of_route = route.configs(cx.name).find_map(|config| match config {
            RouteFilter::RateLimit(of_route) => Some(of_route),
            _ => None,
        });
        let of_part = of_route.filter(|of_route| !of_route.rules.is_empty()).map(|of_route| &of_route.rules);
        let own = of_part.or(Some(&self.filter.rules).filter(|rules| !rules.is_empty()));
        let descriptors = match own {
            Some(own) => own.descriptors(cx),
            None => {
                let host_rules = of_route.map(|of_route| of_route.config.virtual_host_rules).unwrap_or_default();
                let rules = rules_of_route(route, config.stage, host_rules);
                rules.filter_map(|rule| descriptor(rule, None, cx)).collect()
            }
        };
        if descriptors.is_empty() {
            return Step::Continue;
        }
        self.counters = Some(self.filter.counters(&cluster.name, &cx.worker.stats));
        let domain = of_route.map(|of_route| &of_route.config.domain).filter(|domain| !domain.is_empty());
        let request = RateLimitRequest { domain: domain.unwrap_or(&config.domain).clone(), descriptors };
        let (worker, filter) = (cx.worker.clone(), self.filter.clone());
        Step::Wait(Box::pin(async move {
            let (config, message) = (&filter.config, request.encode_to_vec());
            Resume::RateLimit(call(worker, &config.cluster, METHOD, &message, config.timeout).await)
        }))
    }

    pub(super) fn on_resume(&mut self, resume: Resume, cx: &mut RequestContext<'_>) -> Step {
        let config = &self.filter.config;
        let (Some(counters), Resume::RateLimit(answer)) = (&self.counters, resume) else { return Step::Continue };
        let decoded = answer.map_err(|error| tracing::debug!(%error, "no answer of the rate limit service"));
        let decoded = decoded.and_then(|bytes| RateLimitResponse::decode(bytes).map_err(|_| ()));
        let Ok(response) = decoded else {
            counters.error.increment();
            let denies = match config.failure_mode_deny_share {
                Some(share) => cx.chance(share),
                None => config.failure_mode_deny,
            };
            if !denies {
                counters.failure_mode_allowed.increment();
                return Step::Continue;
            }
            return Step::Reply(Box::new(LocalReply {
                flags: ResponseFlags::RATE_LIMIT_SERVICE_ERROR,
                ..LocalReply::new(config.status_on_error, "rate_limiter_error")
            }));
        };
        let added = response.response_headers_to_add.iter();
        self.response_headers.extend(added.map(|header| (header.key.to_ascii_lowercase(), header.value().to_vec())));
        if config.limit_headers {
            self.response_headers.extend(limit_headers(&response.statuses));
        }
        if response.overall_code != RateLimitResponse::OVER_LIMIT {
            counters.ok.increment();
            add_to_request(&response, cx);
            return Step::Continue;
        }
        counters.over_limit.increment();
        if config.ratelimited_header {
            self.response_headers.push(("x-envoy-ratelimited".to_owned(), b"true".to_vec()));
        }
        if !cx.chance(config.enforced) {
            add_to_request(&response, cx);
            return Step::Continue;
        }
        self.is_over_limit = true;
        Step::Reply(Box::new(LocalReply {
            body: response.raw_body.into(),
            flags: ResponseFlags::RATE_LIMITED,
            grpc: if config.resource_exhausted { GrpcReply::Status(RESOURCE_EXHAUSTED) } else { GrpcReply::Mapped },
            ..LocalReply::new(config.rate_limited_status, "request_rate_limited")
        }))
    }

    pub(super) fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        let headers: &mut Headers = &mut cx.response.headers;
        // The service knows better than a local reply what its body is.
        if self.is_over_limit && self.response_headers.iter().any(|(name, _)| name == "content-type") {
            headers.remove("content-type");
        }
        for (name, value) in self.response_headers.drain(..) {
            headers.append(name.as_bytes(), &value);
        }
        if self.is_over_limit {
            self.filter.response_headers.apply_to_response(cx.response, cx.request, cx.exchange, cx.connection);
        }
    }
}

fn add_to_request(response: &RateLimitResponse, cx: &mut RequestContext<'_>) {
    for header in &response.request_headers_to_add {
        cx.request.headers.append(header.key.to_ascii_lowercase().as_bytes(), header.value());
    }
}

/// Of the limit that is the closest to being reached.
fn limit_headers(statuses: &[DescriptorStatus]) -> Vec<(String, Vec<u8>)> {
    let with_limit = || statuses.iter().filter_map(|status| Some((status, status.current_limit.as_ref()?)));
    let Some((closest, limit)) = with_limit().min_by_key(|(status, _)| status.limit_remaining) else {
        return Vec::new();
    };
    let policy = |limit: &Limit| {
        let Some(window) = limit.window_seconds() else { return String::new() };
        let name = if limit.name.is_empty() { String::new() } else { format!(";name=\"{}\"", limit.name) };
        format!(", {};w={window}{name}", limit.requests_per_unit)
    };
    let policies: String = with_limit().map(|(_, limit)| policy(limit)).collect();
    let reset = closest.duration_until_reset.as_ref().map_or(0, |reset| reset.seconds);
    vec![
        ("x-ratelimit-limit".to_owned(), format!("{}{policies}", limit.requests_per_unit).into_bytes()),
        ("x-ratelimit-remaining".to_owned(), closest.limit_remaining.to_string().into_bytes()),
        ("x-ratelimit-reset".to_owned(), reset.to_string().into_bytes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::Seconds;

    #[test]
    fn the_limit_closest_to_being_reached_is_told() {
        let status = |requests_per_unit, unit, name: &str, limit_remaining, seconds| DescriptorStatus {
            code: 1,
            current_limit: Some(Limit { requests_per_unit, unit, name: name.to_owned() }),
            limit_remaining,
            duration_until_reset: Some(Seconds { seconds }),
        };
        let statuses = [status(1000, 3, "", 900, 3000), status(10, 1, "per-ip", 3, 1), DescriptorStatus::default()];
        let headers = limit_headers(&statuses);
        let texts: Vec<_> = headers.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
        assert_eq!(texts, ["10, 1000;w=3600, 10;w=1;name=\"per-ip\"", "3", "1"]);
        assert!(limit_headers(&[]).is_empty());
    }
}
