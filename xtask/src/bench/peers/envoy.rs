//! Stock Envoy with static configuration: one worker, no hot restart.

use anyhow::Context;

use super::{PROXY_CPU, Peer, Process, Programs, SERVER_ADDRESS, SetUp};
use crate::bench::bootstrap::{self, Bootstrap, Protocol, Tls};
use crate::bench::pki::Pki;

pub(super) fn single(set_up: &SetUp<'_>, bootstrap: &Bootstrap) -> anyhow::Result<Peer> {
    let process = start(set_up, "envoy", set_up.near(), bootstrap)?;
    Ok(Peer::new("envoy", &bootstrap.listen, "origin", vec![process]))
}

/// Two of them; `protocol` is that between them.
pub(super) fn sidecars(set_up: &SetUp<'_>, name: &str, protocol: Protocol) -> anyhow::Result<Peer> {
    let hosts = set_up.hosts.as_ref().context("sidecars need two hosts")?;
    // Apart, so that both variants can run at once.
    let (client_port, server_port, alpn) = match protocol {
        Protocol::Http2 | Protocol::Http1ToHttp2 => (15201, 15206, "h2"),
        Protocol::Http1 => (15101, 15106, "http/1.1"),
        Protocol::Tcp => (15301, 15306, ""),
    };
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

pub(super) fn start(
    set_up: &SetUp<'_>,
    name: &str,
    namespace: Option<&str>,
    bootstrap: &Bootstrap,
) -> anyhow::Result<Process> {
    let path = set_up.write(&format!("{name}.yaml"), &bootstrap.yaml())?;
    start_file(set_up.programs, &path, namespace, &set_up.directory.join(format!("{name}.log")))
}

pub(super) fn start_file(
    programs: &Programs,
    path: &str,
    namespace: Option<&str>,
    log: &std::path::Path,
) -> anyhow::Result<Process> {
    let command = [&programs.envoy, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"];
    Process::spawn(&command.map(str::to_owned), PROXY_CPU, namespace, log)
}
