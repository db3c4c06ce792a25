//! Proxies that serve a bootstrap file and know no control plane: Leno's and stock Envoy.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::http::{Response, request, with_host};
use crate::notify::Inbox;
use crate::program::Program;
use crate::tools::{app, eventually, leno};

const LIMIT: Duration = Duration::from_secs(20);

/// Where the files of one test are, and the applications behind its proxies. All of it ends with the test.
#[derive(Debug)]
pub struct Sandbox {
    directory: tempfile::TempDir,
    applications: Vec<Program>,
}

/// A proxy with a bootstrap.
#[derive(Debug)]
pub struct StaticProxy {
    pub name: &'static str,
    /// Of its first listener.
    pub address: String,
    /// By name.
    pub listeners: BTreeMap<String, String>,
    pub admin: String,
    program: Program,
}

impl Sandbox {
    /// # Errors
    /// When there is no room for files.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { directory: tempfile::Builder::new().prefix("leno-e2e-").tempdir()?, applications: Vec::new() })
    }

    /// Starts an echo application and gives its port on 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot be started.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn echo(&mut self, name: &str) -> anyhow::Result<u16> {
        // The application reports no port; nobody else is likely to get this one in between.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(app());
        command.args(["echo", "--name", name]).env("PORT", port.to_string());
        self.applications.push(Program::start_alone(&mut command, &self.path(&format!("{name}.log")))?);
        eventually("the application answers", LIMIT, || {
            let answer = request(&format!("127.0.0.1:{port}"), "GET", "/", &[], b"").ok()?.json().ok()?;
            (answer["app"] == name).then_some(port)
        });
        Ok(port)
    }

    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Of a file of this test, which need not be there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `leno proxy --bootstrap` that is ready.
    ///
    /// # Errors
    /// When it ends instead.
    pub fn leno(&self, bootstrap: &Path) -> anyhow::Result<StaticProxy> {
        let (inbox, log) = (Inbox::bind(self.directory.path(), "leno")?, self.path("leno.log"));
        let mut command = Command::new(leno());
        // As many workers as Envoy has here: what a worker keeps for itself is compared too.
        command.args(["proxy", "--threads", "1", "--bootstrap"]).arg(bootstrap).arg("--notify").arg(inbox.path());
        let mut program = Program::start_alone(&mut command, &log)?;
        let ready = inbox.wait(|| program.child.try_wait().ok().flatten().map(|status| format!("it ended: {status}")));
        let ready = ready.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        let listeners: BTreeMap<_, _> = ready
            .addresses
            .iter()
            .filter_map(|(name, address)| Some((name.strip_prefix("listener:")?.to_owned(), address.clone())))
            .collect();
        let address = listeners.values().next().context("no listener is reported")?.clone();
        Ok(StaticProxy { name: "leno", address, listeners, admin: ready.address("admin").to_owned(), program })
    }

    /// What `leno proxy --bootstrap` says when it refuses to start.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn leno_refuses(&self, bootstrap: &Path) -> anyhow::Result<Output> {
        let mut command = Command::new(leno());
        command.args(["proxy", "--exit-with-parent", "--bootstrap"]).arg(bootstrap);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        // A bootstrap that is served after all must not hold up the test: without its standard input it ends.
        let deadline = std::time::Instant::now() + LIMIT / 4;
        eventually("leno proxy has refused, or not", LIMIT, || {
            let has_ended = !matches!(child.try_wait(), Ok(None));
            (has_ended || std::time::Instant::now() > deadline).then_some(())
        });
        child.wait_with_output().context("starting leno proxy")
    }

    /// Stock Envoy that is ready.
    ///
    /// # Errors
    /// When it ends instead.
    ///
    /// # Panics
    /// When it is not ready in time.
    pub fn envoy(&self, envoy: &Path, bootstrap: &Path) -> anyhow::Result<StaticProxy> {
        let (log, admin_file) = (self.path("envoy.log"), self.path("envoy.admin"));
        let mut command = Command::new(envoy);
        command.args(["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]);
        command.args(["--file-flush-interval-msec", "20", "--file-flush-min-size-kb", "0"]);
        command.arg("--admin-address-path").arg(&admin_file).arg("-c").arg(bootstrap);
        let mut program = Program::start_alone(&mut command, &log)?;
        let found = eventually("Envoy is ready", LIMIT, || {
            if let Ok(Some(status)) = program.child.try_wait() {
                return Some(Err(status));
            }
            let admin = std::fs::read_to_string(&admin_file).ok()?;
            let ready = request(&admin, "GET", "/ready", &[], b"").ok()?;
            let listeners = request(&admin, "GET", "/listeners?format=json", &[], b"").ok()?.json().ok()?;
            let listeners: Option<Vec<_>> = listeners["listener_statuses"].as_array()?.iter().map(status).collect();
            (ready.status == 200).then_some(Ok((admin, listeners?)))
        });
        match found {
            Ok((admin, listeners)) => {
                let address = listeners.first().context("no listener is reported")?.1.clone();
                Ok(StaticProxy { name: "envoy", address, listeners: listeners.into_iter().collect(), admin, program })
            }
            Err(status) => bail!("Envoy ended: {status}\n{}", std::fs::read_to_string(&log).unwrap_or_default()),
        }
    }
}

/// Name and address of a listener in Envoy's `/listeners`.
fn status(listener: &serde_json::Value) -> Option<(String, String)> {
    let address = &listener["local_address"]["socket_address"];
    let address = format!("{}:{}", address["address"].as_str()?, address["port_value"]);
    Some((listener["name"].as_str()?.to_owned(), address))
}

impl StaticProxy {
    /// # Errors
    /// When it does not answer.
    pub fn request(
        &self,
        method: &str,
        authority: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Response> {
        request(&self.address, method, path, &with_host(authority, headers), b"")
            .with_context(|| format!("asking {} for {path}", self.name))
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.program.child.id()).unwrap_or(i32::MAX)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.program.child.try_wait().ok().flatten()
    }

    /// Its exit code, once it has ended by itself.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.program.child.try_wait().ok().flatten()?.code()
    }
}
