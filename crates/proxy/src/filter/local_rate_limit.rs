//! Lets as many requests pass as this process has tokens (Envoy's HTTP filter `local_ratelimit`).
//!
//! Shape       `LocalLimit` (the filter's, or a route's) -> 1 `RateLimiter` of all workers, or one of each connection
//! Cost        a request: one compare-and-swap; with descriptors what making and finding them costs
//! Source      Envoy local_ratelimit filter v1.40; draft-polli-ratelimit-headers-03

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use leno_balance::{DescriptorEntry, Outcome, RateLimiter, RateLimiterSettings, TokenBucket, Verdict};
use leno_ir::LocalRateLimit as Config;

use super::descriptors::{describe, rules_of_route};
use super::overrides::RouteFilter;
use super::rate_limit::RESOURCE_EXHAUSTED;
use super::{GrpcReply, LocalReply, Place, RequestContext, ResponseContext, Step};
use crate::flags::ResponseFlags;
use crate::http::{HeaderEdits, Headers};
use crate::shared::SharedStates;
use crate::stats::{Counter, WorkerStats};

const RETRY_AFTER: &str = "retry-after";

/// What is configured in one place.
#[derive(Debug)]
pub(crate) struct LocalLimit {
    config: Config,
    limiter: Arc<RateLimiter>,
    unenforced_request_headers: HeaderEdits,
    response_headers: HeaderEdits,
}

/// The filter as configured.
#[derive(Debug)]
pub(crate) struct LocalRateLimit {
    own: Arc<LocalLimit>,
    counters: Rc<Counters>,
    /// Of routes, by their prefixes.
    of_routes: RefCell<HashMap<String, Rc<Counters>>>,
}

#[derive(Debug)]
struct Counters {
    enabled: Counter,
    enforced: Counter,
    ok: Counter,
    rate_limited: Counter,
    shadow_mode: Counter,
}

/// The filter at work on one exchange.
#[derive(Debug)]
pub(crate) struct ActiveLocalRateLimit {
    filter: Rc<LocalRateLimit>,
    /// What was asked, once it was.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    limit: Arc<LocalLimit>,
    bucket: Option<Arc<TokenBucket>>,
    is_refused: bool,
}

impl LocalLimit {
    /// `place` names it among all of the configuration.
    pub(crate) fn new(config: &Config, place: &str, states: &SharedStates) -> Self {
        let key = format!("local rate limit {place} {config:?}");
        Self {
            limiter: states.get(key, || limiter(config, Instant::now())),
            unenforced_request_headers: HeaderEdits::new(&config.unenforced_request_headers),
            response_headers: HeaderEdits::new(&config.response_headers),
            config: config.clone(),
        }
    }

    fn take(&self, cx: &RequestContext<'_>) -> Verdict {
        let now = cx.worker.now();
        if self.config.per_connection {
            // Envoy's: whoever comes first decides for the connection, were there several such filters or routes.
            let of_connection = cx.connection.rate_limiter.get_or_init(|| Box::new(limiter(&self.config, now)));
            return of_connection.take(&self.descriptors(of_connection, cx), now);
        }
        // Of a shared bucket each proxy has the same part: as if a request took a token for each of them.
        let tokens = if self.config.shared_by_cluster { cx.worker.local_members().max(1) } else { 1 };
        self.limiter.take_many(&self.descriptors(&self.limiter, cx), now, tokens)
    }

    fn descriptors<'r>(&'r self, limiter: &RateLimiter, cx: &'r RequestContext<'_>) -> Vec<Vec<DescriptorEntry<'r>>> {
        if !limiter.has_descriptors() {
            return Vec::new();
        }
        let own = &self.config.rules;
        if !own.is_empty() {
            return own.iter().filter_map(|rule| describe(rule, cx)).collect();
        }
        let Some(route) = cx.route else { return Vec::new() };
        let rules = rules_of_route(route, self.config.stage, self.config.virtual_host_rules);
        rules.filter_map(|rule| describe(rule, cx)).collect()
    }
}

fn limiter(config: &Config, now: Instant) -> RateLimiter {
    let settings = RateLimiterSettings {
        default: config.token_bucket.as_ref(),
        descriptors: &config.descriptors,
        always_consumes_default: config.always_consumes_default,
        max_dynamic: usize::try_from(config.max_dynamic_descriptors).unwrap_or(usize::MAX),
    };
    RateLimiter::new(settings, now)
}

