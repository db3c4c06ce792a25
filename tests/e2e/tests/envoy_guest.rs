//! Stock Envoy as a sidecar of the mesh: it joins with what `leno bootstrap envoy` prints, calls and is called.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use leno_e2e::{
    ECHO, EnvoyGuest, EnvoyOptions, LIMIT, Mesh, Session, Workload, WorkloadOptions, app, eventually, need, script,
    subsets,
};
use serde_json::Value;

/// `echo`, and `legacy` behind Envoy.
fn services() -> String {
    format!("{ECHO}---\n{}", ECHO.replace("echo", "legacy"))
}

#[test]
fn envoy_joins_and_takes_all_of_its_configuration() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    let mesh = Mesh::start(&services())?;
    let token = mesh.token(&["echo", "legacy"], 10)?;
    let _echo = mesh.echo("echo", "v1", &token)?;
    let guest = mesh.envoy(&envoy, "legacy", &token)?;

    let status = in_sync(&mesh, "legacy");
    assert_eq!(status["flavor"], "envoy");
    assert_eq!(status["identity"], "spiffe://cluster.local/ns/default/sa/legacy");
    for kind in ["listener", "routeconfiguration", "cluster", "clusterloadassignment", "secret"] {
        let taken = status["taken"][kind].as_u64().unwrap_or(0);
        assert!(taken > 0, "no {kind} was acknowledged: {status:#}");
    }
    // Envoy's own account of the same.
    for rejected in ["listener_manager.lds.update_rejected", "cluster_manager.cds.update_rejected"] {
        assert_eq!(guest.stat(rejected), 0, "{rejected}");
    }
    let certificates: Value = serde_json::from_str(&guest.admin("/certs"))?;
    assert!(certificates.to_string().contains("spiffe://cluster.local/ns/default/sa/legacy"), "{certificates:#}");
    assert!(!guest.admin("/config_dump").contains("error_state"), "Envoy refused a resource");
    Ok(())
}

#[test]
fn envoy_calls_a_workload_over_mutual_tls() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    let mesh = Mesh::start(&services())?;
    let token = mesh.token(&["echo", "legacy", "client"], 10)?;
    let echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    let guest = mesh.envoy(&envoy, "legacy", &token)?;
    answers(&guest, "echo:8080", &[]);

    // Through the forward proxy, and through the outbound listener of the service.
    let response = guest.request("GET", "echo:8080", "/a?b=c", &[("x-test", "1")])?;
    let seen = response.json()?;
    assert_eq!((response.status, seen["path"].as_str()), (200, Some("/a?b=c")));
    assert_eq!(seen["headers"]["x-test"], "1");
    let address = guest.upstream("echo", &client);
    let response = Session::connect(&address)?.request("GET", "/direct", &[("host", "echo:8080")], b"")?;
    assert_eq!((response.status, response.json()?["path"].as_str()), (200, Some("/direct")));

    let of_guest = [
        ("reporter", "destination"),
        ("source_principal", "spiffe://cluster.local/ns/default/sa/legacy"),
        ("connection_security_policy", "mutual_tls"),
        ("response_code", "200"),
    ];
    eventually("the server's sidecar counts Envoy's requests as mutual TLS", LIMIT, || {
        (echo.metric("istio_requests_total", &of_guest) >= 3.0).then_some(())
    });
    Ok(())
}

