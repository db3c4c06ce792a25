//! Programs that are not ours and join the mesh with what `leno bootstrap` prints: stock Envoy, and gRPC without a proxy.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::http::{Response, request, with_host};
use crate::program::Program;
use crate::tools::{app, eventually, leno};
use crate::{Mesh, Workload};

/// As in `docs/reference.md`.
const ADMIN_PORT: u16 = 15000;
const HTTP_PROXY_PORT: u16 = 15001;
const DNS_PORT: u16 = 15053;

/// Stock Envoy as the sidecar of an application. Both end with the test.
#[derive(Debug)]
pub struct EnvoyGuest {
    pub name: String,
    address: Ipv4Addr,
    _envoy: Program,
    _app: Program,
    _renewal: Option<Program>,
    _block: Block,
}

/// A gRPC program without a proxy: `scripts/grpc_client.py`. Ends with the test.
#[derive(Debug)]
pub struct GrpcClient {
    pub name: String,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _program: Program,
    _renewal: Option<Program>,
}

/// What stands behind Envoy.
#[derive(Clone, Debug)]
pub struct EnvoyOptions<'a> {
    /// The program, from `need("LENO_ENVOY")`.
    pub envoy: &'a Path,
    pub service: &'a str,
    /// `PORT[:PROTOCOL]` of the application.
    pub port: &'a str,
    /// The application and its arguments; it listens on `$LENO_ADDRESS:$PORT`.
    pub app: &'a [OsString],
    pub token: &'a str,
    /// Whether `leno bootstrap` stays to renew the certificate for the control plane.
    pub stay: bool,
}

impl Mesh {
    /// Starts Envoy with an echo application behind it and waits until it says that it is ready.
    ///
    /// # Errors
    /// As [`Mesh::envoy_with`].
    pub fn envoy(&self, envoy: &Path, service: &str, token: &str) -> anyhow::Result<EnvoyGuest> {
        let app: [OsString; 4] = [app().into(), "echo".into(), "--name".into(), service.into()];
        self.envoy_with(&EnvoyOptions { envoy, service, port: "8080:http", app: &app, token, stay: false })
    }

    /// The same with any application.
    ///
    /// # Errors
    /// When the bootstrap is refused or a program cannot be started.
    pub fn envoy_with(&self, options: &EnvoyOptions<'_>) -> anyhow::Result<EnvoyGuest> {
        let name = options.service.to_owned();
        let (file, renewal, block) = self.envoy_bootstrap(options)?;

        let address = block.address;
        let (program, arguments) = options.app.split_first().context("an application")?;
        let mut command = Command::new(program);
        let port = options.port.split(':').next().unwrap_or_default();
        command.args(arguments).env("LENO_ADDRESS", address.to_string()).env("PORT", port).stdin(Stdio::null());
        let app = Program::start(&mut command, &self.log(&format!("{name}.app")))?;
        let mut command = Command::new(options.envoy);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "info"]).arg("-c").arg(&file);
        command.stdin(Stdio::null());
        let envoy = Program::start(&mut command, &self.log(&name))?;
        let guest = EnvoyGuest { name, address, _envoy: envoy, _app: app, _renewal: renewal, _block: block };
        eventually("Envoy is ready", Duration::from_secs(30), || {
            guest.ask_admin("/ready").ok().filter(|response| response.status == 200)
        });
        Ok(guest)
    }

    /// A bootstrap whose block of loopback addresses is held for the guest: other tests run on this machine as well.
    fn envoy_bootstrap(&self, options: &EnvoyOptions<'_>) -> anyhow::Result<(PathBuf, Option<Program>, Block)> {
        let &EnvoyOptions { service, port, token, stay, .. } = options;
        let directory = self.path().file_name().context("the mesh has a directory")?.to_string_lossy();
        // Part of what chooses the block.
        let workload = format!("{service}-{}", directory.trim_start_matches("leno-e2e-").to_ascii_lowercase());
        let mut arguments =
            vec!["envoy", "--service", service, "--workload", &workload, "--port", port, "--app-address", "own"];
        let certificates = self.certificates(service);
        if stay {
            arguments.extend(["--stay", "--directory", certificates.to_str().context("a path in UTF-8")?]);
        }
        for _ in 0..20 {
            let (file, renewal) = self.bootstrap(&arguments, service, token)?;
            if let Ok(block) = Block::hold(&std::fs::read_to_string(&file)?)? {
                return Ok((file, renewal, block));
            }
        }
        bail!("no block of loopback addresses could be held")
    }

    /// Where the certificates of a guest are kept for it.
    pub fn certificates(&self, guest: &str) -> PathBuf {
        self.path().join(format!("{guest}.certificates"))
    }

    /// What `leno bootstrap` printed, and the program itself when it stays.
    fn bootstrap(&self, arguments: &[&str], name: &str, token: &str) -> anyhow::Result<(PathBuf, Option<Program>)> {
        // Envoy goes by the extension.
        let path = self.path().join(format!("{name}.bootstrap.yaml"));
        let mut command = Command::new(leno());
        command.arg("bootstrap").args(arguments).args(["--control", self.address("xds")]);
        command.arg("--state").arg(self.path().join("state").join(name));
        command.env("LENO_JOIN_TOKEN", token).stdin(Stdio::null()).stdout(std::fs::File::create(&path)?);
        let mut program = Program::start(&mut command, &self.log(&format!("{name}.bootstrap")))?;
        let stays = arguments.contains(&"--stay");
        let status = eventually("the bootstrap is there", Duration::from_secs(20), || {
            // All of it is written at once.
            let is_written = stays && std::fs::metadata(&path).is_ok_and(|file| file.len() > 0);
            match program.child.try_wait().expect("it is ours") {
                None if is_written => Some(None),
                status => status.map(Some),
            }
        });
        match status {
            None => Ok((path, Some(program))),
            Some(status) if status.success() => Ok((path, None)),
            Some(status) => bail!("leno bootstrap {arguments:?} ended with {status}"),
        }
    }

    /// A gRPC client that knows the mesh by xDS and calls `target` (`xds:///…`).
    ///
    /// # Errors
    /// When the bootstrap is refused or Python cannot be started.
    pub fn grpc_client(&self, python: &Path, name: &str, target: &str, token: &str) -> anyhow::Result<GrpcClient> {
        let directory = self.certificates(name);
        let path = directory.to_str().context("a path in UTF-8")?;
        let arguments = ["grpc", "--service", name, "--workload", name, "--directory", path, "--stay"];
        let (_, renewal) = self.bootstrap(&arguments, name, token)?;
        let mut command = Command::new(python);
        command.env("GRPC_XDS_BOOTSTRAP", directory.join("bootstrap.json"));
        Ok(GrpcClient { _renewal: renewal, ..GrpcClient::start(self, name, target, command)? })
    }

    /// A gRPC client that knows nothing of the mesh: it calls an address at which a proxy listens, in plain text.
    ///
    /// # Errors
    /// When Python cannot be started.
    pub fn plain_grpc_client(&self, python: &Path, name: &str, address: &str) -> anyhow::Result<GrpcClient> {
        GrpcClient::start(self, name, address, Command::new(python))
    }
}

