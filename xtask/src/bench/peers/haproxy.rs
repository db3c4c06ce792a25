use anyhow::Context;

use super::{PROXY_CPU, Peer, Process, SetUp, free_port};

/// One thread, keep-alive on both sides.
pub(super) fn single(set_up: &SetUp<'_>) -> anyhow::Result<Peer> {
    let port = free_port()?;
    let path = set_up.directory.join("haproxy.cfg");
    let configuration = format!(
        "global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  default_backend origin
backend origin
  server origin 127.0.0.1:{}
",
        set_up.origin_port
    );
    std::fs::write(&path, configuration).with_context(|| format!("writing {}", path.display()))?;
    let command = ["haproxy", "-db", "-f", &path.display().to_string()].map(str::to_owned);
    let process = Process::spawn(&command, PROXY_CPU, None, &set_up.directory.join("haproxy.log"))?;
    Ok(Peer {
        name: "haproxy".to_owned(),
        address: format!("127.0.0.1:{port}"),
        host: "origin".to_owned(),
        proxies: vec![process],
        _others: Vec::new(),
    })
}
