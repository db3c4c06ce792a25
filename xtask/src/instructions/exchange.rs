//! Whole exchanges: the release binary under callgrind, one connection, one request after the other.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{collected, valgrind};
use crate::bench::bootstrap::{Bootstrap, Protocol};
use crate::command::{output, target};

/// Requests of the shorter run.
pub(super) const RUNS: u32 = 500;
const START_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Path {
    pub(super) name: &'static str,
    protocol: Protocol,
    access_log: bool,
}

pub(super) const PATHS: [Path; 3] = [
    Path { name: "exchange-http1", protocol: Protocol::Http1, access_log: false },
    Path { name: "exchange-http1-access-log", protocol: Protocol::Http1, access_log: true },
    Path { name: "exchange-http2", protocol: Protocol::Http2, access_log: false },
];

/// Ends with its owner.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It is ours; an error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Instructions of a proxy that serves this many requests, from its start to its end.
pub(super) fn count(path: &Path, requests: u32) -> anyhow::Result<u64> {
    let directory = target().join("instructions");
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let release = |name: &str| target().join("release").join(name);
    let (listen, origin) = (free_address()?, free_address()?);
    let mut command = Command::new(release("leno-bench"));
    command.args(["origin", "--listen", &origin]);
    if path.protocol == Protocol::Http2 {
        command.arg("--http2");
    }
    let _origin = Program(command.stdin(Stdio::null()).spawn().context("starting the origin")?);
    wait_for(&origin)?;

    let file = |kind: &str| -> PathBuf { directory.join(format!("{}.{kind}", path.name)) };
    let bootstrap = Bootstrap {
        listen: listen.clone(),
        upstream: origin,
        protocol: path.protocol,
        access_log: path.access_log.then(|| file("access.log").display().to_string()),
        ..Bootstrap::default()
    };
    std::fs::write(file("yaml"), bootstrap.yaml()).context("writing the bootstrap")?;
    let mut command = valgrind(Some(&file("callgrind")));
    command.arg(release("leno")).args(["proxy", "--threads", "1", "--bootstrap"]).arg(file("yaml"));
    let mut proxy = Program(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    wait_for(&listen)?;

    let (number, url) = (format!("-n{requests}"), format!("http://{listen}/bench"));
    let mut load = Command::new("h2load");
    if path.protocol == Protocol::Http1 {
        load.arg("--h1");
    }
    let seen = output(load.args(["-t1", "-c1", "-m1", &number, &url]))?;
    if !seen.contains(&format!("status codes: {requests} 2xx")) {
        bail!("not every request was answered: {seen}");
    }
    output(Command::new("kill").args(["-TERM", &proxy.0.id().to_string()]))?;
    proxy.0.wait().context("ending the proxy")?;
    let text = std::fs::read_to_string(file("callgrind")).context("reading what callgrind says")?;
    collected(&text)
}

fn free_address() -> anyhow::Result<String> {
    Ok(format!("127.0.0.1:{}", crate::bench::free_port()?))
}

#[allow(clippy::disallowed_methods, reason = "another program's readiness is polled for")]
fn wait_for(address: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if started.elapsed() > START_LIMIT {
            bail!("nothing listens on {address}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