/// A script of the tests.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

impl EnvoyGuest {
    /// Through Envoy's forward proxy, as [`Workload::request`].
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub fn request(
        &self,
        method: &str,
        authority: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Response> {
        let target = format!("http://{authority}{path}");
        request(&format!("{}:{HTTP_PROXY_PORT}", self.address), method, &target, &with_host(authority, headers), b"")
    }

    /// The address of a service as this Envoy offers it: `of` says how another workload sees it, and the last two bytes are
    /// the same everywhere.
    ///
    /// # Panics
    /// When the other one does not know the service.
    pub fn upstream(&self, service: &str, of: &Workload) -> String {
        let known = of.ready.upstreams.get(service).unwrap_or_else(|| panic!("{} does not offer {service}", of.name));
        let mut parts = known.splitn(3, '.');
        let (_, _, rest) = (parts.next(), parts.next(), parts.next().expect("an IPv4 address"));
        let [first, second, ..] = self.address.octets();
        format!("{first}.{second}.{rest}")
    }

    /// # Errors
    /// When it does not answer.
    fn ask_admin(&self, path: &str) -> anyhow::Result<Response> {
        request(&format!("{}:{ADMIN_PORT}", self.address), "GET", path, &[], b"")
    }

    /// Envoy's own admin interface.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn admin(&self, path: &str) -> String {
        self.ask_admin(path).unwrap_or_else(|error| panic!("admin {path} of {}: {error:#}", self.name)).text()
    }

    /// One of Envoy's counters or gauges; 0 when there is none of that name.
    pub fn stat(&self, name: &str) -> u64 {
        let text = self.admin("/stats");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
        value.unwrap_or(0)
    }
}

impl GrpcClient {
    fn start(mesh: &Mesh, name: &str, target: &str, mut command: Command) -> anyhow::Result<Self> {
        command.arg(script("grpc_client.py")).arg(target).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = Program::start(&mut command, &mesh.log(name))?;
        let input = program.child.stdin.take().context("a pipe was asked for")?;
        let output = BufReader::new(program.child.stdout.take().context("a pipe was asked for")?);
        Ok(Self { name: name.to_owned(), input, output, _program: program, _renewal: None })
    }

    /// Makes one call with this metadata and waits for its outcome.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn call(&mut self, metadata: &[(&str, &str)]) -> anyhow::Result<Value> {
        let metadata: serde_json::Map<_, _> =
            metadata.iter().map(|&(key, value)| (key.to_owned(), Value::from(value))).collect();
        writeln!(self.input, "{}", Value::Object(metadata)).context("asking the client to call")?;
        let mut line = String::new();
        self.output.read_line(&mut line).context("reading the outcome")?;
        serde_json::from_str(&line).with_context(|| format!("{} answered {line:?}", self.name))
    }
}

/// The DNS port of a block: who has it has the block, and Envoy does not take it.
#[derive(Debug)]
struct Block {
    address: Ipv4Addr,
    _sockets: (UdpSocket, TcpListener),
}

impl Block {
    /// The block that a bootstrap names; the inner error says that somebody else was faster.
    fn hold(bootstrap: &str) -> anyhow::Result<std::io::Result<Self>> {
        let proxy = bootstrap.lines().find_map(|line| line.trim().strip_prefix("HTTP_PROXY_ADDRESS: "));
        let address = proxy.and_then(|proxy| proxy.trim_matches('"').strip_suffix(&format!(":{HTTP_PROXY_PORT}")));
        let address: Ipv4Addr = address.context("the bootstrap names no forward proxy")?.parse()?;
        let bind = || Ok((UdpSocket::bind((address, DNS_PORT))?, TcpListener::bind((address, DNS_PORT))?));
        Ok(bind().map(|sockets| Self { address, _sockets: sockets }))
    }
}
