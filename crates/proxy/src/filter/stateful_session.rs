//! Keeps the requests of a session at one endpoint: the client is told its address, and says it with the next request.
//!
//! Invariants  the address is a wish: `HostOverride` decides what becomes of it, in the first try alone (Envoy)
//! Errors      what a client says that is no address of an endpoint counts as an endpoint that is gone
//! Cost        a request: one look for the cookie or header; an answer of another endpoint: one header
//! Source      Envoy's HTTP filter `stateful_session` and its session states `cookie` and `header`

use std::net::SocketAddr;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leno_ir::{RouteSession, SessionCookie, SessionState, StatefulSession};
use leno_routing::RequestView as _;
use leno_runtime::sys::monotonic_seconds;
use prost::Message;

use super::overrides::RouteFilter;
use super::{Place, RequestContext, ResponseContext, RouteRef, Step};
use crate::http::{Headers, RequestHead, SetCookie, cookie_value};
use crate::stats::Counter;

/// The endpoint that a request wants, before anybody balances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostOverride {
    /// `None`: what it says is no address.
    pub(crate) address: Option<SocketAddr>,
    /// The answer when there is no such endpoint, if there must be one.
    pub(crate) missing_status: Option<u16>,
}

#[derive(Debug)]
pub(crate) struct SessionFilter {
    config: StatefulSession,
    /// `None`: nothing is counted.
    counters: Option<Counters>,
}

#[derive(Debug)]
struct Counters {
    routed: Counter,
    failed_open: Counter,
    failed_closed: Counter,
    no_session: Counter,
}

/// What a cookie says, in base64 (Envoy `envoy.Cookie`).
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(string, tag = "1")]
    address: String,
    /// On the clock of [`monotonic_seconds`], which proxies of one machine share, Envoy included; 0: never.
    #[prost(uint64, tag = "2")]
    expires: u64,
}

#[derive(Debug)]
pub(crate) struct ActiveSession {
    filter: Rc<SessionFilter>,
    session: Session,
}

/// What is known of the session of a request.
#[derive(Debug)]
enum Session {
    /// The route has none.
    Disabled,
    /// Nothing says where it would be kept.
    None { of_route: bool },
    Here {
        /// What the client has said; `None`: nothing.
        address: Option<String>,
        /// Where it is configured, if not in the filter.
        route: Option<RouteRef>,
    },
}

impl SessionFilter {
    pub(super) fn new(config: &StatefulSession, place: Place<'_>) -> Self {
        let prefix = &config.stat_prefix;
        let counter = |name: &str| place.counter(&format!("stateful_session.{prefix}.{name}"));
        let counters = (!prefix.is_empty()).then(|| Counters {
            routed: counter("routed"),
            failed_open: counter("failed_open"),
            failed_closed: counter("failed_closed"),
            no_session: counter("no_session"),
        });
        Self { config: config.clone(), counters }
    }
}

/// What the route says, the most specific first; `None`: nothing.
fn of_route<'r>(route: Option<&'r RouteRef>, filter: &str) -> Option<&'r RouteSession> {
    route?.configs(filter).find_map(|config| match config {
        RouteFilter::StatefulSession(session) => Some(session),
        _ => None,
    })
}

impl ActiveSession {
    pub(super) fn new(filter: Rc<SessionFilter>) -> Self {
        Self { filter, session: Session::None { of_route: false } }
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        let (config, route) = match of_route(cx.route, cx.name) {
            Some(RouteSession::Disabled) => {
                self.session = Session::Disabled;
                return Step::Continue;
            }
            Some(RouteSession::Session(session)) => (&**session, cx.route.cloned()),
            None => (&self.filter.config, None),
        };
        self.session = Session::None { of_route: route.is_some() };
        let address = match &config.state {
            None => return Step::Continue,
            Some(SessionState::Cookie(cookie)) if !is_below(cx.request.path(), &cookie.path) => return Step::Continue,
            Some(SessionState::Cookie(cookie)) => address_of_cookie(cx.request, cookie),
            Some(SessionState::Header(name)) => cx.request.headers.get(name).and_then(decoded),
        };
        if let Some(address) = &address {
            // Another spelling of an address is no endpoint's.
            let parsed = address.parse::<SocketAddr>().ok().filter(|parsed| parsed.to_string() == *address);
            let missing_status = config.strict.then(|| config.missing_status.unwrap_or(503));
            cx.host_override = Some(HostOverride { address: parsed, missing_status });
        }
        self.session = Session::Here { address, route };
        Step::Continue
    }

