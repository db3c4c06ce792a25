//! Leno as users run it: a control plane, and proxies that join it with a token.

use super::{
    BTreeMap, BufRead, BufReader, CLIENT_ADDRESS, Command, Context, Deserialize, Instant, LOAD_CPU, PROXY_CPU, Path,
    Peer, Process, Programs, SERVER_ADDRESS, START_LIMIT, SetUp, Single, UnixListener, output,
};

/// What a role reports with `--notify`.
#[derive(Debug, Deserialize)]
struct Ready {
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
        let name = format!(
            "leno-bench-{}-{}",
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
struct Control {
    process: Process,
    xds: String,
    token: String,
    inbox: Inbox,
}

fn start_control(
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

fn start_proxy(
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

pub(super) fn single(set_up: &SetUp<'_>, programs: &Programs) -> anyhow::Result<Peer> {
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
    let control = start_control(&set_up.directory, programs, None, "127.0.0.1", &resources)?;
    let (proxy, ready) = start_proxy(&control, programs, &set_up.directory, None, "client", &[])?;
    peer(control, vec![proxy], &ready)
}

pub(super) fn sidecars(set_up: &SetUp<'_>, programs: &Programs) -> anyhow::Result<Peer> {
    let hosts = set_up.hosts.as_ref().context("sidecars need two hosts")?;
    let resources = "apiVersion: v1
kind: Service
metadata: { name: origin }
spec:
  selector: { app: origin }
  ports: [{ name: http, port: 9000 }]
---
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
    let control = start_control(&set_up.directory, programs, Some(&hosts.client), CLIENT_ADDRESS, resources)?;
    let log = |side: &str| set_up.directory.join(format!("leno-{side}.access.log")).display().to_string();
    let server = start_proxy(
        &control,
        programs,
        &set_up.directory,
        Some(&hosts.server),
        "origin",
        &["--port", "9000:http", "--address", SERVER_ADDRESS, "--access-log", &log("server")],
    )?;
    let client_options = ["--address", CLIENT_ADDRESS, "--access-log", &log("client")];
    let (client, ready) =
        start_proxy(&control, programs, &set_up.directory, Some(&hosts.client), "client", &client_options)?;
    peer(control, vec![client, server.0], &ready)
}

fn peer(control: Control, proxies: Vec<Process>, ready: &Ready) -> anyhow::Result<Peer> {
    let address = ready.upstreams.get("origin").with_context(|| format!("{} does not offer the origin", ready.name))?;
    Ok(Peer {
        name: "leno".to_owned(),
        address: address.clone(),
        host: "origin:9000".to_owned(),
        proxies,
        _others: vec![control.process],
    })
}

/// Memory of an idle proxy, time to readiness, time until the demo is up.
pub(crate) fn measure_singles(programs: &Programs) -> anyhow::Result<BTreeMap<String, Single>> {
    let directory = crate::command::target().join("bench/singles");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let control = start_control(&directory, programs, None, "127.0.0.1", "")?;
    let (mut ready_ms, mut rss_mb) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let started = Instant::now();
        let (proxy, _) = start_proxy(&control, programs, &directory, None, "client", &[])?;
        ready_ms.push(started.elapsed().as_secs_f64() * 1000.0);
        rss_mb.push(proxy.rss_mb());
    }
    let demo: Vec<f64> = (0..3).map(|_| demo_up_seconds(programs)).collect::<anyhow::Result<_>>()?;
    Ok(BTreeMap::from([
        ("proxy ready after".to_owned(), Single::new(ready_ms, "ms", 150.0)),
        ("idle proxy memory".to_owned(), Single::new(rss_mb, "MB", 12.0)),
        ("demo up after".to_owned(), Single::new(demo, "s", 3.0)),
    ]))
}

/// As the demo itself says it on standard error.
fn demo_up_seconds(programs: &Programs) -> anyhow::Result<f64> {
    let demo = Command::new(&programs.leno).args(["demo", "--for", "2s"]).output().context("running the demo")?;
    let text = String::from_utf8_lossy(&demo.stderr);
    text.lines()
        .find_map(|line| line.split(" up after ").nth(1)?.split(' ').next()?.parse().ok())
        .with_context(|| format!("the demo did not say when it was up: {text}"))
}