impl LocalRateLimit {
    pub(super) fn new(config: &Config, place: Place<'_>) -> Self {
        Self {
            own: Arc::new(LocalLimit::new(config, place.name, place.worker.shared_states())),
            counters: Rc::new(Counters::new(&config.stat_prefix, &place.worker.stats)),
            of_routes: RefCell::default(),
        }
    }

    fn counters_of_route(&self, stat_prefix: &str, stats: &WorkerStats) -> Rc<Counters> {
        let mut of_routes = self.of_routes.borrow_mut();
        if let Some(counters) = of_routes.get(stat_prefix) {
            return counters.clone();
        }
        let counters = Rc::new(Counters::new(stat_prefix, stats));
        of_routes.insert(stat_prefix.to_owned(), counters.clone());
        counters
    }
}

impl Counters {
    fn new(stat_prefix: &str, stats: &WorkerStats) -> Self {
        let counter = |what: &str| stats.filter_counter(format!("{stat_prefix}.http_local_rate_limit.{what}"));
        Self {
            enabled: counter("enabled"),
            enforced: counter("enforced"),
            ok: counter("ok"),
            rate_limited: counter("rate_limited"),
            shadow_mode: counter("shadow_mode"),
        }
    }
}

impl ActiveLocalRateLimit {
    pub(super) fn new(filter: Rc<LocalRateLimit>) -> Self {
        Self { filter, asked: None }
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        let of_route = cx.route.and_then(|route| {
            route.configs(cx.name).find_map(|config| match config {
                RouteFilter::LocalRateLimit(limit) => Some(limit.clone()),
                _ => None,
            })
        });
        let (limit, counters) = match of_route {
            None => (self.filter.own.clone(), self.filter.counters.clone()),
            Some(limit) => {
                let counters = self.filter.counters_of_route(&limit.config.stat_prefix, &cx.worker.stats);
                (limit, counters)
            }
        };
        if !cx.chance(limit.config.enabled) {
            return Step::Continue;
        }
        counters.enabled.increment();
        let verdict = limit.take(cx);
        match verdict.outcome {
            Outcome::Allowed => counters.ok.increment(),
            Outcome::Refused => counters.rate_limited.increment(),
            Outcome::Shadowed => {
                counters.rate_limited.increment();
                counters.shadow_mode.increment();
            }
        }
        if verdict.outcome != Outcome::Refused {
            self.asked = Some(Asked { limit, bucket: verdict.bucket, is_refused: false });
            return Step::Continue;
        }
        let is_refused = cx.chance(limit.config.enforced);
        let asked = self.asked.insert(Asked { limit, bucket: verdict.bucket, is_refused });
        let limit = &asked.limit;
        if !is_refused {
            limit.unenforced_request_headers.apply_to_request(cx.request, cx.exchange, cx.connection);
            return Step::Continue;
        }
        counters.enforced.increment();
        let grpc =
            if limit.config.resource_exhausted { GrpcReply::Status(RESOURCE_EXHAUSTED) } else { GrpcReply::Mapped };
        Step::Reply(Box::new(LocalReply {
            body: Bytes::from_static(b"local_rate_limited"),
            flags: ResponseFlags::RATE_LIMITED,
            grpc,
            ..LocalReply::new(limit.config.status, "local_rate_limited")
        }))
    }

    pub(super) fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        let Some(Asked { limit, bucket, is_refused }) = &self.asked else { return };
        if *is_refused {
            limit.response_headers.apply_to_response(cx.response, cx.request, cx.exchange, cx.connection);
        }
        let Some(bucket) = bucket else { return };
        let headers = &mut cx.response.headers;
        if *is_refused
            && limit.config.retry_after_header
            && limit.config.status == 429
            && !headers.contains(RETRY_AFTER)
        {
            let seconds = seconds_to_next_token(bucket, cx.worker.now()).max(1);
            headers.append(RETRY_AFTER.as_bytes(), itoa::Buffer::new().format(seconds).as_bytes());
        }
        if limit.config.limit_headers {
            tell_limits(bucket, cx.worker.now(), headers);
        }
    }
}

/// Rounded up.
fn seconds_to_next_token(bucket: &TokenBucket, now: Instant) -> u64 {
    u64::try_from(bucket.next_token(now).as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn tell_limits(bucket: &TokenBucket, now: Instant, headers: &mut Headers) {
    let mut tell =
        |name: &str, value: u64| headers.append(name.as_bytes(), itoa::Buffer::new().format(value).as_bytes());
    tell("x-ratelimit-limit", bucket.max_tokens().into());
    tell("x-ratelimit-remaining", bucket.remaining(now).into());
    tell("x-ratelimit-reset", seconds_to_next_token(bucket, now));
}