    pub(super) fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        let counters = self.filter.counters.as_ref();
        let (address, route) = match &self.session {
            Session::Disabled => return,
            Session::None { of_route } => {
                if let (Some(counters), Some(_), false) = (counters, cx.exchange.upstream, of_route) {
                    counters.no_session.increment();
                }
                return;
            }
            Session::Here { address, route } => (address, route),
        };
        let config = match of_route(route.as_ref(), cx.name) {
            Some(RouteSession::Session(session)) => session,
            _ => &self.filter.config,
        };
        let counters = counters.filter(|_| route.is_none());
        let Some(upstream) = cx.exchange.upstream else {
            if let Some(counters) = counters.filter(|_| config.strict && address.is_some()) {
                counters.failed_closed.increment();
            }
            return;
        };
        let upstream = upstream.to_string();
        let has_changed = address.as_ref() != Some(&upstream);
        if let Some(counters) = counters {
            if !has_changed {
                counters.routed.increment();
            } else if !config.strict {
                counters.failed_open.increment();
            }
        }
        if let Some(state) = config.state.as_ref().filter(|_| has_changed) {
            tell(state, upstream, &mut cx.response.headers);
        }
    }
}

/// Tells the client where its session is now.
fn tell(state: &SessionState, address: String, headers: &mut Headers) {
    match state {
        SessionState::Cookie(cookie) => {
            let ttl = cookie.ttl.as_secs();
            let expires = if ttl > 0 { monotonic_seconds().saturating_add(ttl) } else { 0 };
            let value = STANDARD.encode(Kept { address, expires }.encode_to_vec());
            let SessionCookie { name, ttl, path, attributes } = cookie;
            headers
                .append(b"set-cookie", SetCookie { name, ttl: *ttl, path, attributes }.with_value(&value).as_bytes());
        }
        SessionState::Header(name) => headers.set(name, STANDARD.encode(address).as_bytes()),
    }
}

/// Whether requests to `path` bring cookies of `prefix` (as in RFC 6265 §5.1.4).
fn is_below(path: &str, prefix: &str) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    prefix.is_empty() || prefix.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?', '#'])
}

fn address_of_cookie(request: &RequestHead, cookie: &SessionCookie) -> Option<String> {
    let bytes = STANDARD.decode(cookie_value(request, &cookie.name)?).ok()?;
    let Ok(kept) = Kept::decode(bytes.as_slice()) else {
        // What Envoy wrote before it wrote this message.
        return String::from_utf8(bytes).ok().filter(|address| !address.is_empty());
    };
    let is_over = kept.expires > 0 && monotonic_seconds() > kept.expires;
    Some(kept.address).filter(|address| !is_over && !address.is_empty())
}

fn decoded(value: &[u8]) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_sessions_as_it_has_cookies() {
        for (path, prefix) in [("/", ""), ("/a", "/"), ("/a/b", "/a/"), ("/a", "/a"), ("/a/b", "/a"), ("/a?b", "/a")] {
            assert!(is_below(path, prefix), "{path} {prefix}");
        }
        for (path, prefix) in [("/a", "/a/"), ("/ab", "/a"), ("/", "/a")] {
            assert!(!is_below(path, prefix), "{path} {prefix}");
        }
    }

    #[test]
    fn an_old_cookie_is_an_address_and_one_that_is_over_is_none() {
        let cookie =
            SessionCookie { name: "s".into(), ttl: std::time::Duration::ZERO, path: String::new(), attributes: vec![] };
        let of = |bytes: &[u8]| {
            let mut request = RequestHead::default();
            request.headers.append(b"cookie", format!("s={}", STANDARD.encode(bytes)).as_bytes());
            address_of_cookie(&request, &cookie)
        };
        let kept = |expires| Kept { address: "127.0.0.1:80".into(), expires }.encode_to_vec();
        let address = Some("127.0.0.1:80".to_owned());
        assert_eq!(of(b"127.0.0.1:80"), address);
        assert_eq!((of(&kept(0)), of(&kept(u64::MAX))), (address.clone(), address));
        // The clock of a machine that runs tests is past its first second.
        assert_eq!(of(&kept(1)), None);
    }
}
