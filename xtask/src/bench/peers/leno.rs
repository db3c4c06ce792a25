//! Leno as users run it: a control plane, and proxies that join it with a token; or a proxy with a bootstrap file.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use super::{
    Bootstrap, CLIENT_ADDRESS, LOAD_CPU, PROXY_CPU, Peer, Process, Programs, SERVER_ADDRESS, SetUp, start_with_file,
};
use crate::bench::START_LIMIT;
use crate::command::output;

/// What the two sidecars speak with each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Between {
    Http1,
    Http2,
    Tcp,
}

/// What a role reports with `--notify`.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    name: String,
    addresses: BTreeMap<String, String>,
    #[serde(default)]
    upstreams: BTreeMap<String, String>,
}

struct Inbox {
    listener: UnixListener,
    path: String,
}

impl Inbox {
    fn bind(directory: &Path) -> anyhow::Result<Self> {
        // A socket's path is bounded to about 100 bytes, so it lives in the system's directory for temporary files.
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!(
            "leno-bench-{}-{}-{number}",
            std::process::id(),
            directory.file_name().unwrap_or_default().to_string_lossy()
        );
        let path = std::env::temp_dir().join(name);
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        let listener = UnixListener::bind(&path).with_context(|| format!("making the socket {}", path.display()))?;
        Ok(Self { listener, path: path.display().to_string() })
    }

    /// The next report; a thread waits for it so that the wait can be bounded.
    fn next(&self) -> anyhow::Result<Ready> {
        let listener = self.listener.try_clone().context("sharing the socket")?;
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let line = listener.accept().and_then(|(stream, _)| {
                let mut line = String::new();
                BufReader::new(stream).read_line(&mut line).map(|_| line)
            });
            // Nobody waits any more after a time-out.
            let _ = sender.send(line);
        });
        let line = receiver.recv_timeout(START_LIMIT).context("waiting for a readiness report")??;
        serde_json::from_str(&line).with_context(|| format!("reading the readiness report {line}"))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Only its name is left.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A control plane and what its proxies need to join.
pub(crate) struct Control {
    process: Process,
    xds: String,
    token: String,
    inbox: Inbox,
}

pub(crate) fn start_control(
    directory: &Path,
    programs: &Programs,
    namespace: Option<&str>,
    address: &str,
    resources: &str,
) -> anyhow::Result<Control> {
    let inbox = Inbox::bind(directory)?;
    let files = directory.join("resources");
    std::fs::create_dir_all(&files).context("making the directory for resources")?;
    std::fs::write(files.join("bench.yaml"), resources).context("writing resources")?;
    let data = directory.join("control").display().to_string();
    let xds = format!("{address}:0");
    let files = files.display().to_string();
    let command = [
        programs.leno.as_str(),
        "control",
        "--data",
        &data,
        "--resources",
        &files,
        "--xds",
        &xds,
        "--api",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
        "--notify",
        &inbox.path,
    ];
    let process = Process::spawn(&command.map(str::to_owned), LOAD_CPU, namespace, &directory.join("control.log"))?;
    let ready = inbox.next().context("starting leno control")?;
    let api = ready.addresses.get("api").context("leno control did not say its API address")?;
    let mut create = Command::new("ip");
    if let Some(namespace) = namespace {
        create.args(["netns", "exec", namespace]).arg(&programs.leno);
    } else {
        create = Command::new(&programs.leno);
    }
    create.args([
        "token",
        "create",
        "--service-account",
        "client",
        "--service-account",
        "origin",
        "--uses",
        "100",
        "-o",
        "json",
    ]);
    create.env("LENO_SERVER", format!("http://{api}")).env("LENO_ADMIN_TOKEN_FILE", format!("{data}/admin-token"));
    let answer: serde_json::Value = serde_json::from_str(&output(&mut create)?).context("reading the join token")?;
    let token = answer["token"].as_str().context("the answer holds no token")?.to_owned();
    let xds = ready.addresses.get("xds").context("leno control did not say its xDS address")?.clone();
    Ok(Control { process, xds, token, inbox })
}

pub(crate) fn start_proxy(
    control: &Control,
    programs: &Programs,
    directory: &Path,
    namespace: Option<&str>,
    service: &str,
    more: &[&str],
) -> anyhow::Result<(Process, Ready)> {
    let state = directory.join(format!("state-{service}")).display().to_string();
    let base = [
        programs.leno.as_str(),
        "proxy",
        "--control",
        &control.xds,
        "--service",
        service,
        "--token",
        &control.token,
        "--state",
        &state,
        "--threads",
        "1",
        "--notify",
        &control.inbox.path,
    ];
    let command: Vec<String> = base.iter().chain(more).map(|word| (*word).to_owned()).collect();
    let process = Process::spawn(&command, PROXY_CPU, namespace, &directory.join(format!("leno-{service}.log")))?;
    let ready = control.inbox.next().with_context(|| format!("starting the proxy of {service}"))?;
    Ok((process, ready))
}

