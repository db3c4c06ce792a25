use std::ffi::OsString;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::{Response, request, with_host};
use crate::notify::{Inbox, Ready};
use crate::tools::{LIMIT, app, eventually, leno};
use crate::{Mesh, prometheus_sum};

/// An application with its sidecar, started by `leno run`. Ended with the test.
#[derive(Debug)]
pub struct Workload {
    pub(crate) child: Child,
    pub name: String,
    pub ready: Ready,
}

/// What a workload runs.
#[derive(Clone, Debug)]
pub struct WorkloadOptions<'a> {
    pub service: &'a str,
    pub version: &'a str,
    /// Name of the workload; unique in the mesh.
    pub name: &'a str,
    /// `--port`; none for a client.
    pub port: Option<&'a str>,
    /// More options of `leno run`.
    pub arguments: &'a [&'a str],
    /// Arguments of `leno-e2e-app`.
    pub app: &'a [&'a str],
    /// The join token; empty for none.
    pub token: &'a str,
}

impl<'a> WorkloadOptions<'a> {
    /// Version v1 of a service, which takes no traffic.
    pub fn new(service: &'a str, name: &'a str, token: &'a str) -> Self {
        Self { service, version: "v1", name, port: None, arguments: &[], app: &[], token }
    }
}

impl Mesh {
    /// Starts a workload and waits until its sidecar is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn run(&self, options: &WorkloadOptions<'_>) -> anyhow::Result<Workload> {
        let mut command: Vec<OsString> = vec![app().into_os_string()];
        command.extend(options.app.iter().map(OsString::from));
        self.run_command(options, &command)
    }

    /// The same with any program.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn run_command(&self, options: &WorkloadOptions<'_>, program: &[OsString]) -> anyhow::Result<Workload> {
        let inbox = Inbox::bind(self.path(), options.name)?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log(options.name))?;
        let mut command = self.command(options);
        command.arg("--notify").arg(inbox.path()).arg("--").args(program);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().context("starting leno run")?;
        let ready = inbox.wait(|| child.try_wait().ok().flatten().map(|status| format!("leno run ended: {status}")));
        match ready {
            Ok(ready) => Ok(Workload { child, name: options.name.to_owned(), ready }),
            Err(error) => {
                // It may be gone already.
                let _ = child.kill();
                let _ = child.wait();
                Err(error.context(self.read_log(options.name)))
            }
        }
    }

    /// Runs a workload to its end, whether it comes up or not.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_to_end(&self, options: &WorkloadOptions<'_>, program: &[OsString]) -> anyhow::Result<Output> {
        let mut command = self.command(options);
        command.arg("--").args(program).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting leno run")?;
        eventually(&format!("{} ends", options.name), Duration::from_secs(40), || {
            child.try_wait().expect("it is ours")
        });
        child.wait_with_output().context("reading what leno run has written")
    }

    /// `leno run` with its options; the program is still to be named.
    fn command(&self, options: &WorkloadOptions<'_>) -> Command {
        let mut command = Command::new(leno());
        command.args([
            "run",
            "--control",
            self.address("xds"),
            "--service",
            options.service,
            "--version",
            options.version,
        ]);
        command.args(["--workload", options.name, "--drain-deadline", "5s", "--threads", "1"]);
        command.arg("--state").arg(self.path().join("state").join(options.name));
        command.arg("--access-log").arg(self.log(&format!("{}.access", options.name)));
        if let Some(port) = options.port {
            command.args(["--port", port, "--app-address", "own"]);
        }
        command.args(options.arguments);
        command
            .env("LENO_JOIN_TOKEN", options.token)
            .env("LENO_ADMIN_TOKEN", "operators-only")
            .env("NO_PROXY", "api.example")
            .env("RUST_BACKTRACE", "1");
        command
    }

    /// A workload that only calls others: its application waits.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn client(&self, name: &str, token: &str) -> anyhow::Result<Workload> {
        self.run(&WorkloadOptions { app: &["wait"], ..WorkloadOptions::new(name, name, token) })
    }

    /// A server that echoes what it was asked, as JSON.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn echo(&self, service: &str, version: &str, token: &str) -> anyhow::Result<Workload> {
        let name = format!("{service}-{version}");
        self.run(&WorkloadOptions {
            version,
            port: Some("8080:http"),
            app: &["echo", "--name", &name],
            ..WorkloadOptions::new(service, &name, token)
        })
    }
}

impl Workload {
    /// `GET` to a service of the mesh through this workload's forward proxy.
    ///
    /// # Errors
    /// When the sidecar does not answer.
    pub fn get(&self, authority: &str, path: &str) -> anyhow::Result<Response> {
        self.request("GET", authority, path, &[], b"")
    }

    /// # Errors
    /// When the sidecar does not answer.
    pub fn request(
        &self,
        method: &str,
        authority: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Response> {
        let target = format!("http://{authority}{path}");
        request(self.ready.address("http_proxy"), method, &target, &with_host(authority, headers), body)
    }

    /// Asks until the service answers 200: its endpoints have arrived.
    pub fn wait_for(&self, authority: &str) -> Response {
        eventually(&format!("{authority} answers {}", self.name), LIMIT, || {
            self.get(authority, "/").ok().filter(|response| response.status == 200)
        })
    }

    /// The sidecar's admin interface.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn admin(&self, path: &str) -> String {
        let response = request(self.ready.address("admin"), "GET", path, &[], b"");
        response.unwrap_or_else(|error| panic!("admin {path} of {}: {error:#}", self.name)).text()
    }

    /// A change asked of the sidecar's admin interface.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn admin_post(&self, path: &str) -> anyhow::Result<Response> {
        request(self.ready.address("admin"), "POST", path, &[], b"")
    }

    /// `GET` to the application itself, past the sidecar; it listens on 8080.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn app_get(&self, path: &str) -> anyhow::Result<Response> {
        request(&format!("{}:8080", self.ready.address("app")), "GET", path, &[], b"")
    }

    /// Sum over series of one of the sidecar's metrics.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        prometheus_sum(&self.admin("/stats/prometheus"), name, labels)
    }

    /// Sends a signal to `leno run`.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("it is ours");
    }

    /// Sends a signal to the sidecar alone.
    pub fn signal_proxy(&self, signal: Signal) {
        kill(Pid::from_raw(self.ready.pid), signal).expect("it is ours");
    }

    /// Waits for the end of `leno run`.
    pub fn wait(&mut self) -> ExitStatus {
        let name = self.name.clone();
        eventually(&format!("{name} ends"), LIMIT, || self.child.try_wait().expect("it is ours"))
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // SIGTERM first so that application and sidecar end as well.
            self.signal(Signal::SIGTERM);
            self.wait();
        }
    }
}
