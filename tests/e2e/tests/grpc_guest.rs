//! A gRPC program without a proxy: grpcio with what `leno bootstrap grpc` writes calls servers behind sidecars.

use std::collections::BTreeSet;

use leno_e2e::{CALC, GrpcClient, LIMIT, Mesh, WorkloadOptions, eventually, need, subsets};

#[test]
fn calls_go_to_both_instances_over_mutual_tls() -> anyhow::Result<()> {
    let Some(python) = need("LENO_PYTHON") else { return Ok(()) };
    let mesh = Mesh::start(CALC)?;
    let token = mesh.token(&["calc", "client"], 10)?;
    let v1 = mesh.calc(&python, "v1", &token)?;
    let v2 = mesh.calc(&python, "v2", &token)?;
    let mut client = mesh.grpc_client(&python, "client", "xds:///calc:9000", &token)?;

    let answer = client.call(&[("x-test", "1")])?;
    assert_eq!(answer["ok"]["said"], "hello", "{answer}");
    assert_eq!(answer["ok"]["metadata"]["x-test"], "1", "{answer}");
    let peers = answer["ok"]["metadata"]["x-forwarded-client-cert"].as_str().unwrap_or_default();
    assert!(peers.contains("URI=spiffe://cluster.local/ns/default/sa/client"), "{answer}");
    let both = BTreeSet::from(["calc-v1".to_owned(), "calc-v2".to_owned()]);
    let mut seen = BTreeSet::new();
    eventually("both instances answer", LIMIT, || {
        seen.insert(app(&mut client, &[]));
        (seen == both).then_some(())
    });
    for server in [&v1, &v2] {
        let labels = [
            ("reporter", "destination"),
            ("source_principal", "spiffe://cluster.local/ns/default/sa/client"),
            ("connection_security_policy", "mutual_tls"),
            ("request_protocol", "grpc"),
        ];
        eventually(&format!("{} counts it as mutual TLS", server.name), LIMIT, || {
            (server.metric("istio_requests_total", &labels) >= 1.0).then_some(())
        });
    }
    let status = mesh.status()?;
    let node = status["proxies"].as_array().and_then(|all| all.iter().find(|node| node["name"] == "client"));
    let node = node.unwrap_or_else(|| panic!("the client is not there: {status:#}"));
    assert_eq!(node["flavor"], "grpc", "{node:#}");
    assert_eq!(node["rejected"].as_array().map(Vec::len), Some(0), "{node:#}");
    for kind in ["listener", "routeconfiguration", "cluster", "clusterloadassignment"] {
        assert!(node["taken"][kind].as_u64().unwrap_or(0) > 0, "no {kind} was acknowledged: {node:#}");
    }
    Ok(())
}

#[test]
fn calls_are_routed_by_metadata_and_follow_changes() -> anyhow::Result<()> {
    let Some(python) = need("LENO_PYTHON") else { return Ok(()) };
    let subsets = subsets("calc");
    let rules = |others: &str| {
        format!(
            "{CALC}{subsets}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: calc }}
spec:
  hosts: [calc]
  http:
    - match: [{{ headers: {{ x-user: {{ exact: jason }} }} }}]
      route: [{{ destination: {{ host: calc, subset: v2 }} }}]
    - match: [{{ uri: {{ prefix: /test.Echo/ }}, headers: {{ x-kind: {{ regex: \"a+b\" }} }}, withoutHeaders: {{ x-not: {{}} }} }}]
      route: [{{ destination: {{ host: calc, subset: v2 }} }}]
    - route: [{{ destination: {{ host: calc, subset: {others} }} }}]
"
        )
    };
    let mesh = Mesh::start(&rules("v1"))?;
    let token = mesh.token(&["calc", "client"], 10)?;
    let _v1 = mesh.calc(&python, "v1", &token)?;
    let _v2 = mesh.calc(&python, "v2", &token)?;
    let mut client = mesh.grpc_client(&python, "client", "xds:///calc.default.svc.cluster.local:9000", &token)?;

    for _ in 0..10 {
        assert_eq!(app(&mut client, &[]), "calc-v1");
        assert_eq!(app(&mut client, &[("x-user", "jason")]), "calc-v2");
        assert_eq!(app(&mut client, &[("x-kind", "aab")]), "calc-v2");
        assert_eq!(app(&mut client, &[("x-kind", "aab"), ("x-not", "1")]), "calc-v1");
    }
    mesh.write_resources("mesh.yaml", &rules("v2"))?;
    eventually("the change arrives", LIMIT, || (app(&mut client, &[]) == "calc-v2").then_some(()));
    for _ in 0..10 {
        assert_eq!(app(&mut client, &[]), "calc-v2");
    }
    Ok(())
}

#[test]
fn an_instance_that_leaves_gets_no_more_calls() -> anyhow::Result<()> {
    let Some(python) = need("LENO_PYTHON") else { return Ok(()) };
    let mesh = Mesh::start(CALC)?;
    let token = mesh.token(&["calc", "client"], 10)?;
    let _v1 = mesh.calc(&python, "v1", &token)?;
    let v2 = mesh.calc(&python, "v2", &token)?;
    let mut client = mesh.grpc_client(&python, "client", "xds:///calc:9000", &token)?;
    eventually("v2 answers", LIMIT, || (app(&mut client, &[]) == "calc-v2").then_some(()));
    drop(v2);
    for _ in 0..50 {
        assert_eq!(app(&mut client, &[]), "calc-v1");
    }
    Ok(())
}

#[test]
fn the_certificate_of_a_client_is_renewed_in_place() -> anyhow::Result<()> {
    let Some(python) = need("LENO_PYTHON") else { return Ok(()) };
    let mesh = Mesh::start_with(CALC, &["--svid-ttl", "4s"])?;
    let token = mesh.token(&["client"], 10)?;
    let _client = mesh.grpc_client(&python, "client", "xds:///calc:9000", &token)?;
    let file = |name: &str| std::fs::read_to_string(mesh.certificates("client").join(name));
    let (certificate, key) = (file("certificate.pem")?, file("key.pem")?);
    eventually("both files are new", LIMIT, || {
        (file("certificate.pem").ok()? != certificate && file("key.pem").ok()? != key).then_some(())
    });
    Ok(())
}

/// A failure of the mesh is one that gRPC programs understand.
#[test]
fn a_server_that_does_not_listen_is_unavailable() -> anyhow::Result<()> {
    let Some(python) = need("LENO_PYTHON") else { return Ok(()) };
    let mesh = Mesh::start(CALC)?;
    let token = mesh.token(&["calc", "client"], 10)?;
    let options =
        WorkloadOptions { port: Some("9000:grpc"), app: &["wait"], ..WorkloadOptions::new("calc", "calc-v1", &token) };
    let _calc = mesh.run(&options)?;
    let mut client = mesh.grpc_client(&python, "client", "xds:///calc:9000", &token)?;
    for _ in 0..10 {
        let answer = client.call(&[])?;
        assert_eq!(answer["error"], "UNAVAILABLE", "{answer}");
        assert!(answer["details"].as_str().is_some_and(|details| !details.is_empty()), "{answer}");
    }
    Ok(())
}

/// Who answers a call.
fn app(client: &mut GrpcClient, metadata: &[(&str, &str)]) -> String {
    let answer = client.call(metadata).expect("the client runs");
    let app = answer["ok"]["app"].as_str();
    app.unwrap_or_else(|| panic!("the call failed: {answer}")).to_owned()
}
