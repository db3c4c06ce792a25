use std::time::Duration;

use leno_ir::{RouteSession, SessionCookie, SessionState, StatefulSession};
use leno_proto::envoy::config::core::v3::TypedExtensionConfig;
use leno_proto::envoy::extensions::filters::http::stateful_session::v3::{
    StatefulSession as Proto, StatefulSessionPerRoute, stateful_session_per_route::Override,
};
use leno_proto::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use leno_proto::envoy::extensions::http::stateful_session::header::v3::HeaderBasedSessionState;
use leno_proto::envoy::r#type::http::v3::{Cookie, CookieAttribute};
use leno_proto::google::protobuf::Any;

use crate::codec::common::{any, duration, is_type, read_duration, unpack, with_type};
use crate::codec::error::{At, DecodeError, Result};

pub(super) const TYPE: &str = "envoy.extensions.filters.http.stateful_session.v3.StatefulSession";
pub(super) const ROUTE_TYPE: &str = "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute";

const COOKIE_TYPE: &str = "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState";
const HEADER_TYPE: &str = "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState";

pub(super) fn encode(session: &StatefulSession) -> Any {
    any(TYPE, &to_proto(session))
}

fn to_proto(session: &StatefulSession) -> Proto {
    Proto {
        session_state: session.state.as_ref().map(encode_state),
        strict: session.strict,
        stat_prefix: session.stat_prefix.clone(),
        status_on_strict_destination_not_found: session.missing_status.unwrap_or_default().into(),
    }
}

fn encode_state(state: &SessionState) -> TypedExtensionConfig {
    let (name, config) = match state {
        SessionState::Cookie(cookie) => {
            let attribute =
                |(name, value): &(String, String)| CookieAttribute { name: name.clone(), value: value.clone() };
            let cookie = Cookie {
                name: cookie.name.clone(),
                ttl: duration(cookie.ttl),
                path: cookie.path.clone(),
                attributes: cookie.attributes.iter().map(attribute).collect(),
            };
            ("cookie", any(COOKIE_TYPE, &CookieBasedSessionState { cookie: Some(cookie) }))
        }
        SessionState::Header(name) => ("header", any(HEADER_TYPE, &HeaderBasedSessionState { name: name.clone() })),
    };
    TypedExtensionConfig { name: format!("envoy.http.stateful_session.{name}"), typed_config: Some(config) }
}

pub(super) fn encode_route(route: &RouteSession) -> Any {
    let said = match route {
        RouteSession::Disabled => Override::Disabled(true),
        RouteSession::Session(session) => Override::StatefulSession(to_proto(session)),
    };
    any(ROUTE_TYPE, &StatefulSessionPerRoute { r#override: Some(said) })
}

pub(super) fn decode(config: &Any) -> Result<StatefulSession> {
    from_proto(unpack(Some(config), TYPE)?)
}

fn from_proto(proto: Proto) -> Result<StatefulSession> {
    let missing_status = match proto.status_on_strict_destination_not_found {
        0 => None,
        status => Some(u16::try_from(status).ok().filter(|status| (200..600).contains(status)).ok_or_else(|| {
            DecodeError::new("status_on_strict_destination_not_found", format!("{status} is no status of a reply"))
        })?),
    };
    Ok(StatefulSession {
        state: proto.session_state.as_ref().map(decode_state).transpose().at("session_state")?,
        strict: proto.strict,
        missing_status,
        stat_prefix: proto.stat_prefix,
    })
}

fn decode_state(state: &TypedExtensionConfig) -> Result<SessionState> {
    let config = state.typed_config.as_ref();
    if is_type(config, HEADER_TYPE) {
        let HeaderBasedSessionState { name } = unpack(config, HEADER_TYPE)?;
        if name.is_empty() {
            return Err(DecodeError::new("typed_config.name", "is missing"));
        }
        return Ok(SessionState::Header(name.to_ascii_lowercase()));
    }
    if !is_type(config, COOKIE_TYPE) {
        let reason = format!("no such session state here: {}", with_type(&state.name, config));
        return Err(DecodeError::new("typed_config", reason));
    }
    let CookieBasedSessionState { cookie } = unpack(config, COOKIE_TYPE)?;
    let cookie = cookie.filter(|cookie| !cookie.name.is_empty());
    let cookie = cookie.ok_or_else(|| DecodeError::new("typed_config.cookie.name", "is missing"))?;
    // Envoy looks at seconds alone.
    let ttl = Duration::from_secs(read_duration(cookie.ttl.as_ref()).unwrap_or_default().as_secs());
    let attributes = cookie.attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect();
    Ok(SessionState::Cookie(SessionCookie { name: cookie.name, ttl, path: cookie.path, attributes }))
}

pub(super) fn decode_route(config: &Any) -> Result<RouteSession> {
    let proto: StatefulSessionPerRoute = unpack(Some(config), ROUTE_TYPE)?;
    match proto.r#override {
        Some(Override::Disabled(true)) => Ok(RouteSession::Disabled),
        Some(Override::Disabled(false)) => Err(DecodeError::new("disabled", "can only be true")),
        Some(Override::StatefulSession(session)) => {
            from_proto(session).at("stateful_session").map(|session| RouteSession::Session(Box::new(session)))
        }
        None => Err(DecodeError::new("stateful_session", "is missing")),
    }
}
