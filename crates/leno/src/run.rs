//! `leno run`: an application and its sidecar as one process tree. It routes nothing itself.
//!
//! Shape       leno run -> leno proxy (restarted when it dies) and CMD
//! Order       sidecar ready -> CMD starts; CMD ends -> sidecar leaves the mesh, drains, ends -> exit with CMD's code
//!             SIGTERM: the sidecar leaves the mesh first, then CMD gets the signal, so that no caller comes in between
//! Errors      exit code 125 when the sidecar cannot start, 126 or 127 when CMD cannot, 128 + n when signal n ended CMD

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::demo::client::HttpClient;
use crate::notify::{Ready, ReadyInbox};
use crate::role::proxy_args::ProxyArgs;

/// Longest wait for the sidecar's first readiness.
const SIDECAR_START_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for the sidecar to leave the mesh before the application gets its signal.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// Wait before a dead sidecar is started again; doubled up to the limit.
const RESTART_BACK_OFF: Duration = Duration::from_millis(100);
const RESTART_BACK_OFF_LIMIT: Duration = Duration::from_secs(5);

/// Start an application with its sidecar.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  leno run --service reviews --version v2 --port 9080 -- ./reviews --listen :9080")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) proxy: ProxyArgs,
    /// Report readiness of the sidecar on this Unix socket, one JSON line.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) notify: Option<PathBuf>,
    /// The application and its arguments.
    #[arg(required = true, last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// Runs until the application ends; the value is the exit code to pass on.
pub(crate) async fn run(args: RunArgs, proxy_arguments: Vec<OsString>) -> anyhow::Result<i32> {
    let directory = tempfile::Builder::new()
        .prefix("leno-run-")
        .tempdir()
        .context("making a directory for the sidecar's socket")?;
    let inbox = ReadyInbox::bind(directory.path().join("ready"))?;
    let mut signals = forwarded_signals()?;
    let mut sidecar = Sidecar { arguments: proxy_arguments, inbox, child: None, input: None };

    let ready = tokio::select! {
        ready = sidecar.start() => match ready {
            Ok(ready) => ready,
            Err(error) => {
                eprintln!("leno run: {error:#}");
                return Ok(125);
            }
        },
        Some(signal) = signals.recv() => {
            sidecar.stop().await;
            return Ok(128 + signal as i32);
        }
    };
    if let Some(socket) = &args.notify {
        crate::notify::send(socket, &ready).await;
    }
    let mut application = match start_application(&args, &ready, directory.path()) {
        Ok(child) => child,
        Err(error) => {
            eprintln!("leno run: cannot start {}: {error}", args.command[0].to_string_lossy());
            sidecar.stop().await;
            return Ok(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    let status = supervise(&mut application, &mut sidecar, &mut signals, &ready).await?;
    sidecar.stop().await;
    Ok(exit_code(status))
}

async fn supervise(
    application: &mut Child,
    sidecar: &mut Sidecar,
    signals: &mut mpsc::Receiver<Signal>,
    ready: &Ready,
) -> anyhow::Result<ExitStatus> {
    let mut back_off = RESTART_BACK_OFF;
    loop {
        tokio::select! {
            status = application.wait() => return status.context("waiting for the application"),
            Some(signal) = signals.recv() => {
                if matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT) {
                    leave_mesh(ready).await;
                }
                send_signal(application, signal);
            }
            status = sidecar.died() => {
                tracing::warn!(%status, "the sidecar ended; starting it again");
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(RESTART_BACK_OFF_LIMIT);
                if let Err(error) = sidecar.start().await {
                    tracing::error!(error = format!("{error:#}"), "the sidecar does not come back");
                }
            }
        }
    }
}

/// Asks the sidecar to deregister and to let inbound connections finish, before the application is told to stop.
async fn leave_mesh(ready: &Ready) {
    let Some(admin) = ready.addresses.get("admin") else { return };
    let client = HttpClient::default();
    let leave = client.fetch_with("POST", admin, "localhost", "/drain_listeners?inboundonly&graceful");
    match tokio::time::timeout(LEAVE_LIMIT, leave).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "the sidecar could not be asked to leave"),
        Err(_) => tracing::warn!("the sidecar takes too long to leave the mesh"),
    }
}

/// The `leno proxy` child. Its standard input is our end of a pipe: when we are gone it sees the end and stops too.
struct Sidecar {
    arguments: Vec<OsString>,
    inbox: ReadyInbox,
    child: Option<Child>,
    /// Our end of the pipe; apart from the child, because waiting for a child closes it.
    input: Option<ChildStdin>,
}

