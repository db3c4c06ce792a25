use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::notify::{Inbox, Ready};
use crate::tools::leno;

/// A control plane with its directory.
#[derive(Debug)]
pub struct Mesh {
    directory: TempDir,
    child: Option<Child>,
    ready: Option<Ready>,
    arguments: Vec<String>,
    /// The control plane has mounts of its own.
    own_mounts: bool,
}

impl Mesh {
    /// Starts `leno control` with one resource file.
    ///
    /// # Errors
    /// When it does not come up; its log is part of the error.
    pub fn start(resources: &str) -> anyhow::Result<Self> {
        Self::start_with(resources, &[])
    }

    /// # Errors
    /// As [`Mesh::start`].
    pub fn start_with(resources: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("leno-e2e-").tempdir().context("making the mesh's directory")?;
        std::fs::create_dir_all(directory.path().join("resources"))?;
        std::fs::create_dir_all(directory.path().join("logs"))?;
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut mesh = Self { directory, child: None, ready: None, arguments, own_mounts: false };
        mesh.write_resources("mesh.yaml", resources)?;
        mesh.start_control()?;
        Ok(mesh)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The control plane's data directory, as the control plane sees it.
    pub fn data(&self) -> PathBuf {
        let data = self.path().join("control");
        match &self.child {
            Some(child) if self.own_mounts => {
                let root = format!("/proc/{}/root{}", child.id(), data.display());
                PathBuf::from(root)
            }
            _ => data,
        }
    }

    /// Starts the control plane, on the ports it had before if it ran before.
    ///
    /// # Errors
    /// As [`Mesh::start`].
    pub fn start_control(&mut self) -> anyhow::Result<()> {
        self.own_mounts = false;
        self.spawn_control(Command::new(leno()))
    }

    /// The same in a mount namespace of its own, after `script` has run there; `$DATA` is the data directory. What it
    /// mounts is gone with the process.
    ///
    /// # Errors
    /// As [`Mesh::start`], and when the script fails.
    pub fn start_control_with_mounts(&mut self, script: &str) -> anyhow::Result<()> {
        self.own_mounts = true;
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-ec", &format!("{script}\nexec \"$0\" \"$@\"")]).arg(leno());
        command.env("DATA", self.path().join("control"));
        self.spawn_control(command)
    }

    fn spawn_control(&mut self, mut command: Command) -> anyhow::Result<()> {
        let inbox = Inbox::bind(self.path(), "control")?;
        let before =
            |name: &str| self.ready.as_ref().map_or("127.0.0.1:0".to_owned(), |ready| ready.address(name).to_owned());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log("control"))?;
        let data = self.path().join("control");
        command.arg("control").arg("--data").arg(data).arg("--resources").arg(self.path().join("resources"));
        command.args(["--xds", &before("xds"), "--api", &before("api"), "--metrics", &before("metrics")]);
        command.args(&self.arguments).arg("--notify").arg(inbox.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().context("starting leno control")?;
        let ready =
            inbox.wait(|| child.try_wait().ok().flatten().map(|status| format!("leno control ended: {status}")));
        self.child = Some(child);
        self.ready = Some(ready.with_context(|| self.read_log("control"))?);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill_control(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }

    /// The address of one of its ports: `xds`, `api` or `metrics`.
    ///
    /// # Panics
    /// When the control plane never ran.
    pub fn address(&self, name: &str) -> &str {
        self.ready.as_ref().expect("the control plane runs").address(name)
    }

    /// Writes a file into the resource directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_resources(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.path().join("resources").join(name);
        // As editors do it: a new file takes the old one's place.
        let new = self.path().join(format!("{name}.new"));
        std::fs::write(&new, content)?;
        std::fs::rename(&new, &path).with_context(|| format!("writing {}", path.display()))
    }

    /// Writes a file beside the mesh, for `-f`; the value is its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("the mesh's directory is ours");
        path.display().to_string()
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.path().join("logs").join(format!("{name}.log"))
    }

    pub fn read_log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    /// Runs a `leno` command against this control plane.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Command::new(leno())
            .args(arguments)
            .env("LENO_SERVER", format!("http://{}", self.address("api")))
            .env("LENO_DATA", self.data())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running leno {arguments:?}"))
    }

    /// The same, for commands that must succeed; the value is standard output.
    ///
    /// # Errors
    /// With both outputs when it fails.
    pub fn cli_ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.cli(arguments)?;
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "leno {arguments:?} ended with {}:\n{out}{error}", output.status);
        Ok(out.into_owned())
    }

    /// A join token for the given service accounts of the namespace `default`.
    ///
    /// # Errors
    /// When the control plane refuses.
    pub fn token(&self, accounts: &[&str], uses: u32) -> anyhow::Result<String> {
        self.token_in("default", accounts, uses)
    }

    /// The same for a namespace.
    ///
    /// # Errors
    /// When the control plane refuses.
    pub fn token_in(&self, namespace: &str, accounts: &[&str], uses: u32) -> anyhow::Result<String> {
        let uses = uses.to_string();
        let mut arguments = vec!["token", "create", "-n", namespace, "--uses", &uses, "-o", "json"];
        for account in accounts {
            arguments.extend(["--service-account", account]);
        }
        let answer: Value = serde_json::from_str(&self.cli_ok(&arguments)?).context("reading the token")?;
        Ok(answer["token"].as_str().context("no token in the answer")?.to_owned())
    }

    /// `leno status -o json`.
    ///
    /// # Errors
    /// When the control plane does not answer.
    pub fn status(&self) -> anyhow::Result<Value> {
        let output = self.cli(&["status", "-o", "json"])?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("reading the status: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It is ours; an error means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.path().join("logs")).into_iter().flatten().flatten() {
                let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let shown = if entry.path().to_string_lossy().contains(".access.") { 5 } else { 30 };
                let last = lines[lines.len().saturating_sub(shown)..].join("\n");
                eprintln!("--- {}\n{last}", entry.path().display());
            }
        }
    }
}
