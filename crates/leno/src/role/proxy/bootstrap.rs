//! `leno proxy --bootstrap`: what a static Envoy bootstrap says, served without a control plane.
//!
//! Order       file -> every problem of it, or a configuration -> workers, admin -> ready
//! Errors      a bootstrap with one thing that Leno does not have is not served at all, nor one whose listener cannot be bound

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use leno_ir::{Secret, SecretFile, WorkloadLabels};
use leno_proxy::{FieldProblem, Proxy, ProxyConfig, ProxyHandle, check_cluster, check_listener};
use leno_runtime::{Readiness, Tasks};
use leno_telemetry::Registry;
use leno_xds::{Bootstrap, BootstrapPart, DecodeError, Dump, read_bootstrap_checked, read_secret_file};
use tokio::signal::unix::{SignalKind, signal};

use super::{ProxyCommand, on_hangup, told_to_end};
use crate::notify::{self, Ready};

pub(super) async fn serve(command: ProxyCommand, path: &Path) -> anyhow::Result<()> {
    let args = &command.proxy;
    let bootstrap = load(path)?;
    if command.validate {
        println!("{} can be served", path.display());
        return Ok(());
    }
    let (tasks, readiness) = (Tasks::new(), Readiness::default());
    let message = bootstrap.message.clone();
    let config = ProxyConfig {
        workers: args.threads,
        admin: args.admin.or(bootstrap.admin),
        workload: labels(&bootstrap),
        local_zone: bootstrap.local_zone.clone(),
        connection_limits: bootstrap.connection_limits.clone(),
        overload: bootstrap.overload.clone(),
        runtime: bootstrap.runtime.clone(),
        read_secret: Some(read_secret),
        config_dump: Some(Box::new(move |config, last_updated, includes_endpoints| {
            leno_xds::config_dump(Dump { config, bootstrap: Some(&message), includes_endpoints, last_updated })
        })),
        ..ProxyConfig::default()
    };
    let proxy = Proxy::start(config, None, Registry::new(), readiness.clone()).context("starting the proxy")?;
    let mut end = std::pin::pin!(told_to_end(&proxy, command.exit_with_parent));
    let rejections = tokio::select! {
        biased;
        // Polled first: from the first listener on, a signal must find its handler.
        end = &mut end => return end,
        rejections = proxy.apply(Arc::new(bootstrap.config)) => rejections,
    };
    if !rejections.is_empty() {
        let text = rejections.iter().map(|rejection| format!("{}: {}", rejection.name, rejection.reason));
        bail!("{}: {}", path.display(), text.collect::<Vec<_>>().join("\n"));
    }
    tasks.spawn("hangup", on_hangup(proxy.clone(), signal(SignalKind::hangup())?));

    tokio::select! {
        () = readiness.ready() => {}
        end = &mut end => return end,
    }
    tracing::info!(bootstrap = %path.display(), "proxy ready");
    if let Some(socket) = &command.notify {
        let (pid, addresses) = (std::process::id(), addresses(&proxy).await);
        notify::send(socket, &Ready { name: bootstrap.node_id, pid, addresses, upstreams: BTreeMap::new() }).await;
    }
    super::give_back_memory();

    end.await?;
    tracing::info!("draining");
    if !proxy.shutdown(args.drain_deadline).await {
        tracing::warn!(deadline = ?args.drain_deadline, "requests under way were cut off at the deadline");
    }
    tasks.stop().await;
    Ok(())
}

/// # Errors
/// When the file cannot be read, or with all that is wrong in it, one problem a line.
fn load(path: &Path) -> anyhow::Result<Bootstrap> {
    let bytes = std::fs::read(path).with_context(|| format!("reading the bootstrap {}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        anyhow::anyhow!("{}:{line}: is not text in UTF-8", path.display())
    })?;
    read_bootstrap_checked(&text, &check).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect();
        anyhow::anyhow!("this bootstrap cannot be served\n{}", lines.join("\n"))
    })
}

/// What is wrong with the files that a part names.
fn check(part: BootstrapPart<'_>) -> Vec<DecodeError> {
    let problems = match part {
        BootstrapPart::Cluster(cluster) => check_cluster(cluster, Some(read_secret)),
        BootstrapPart::Listener(listener) => check_listener(listener, Some(read_secret)),
    };
    problems.into_iter().map(|FieldProblem { field, reason }| DecodeError { field, reason }).collect()
}

fn read_secret(file: &SecretFile) -> Result<Secret, String> {
    let text = std::fs::read_to_string(&file.path).map_err(|error| format!("cannot be read: {error}"))?;
    read_secret_file(&text, &file.name).map_err(|error| error.to_string())
}

fn labels(bootstrap: &Bootstrap) -> WorkloadLabels {
    WorkloadLabels {
        workload: bootstrap.node_id.clone(),
        service: bootstrap.node_cluster.clone(),
        ..WorkloadLabels::default()
    }
}

async fn addresses(proxy: &ProxyHandle) -> BTreeMap<String, String> {
    let listeners = proxy.listeners().await.into_iter();
    let mut addresses: BTreeMap<_, _> =
        listeners.map(|(name, address)| (format!("listener:{name}"), address.to_string())).collect();
    if let Some(admin) = proxy.admin_address() {
        addresses.insert("admin".to_owned(), admin.to_string());
    }
    addresses
}
