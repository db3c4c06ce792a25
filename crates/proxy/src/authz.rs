//! What authorization policies see of a connection, with or without a request on it.

use std::net::{IpAddr, SocketAddr};

use leno_authz::View;
use leno_ir::{HeaderMatch, Metadata, MetadataSource, MetadataValue, metadata_value};
use leno_routing::RequestView as _;

use crate::connection::Connection;
use crate::http::RequestHead;

/// Envoy's `%RESPONSE_CODE_DETAILS%` and `%CONNECTION_TERMINATION_DETAILS%` of a refusal. Logs are split at white space, so
/// names have none.
pub(crate) fn refusal_details(policy: Option<&str>) -> String {
    let policy = policy.filter(|name| !name.is_empty()).unwrap_or("none");
    let policy: String = policy.chars().map(|c| if c.is_ascii_whitespace() { '_' } else { c }).collect();
    format!("rbac_access_denied_matched_policy[{policy}]")
}

/// A connection before there is a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionView<'a>(pub(crate) &'a Connection);

impl View for ConnectionView<'_> {
    fn destination(&self) -> SocketAddr {
        self.0.local
    }

    fn direct_remote_ip(&self) -> IpAddr {
        self.0.direct_remote.ip()
    }

    fn source_ip(&self) -> IpAddr {
        self.0.remote.ip()
    }

    fn remote_ip(&self) -> IpAddr {
        self.0.remote.ip()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls
    }

    fn has_peer_name(&self, is_match: &mut dyn FnMut(&str) -> bool) -> bool {
        // An SVID has one URI name, no DNS name that counts, and an empty subject.
        self.0.peer.as_ref().is_some_and(|id| is_match(&id.to_string())) || is_match("")
    }

    fn requested_server_name(&self) -> &str {
        self.0.server_name.as_deref().unwrap_or_default()
    }

    fn url_path(&self) -> Option<&str> {
        None
    }

    fn header_matches(&self, matches: &HeaderMatch) -> bool {
        leno_routing::absent_header_matches(matches)
    }

    fn metadata(&self, _source: MetadataSource, _namespace: &str, _path: &[String]) -> Option<&MetadataValue> {
        None
    }
}

/// A request on its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestView<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) request: &'a RequestHead,
    /// What filters have said about it.
    pub(crate) metadata: &'a Metadata,
    pub(crate) route_metadata: Option<&'a Metadata>,
    /// Where the client is by what forwarded the request, when that is believed.
    pub(crate) forwarded_for: Option<SocketAddr>,
}

impl View for RequestView<'_> {
    fn destination(&self) -> SocketAddr {
        self.connection.local
    }

    fn direct_remote_ip(&self) -> IpAddr {
        self.connection.remote.ip()
    }

    fn source_ip(&self) -> IpAddr {
        self.connection.remote.ip()
    }

    fn remote_ip(&self) -> IpAddr {
        self.forwarded_for.unwrap_or(self.connection.remote).ip()
    }

    fn is_tls(&self) -> bool {
        self.connection.is_tls
    }

    fn has_peer_name(&self, is_match: &mut dyn FnMut(&str) -> bool) -> bool {
        ConnectionView(self.connection).has_peer_name(is_match)
    }

    fn requested_server_name(&self) -> &str {
        self.connection.server_name.as_deref().unwrap_or_default()
    }

    fn url_path(&self) -> Option<&str> {
        Some(leno_routing::path_without_query(self.request.path()))
    }

    fn header_matches(&self, matches: &HeaderMatch) -> bool {
        leno_routing::header_matches(matches, self.request)
    }

    fn metadata(&self, source: MetadataSource, namespace: &str, path: &[String]) -> Option<&MetadataValue> {
        let metadata = match source {
            MetadataSource::Dynamic => self.metadata,
            MetadataSource::Route => self.route_metadata?,
        };
        metadata_value(metadata, namespace, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_named_without_white_space() {
        assert_eq!(refusal_details(Some("a b\tc")), "rbac_access_denied_matched_policy[a_b_c]");
        assert_eq!(refusal_details(None), "rbac_access_denied_matched_policy[none]");
        assert_eq!(refusal_details(Some("")), "rbac_access_denied_matched_policy[none]");
    }
}