impl Sidecar {
    async fn start(&mut self) -> anyhow::Result<Ready> {
        let program = std::env::current_exe().context("finding the leno program")?;
        let mut command = Command::new(program);
        command.arg("proxy").args(&self.arguments).arg("--exit-with-parent").arg("--notify").arg(self.inbox.path());
        command.stdin(std::process::Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().context("starting the sidecar")?;
        self.input = child.stdin.take();
        let result = tokio::select! {
            ready = tokio::time::timeout(SIDECAR_START_LIMIT, self.inbox.next()) => match ready {
                Ok(ready) => ready,
                Err(_) => Err(anyhow::anyhow!("the sidecar was not ready within {SIDECAR_START_LIMIT:?}")),
            },
            status = child.wait() => Err(anyhow::anyhow!("the sidecar ended before it was ready ({})", status?)),
        };
        self.child = Some(child);
        result
    }

    /// Resolves when a running sidecar has ended.
    async fn died(&mut self) -> ExitStatus {
        match &mut self.child {
            Some(child) => child.wait().await.unwrap_or_default(),
            None => std::future::pending().await,
        }
    }

    /// Lets it drain; it bounds that itself.
    async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            send_signal(&child, Signal::SIGTERM);
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "waiting for the sidecar");
            }
        }
    }
}

fn start_application(args: &RunArgs, ready: &Ready, directory: &Path) -> std::io::Result<Child> {
    let mut command = std::process::Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    for (name, value) in environment(&args.proxy, ready) {
        command.env(name, value);
    }
    // The sidecar's business alone.
    command.env_remove("LENO_JOIN_TOKEN");
    if let Some(server) = ready.addresses.get("dns_port_53").filter(|_| nix::unistd::geteuid().is_root()) {
        let resolver = directory.join("resolv.conf");
        std::fs::write(&resolver, resolver_configuration(server, &args.proxy.namespace))?;
        leno_runtime::sys::replace_file(&mut command, &resolver, Path::new("/etc/resolv.conf"))?;
    }
    leno_runtime::sys::die_with_parent(&mut command);
    Command::from(command).spawn()
}

/// The sidecar answers for services of the mesh; other names go to it as well and are passed on.
fn resolver_configuration(server: &str, namespace: &str) -> String {
    format!("nameserver {server}\nsearch {namespace}.svc.cluster.local svc.cluster.local\noptions ndots:1 timeout:2\n")
}

/// What the application finds in its environment: the forward proxy, and each service as Kubernetes would name it.
fn environment(args: &ProxyArgs, ready: &Ready) -> Vec<(String, String)> {
    let mut variables = vec![
        ("LENO_SERVICE".to_owned(), args.service.clone()),
        ("LENO_NAMESPACE".to_owned(), args.namespace.clone()),
        ("NO_PROXY".to_owned(), "localhost,127.0.0.1".to_owned()),
        ("no_proxy".to_owned(), "localhost,127.0.0.1".to_owned()),
    ];
    if let Some(port) = args.ports.first() {
        variables.push(("PORT".to_owned(), port.number.to_string()));
    }
    if let Some(address) = ready.addresses.get("app") {
        variables.push(("LENO_ADDRESS".to_owned(), address.clone()));
    }
    if let Some(address) = ready.addresses.get("http_proxy") {
        // Only plain HTTP: what the application encrypts itself cannot be routed by path and goes its own way.
        variables.push(("HTTP_PROXY".to_owned(), format!("http://{address}")));
        variables.push(("http_proxy".to_owned(), format!("http://{address}")));
    }
    if let Some(address) = ready.addresses.get("dns") {
        variables.push(("LENO_DNS".to_owned(), address.clone()));
    }
    for (service, address) in &ready.upstreams {
        let Some((host, port)) = address.rsplit_once(':') else { continue };
        let name: String =
            service.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        variables.push((format!("{name}_SERVICE_HOST"), host.to_owned()));
        variables.push((format!("{name}_SERVICE_PORT"), port.to_owned()));
    }
    variables
}

/// SIGINT from a terminal reaches the application by itself; from elsewhere it is passed on like the others.
fn forwarded_signals() -> anyhow::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(16);
    let at_terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    let tasks = leno_runtime::Tasks::new();
    for signal_number in
        [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2]
    {
        let mut stream = signal(SignalKind::from_raw(signal_number as i32)).context("installing signal handlers")?;
        let sender = sender.clone();
        tasks.spawn("signal", async move {
            while stream.recv().await.is_some() {
                if at_terminal && signal_number == Signal::SIGINT {
                    continue;
                }
                // Full: sixteen signals wait already, one more of them changes nothing.
                let _ = sender.try_send(signal_number);
            }
        });
    }
    Ok(receiver)
}

fn send_signal(child: &Child, signal: Signal) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended this moment; then there is nobody to tell.
        let _ = kill(Pid::from_raw(id), signal);
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
