//! A mesh hop from bootstraps: the same for each proxy that reads them.

use anyhow::Context;

use super::{Peer, Process, SERVER_ADDRESS, SetUp, free_port};
use crate::bench::bootstrap::{self, Bootstrap, Protocol, Tls};
use crate::bench::pki::Pki;

/// Starts a proxy with a bootstrap, in a network namespace.
type Start = fn(&SetUp<'_>, &str, Option<&str>, &Bootstrap) -> anyhow::Result<Process>;

/// Two of them; `protocol` is that between them.
pub(super) fn sidecars(set_up: &SetUp<'_>, name: &str, protocol: Protocol, start: Start) -> anyhow::Result<Peer> {
    let hosts = set_up.hosts.as_ref().context("sidecars need two hosts")?;
    let alpn = match protocol {
        Protocol::Http2 | Protocol::Http1ToHttp2 => "h2",
        Protocol::Http1 => "http/1.1",
        Protocol::Tcp => "",
    };
    let (client_port, server_port) = (free_port()?, free_port()?);
    let is_http = protocol != Protocol::Tcp;
    let log =
        |side: &str| is_http.then(|| set_up.directory.join(format!("{name}-{side}.access.log")).display().to_string());
    let client = Bootstrap {
        listen: format!("127.0.0.1:{client_port}"),
        upstream: format!("{SERVER_ADDRESS}:{server_port}"),
        protocol: if protocol == Protocol::Http2 { Protocol::Http1ToHttp2 } else { protocol },
        upstream_tls: Some(Tls::new(&set_up.pki, "client", "server", alpn)),
        access_log: log("client"),
        ..Bootstrap::default()
    };
    let server = Bootstrap {
        listen: format!("{SERVER_ADDRESS}:{server_port}"),
        upstream: format!("127.0.0.1:{}", set_up.origin_port),
        protocol: if is_http { Protocol::Http1 } else { protocol },
        downstream_tls: Some(Tls::new(&set_up.pki, "server", "client", alpn)),
        access_log: log("server"),
        http_filters: bootstrap::rbac(&Pki::id("client")),
        ..Bootstrap::default()
    };
    let server = start(set_up, &format!("{name}-server"), Some(&hosts.server), &server)?;
    let client = start(set_up, &format!("{name}-client"), Some(&hosts.client), &client)?;
    Ok(Peer::new(name, &format!("127.0.0.1:{client_port}"), "origin", vec![client, server]))
}
