//! All of h2spec's cases, the strict ones too, against a sidecar's plaintext HTTP/2.

use std::process::Command;

use anyhow::Context;
use leno_e2e::{Session, need, one_echo};

/// What h2spec marks as failed, and why it may.
///
/// The port serves HTTP/1 as well, so bytes that are no preface get the answer of HTTP/1 before the connection closes
/// (RFC 9112 §3): 400, as from stock Envoy. h2spec takes that for a frame that is cut off. A listener of HTTP/2 alone passes
/// (`crates/proxy/tests/net.rs`).
const ACCEPTED: [&str; 1] = ["Sends invalid connection preface"];

#[test]
fn h2spec_passes_but_for_what_is_accepted() -> anyhow::Result<()> {
    let Some(h2spec) = need("LENO_H2SPEC") else { return Ok(()) };
    let (_mesh, _echo, client) = one_echo()?;
    let address = &client.ready.upstreams["echo"];
    let (host, port) = address.rsplit_once(':').context("host:port")?;

    let report = Command::new(h2spec)
        .args(["generic", "http2", "hpack", "--strict", "--timeout", "5", "--host", host, "--port", port])
        .output()
        .context("running h2spec")?;
    let text = String::from_utf8_lossy(&report.stdout);
    // After the last carriage return or tab of a line stands its outcome; failures are told again at the end.
    let cases = text.split("Failures:").next().unwrap_or_default();
    let failed: Vec<_> =
        cases.split('\u{d7}').skip(1).filter_map(|case| case.lines().next()?.split_once(": ")).collect();
    let names: Vec<_> = failed.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, ACCEPTED, "{text}");
    assert!(text.contains("146 tests, 145 passed, 0 skipped, 1 failed"), "{text}");

    let mut session = Session::connect(address)?;
    session.send(b"INVALID CONNECTION PREFACE\r\n\r\n")?;
    assert_eq!(session.receive(false)?.status, 400);
    assert!(session.rest().is_empty(), "the connection must end");
    let response = Session::connect(address)?.request("GET", "/", &[("host", "echo:8080")], b"")?;
    assert_eq!(response.status, 200, "nothing of all that is left behind");
    Ok(())
}
