use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use leno_e2e::{LIMIT, Sandbox, eventually, need};

use crate::origin::Record;

/// Somebody else's program that speaks HTTP. It ends with its owner.
#[derive(Debug)]
pub struct Peer {
    pub port: u16,
    log: PathBuf,
    child: Child,
}

/// A program on the path, or in the directories of the system's services. What is missing is said aloud; with CI=true it is a
/// failure.
///
/// # Panics
/// With CI=true, when it is missing.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/go/bin".into()]);
    let found = directories.map(|directory| directory.join(name)).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "{name} is missing");
        eprintln!("DID NOT RUN: {name} is missing");
    }
    found
}

impl Peer {
    /// A proxy in front of `upstream`; `None` when the program is not here.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn proxy(name: &str, sandbox: &Sandbox, upstream: u16) -> anyhow::Result<Option<Self>> {
        let (text, suffix) = match name {
            "envoy" => (include_str!("../peers/envoy.yaml"), "yaml"),
            "haproxy" => (include_str!("../peers/haproxy.cfg"), "cfg"),
            _ => (include_str!("../peers/nginx.conf"), "conf"),
        };
        let found = if name == "envoy" { need("LENO_ENVOY") } else { program(name) };
        let Some(found) = found else { return Ok(None) };
        let port = free_port()?;
        let text = text
            .replace("PORT", &port.to_string())
            .replace("UPSTREAM", &upstream.to_string())
            .replace("DIRECTORY", &sandbox.path("").display().to_string());
        let file = sandbox.write(&format!("{name}.{suffix}"), &text)?;
        let mut command = Command::new(found);
        match name {
            "envoy" => command.args(["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning", "-c"]),
            "haproxy" => command.args(["-db", "-f"]),
            _ => command.arg("-c"),
        };
        command.arg(file);
        Self::start(name, &mut command, sandbox, port).map(Some)
    }

    /// A server that logs what it parsed; `None` when its language is not here.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn server(name: &str, sandbox: &Sandbox) -> anyhow::Result<Option<Self>> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut command = match name {
            "go" => {
                let Some(go) = program("go") else { return Ok(None) };
                let binary = sandbox.path("server-go");
                let mut build = Command::new(go);
                build.args(["build", "-o"]).arg(&binary).arg(sources.join("server.go"));
                anyhow::ensure!(build.status()?.success(), "the server in Go was not built");
                Command::new(binary)
            }
            "node" => match program("node") {
                Some(node) => script(&node, &sources.join("server.js")),
                None => return Ok(None),
            },
            _ => match program("python3") {
                Some(python) => script(&python, &sources.join("server.py")),
                None => return Ok(None),
            },
        };
        let port = free_port()?;
        command.arg(port.to_string()).arg(sandbox.path(&format!("{name}.requests")));
        Self::start(name, &mut command, sandbox, port).map(Some)
    }

    fn start(name: &str, command: &mut Command, sandbox: &Sandbox, port: u16) -> anyhow::Result<Self> {
        let output = std::fs::File::create(sandbox.path(&format!("{name}.output")))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let peer = Self { port, log: sandbox.path(&format!("{name}.requests")), child };
        eventually(&format!("{name} listens"), LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
        Ok(peer)
    }

    /// What a server has parsed so far.
    ///
    /// # Errors
    /// When its log is broken.
    pub fn records(&self) -> anyhow::Result<Vec<Record>> {
        let text = std::fs::read_to_string(&self.log)?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

fn script(interpreter: &Path, source: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(source);
    command
}

/// These programs do not report a port of their own choice; nobody else is likely to get this one in between.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It is ours; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
