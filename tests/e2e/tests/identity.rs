//! Certificates under traffic, and what the authority keeps on disk.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use leno_e2e::{ECHO, Load, Mesh, Workload, eventually};
use serde_json::Value;

fn serial(workload: &Workload) -> Option<String> {
    let certs: Value = serde_json::from_str(&workload.admin("/certs")).ok()?;
    let leaf = &certs["certificates"][0]["cert_chain"][0];
    let names = leaf["subject_alt_names"].to_string();
    assert!(names.contains("spiffe://cluster.local/ns/default/sa/"), "{certs}");
    Some(leaf["serial_number"].as_str()?.to_owned())
}

#[test]
fn certificates_are_renewed_while_requests_go_on() -> anyhow::Result<()> {
    let mesh = Mesh::start_with(ECHO, &["--svid-ttl", "5s"])?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    let load = Load::to_echo(&client);
    for workload in [&echo, &client] {
        let mut serials = BTreeSet::new();
        eventually(&format!("{} has had four certificates", workload.name), Duration::from_secs(60), || {
            serials.extend(serial(workload));
            (serials.len() >= 4).then_some(())
        });
    }
    load.answered(100);
    load.finish().assert_clean();
    let plain = echo.metric("istio_requests_total", &[("connection_security_policy", "none")]);
    assert!(plain == 0.0, "{plain} requests came without mutual TLS");
    Ok(())
}

#[test]
fn the_root_key_can_be_taken_offline() -> anyhow::Result<()> {
    let mut mesh = Mesh::start(ECHO)?;
    let key = mesh.data().join("ca/root-key.pem");
    for file in ["ca/root-key.pem", "ca/intermediate.pem", "ca/tokens.json", "admin-token", "store.redb"] {
        if file == "ca/tokens.json" {
            mesh.token(&["client"], 1)?;
        }
        let mode = std::fs::metadata(mesh.data().join(file))?.permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} is readable by its owner alone, not {mode:o}");
    }
    let secret = mesh.token(&["client"], 1)?;
    let kept = std::fs::read_to_string(mesh.data().join("ca/tokens.json"))?;
    assert!(secret.split(['.', '-', '_']).filter(|part| part.len() > 20).all(|part| !kept.contains(part)), "{kept}");

    mesh.kill_control();
    std::fs::rename(&key, mesh.path().join("root-key.pem"))?;
    mesh.start_control()?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let _echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    assert_eq!(client.wait_for("echo:8080").status, 200);
    Ok(())
}
