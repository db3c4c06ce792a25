use std::rc::Rc;

use leno_ir::Cluster;

use crate::exchange::HeaderLookup as _;
use crate::http::head::RequestHead;

/// The server that TLS with an endpoint is for, where requests to the cluster say it themselves.
pub(super) fn server_name(cluster: &Cluster, request: &RequestHead) -> Option<Rc<str>> {
    let rule = cluster.http.server_name.as_ref()?;
    let of_header = rule.header.as_deref().and_then(|header| request.header(header)).filter(|value| !value.is_empty());
    let authority = std::str::from_utf8(of_header.unwrap_or(&request.authority)).ok()?;
    let host = host_of(authority);
    (!host.is_empty()).then(|| host.into())
}

/// Without port, and without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.contains(':') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn a_server_has_no_port() {
        assert_eq!(
            ["a.test", "a.test:8080", "[::1]:80", "[::1]", "::1"].map(host_of),
            ["a.test", "a.test", "::1", "::1", "::1"]
        );
    }
}
