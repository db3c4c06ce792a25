//! gRPC through two sidecars, between programs that know nothing of the mesh: streams, trailers, failures, flow control.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use leno_e2e::{CALC, Mesh, eventually, need, script};
use serde_json::{Value, json};

#[test]
fn all_kinds_of_calls_and_failures_pass_two_sidecars() -> anyhow::Result<()> {
    let Some(python) = need("LENO_PYTHON") else { return Ok(()) };
    let mesh = Mesh::start(CALC)?;
    let token = mesh.token(&["calc", "client"], 2)?;
    let server = mesh.calc(&python, "v1", &token)?;
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
