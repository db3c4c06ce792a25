//! Stock Envoy with static configuration: one worker, no hot restart.

use super::{Peer, Process, SetUp, start_with_file};
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
    start_with_file(set_up, name, namespace, bootstrap, |path| {
        [&set_up.programs.envoy, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
            .map(str::to_owned)
    })
}
