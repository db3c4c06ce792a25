//! What the connection manager makes of requests and responses by itself: where the client is, and how things are spelt.
//!
//! Cost        where nothing of it is configured: a comparison per part
//! Source      Envoy's conn_manager_utility: order and defaults; x-forwarded-for in its own documentation

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::Method;
use leno_ir::{ForwardedFor, HttpEdge, ServerHeader, StripPort, UnderscoreHeaders};

use super::Forwarder;
use super::prepare::request_id;
use crate::http::date::date;
use crate::http::failure::Failure;
use crate::http::head::RequestHead;
use crate::http::headers::Headers;
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
            Normalized::Refused => Err(Failure::Refused { status: 400, details: "path_normalization_failed" }),
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
    pub(super) fn place_client(&mut self) -> Client {
        let edge = &self.context.manager.config.edge;
        let connection = &self.context.connection;
        let found = if !edge.use_remote_address {
            let found = match &edge.original_ip {
                None => forwarded_for(self.request, edge.xff_num_trusted_hops),
                Some(forwarded) => self.original_ip(forwarded),
            };
            if let Some(found) = found {
                self.exchange.remote = Some(SocketAddr::new(found.ip, 0));
            }
            if edge.original_ip.as_ref().is_some_and(|forwarded| forwarded.appends || !self.is_known(forwarded)) {
                let ip = connection.remote.ip().to_string();
                append_to_list(&mut self.request.headers, "x-forwarded-for", ip.as_bytes());
            }
            found
        } else {
            let is_alone = !self.request.headers.contains("x-forwarded-for");
            let hops = edge.xff_num_trusted_hops;
            let trusted = hops.checked_sub(1).and_then(|hops| forwarded_for(self.request, hops));
            self.exchange.remote = trusted.map(|found| SocketAddr::new(found.ip, 0));
            let ip = trusted.map_or(connection.remote.ip(), |found| found.ip);
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
            if edge.append_x_forwarded_port && (hops == 0 || !self.request.headers.contains("x-forwarded-port")) {
                let port = itoa::Buffer::new().format(connection.local.port()).to_owned();
                self.request.headers.set("x-forwarded-port", port.as_bytes());
            }
            Some(Found { ip, is_alone })
        };
        let is_ours = |found: Found| edge.internal_addresses.iter().any(|range| range.contains(found.ip));
        let client = match found {
            Some(found) if found.is_alone && is_ours(found) => Client::Internal,
            Some(found) if edge.use_remote_address => Client::Edge(found.ip),
            _ => Client::External,
        };
        if let Some(scheme) = edge.scheme {
            self.request.headers.set("x-forwarded-proto", scheme.as_str().as_bytes());
        }
        client
    }

    /// What is added to requests once the client's own words are gone.
    pub(super) fn introduce(&mut self, client: Client) {
        let edge = &self.context.manager.config.edge;
        let worker = &self.context.worker;
        let headers = &mut self.request.headers;
        if edge.add_user_agent && !worker.local_cluster().is_empty() {
            let name = worker.local_cluster().as_bytes();
            headers.set("x-envoy-downstream-service-cluster", name);
            if headers.get("user-agent").is_none_or(<[u8]>::is_empty) {
                headers.set("user-agent", name);
            }
            if !worker.node_id().is_empty() {
                headers.set("x-envoy-downstream-service-node", worker.node_id().as_bytes());
            }
        }
        if !edge.via.is_empty() {
            append_to_list(headers, "via", edge.via.as_bytes());
        }
        if let Client::Edge(ip) = client {
            headers.set("x-envoy-external-address", ip.to_string().as_bytes());
            if self.context.config().generate_request_id && !edge.preserve_external_request_id {
                let id = request_id(worker.random(), worker.random());
                headers.set("x-request-id", &id);
            }
        }
    }

    /// Whether who connects to us may say who the client is.
    fn is_known(&self, forwarded: &ForwardedFor) -> bool {
        let ip = self.context.connection.remote.ip();
        let ranges = &forwarded.trusted_ranges;
        ranges.is_empty() || ranges.iter().any(|range| range.contains(ip))
    }

    /// As Envoy's extension finds it.
    fn original_ip(&self, forwarded: &ForwardedFor) -> Option<Found> {
        let ranges = &forwarded.trusted_ranges;
        if ranges.is_empty() {
            return forwarded_for(self.request, forwarded.trusted_hops);
        }
        let is_trusted = |ip: IpAddr| ranges.iter().any(|range| range.contains(ip));
        if !self.is_known(forwarded) {
            return None;
        }
        let list = self.request.headers.get_str("x-forwarded-for")?;
        let mut found = None;
        for place in list.rsplit(',') {
            let ip: IpAddr = place.trim().parse().ok()?;
            found = Some(Found { ip, is_alone: false });
            if !is_trusted(ip) {
                break;
            }
        }
        found
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
        let is_traced = || self.has_envoy_headers && self.request.headers.contains("x-envoy-force-trace");
        if (edge.always_set_request_id_in_response || is_traced())
            && let Some(id) = self.request.headers.get("x-request-id")
        {
            headers.set("x-request-id", id);
        }
        if !edge.via.is_empty() {
            append_to_list(headers, "via", edge.via.as_bytes());
        }
    }
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Client {
    /// A stranger's who connects to us.
    Edge(IpAddr),
    /// A stranger's who was let in by somebody else.
    External,
    /// One of ours.
    Internal,
}

/// An address, and whether no other one was there.
#[derive(Clone, Copy, Debug)]
struct Found {
    ip: IpAddr,
    is_alone: bool,
}

/// The address that many places from the right of `x-forwarded-for`.
fn forwarded_for(request: &RequestHead, hops: u32) -> Option<Found> {
    let value = request.headers.get_str("x-forwarded-for")?;
    let place = value.rsplit(',').nth(usize::try_from(hops).ok()?)?;
    let ip = place.trim().parse().ok()?;
    Some(Found { ip, is_alone: !value.contains(',') })
}

/// Envoy parts addresses by a comma alone.
pub(super) fn append_to_list(headers: &mut Headers, name: &str, value: &[u8]) {
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
