//! Redirects of upstreams that are followed here: the request begins anew at the route its `location` leads to.
//!
//! Invariants  a request is changed only when its redirect is followed; followed at most as often as the route says
//! Cost        nothing for routes without a policy; for others the body is kept as for another try
//! Source      Envoy router filter (`setupRedirect`) and HTTP connection manager (`recreateStream`); RFC 9110 §15.4.4 (303)

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Uri};
use leno_ir::{Cluster, InternalRedirects, RedirectPredicate};
use leno_routing::RequestView;

use super::timeouts::Deadlines;
use super::{Forwarder, Route};
use crate::exchange::Exchange;
use crate::filter::Dice;
use crate::http::described::Described;
use crate::http::head::{Frame, Framing, RequestHead, ResponseHead};
use crate::http::replay::Replay;

const ORIGINAL_URL: &str = "x-envoy-original-url";

/// The redirects that one request has followed.
#[derive(Debug, Default)]
pub(super) struct Followed {
    count: u32,
    /// From which route to which, by name; filled for policies that ask.
    ways: Vec<(String, String)>,
    /// The body, for the route that comes.
    pub(super) frames: VecDeque<Frame>,
    /// The present route's exchange is over, and another begins.
    is_leaving: bool,
    /// Where the last redirect leads, followed or not.
    leads_to: Option<Destination>,
}

#[derive(Debug)]
struct Destination {
    route_name: Option<Arc<str>>,
    cluster: Option<Arc<Cluster>>,
}

struct Target {
    is_https: bool,
    authority: Bytes,
    path: Bytes,
}

impl Forwarder<'_, '_> {
    /// Whether the response is a redirect that was followed: then the request is the next one.
    pub(super) fn follow(&mut self, from: Route<'_>, policy: &InternalRedirects, replay: &mut Replay) -> bool {
        let status = self.response.status;
        let is_whole = self.request_is_done() && replay.is_possible();
        if !policy.follows(status) || !is_whole || self.is_tunnel || self.request.upgrade.is_some() {
            return false;
        }
        let Some(target) = self.response.headers.get("location").and_then(target) else { return false };
        let count = self.followed.get_or_insert_default().count;
        let is_https = if count > 0 { self.request.is_https } else { RequestView::scheme(self.request) == "https" };
        let was_https = is_https && self.context.connection.is_tls;
        if (was_https != target.is_https && !policy.allow_cross_scheme) || count >= policy.max {
            return false;
        }
        let mut request = redirected(self.request, self.response, policy);
        request.is_https = target.is_https;
        request.authority = target.authority;
        request.path = target.path;
        let worker = &self.context.worker;
        let dice = Dice { route: worker.random(), cluster: worker.random() };
        let described = Described { request: &request, ..self.described() };
        let picked = from.rules.pick(&described, dice);
        let to = picked.and_then(|picked| Some((picked, from.rules.routes.at(picked.position)?)));
        let destination = Destination {
            route_name: to.and_then(|(_, to)| to.route_name()),
            cluster: to.and_then(|(picked, to)| self.cluster_of(picked, to)),
        };
        let followed = self.followed.get_or_insert_default();
        followed.leads_to = Some(destination);
        let Some((_, to)) = to else { return false };
        let (from, to) = (&from.matched.route.name, &to.route.name);
        let accepts = |predicate: &RedirectPredicate| match predicate {
            RedirectPredicate::AllowListedRoutes(names) => names.contains(to),
            RedirectPredicate::PreviousRoutes => {
                let way = (from.clone(), to.clone());
                let is_new = !followed.ways.contains(&way);
                followed.ways.push(way);
                is_new
            }
            RedirectPredicate::SafeCrossScheme => was_https || !target.is_https,
        };
        if !policy.predicates.iter().all(accepts) {
            return false;
        }
        followed.count += 1;
        followed.is_leaving = true;
        followed.frames = replay.frames();
        if status == 303 && !matches!(request.method, Method::GET | Method::HEAD) {
            request.method = Method::GET;
            request.headers.remove("content-length");
            followed.frames.clear();
            self.framing = Framing::None;
        }
        let scheme: &[u8] = if was_https { b"https://" } else { b"http://" };
        let url = [scheme, &self.request.authority, &self.request.path].concat();
        request.headers.set(ORIGINAL_URL, &url);
        *self.request = request;
        true
    }

    /// As in Envoy, a log names the route that a redirect leads to, and not the one it came by.
    pub(super) fn name_destination(&mut self) {
        let Some(destination) = self.followed.as_mut().and_then(|followed| followed.leads_to.take()) else { return };
        (self.exchange.route_name, self.exchange.cluster) = (destination.route_name, destination.cluster);
    }

    /// After the record of an exchange: whether its request goes on as another.
    pub(super) fn begins_again(&mut self) -> bool {
        let Some(followed) = &mut self.followed else { return false };
        if !std::mem::take(&mut followed.is_leaving) {
            return false;
        }
        let old = &*self.exchange;
        let mut exchange = Exchange::begin(old.protocol, &self.context.worker);
        exchange.is_grpc = old.is_grpc;
        exchange.request_header_bytes = old.request_header_bytes;
        exchange.request_duration = Some(std::time::Duration::ZERO);
        let bytes = |frame: &Frame| if let Frame::Data { bytes, .. } = frame { bytes.len() as u64 } else { 0 };
        exchange.bytes_received = followed.frames.iter().map(bytes).sum();
        *self.exchange = exchange;
        self.deadlines = Deadlines::new(self.exchange.started, self.context.config().stream_idle_timeout);
        self.response.headers.clear();
        self.response.status = 0;
        self.run = None;
        self.answers_timeouts_with_204 = false;
        true
    }
}

/// `None`: not the whole address of something that speaks HTTP.
fn target(location: &[u8]) -> Option<Target> {
    let text = std::str::from_utf8(location).ok()?;
    let uri: Uri = text.split('#').next()?.parse().ok()?;
    let is_https = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let authority = uri.authority()?.as_str();
    // Who a user name is for is not asked here.
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some(Target {
        is_https,
        authority: Bytes::copy_from_slice(authority.as_bytes()),
        path: Bytes::copy_from_slice(path.as_bytes()),
    })
}

/// The request with the headers of the response that the policy wants in it.
fn redirected(request: &RequestHead, response: &ResponseHead, policy: &InternalRedirects) -> RequestHead {
    let mut request = request.clone();
    for name in &policy.response_headers_to_copy {
        request.headers.remove(name);
        for value in response.headers.get_all(name) {
            request.headers.append(name.as_bytes(), value);
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::as_text;

    #[test]
    fn only_whole_addresses_are_followed() {
        let read = |location: &str| {
            let target = target(location.as_bytes())?;
            Some((target.is_https, as_text(&target.authority).to_owned(), as_text(&target.path).to_owned()))
        };
        let http = |authority: &str, path: &str| Some((false, authority.to_owned(), path.to_owned()));
        assert_eq!(read("http://a.test/x?y=1#z"), http("a.test", "/x?y=1"));
        assert_eq!(read("http://a.test:81"), http("a.test:81", "/"));
        assert_eq!(read("https://[::1]:1/"), Some((true, "[::1]:1".to_owned(), "/".to_owned())));
        for wrong in ["", "/x", "a.test/x", "//a.test/x", "ftp://a.test/", "http://"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