/// As a sidecar that joined a control plane, so with all that a mesh switches on.
pub(super) fn single(set_up: &SetUp<'_>) -> anyhow::Result<Peer> {
    let resources = format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: origin }}
spec:
  selector: {{ app: origin }}
  ports: [{{ name: http, port: 9000 }}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{ name: origin }}
spec:
  address: 127.0.0.1
  ports: {{ http: {} }}
  labels: {{ app: origin }}
  serviceAccount: origin
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{ name: origin }}
spec:
  host: origin
  trafficPolicy: {{ tls: {{ mode: DISABLE }} }}
",
        set_up.origin_port
    );
    let control = start_control(&set_up.directory, set_up.programs, None, "127.0.0.1", &resources)?;
    let (proxy, ready) = start_proxy(&control, set_up.programs, &set_up.directory, None, "client", &[])?;
    peer("leno", control, vec![proxy], &ready)
}

/// `leno proxy --bootstrap`.
pub(super) fn from_file(set_up: &SetUp<'_>, bootstrap: &Bootstrap) -> anyhow::Result<Peer> {
    let process = start_file(set_up, "leno", set_up.near(), bootstrap)?;
    Ok(Peer::new("leno", &bootstrap.listen, "origin", vec![process]))
}

pub(super) fn start_file(
    set_up: &SetUp<'_>,
    name: &str,
    namespace: Option<&str>,
    bootstrap: &Bootstrap,
) -> anyhow::Result<Process> {
    start_with_file(set_up, name, namespace, bootstrap, |path| {
        [&set_up.programs.leno, "proxy", "--bootstrap", path, "--threads", "1"].map(str::to_owned)
    })
}

pub(super) fn sidecars(set_up: &SetUp<'_>, name: &str, between: Between) -> anyhow::Result<Peer> {
    let hosts = set_up.hosts.as_ref().context("sidecars need two hosts")?;
    // Variants run at once, each with a mesh of its own.
    let directory = set_up.directory.join(name);
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let control = start_control(&directory, set_up.programs, Some(&hosts.client), CLIENT_ADDRESS, &resources(between))?;
    let log = |side: &str| directory.join(format!("{side}.access.log")).display().to_string();
    let port = if between == Between::Tcp { "9000:tcp" } else { "9000:http" };
    let server = start_proxy(
        &control,
        set_up.programs,
        &directory,
        Some(&hosts.server),
        "origin",
        &["--port", port, "--address", SERVER_ADDRESS, "--access-log", &log("server")],
    )?;
    let client_options = ["--address", CLIENT_ADDRESS, "--access-log", &log("client")];
    let (client, ready) =
        start_proxy(&control, set_up.programs, &directory, Some(&hosts.client), "client", &client_options)?;
    peer(name, control, vec![client, server.0], &ready)
}

/// The resources of the mesh hop. The authorization policy is Leno's counterpart of `bootstrap::rbac`.
fn resources(between: Between) -> String {
    let (port, rules) = match between {
        Between::Tcp => ("tcp", ""),
        Between::Http1 => ("http", HTTP_RULES),
        Between::Http2 => ("http", HTTP2_RULES),
    };
    format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: origin }}
spec:
  selector: {{ app: origin }}
  ports: [{{ name: {port}, port: 9000 }}]
{rules}{AUTHORIZATION}"
    )
}

/// Goes here as soon as the control plane reads AuthorizationPolicy.
const AUTHORIZATION: &str = "";

const HTTP_RULES: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: origin }
spec:
  hosts: [origin]
  http:
  - route: [{ destination: { host: origin } }]
    timeout: 15s
    retries: { attempts: 2, retryOn: \"connect-failure,refused-stream\" }
";

const HTTP2_RULES: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: origin }
spec:
  hosts: [origin]
  http:
  - route: [{ destination: { host: origin } }]
    timeout: 15s
    retries: { attempts: 2, retryOn: \"connect-failure,refused-stream\" }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: origin }
spec:
  host: origin
  trafficPolicy: { connectionPool: { http: { h2UpgradePolicy: UPGRADE } } }
";

fn peer(name: &str, control: Control, proxies: Vec<Process>, ready: &Ready) -> anyhow::Result<Peer> {
    let address = ready.upstreams.get("origin").with_context(|| format!("{} does not offer the origin", ready.name))?;
    Ok(Peer::new(name, address, "origin:9000", proxies).beside(control.process))
}
