//! `leno demo` as a newcomer runs it.

use std::process::Command;

use anyhow::{Context, ensure};
use leno_e2e::leno;
use serde_json::Value;

fn demo(arguments: &[&str]) -> anyhow::Result<(Option<i32>, Value)> {
    let output = Command::new(leno()).arg("demo").args(arguments).output().context("running leno demo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text)
        .with_context(|| format!("reading {text}; {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code(), report))
}

#[test]
fn the_demo_reports_a_mesh_that_does_its_job() -> anyhow::Result<()> {
    let (code, report) = demo(&["--for", "10s", "--json"])?;
    assert_eq!((code, &report["ok"]), (Some(0), &Value::Bool(true)), "{report:#}");
    assert_eq!(report["mtls_rate"], 1.0);
    assert!(report["success_rate"].as_f64() >= Some(0.99) && report["requests"].as_u64() > Some(500), "{report:#}");
    let edges = report["edges"].as_array().context("edges")?;
    for (from, to) in [("customer", "web"), ("web", "details"), ("web", "reviews"), ("reviews", "ratings")] {
        let edge = edges.iter().find(|edge| edge["from"] == from && edge["to"] == to);
        let edge = edge.with_context(|| format!("no edge {from} -> {to}: {report:#}"))?;
        ensure!(edge["mtls"] == true && edge["p50_ms"].as_f64() > Some(0.0) && edge["version"].is_string(), "{edge}");
    }
    let proxies = report["proxies"].as_array().context("proxies")?;
    ensure!(proxies.len() == 7 && proxies.iter().all(|proxy| proxy["in_sync"] == true), "{report:#}");
    Ok(())
}

#[test]
fn the_demo_runs_on_the_users_own_routing_files() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    // Everything to v1: the broken version is never asked.
    let rules = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec:
  host: reviews
  subsets: [{ name: v1, labels: { version: v1 } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http: [{ route: [{ destination: { host: reviews, subset: v1 } }] }]
";
    std::fs::write(directory.path().join("reviews.yaml"), rules)?;
    let path = directory.path().to_str().context("a path in UTF-8")?;
    let (code, report) = demo(&["--for", "4s", "--json", "--resources", path])?;
    assert_eq!(code, Some(0), "{report:#}");
    let versions: Vec<_> = report["edges"]
        .as_array()
        .context("edges")?
        .iter()
        .filter(|edge| edge["to"] == "reviews")
        .map(|edge| edge["version"].clone())
        .collect();
    assert_eq!(versions, ["v1"]);
    Ok(())
}
