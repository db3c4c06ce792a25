//! What most tests begin with: the service `echo`, its workloads, and a client that reaches them.

use crate::tools::{LIMIT, eventually};
use crate::{Mesh, Workload};

/// The service of the workloads that [`Mesh::echo`] starts.
pub const ECHO: &str = "apiVersion: v1
kind: Service
metadata: { name: echo }
spec:
  selector: { app: echo }
  ports: [{ name: http, port: 8080 }]
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