#[test]
fn a_workload_calls_an_application_behind_envoy_over_mutual_tls() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    // With the protocol given, and with the protocol found out per connection.
    let app: [OsString; 4] = [app().into(), "echo".into(), "--name".into(), "legacy".into()];
    for port in ["8080:http", "8080"] {
        let mesh = Mesh::start(&services())?;
        let token = mesh.token(&["legacy", "client"], 10)?;
        let options = EnvoyOptions { envoy: &envoy, service: "legacy", port, app: &app, token: &token, stay: false };
        let _guest = mesh.envoy_with(&options)?;
        let client = mesh.client("client", &token)?;
        client.wait_for("legacy:8080");

        let seen = client.request("POST", "legacy:8080", "/x", &[], b"hello")?.json()?;
        assert_eq!((seen["app"].as_str(), seen["body"].as_str()), (Some("legacy"), Some("hello")));
        let peers = seen["headers"]["x-forwarded-client-cert"].as_str().unwrap_or_default();
        assert!(peers.contains("URI=spiffe://cluster.local/ns/default/sa/client"), "{seen}");
        let labels = [
            ("reporter", "source"),
            ("destination_principal", "spiffe://cluster.local/ns/default/sa/legacy"),
            ("connection_security_policy", "mutual_tls"),
        ];
        eventually("the client's sidecar counts it as mutual TLS", LIMIT, || {
            (client.metric("istio_requests_total", &labels) >= 2.0).then_some(())
        });
    }
    Ok(())
}

/// Who says jason is sent to v2, everybody else to `others`.
fn rules(others: &str) -> String {
    let (services, subsets) = (services(), subsets("echo"));
    format!(
        "{services}{subsets}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: echo }}
spec:
  hosts: [echo]
  http:
    - match: [{{ headers: {{ x-user: {{ exact: jason }} }} }}]
      route: [{{ destination: {{ host: echo, subset: v2 }} }}]
    - match: [{{ uri: {{ prefix: /old }} }}]
      rewrite: {{ uri: /new }}
      route: [{{ destination: {{ host: echo, subset: v2 }} }}]
    - match: [{{ uri: {{ exact: /away }} }}]
      redirect: {{ uri: /here }}
    - route: [{{ destination: {{ host: echo, subset: {others} }} }}]
"
    )
}

#[test]
fn envoy_routes_as_leno_does_and_follows_changes() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    let mesh = Mesh::start(&rules("v1"))?;
    let token = mesh.token(&["echo", "legacy", "client"], 10)?;
    let _v1 = mesh.echo("echo", "v1", &token)?;
    let _v2 = mesh.echo("echo", "v2", &token)?;
    let client = mesh.client("client", &token)?;
    let guest = mesh.envoy(&envoy, "legacy", &token)?;
    let jason = &[("x-user", "jason")];
    for headers in [&[] as &[_], jason] {
        answers(&guest, "echo:8080", headers);
        eventually("Leno has the endpoints", LIMIT, || {
            of_leno(&client, "/", headers).filter(|seen| seen.status == 200)
        });
    }

    type Case = (&'static str, &'static [(&'static str, &'static str)], u16, &'static str, &'static str);
    let cases: [Case; 7] = [
        ("/", &[], 200, "echo-v1", "/"),
        ("/", jason, 200, "echo-v2", "/"),
        ("/", &[("x-user", "jasonx")], 200, "echo-v1", "/"),
        ("/old/part?q=1", &[], 200, "echo-v2", "/new/part?q=1"),
        ("/old/part", jason, 200, "echo-v2", "/old/part"),
        ("/away", &[], 301, "", ""),
        ("/status/404", &[], 404, "echo-v1", "/status/404"),
    ];
    for (path, headers, status, app, arrived) in cases {
        let leno = of_leno(&client, path, headers);
        let wanted = Some(Seen { status, app: app.to_owned(), path: arrived.to_owned() });
        assert_eq!(leno, wanted, "Leno, {path} {headers:?}");
        assert_eq!(of_envoy(&guest, path, headers), leno, "Envoy, {path} {headers:?}");
    }

    mesh.write_resources("mesh.yaml", &rules("v2"))?;
    eventually("the change is in force in Envoy", LIMIT, || {
        of_envoy(&guest, "/", &[]).filter(|seen| seen.app == "echo-v2")
    });
    let status = in_sync(&mesh, "legacy");
    assert_eq!(status["rejected"].as_array().map(Vec::len), Some(0), "{status:#}");
    for _ in 0..10 {
        assert_eq!(of_envoy(&guest, "/", &[]).map(|seen| seen.app).as_deref(), Some("echo-v2"));
    }
    Ok(())
}

