//! `leno run`: an application and its sidecar as one process tree. It routes nothing itself.
//!
//! Shape       leno run -> leno proxy (restarted when it ends) and CMD
//! Order       sidecar ready -> CMD starts; CMD ends -> sidecar leaves the mesh, drains, ends -> exit with CMD's code
//!             SIGTERM: the sidecar leaves the mesh first, then CMD gets the signal, so that no caller comes in between
//! Invariants  signals and the end of CMD are heard at any time, also while the sidecar starts, starts again or drains
//! Errors      exit code 125 when the sidecar cannot start, 126 or 127 when CMD cannot, 128 + n when signal n ended CMD

mod sidecar;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use futures_util::FutureExt;
use futures_util::future::Fuse;
use leno_runtime::Tasks;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::sidecar::{Keeper, Sidecar};
use crate::demo::client::HttpClient;
use crate::notify::Ready;
use crate::role::proxy_args::ProxyArgs;

/// Longest wait for the sidecar's first readiness.
const SIDECAR_START_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for the sidecar to leave the mesh before the application gets its signal.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// Between leaving the mesh and the application's signal: callers hear of it and finish what they are just sending.
/// Chosen: several times what a change takes to reach a proxy, and not felt by who waits for the end.
const CALLERS_HEAR_WITHIN: Duration = Duration::from_millis(300);

/// A signal so soon after the application's end is the one that ended it: terminals and service managers send to all at once.
const SAME_SIGNAL_WITHIN: Duration = Duration::from_secs(1);

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
    let tasks = Tasks::new();
    let mut signals = Signals::install(&tasks)?;
    let mut sidecar = Sidecar::new(proxy_arguments, directory.path().join("ready"))?;

    let ready = tokio::select! {
        ready = sidecar.start(SIDECAR_START_LIMIT) => match ready {
            Ok(ready) => ready,
            Err(error) => {
                eprintln!("leno run: {error:#}");
                return Ok(125);
            }
        },
        signal = signals.next_to_end() => {
            stop_sidecar(sidecar.stop(), &mut signals).await;
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
            stop_sidecar(sidecar.stop(), &mut signals).await;
            return Ok(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    let keeper = sidecar.keep(ready, &tasks);
    let status = supervise(&mut application, &keeper, &mut signals).await?;
    stop_sidecar(keeper.stop(), &mut signals).await;
    Ok(exit_code(status))
}

/// Passes signals on until the application has ended.
async fn supervise(application: &mut Child, keeper: &Keeper, signals: &mut Signals) -> anyhow::Result<ExitStatus> {
    let mut leaving = std::pin::pin!(Fuse::terminated());
    let mut has_left = false;
    loop {
        tokio::select! {
            status = application.wait() => return status.context("waiting for the application"),
            signal = signals.next() => {
                if signals.reaches_application(signal) {
                    // Nothing to pass on.
                } else if is_end(signal) && !has_left {
                    has_left = true;
                    keeper.leave();
                    let ready = keeper.ready.borrow().clone();
                    leaving.set(async move { leave_mesh(&ready).await; signal }.fuse());
                } else {
                    // The second in a row is in a hurry: what the first waits for is waited for no longer.
                    leaving.set(Fuse::terminated());
                    send_signal(application, signal);
                }
            }
            signal = &mut leaving => send_signal(application, signal),
        }
    }
}

/// Lets the sidecar drain. It bounds that itself; whoever signals again does not want to wait.
async fn stop_sidecar(stop: impl Future<Output = ()>, signals: &mut Signals) {
    let begun = Instant::now();
    let further_signal = async {
        while begun.elapsed() < SAME_SIGNAL_WITHIN {
            signals.next_to_end().await;
        }
    };
    tokio::select! {
        () = stop => {}
        // Dropping what `stop` holds kills the sidecar.
        () = further_signal => tracing::warn!("a further signal: the sidecar does not finish its drain"),
    }
}

/// Asks the sidecar to deregister, and lets callers hear of it, before the application is told to stop.
async fn leave_mesh(ready: &Ready) {
    let Some(admin) = ready.addresses.get("admin") else { return };
    let client = HttpClient::default();
    let leave = client.fetch_with("POST", admin, "localhost", "/drain_listeners?inboundonly&graceful");
    match tokio::time::timeout(LEAVE_LIMIT, leave).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "the sidecar could not be asked to leave"),
        Err(_) => tracing::warn!("the sidecar takes too long to leave the mesh"),
    }
    if ready.addresses.keys().any(|name| name.starts_with("inbound:")) {
        tokio::time::sleep(CALLERS_HEAR_WITHIN).await;
    }
}

fn start_application(args: &RunArgs, ready: &Ready, directory: &Path) -> std::io::Result<Child> {
    let mut command = std::process::Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    for (name, value) in environment(&args.proxy, ready) {
        command.env(name, value);
    }
    // The sidecar's business, and the operator's: an application that leaks its environment must not give them away.
    for secret in ["LENO_JOIN_TOKEN", "LENO_ADMIN_TOKEN", "LENO_ADMIN_TOKEN_FILE"] {
        command.env_remove(secret);
    }
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
    let mut no_proxy = "localhost,127.0.0.1".to_owned();
    // Hosts outside the mesh, as whoever starts the application named them.
    let mut given = ["NO_PROXY", "no_proxy"].into_iter().filter_map(|name| std::env::var(name).ok());
    if let Some(given) = given.find(|given| !given.is_empty()) {
        no_proxy = format!("{no_proxy},{given}");
    }
    let mut variables = vec![
        ("LENO_SERVICE".to_owned(), args.service.clone()),
        ("LENO_NAMESPACE".to_owned(), args.namespace.clone()),
        ("NO_PROXY".to_owned(), no_proxy.clone()),
        ("no_proxy".to_owned(), no_proxy),
    ];
    if let Some(port) = args.ports.first() {
        variables.push(("PORT".to_owned(), port.number.to_string()));
    }
    // Where the sidecar looks for the application, so that one which listens there is found.
    let own = ready.addresses.get("app");
    if let Some(address) = if args.app_address == "own" { own } else { Some(&args.app_address) } {
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

/// What others send us, for the application.
struct Signals {
    received: mpsc::Receiver<Signal>,
    at_terminal: bool,
}

impl Signals {
    fn install(tasks: &Tasks) -> anyhow::Result<Self> {
        let (sender, received) = mpsc::channel(16);
        for signal_number in
            [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2]
        {
            let mut stream =
                signal(SignalKind::from_raw(signal_number as i32)).context("installing signal handlers")?;
            let sender = sender.clone();
            tasks.spawn("signal", async move {
                while stream.recv().await.is_some() {
                    // Full: sixteen signals wait already, one more of them changes nothing.
                    let _ = sender.try_send(signal_number);
                }
            });
        }
        Ok(Self { received, at_terminal: std::io::IsTerminal::is_terminal(&std::io::stdin()) })
    }

    async fn next(&mut self) -> Signal {
        match self.received.recv().await {
            Some(signal) => signal,
            // The tasks that send have ended: so does the process.
            None => std::future::pending().await,
        }
    }

    /// The next that asks us to end.
    async fn next_to_end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if is_end(signal) {
                return signal;
            }
        }
    }

    /// A terminal sends to the whole foreground group: the application has it already.
    fn reaches_application(&self, signal: Signal) -> bool {
        self.at_terminal && matches!(signal, Signal::SIGINT | Signal::SIGQUIT)
    }
}

fn is_end(signal: Signal) -> bool {
    matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM)
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
