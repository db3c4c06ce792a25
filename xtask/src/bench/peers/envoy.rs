//! Stock Envoy with static configuration: one worker, no hot restart.

use super::{PROXY_CPU, Peer, Process, Programs, SetUp};
use crate::bench::bootstrap::Bootstrap;

pub(super) fn single(set_up: &SetUp<'_>, bootstrap: &Bootstrap) -> anyhow::Result<Peer> {
    let process = start(set_up, "envoy", set_up.near(), bootstrap)?;
    Ok(Peer::new("envoy", &bootstrap.listen, "origin", vec![process]))
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
