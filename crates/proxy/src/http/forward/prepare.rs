use http::Method;
use leno_ir::{Forward, ForwardClientCert, RouteTable};

use super::Forwarder;
use super::edge::append_to_list;
use crate::http::downstream::Downstream;
use crate::http::failure::Failure;
use crate::http::head::as_text;

impl Forwarder<'_, '_> {
    /// What every request gets before it is routed.
    pub(super) fn prepare(&mut self, table: Option<&RouteTable>) -> Result<(), Failure> {
        self.request.has_certificate = self.context.connection.mtls;
        self.exchange.is_grpc = self.request.headers.get("content-type").is_some_and(leno_routing::is_grpc_type);
        if self.framing.is_empty() {
            self.exchange.request_duration = Some(std::time::Duration::ZERO);
        }
        if let Some(upgrade) = &self.request.upgrade
            && self.is_ignored(upgrade)
        {
            // RFC 9110 §7.8: a server may ignore it, and the request goes on as it is.
            self.request.upgrade = None;
        }
        if self.request.upgrade.is_some()
            && let Downstream::Http1(http1) = &mut *self.downstream
        {
            // What follows is meant for the tunnel, however much it looks like a request.
            http1.keep_alive = false;
        }
        if !self.request.path.starts_with(b"/") && self.request.method != Method::CONNECT {
            return Err(Failure::Refused { status: 404, details: "absolute_path_rejected" });
        }
        self.identify_client();
        let client = self.place_client();
        self.sanitize(table, client);
        if self.context.config().generate_request_id && !self.request.headers.contains("x-request-id") {
            let id = request_id(self.context.worker.random(), self.context.worker.random());
            self.request.headers.append(b"x-request-id", &id);
        }
        if !self.request.headers.contains("x-forwarded-proto") {
            self.request
                .headers
                .append(b"x-forwarded-proto", if self.context.connection.is_tls { b"https" } else { b"http" });
        }
        Ok(())
    }

    /// Of those nobody switches to.
    fn is_ignored(&self, upgrade: &[u8]) -> bool {
        let ignored = &self.context.config().http1.ignored_upgrades;
        // HTTP/2 begins by prior knowledge or ALPN (RFC 9113 §3.1).
        upgrade.eq_ignore_ascii_case(b"h2c") || ignored.iter().any(|ignored| ignored.is_match(as_text(upgrade)))
    }

    /// Whether the request may have the tunnel that it asks for, if any.
    ///
    /// # Errors
    /// When neither its route nor the connection manager allows it.
    pub(super) fn check_upgrade(&self, forward: Option<&Forward>) -> Result<(), Failure> {
        let Some(upgrade) = self.request.tunnel_protocol() else { return Ok(()) };
        let is_it = |protocol: &str| protocol.as_bytes().eq_ignore_ascii_case(upgrade);
        let of_route = forward.and_then(|forward| forward.upgrades.iter().find(|own| is_it(&own.protocol)));
        let of_manager = || self.context.config().upgrades.iter().any(|own| own.is_enabled && is_it(&own.protocol));
        if of_route.map_or_else(of_manager, |own| own.is_enabled) {
            return Ok(());
        }
        Err(Failure::Refused { status: 403, details: "upgrade_failed" })
    }

    fn identify_client(&mut self) {
        let (connection, config) = (&*self.context.connection, self.context.config());
        let headers = &mut self.request.headers;
        let name = "x-forwarded-client-cert";
        match config.forward_client_cert {
            ForwardClientCert::AlwaysForwardOnly => {}
            ForwardClientCert::ForwardOnly if connection.mtls => {}
            ForwardClientCert::AppendForward if connection.mtls => {
                append_to_list(headers, name, connection.client_cert.as_bytes());
            }
            ForwardClientCert::SanitizeSet if connection.mtls => {
                headers.set(name, connection.client_cert.as_bytes());
            }
            _ => {
                headers.remove(name);
            }
        }
    }
}

/// Shaped like a version 4 UUID (RFC 9562 §5.4).
pub(super) fn request_id(high: u64, low: u64) -> [u8; 36] {
    let mut bytes = [0_u8; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut id = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        id[at] = b"0123456789abcdef"[usize::from(byte >> 4)];
        id[at + 1] = b"0123456789abcdef"[usize::from(byte & 0xf)];
        at += 2;
    }
    id
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_request_id_is_a_uuid() {
        let id = super::request_id(0x0123_4567_89ab_cdef, u64::MAX);
        assert_eq!(&id, b"01234567-89ab-4def-bfff-ffffffffffff");
    }
}
