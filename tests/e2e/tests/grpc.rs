//! gRPC through two sidecars, between programs that know nothing of the mesh: streams, trailers, failures, flow control.

use std::ffi::OsString;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use leno_e2e::{Mesh, WorkloadOptions, eventually, need, script};
use serde_json::{Value, json};

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: { name: calc }
spec:
  selector: { app: calc }
  ports: [{ name: grpc, port: 9000 }]
";

#[test]
fn all_kinds_of_calls_and_failures_pass_two_sidecars() -> anyhow::Result<()> {
    let Some(python) = need("LENO_PYTHON") else { return Ok(()) };
    let mesh = Mesh::start(SERVICE)?;
    let token = mesh.token(&["calc", "client"], 2)?;
    let options = WorkloadOptions {
        service: "calc",
        version: "v1",
        name: "calc-v1",
        port: Some("9000:grpc"),
        arguments: &[],
        app: &[],
        token: &token,
    };
    let program: [OsString; 3] = [python.clone().into(), script("grpc_server.py").into(), "calc-v1".into()];
    let server = mesh.run_command(&options, &program)?;
    // Its sidecar is ready before Python is.
    let ip = server.ready.address("admin").split(':').next().unwrap_or_default().to_owned();
    eventually("the server listens", Duration::from_secs(20), || TcpStream::connect(format!("{ip}:9000")).ok());
    let client = mesh.client("client", &token)?;

    let seen = calls(&python, &client.ready.upstreams["calc"])?;
    let expected = json!({
        "count": [0, 1, 2, 3, 4],
        "sum": 6,
        "chat": ["re: 0", "re: 1", "re: 2", "re: 3", "re: 4"],
        "large": 3_000_000,
        "flood": 5_000_000,
        "fail": ["FAILED_PRECONDITION", "as asked", "here"],
        "fail_late": ["DATA_LOSS", "in the middle", "late"],
        "deadline": ["DEADLINE_EXCEEDED", "Deadline Exceeded", ""],
        "unknown": ["UNIMPLEMENTED", "Method not found!", ""],
        "cancelled": "yes",
    });
    assert_eq!(seen, expected);
    let labels = [("reporter", "destination"), ("grpc_response_status", "9"), ("request_protocol", "grpc")];
    eventually("the server's sidecar counts the failure by its gRPC status", Duration::from_secs(10), || {
        (server.metric("istio_requests_total", &labels) == 1.0).then_some(())
    });
    Ok(())
}

fn calls(python: &Path, address: &str) -> anyhow::Result<Value> {
    let output = Command::new(python).arg(script("grpc_streams.py")).arg(address).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "the client ended with {}: {error}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