#[test]
fn envoy_carries_tcp_both_ways() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    // With the protocol given, and with one that has to be found out although the server speaks first.
    for port in ["2525:tcp", "2525"] {
        let mesh = Mesh::start("")?;
        let token = mesh.token(&["mail", "post", "client"], 10)?;
        let options =
            WorkloadOptions { port: Some(port), app: &["banner"], ..WorkloadOptions::new("mail", "mail-v1", &token) };
        let _mail = mesh.run(&options)?;
        let app: [OsString; 2] = [app().into(), "banner".into()];
        let options = EnvoyOptions { envoy: &envoy, service: "post", port, app: &app, token: &token, stay: false };
        let guest = mesh.envoy_with(&options)?;
        let client = mesh.client("client", &token)?;
        for (from, address) in
            [("Envoy", guest.upstream("mail", &client)), ("Leno", client.ready.upstreams["post"].clone())]
        {
            let (answer, after) = eventually(&format!("the banner through {from}, {port}"), LIMIT, || talk(&address));
            assert_eq!(answer, b"ehlo ehlo\r\n", "{from}, {port}");
            assert!(after < Duration::from_secs(1), "{from}, {port}: the banner took {after:?}");
        }
    }
    Ok(())
}

/// Waits for the banner, says something; the answer, and how long the banner took.
fn talk(address: &str) -> Option<(Vec<u8>, Duration)> {
    let mut session = Session::connect(address).ok()?;
    let begun = std::time::Instant::now();
    session.receive_some().ok().filter(|bytes| bytes == b"220 hello\r\n")?;
    let after = begun.elapsed();
    session.send(b"ehlo\r\n").ok()?;
    Some((session.receive_some().ok()?, after))
}

#[test]
fn envoy_carries_grpc_both_ways() -> anyhow::Result<()> {
    let (Some(envoy), Some(python)) = (need("LENO_ENVOY"), need("LENO_PYTHON")) else { return Ok(()) };
    let mesh = Mesh::start("")?;
    let token = mesh.token(&["calc", "sums", "client"], 10)?;
    let server =
        |name: &str| -> [OsString; 3] { [python.clone().into(), script("grpc_server.py").into(), name.into()] };
    let options = WorkloadOptions { port: Some("9000:grpc"), ..WorkloadOptions::new("calc", "calc-v1", &token) };
    let _calc = mesh.run_command(&options, &server("calc"))?;
    let app = server("sums");
    let options =
        EnvoyOptions { envoy: &envoy, service: "sums", port: "9000:grpc", app: &app, token: &token, stay: false };
    let guest = mesh.envoy_with(&options)?;
    let client = mesh.client("client", &token)?;
    let cases =
        [("calc", "sums", guest.upstream("calc", &client)), ("sums", "client", client.ready.upstreams["sums"].clone())];
    for (service, caller, address) in cases {
        let mut program = mesh.plain_grpc_client(&python, &format!("{service}.client"), &address)?;
        let answer = eventually(&format!("{service} answers"), LIMIT, || {
            let answer = program.call(&[("x-test", "1")]).expect("the client runs");
            answer["ok"].is_object().then(|| answer["ok"].clone())
        });
        assert_eq!((answer["app"].as_str(), answer["metadata"]["x-test"].as_str()), (Some(service), Some("1")));
        let peers = answer["metadata"]["x-forwarded-client-cert"].as_str().unwrap_or_default();
        assert!(peers.contains(&format!("URI=spiffe://cluster.local/ns/default/sa/{caller}")), "{answer:#}");
    }
    Ok(())
}

