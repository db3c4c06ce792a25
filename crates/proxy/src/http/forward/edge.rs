//! What the connection manager makes of requests and responses by itself: where the client is, and how things are spelt.
//!
//! Cost        where nothing of it is configured: a comparison per part
//! Source      Envoy's conn_manager_utility: order and defaults; x-forwarded-for in its own documentation

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::Method;
use leno_ir::{HttpEdge, ServerHeader, StripPort, UnderscoreHeaders};

use super::Forwarder;
use super::prepare::request_id;
use crate::http::date::date;
use crate::http::downstream::Downstream;
use crate::http::failure::Failure;
use crate::http::path::{Normalized, PathRules, normalize};

/// What is left to do once a request has been put in order.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Spelling {
    Good,
    /// The client is told to ask there.
    Elsewhere(String),
}

impl Forwarder<'_, '_> {
    /// Spells path and host as the configuration wants them.
    ///
    /// # Errors
    /// When the request says what nobody should guess the meaning of.
    pub(super) fn spell(&mut self) -> Result<Spelling, Failure> {
        let edge = &self.context.manager.config.edge;
        match edge.headers_with_underscores {
            UnderscoreHeaders::Allow => {}
            UnderscoreHeaders::Drop => self.request.headers.retain(|name, _| !name.contains(&b'_')),
            UnderscoreHeaders::Reject => {
                if self.request.headers.iter().any(|(name, _)| name.contains(&b'_')) {
                    return Err(Failure::Refused { status: 400, details: "http1.unexpected_underscore" });
                }
            }
        }
        if self.request.method == Method::CONNECT {
            return Ok(Spelling::Good);
        }
        self.strip_host(edge);
        let HttpEdge { normalize_path, merge_slashes, escaped_slashes, .. } = *edge;
        let rules = PathRules { normalize: normalize_path, merge_slashes, escaped_slashes };
        if rules == PathRules::default() {
            return Ok(Spelling::Good);
        }
        match normalize(&self.request.path, rules) {
            Normalized::Same => Ok(Spelling::Good),
            Normalized::Changed(path) => {
                self.request.path = Bytes::from(path);
                Ok(Spelling::Good)
            }
            Normalized::Redirect(path) => Ok(Spelling::Elsewhere(String::from_utf8_lossy(&path).into_owned())),
            Normalized::Refused => {
                if let Downstream::Http1(http1) = &mut *self.downstream {
                    http1.keep_alive = false;
                }
                Err(Failure::Refused { status: 400, details: "path_normalization_failed" })
            }
        }
    }

    fn strip_host(&mut self, edge: &HttpEdge) {
        let wanted = match edge.strip_port {
            StripPort::Keep if !edge.strip_trailing_host_dot => return,
            StripPort::Keep => None,
            StripPort::Any => Some(None),
            StripPort::Matching => Some(Some(self.context.connection.local.port())),
        };
        let authority = &self.request.authority;
        let (mut host, mut port) = split_port(authority);
        if let (Some(only), Some(found)) = (wanted, port)
            && only.is_none_or(|only| found == only.to_string().as_bytes())
        {
            port = None;
        }
        if edge.strip_trailing_host_dot {
            host = host.strip_suffix(b".").unwrap_or(host);
        }
        let stripped = match port {
            Some(port) => [host, b":", port].concat(),
            None => host.to_vec(),
        };
        if stripped != **authority {
            self.request.authority = Bytes::from(stripped);
        }
    }

    /// Where the client is, by itself or by those who forwarded its request.
    pub(super) fn place_client(&mut self) {
        let edge = &self.context.manager.config.edge;
        let connection = &self.context.connection;
        if !edge.use_remote_address {
            if let Some(ip) = forwarded_for(&*self.request, edge.xff_num_trusted_hops) {
                self.exchange.remote = Some(SocketAddr::new(ip, 0));
            }
        } else {
            let hops = edge.xff_num_trusted_hops;
            let trusted = hops.checked_sub(1).and_then(|hops| forwarded_for(&*self.request, hops));
            self.exchange.remote = trusted.map(|ip| SocketAddr::new(ip, 0));
            let client = trusted.unwrap_or(connection.remote.ip());
            if !edge.skip_xff_append {
                append_to_list(
                    &mut self.request.headers,
                    "x-forwarded-for",
                    connection.remote.ip().to_string().as_bytes(),
                );
            }
            if hops == 0 {
                let scheme: &[u8] = if connection.is_tls { b"https" } else { b"http" };
                self.request.headers.set("x-forwarded-proto", scheme);
            }
            self.request.headers.set("x-envoy-external-address", client.to_string().as_bytes());
            if self.context.config().generate_request_id && !edge.preserve_external_request_id {
                let id = request_id(self.context.worker.random(), self.context.worker.random());
                self.request.headers.set("x-request-id", &id);
            }
        }
        if !edge.via.is_empty() {
            append_to_list(&mut self.request.headers, "via", edge.via.as_bytes());
        }
    }

    /// The last touch to every response but informational ones.
    pub(super) fn finish_head(&mut self) {
        let edge = &self.context.manager.config.edge;
        let headers = &mut self.response.headers;
        let name = || if edge.server_name.is_empty() { &b"leno"[..] } else { edge.server_name.as_bytes() };
        match edge.server_header {
            ServerHeader::PassThrough => {}
            ServerHeader::AppendIfAbsent if headers.contains("server") => {}
            ServerHeader::AppendIfAbsent | ServerHeader::Overwrite => headers.set("server", name()),
        }
        if !headers.contains("date") {
            let passed = self.last_activity().saturating_duration_since(self.exchange.started);
            self.response.headers.append(b"date", &date(self.exchange.started_at + passed));
        }
        let headers = &mut self.response.headers;
        if edge.always_set_request_id_in_response
            && let Some(id) = self.request.headers.get("x-request-id")
        {
            headers.set("x-request-id", id);
        }
        if !edge.via.is_empty() {
            append_to_list(headers, "via", edge.via.as_bytes());
        }
    }
}

/// The address that many places from the right of `x-forwarded-for`.
fn forwarded_for(request: &crate::http::head::RequestHead, hops: u32) -> Option<IpAddr> {
    let value = request.headers.get_str("x-forwarded-for")?;
    let place = value.rsplit(',').nth(usize::try_from(hops).ok()?)?;
    place.trim().parse().ok()
}

/// Envoy parts addresses by a comma alone.
fn append_to_list(headers: &mut crate::http::headers::Headers, name: &str, value: &[u8]) {
    let comma: &[u8] = if name == "via" { b", " } else { b"," };
    let joined = headers.get(name).filter(|before| !before.is_empty()).map(|before| [before, comma, value].concat());
    headers.set(name, joined.as_deref().unwrap_or(value));
}

/// Host and port of an authority; the port only of digits, brackets left on.
fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(colon) = memchr::memrchr(b':', authority) else { return (authority, None) };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    let is_port = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
    // Of an address without brackets the last part is no port.
    let is_host = !host.contains(&b':') || host.ends_with(b"]");
    if is_port && is_host { (host, Some(port)) } else { (authority, None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_what_follows_a_host() {
        assert_eq!(split_port(b"a.test:80"), (&b"a.test"[..], Some(&b"80"[..])));
        assert_eq!(split_port(b"[::1]:80"), (&b"[::1]"[..], Some(&b"80"[..])));
        for whole in [&b"a.test"[..], b"::1", b"a.test:", b"a.test:x", b""] {
            assert_eq!(split_port(whole), (whole, None), "{whole:?}");
        }
    }
}
