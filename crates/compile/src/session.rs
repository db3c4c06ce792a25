//! Sessions of Gateway API (GEP-1619): the client keeps the address of the endpoint that answered first.

use leno_ir::{FilterOverride, RouteFilterConfig, RouteSession, SessionCookie, SessionState, StatefulSession};
use leno_model::Problem;
use leno_model::api::{ResourceKey, SessionPersistence};

use crate::route_filters;

/// What a route says to its filters. `owner` makes the name of a cookie that has none.
pub(crate) fn of(written: &SessionPersistence, owner: &str) -> (String, FilterOverride) {
    let state = if is_header(written) {
        written.header.as_ref().map(|header| SessionState::Header(header.name.to_ascii_lowercase()))
    } else {
        let cookie = written.cookie.clone().unwrap_or_default();
        let ttl = written.absolute_timeout.map(|timeout| timeout.0);
        Some(SessionState::Cookie(SessionCookie {
            name: cookie.name.unwrap_or_else(|| format!("leno-session-{owner}")),
            ttl: ttl.filter(|_| is_permanent(written)).unwrap_or_default(),
            path: cookie.path.unwrap_or_else(|| "/".to_owned()),
            // Proxies add `HttpOnly` themselves.
            attributes: Vec::new(),
        }))
    };
    let session = StatefulSession { state, strict: false, missing_status: None, stat_prefix: String::new() };
    let config = RouteFilterConfig::StatefulSession(RouteSession::Session(Box::new(session)));
    (route_filters::STATEFUL_SESSION.to_owned(), FilterOverride::Config(config))
}

/// Only a permanent cookie ends by itself.
pub(crate) fn problem(written: &SessionPersistence, object: &ResourceKey, at: &str) -> Option<Problem> {
    let is_lost = written.absolute_timeout.is_some() && (is_header(written) || !is_permanent(written));
    let message = "not supported yet: absoluteTimeout of sessions other than those in permanent cookies";
    is_lost.then(|| Problem::warning(object, format!("{at}.absoluteTimeout"), "not_supported_yet", message))
}

fn is_header(written: &SessionPersistence) -> bool {
    written.r#type.as_deref() == Some("Header")
}

fn is_permanent(written: &SessionPersistence) -> bool {
    written.cookie.as_ref().and_then(|cookie| cookie.lifetime_type.as_deref()) == Some("Permanent")
}
