use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use http::Method;
use leno_ir::{CorsPolicy, StringMatch};
use leno_names::Fraction;

use super::overrides::RouteFilter;
use super::{GrpcReply, LocalReply, Place, RequestContext, ResponseContext, RouteRef, Step};
use crate::http::RequestHead;
use crate::stats::Counter;

/// Answers preflight requests and marks responses for pages of other origins (Fetch standard, "CORS protocol").
#[derive(Debug)]
pub(crate) struct Cors {
    origin_invalid: Counter,
    origin_valid: Counter,
}

#[derive(Debug)]
pub(crate) struct ActiveCors {
    cors: Rc<Cors>,
    /// Of a request whose response is to be marked.
    origin: Option<Bytes>,
}

/// The policies of a route and what is above it, the most specific first. Each part comes from the first that has it.
struct Policies<'a>(Vec<&'a CorsPolicy>);

impl Cors {
    pub(super) fn new(place: Place<'_>) -> Self {
        Self { origin_invalid: place.counter("cors.origin_invalid"), origin_valid: place.counter("cors.origin_valid") }
    }
}

impl ActiveCors {
    pub(super) fn new(cors: Rc<Cors>) -> Self {
        Self { cors, origin: None }
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        // Routes that answer themselves have no policies (Envoy).
        let Some(route) = cx.route.filter(|route| route.forwards()) else { return Step::Continue };
        let policies = Policies::of(route, cx.name);
        let share = |part: fn(&CorsPolicy) -> Fraction| policies.0.first().map_or(Fraction::ZERO, |first| part(first));
        let is_enabled = cx.chance(share(|policy| policy.enabled));
        if !is_enabled && !cx.chance(share(|policy| policy.shadow_enabled)) {
            return Step::Continue;
        }
        let Some(origin) = cx.request.headers.get("origin").filter(|origin| !origin.is_empty()) else {
            return Step::Continue;
        };
        let is_allowed = policies.allow(origin);
        if is_allowed { &self.cors.origin_valid } else { &self.cors.origin_invalid }.increment();
        if !is_enabled {
            return Step::Continue;
        }
        let origin = is_allowed.then(|| Bytes::copy_from_slice(origin));
        let asks_for_method = cx.request.headers.get("access-control-request-method").is_some_and(|it| !it.is_empty());
        let is_preflight = cx.request.method == Method::OPTIONS && asks_for_method;
        let is_answered = is_allowed || policies.first(|policy| policy.forward_not_matching_preflights) == Some(false);
        let step = if is_preflight && is_answered {
            Step::Reply(Box::new(policies.preflight(cx.request, origin.as_ref())))
        } else {
            Step::Continue
        };
        self.origin = origin;
        step
    }

    pub(super) fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        let (Some(origin), Some(route)) = (&self.origin, cx.route) else { return };
        let policies = Policies::of(route, cx.name);
        let headers = &mut cx.response.headers;
        headers.set("access-control-allow-origin", origin);
        if policies.allow_credentials() {
            headers.set("access-control-allow-credentials", b"true");
        }
        if let Some(exposed) = policies.text(|policy| &policy.expose_headers) {
            headers.set("access-control-expose-headers", exposed.as_bytes());
        }
    }
}

impl<'a> Policies<'a> {
    fn of(route: &'a RouteRef, filter: &str) -> Self {
        let policies = route.configs(filter).filter_map(|config| match config {
            RouteFilter::Cors(policy) => Some(policy),
            _ => None,
        });
        Self(policies.collect())
    }

    fn first<T>(&self, part: impl Fn(&'a CorsPolicy) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|policy| part(policy))
    }

    fn text(&self, part: impl Fn(&'a CorsPolicy) -> &'a String) -> Option<&'a str> {
        self.first(|policy| Some(part(policy).as_str()).filter(|text| !text.is_empty()))
    }

    fn allow_credentials(&self) -> bool {
        self.first(|policy| policy.allow_credentials) == Some(true)
    }

    fn allow(&self, origin: &[u8]) -> bool {
        let allowed: &[StringMatch] = self
            .first(|policy| Some(policy.allow_origins.as_slice()).filter(|all| !all.is_empty()))
            .unwrap_or_default();
        let origin = String::from_utf8_lossy(origin);
        // What matches "*" stands for every origin (Envoy).
        allowed.iter().any(|matcher| matcher.is_match("*") || matcher.is_match(&origin))
    }

    fn preflight(&self, request: &RequestHead, origin: Option<&Bytes>) -> LocalReply {
        let asked = |name: &str| Bytes::copy_from_slice(request.headers.get(name).unwrap_or_default());
        let mut headers = Vec::new();
        let mut add = |name: &'static str, value: Bytes| headers.push((Cow::Borrowed(name), value));
        if let Some(origin) = origin {
            add("access-control-allow-origin", origin.clone());
        }
        if self.allow_credentials() {
            add("access-control-allow-credentials", Bytes::from_static(b"true"));
        }
        let lists = [
            (
                self.text(|policy| &policy.allow_methods),
                "access-control-allow-methods",
                "access-control-request-method",
            ),
            (
                self.text(|policy| &policy.allow_headers),
                "access-control-allow-headers",
                "access-control-request-headers",
            ),
        ];
        for (allowed, answer, question) in lists {
            match allowed {
                Some("*") => add(answer, asked(question)),
                Some(allowed) => add(answer, Bytes::copy_from_slice(allowed.as_bytes())),
                None => {}
            }
        }
        if let Some(max_age) = self.text(|policy| &policy.max_age) {
            add("access-control-max-age", Bytes::copy_from_slice(max_age.as_bytes()));
        }
        let asks_private = request.headers.get("access-control-request-private-network") == Some(b"true");
        if asks_private && self.first(|policy| policy.allow_private_network_access) == Some(true) {
            add("access-control-allow-private-network", Bytes::from_static(b"true"));
        }
        // Envoy sends it as a head of its own making, not as a local reply.
        LocalReply {
            headers,
            grpc: GrpcReply::Plain,
            has_route_headers: false,
            ..LocalReply::new(200, "cors_response")
        }
    }
}
