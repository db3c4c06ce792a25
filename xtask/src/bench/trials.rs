//! Rounds that start what they measure: memory, and time until something works.
//!
//! Units       milliseconds from just before the process is started; memory is `VmRSS` of all proxies of the peer

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::START_LIMIT;
use super::bootstrap::Bootstrap;
use super::peers::{self, Kind, Peer, leno};
use super::process::{LOAD_CPU, PROXY_CPU, Process, pinned};
use super::result::Sample;
use super::set_up::SetUp;
use crate::command::output;

const LARGE: usize = 1000;
const IDLE_CONNECTIONS: usize = 2000;
/// What was allocated while starting is given back within this time.
const SETTLED: Duration = Duration::from_millis(500);

/// A sidecar that joins a control plane.
pub(crate) fn sidecar(set_up: &SetUp<'_>, _: Kind) -> anyhow::Result<Sample> {
    let directory = set_up.directory.join("sidecar");
    let control = leno::start_control(&directory, set_up.programs, None, "127.0.0.1", "")?;
    let started = Instant::now();
    let (proxy, _) = leno::start_proxy(&control, set_up.programs, &directory, None, "client", &[])?;
    let ready_ms = milliseconds(started);
    let memory = proxy.rss_mb();
    drop((proxy, control));
    std::fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
    let demo = demo_up_seconds(&set_up.programs.leno)?;
    Ok(Sample::of_values([("ready after", ready_ms), ("idle memory", memory), ("demo up", demo)]))
}

/// As the demo itself says it on standard error.
fn demo_up_seconds(leno: &str) -> anyhow::Result<f64> {
    let demo = Command::new(leno).args(["demo", "--for", "2s"]).output().context("running the demo")?;
    let text = String::from_utf8_lossy(&demo.stderr);
    text.lines()
        .find_map(|line| line.split(" up after ").nth(1)?.split(' ').next()?.parse().ok())
        .with_context(|| format!("the demo did not say when it was up: {text}"))
}

pub(crate) fn start(set_up: &SetUp<'_>, kind: Kind) -> anyhow::Result<Sample> {
    let bootstrap = peers::static_bootstrap(set_up)?;
    let (first_answer, peer) = first_answer(set_up, kind, &bootstrap)?;
    settle();
    Ok(Sample::of_values([("first answer", first_answer), ("idle memory", peer.rss_mb())]))
}

pub(crate) fn large(set_up: &SetUp<'_>, kind: Kind) -> anyhow::Result<Sample> {
    let bootstrap = Bootstrap { clusters: LARGE, ..peers::static_bootstrap(set_up)? };
    let (first_answer, peer) = first_answer(set_up, kind, &bootstrap)?;
    settle();
    Ok(Sample::of_values([("first answer", first_answer), ("memory", peer.rss_mb())]))
}

pub(crate) fn idle_connections(set_up: &SetUp<'_>, kind: Kind) -> anyhow::Result<Sample> {
    let peer = set_up.start(kind)?;
    settle();
    let before = peer.rss_mb();
    let number = IDLE_CONNECTIONS.to_string();
    let words =
        [&set_up.programs.bench, "idle", "--target", &peer.address, "--host", &peer.host, "--connections", &number];
    let mut command = pinned(&words.map(str::to_owned), LOAD_CPU, set_up.near());
    let mut clients = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting the clients")?;
    let mut said = BufReader::new(clients.stdout.take().context("the clients' output")?).lines();
    let mut tell = clients.stdin.take().context("the clients' input")?;
    let per_connection = |said: &mut Lines<BufReader<ChildStdout>>| {
        let line = said.next().context("the clients ended")?.context("waiting for the clients")?;
        anyhow::ensure!(line == "ready", "the clients say {line}");
        settle();
        anyhow::Ok((peer.rss_mb() - before) * 1024.0 / IDLE_CONNECTIONS as f64)
    };
    let alone = per_connection(&mut said)?;
    tell.write_all(b"all\n").context("telling the clients")?;
    let at_once = per_connection(&mut said)?;
    // They end with their standard input.
    drop(tell);
    clients.wait().context("ending the clients")?;
    Ok(Sample::of_values([("memory", alone), ("memory after 1,000 at once", at_once)]))
}

/// What `leno-bench configuration` says: it is the control plane, the clients and the backends.
pub(crate) fn configuration(set_up: &SetUp<'_>, _: Kind) -> anyhow::Result<Sample> {
    let directory = set_up.directory.join("configuration");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
    }
    let words = [
        set_up.programs.bench.as_str(),
        "configuration",
        "--leno",
        &set_up.programs.leno,
        "--cpu",
        PROXY_CPU,
        "--directory",
        &directory.display().to_string(),
    ];
    let text = output(&mut pinned(&words.map(str::to_owned), LOAD_CPU, None))?;
    let values = serde_json::from_str(&text).with_context(|| format!("reading what {} says: {text}", words[1]))?;
    Ok(Sample { requests: 1, values, ..Sample::default() })
}

/// Milliseconds until the first request got its answer from the origin.
fn first_answer(set_up: &SetUp<'_>, kind: Kind, bootstrap: &Bootstrap) -> anyhow::Result<(f64, Peer)> {
    let address: SocketAddr = bootstrap.listen.parse().context("reading the address of the proxy")?;
    let started = Instant::now();
    let mut peer = peers::start_single(kind, set_up, bootstrap)?;
    loop {
        if get(address).is_ok_and(|status| status == 200) {
            return Ok((milliseconds(started), peer));
        }
        if started.elapsed() > START_LIMIT {
            bail!("{} does not answer", peer.name);
        }
        if let Some(proxy) = peer.proxies.iter_mut().find_map(Process::ended) {
            bail!("{} ended: {}", peer.name, proxy.last_words());
        }
        pause(Duration::from_micros(500));
    }
}

/// Status of the answer to one request.
fn get(address: SocketAddr) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    stream.write_all(b"GET /bench HTTP/1.1\r\nhost: origin\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let status = head.get(9..).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
    Ok(status.unwrap_or(0))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn settle() {
    pause(SETTLED);
}

#[allow(clippy::disallowed_methods, reason = "another program is polled for, or given time to settle")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
