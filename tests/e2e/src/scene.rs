//! What most tests begin with: the service `echo`, its workloads, and a client that reaches them.

use std::ffi::OsString;
use std::net::TcpStream;
use std::path::Path;

use crate::tools::{LIMIT, eventually};
use crate::{Mesh, Workload, WorkloadOptions, script};

/// The service of the workloads that [`Mesh::echo`] starts.
pub const ECHO: &str = "apiVersion: v1
kind: Service
metadata: { name: echo }
spec:
  selector: { app: echo }
  ports: [{ name: http, port: 8080 }]
";

/// The service of the workloads that [`Mesh::calc`] starts.
pub const CALC: &str = "apiVersion: v1
kind: Service
metadata: { name: calc }
spec:
  selector: { app: calc }
  ports: [{ name: grpc, port: 9000 }]
";

/// A service of which tests ask the API alone.
pub const REVIEWS: &str = "apiVersion: v1
kind: Service
metadata: { name: reviews }
spec:
  selector: { app: reviews }
  ports: [{ name: http, port: 9080 }]
";
/// What a VirtualService says of it.
pub const REVIEWS_ROUTE: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, labels: { team: red } }
spec:
  hosts: [reviews]
  http:
    - timeout: 2s
      route: [{ destination: { host: reviews } }]
";

/// The versions `v1` and `v2` of a service as subsets, to stand behind other objects in one file.
pub fn subsets(service: &str) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{ name: {service} }}
spec:
  host: {service}
  subsets:
    - {{ name: v1, labels: {{ version: v1 }} }}
    - {{ name: v2, labels: {{ version: v2 }} }}
"
    )
}

/// A mesh with `echo-v1` and a client that reaches it.
///
/// # Errors
/// When something does not come up.
pub fn one_echo() -> anyhow::Result<(Mesh, Workload, Workload)> {
    let mesh = Mesh::start(ECHO)?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    Ok((mesh, echo, client))
}

/// A mesh with `echo-v1`, `echo-v2` and a client that reaches both by the given resources.
///
/// # Errors
/// When something does not come up.
pub fn two_echoes(resources: &str) -> anyhow::Result<(Mesh, [Workload; 2], Workload)> {
    let mesh = Mesh::start(resources)?;
    let token = mesh.token(&["echo", "client"], 3)?;
    let servers = [mesh.echo("echo", "v1", &token)?, mesh.echo("echo", "v2", &token)?];
    let client = mesh.client("client", &token)?;
    both_answer(&client);
    Ok((mesh, servers, client))
}

/// Waits until the client has reached both versions of `echo`.
pub fn both_answer(client: &Workload) {
    for version in ["echo-v1", "echo-v2"] {
        eventually(&format!("{version} answers"), LIMIT, || {
            (client.get("echo:8080", "/").ok()?.header("x-app")? == version).then_some(())
        });
    }
}

impl Mesh {
    /// `calc-VERSION` of the service `calc`, a gRPC server that knows nothing of the mesh, behind a sidecar.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn calc(&self, python: &Path, version: &str, token: &str) -> anyhow::Result<Workload> {
        let name = format!("calc-{version}");
        let options =
            WorkloadOptions { version, port: Some("9000:grpc"), ..WorkloadOptions::new("calc", &name, token) };
        let program: [OsString; 3] = [python.into(), script("grpc_server.py").into(), name.as_str().into()];
        let workload = self.run_command(&options, &program)?;
        // Its sidecar is ready before Python is.
        let ip = workload.ready.address("admin").split(':').next().unwrap_or_default().to_owned();
        eventually(&format!("{name} listens"), LIMIT, || TcpStream::connect(format!("{ip}:9000")).ok());
        Ok(workload)
    }
}