/// The certificate of the first connection is long expired when Envoy needs the next one.
#[test]
fn envoy_comes_back_with_a_renewed_certificate() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    let mut mesh = Mesh::start_with(&services(), &["--svid-ttl", "4s"])?;
    let token = mesh.token(&["echo", "legacy"], 10)?;
    let app: [OsString; 4] = [app().into(), "echo".into(), "--name".into(), "legacy".into()];
    let options =
        EnvoyOptions { envoy: &envoy, service: "legacy", port: "8080:http", app: &app, token: &token, stay: true };
    let guest = mesh.envoy_with(&options)?;
    let _v1 = mesh.echo("echo", "v1", &token)?;
    answers(&guest, "echo:8080", &[]);
    let file = mesh.certificates("legacy").join("identity.yaml");
    let mut seen = BTreeSet::new();
    // Renewed at half life: when the fourth is there the first has expired.
    eventually("the certificate is renewed", LIMIT, || {
        seen.insert(std::fs::read_to_string(&file).ok()?);
        (seen.len() > 3).then_some(())
    });
    mesh.kill_control();
    mesh.start_control()?;
    let _v2 = mesh.echo("echo", "v2", &token)?;
    eventually("Envoy hears of the new instance", LIMIT, || {
        of_envoy(&guest, "/", &[]).filter(|seen| seen.app == "echo-v2")
    });
    Ok(())
}

#[test]
fn envoy_survives_a_restart_of_the_control_plane_and_leaves_when_it_ends() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    let mut mesh = Mesh::start(&services())?;
    let token = mesh.token(&["echo", "legacy", "client"], 10)?;
    let _v1 = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    let guest = mesh.envoy(&envoy, "legacy", &token)?;
    answers(&guest, "echo:8080", &[]);
    client.wait_for("legacy:8080");

    mesh.kill_control();
    assert_eq!(guest.request("GET", "echo:8080", "/", &[])?.status, 200, "traffic needs no control plane");
    mesh.start_control()?;
    let _v2 = mesh.echo("echo", "v2", &token)?;
    eventually("Envoy hears of the new instance", LIMIT, || {
        of_envoy(&guest, "/", &[]).filter(|seen| seen.app == "echo-v2")
    });
    in_sync(&mesh, "legacy");
    assert_eq!(client.get("legacy:8080", "/")?.status, 200);

    drop(guest);
    eventually("its endpoint goes with it", LIMIT, || {
        client.get("legacy:8080", "/").ok().filter(|response| response.header("x-app").is_none())?;
        let status = mesh.status().ok()?;
        node(&status, "legacy").is_none().then_some(())
    });
    Ok(())
}

/// What can be compared between two proxies: status, who answered, and the path that arrived.
#[derive(Debug, Eq, PartialEq)]
struct Seen {
    status: u16,
    app: String,
    path: String,
}

fn of_envoy(guest: &EnvoyGuest, path: &str, headers: &[(&str, &str)]) -> Option<Seen> {
    seen(&guest.request("GET", "echo:8080", path, headers).ok()?)
}

fn of_leno(client: &Workload, path: &str, headers: &[(&str, &str)]) -> Option<Seen> {
    seen(&client.request("GET", "echo:8080", path, headers, b"").ok()?)
}

fn seen(response: &leno_e2e::Response) -> Option<Seen> {
    let app = response.header("x-app").unwrap_or_default().to_owned();
    let body = response.json().unwrap_or_default();
    Some(Seen { status: response.status, app, path: body["path"].as_str().unwrap_or_default().to_owned() })
}

/// Asks until the guest gets a 200: the endpoints have arrived.
fn answers(guest: &EnvoyGuest, authority: &str, headers: &[(&str, &str)]) {
    eventually(&format!("{authority} answers Envoy"), LIMIT, || {
        guest.request("GET", authority, "/", headers).ok().filter(|response| response.status == 200)
    });
}

/// The status of a service's only node, once everything sent to it was acknowledged.
fn in_sync(mesh: &Mesh, service: &str) -> Value {
    eventually(&format!("{service} is in sync"), LIMIT, || {
        let status = mesh.status().ok()?;
        let node = node(&status, service)?;
        assert!(node["rejected"].as_array().is_some_and(Vec::is_empty), "{node:#}");
        (node["inSync"] == true && node["taken"]["secret"] == 2).then(|| node.clone())
    })
}

fn node<'a>(status: &'a Value, service: &str) -> Option<&'a Value> {
    let prefix = format!("{service}-");
    status["proxies"]
        .as_array()?
        .iter()
        .find(|node| node["name"].as_str().is_some_and(|name| name.starts_with(&prefix)))
}
