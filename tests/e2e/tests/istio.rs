//! Istio's objects and what traffic makes of them.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use leno_e2e::{LIMIT, Mesh, Pem, Session, WorkloadOptions, eventually, need_program, over_tls};

/// A server that knows nothing of the mesh. Every answer says what was asked for, of which host.
fn stranger(name: &'static str) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(name, stream));
        }
    });
    Ok(port)
}

fn answer(name: &str, mut stream: TcpStream) {
    let Ok(reader) = stream.try_clone() else { return };
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let host = head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
        let body = format!("{name} {first} {}", host.unwrap_or_default());
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// `openssl s_server`, ended with the test.
struct TlsServer {
    child: Child,
    port: u16,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // It is ours; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server whose certificate, `cert.pem` in the directory, is for `name` alone. It wants one of its clients, `client.pem`.
fn tls_server(directory: &Path, name: &str) -> anyhow::Result<TlsServer> {
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    for (file, host) in [("cert", name), ("client", "client.example")] {
        let (key, cert) = (format!("{file}.key"), format!("{file}.pem"));
        let (subject, alternative) = (format!("/CN={host}"), format!("subjectAltName=DNS:{host}"));
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let names = ["-keyout", &key, "-out", &cert, "-subj", &subject, "-addext", &alternative];
        let made = openssl(&[&new[..], &names[..]].concat()).status()?;
        anyhow::ensure!(made.success(), "openssl makes no certificate");
    }
    // It cannot be asked for a free port and then say which: the port was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let (accept, keys) = (format!("127.0.0.1:{port}"), ["-cert", "cert.pem", "-key", "cert.key"]);
    let serve =
        ["s_server", "-www", "-accept", &accept, "-CAfile", "client.pem", "-Verify", "1", "-verify_return_error"];
    let child = openssl(&[&serve[..], &keys[..]].concat()).spawn()?;
    let server = TlsServer { child, port };
    eventually("openssl listens", LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
    Ok(server)
}

#[test]
fn foreign_hosts_are_reached_by_name_and_by_address() -> anyhow::Result<()> {
    let (fixed, looked_up) = (stranger("fixed")?, stranger("looked-up")?);
    let entries = format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: fixed }}
spec:
  hosts: [api.fixed.example]
  ports: [{{ number: 80, name: http, protocol: HTTP, targetPort: {fixed} }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1 }}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: looked-up }}
spec:
  hosts: [looked-up.example]
  addresses: [192.0.2.77]
  ports:
    - {{ number: 80, name: http, protocol: HTTP, targetPort: {looked_up} }}
    - {{ number: 9000, name: tcp, protocol: TCP, targetPort: {looked_up} }}
  resolution: DNS
  endpoints: [{{ address: localhost }}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: moved }}
spec:
  hosts: [api.fixed.example]
  http:
    - match: [{{ uri: {{ prefix: /moved }} }}]
      route: [{{ destination: {{ host: looked-up.example, port: {{ number: 80 }} }} }}]
    - route: [{{ destination: {{ host: api.fixed.example }} }}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: private, namespace: other }}
spec:
  hosts: [private.example]
  exportTo: [.]
  ports: [{{ number: 80, name: http, protocol: HTTP, targetPort: {fixed} }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1 }}]
"
    );
    let mesh = Mesh::start(&entries)?;
    let client = mesh.client("client", &mesh.token(&["client"], 1)?)?;

    assert_eq!(client.wait_for("api.fixed.example").text(), "fixed GET / HTTP/1.1 api.fixed.example");
    assert_eq!(client.wait_for("looked-up.example").text(), "looked-up GET / HTTP/1.1 looked-up.example");
    assert_eq!(client.get("192.0.2.77", "/ip")?.text(), "looked-up GET /ip HTTP/1.1 192.0.2.77");
    assert_eq!(client.get("api.fixed.example", "/moved")?.text(), "looked-up GET /moved HTTP/1.1 api.fixed.example");
    assert_eq!(client.get("private.example", "/")?.status, 502);

    let address = &client.ready.upstreams["looked-up.example"];
    let mut direct = Session::connect(address)?;
    let answer = direct.request("GET", "/direct", &[("host", "looked-up.example")], b"")?;
    assert_eq!(answer.text(), "looked-up GET /direct HTTP/1.1 looked-up.example");
    let mut tunnel = Session::connect(client.ready.address("http_proxy"))?;
    tunnel.send(b"CONNECT looked-up.example:9000 HTTP/1.1\r\nhost: looked-up.example:9000\r\n\r\n")?;
    assert_eq!(tunnel.receive(true)?.status, 200);
    assert!(tunnel.request("GET", "/tunnel", &[("host", "a")], b"")?.text().starts_with("looked-up GET /tunnel"));

    let labels = [("destination_service", "api.fixed.example"), ("connection_security_policy", "none")];
    eventually("the sidecar counts what went out as it is", LIMIT, || {
        (client.metric("istio_requests_total", &labels) >= 1.0).then_some(())
    });
    Ok(())
}

#[test]
fn a_destination_rule_begins_tls_for_the_application() -> anyhow::Result<()> {
    if !need_program("openssl") {
        return Ok(());
    }
    let mesh = Mesh::start("")?;
    let server = tls_server(mesh.path(), "secure.example")?;
    let objects = |tls: &str| {
        let files = mesh.path().display();
        format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: secure }}
spec:
  hosts: [secure.example]
  ports: [{{ number: 80, name: http, protocol: HTTP, targetPort: {} }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1 }}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{ name: secure }}
spec:
  host: secure.example
  trafficPolicy:
    tls: {{ caCertificates: {files}/cert.pem, {tls} }}
",
            server.port
        )
    };
    let files = mesh.path().display();
    let mutual = format!("mode: MUTUAL, clientCertificate: {files}/client.pem, privateKey: {files}/client.key");
    mesh.write_resources("mesh.yaml", &objects(&mutual))?;
    let client = mesh.client("client", &mesh.token(&["client"], 1)?)?;
    assert!(client.wait_for("secure.example").text().contains("TLSv1.3"));

    let refused = |tls: &str| -> anyhow::Result<()> {
        mesh.write_resources("mesh.yaml", &objects(tls))?;
        eventually(&format!("{{ {tls} }} is refused"), LIMIT, || {
            (client.get("secure.example", "/").ok()?.status == 503).then_some(())
        });
        mesh.write_resources("mesh.yaml", &objects(&mutual))?;
        client.wait_for("secure.example");
        Ok(())
    };
    refused("mode: SIMPLE")?;
    refused(&format!("{mutual}, subjectAltNames: [other.example]"))
}

#[test]
fn routes_are_delegated_and_chosen_by_who_calls() -> anyhow::Result<()> {
    let port = stranger("entry")?;
    let mesh = Mesh::start(&format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: api }}
spec:
  hosts: [api.example]
  ports: [{{ number: 80, name: http, protocol: HTTP, targetPort: {port} }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1 }}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: root }}
spec:
  hosts: [api.example]
  http:
    - match: [{{ sourceLabels: {{ app: tester }}, uri: {{ prefix: /trial }} }}]
      directResponse: {{ status: 299 }}
    - match: [{{ uri: {{ prefix: /team }} }}]
      delegate: {{ name: team }}
    - route: [{{ destination: {{ host: api.example }} }}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: team }}
spec:
  http:
    - match: [{{ uri: {{ prefix: /team/a }} }}]
      rewrite: {{ uri: /alpha }}
      route: [{{ destination: {{ host: api.example }} }}]
    - directResponse: {{ status: 410 }}
"
    ))?;
    let token = mesh.token(&["client", "tester"], 2)?;
    let (client, tester) = (mesh.client("client", &token)?, mesh.client("tester", &token)?);
    client.wait_for("api.example");
    tester.wait_for("api.example");
    assert_eq!(tester.get("api.example", "/trial")?.status, 299);
    assert_eq!(client.get("api.example", "/trial")?.text(), "entry GET /trial HTTP/1.1 api.example");
    for one in [&client, &tester] {
        assert_eq!(one.get("api.example", "/team/a/b")?.text(), "entry GET /alpha/b HTTP/1.1 api.example");
        assert_eq!(one.get("api.example", "/team/c")?.status, 410);
    }
    Ok(())
}

#[test]
fn tls_is_passed_through_by_server_name() -> anyhow::Result<()> {
    if !need_program("openssl") {
        return Ok(());
    }
    let mesh = Mesh::start("")?;
    let server = tls_server(mesh.path(), "secure.example")?;
    let objects = format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: front }}
spec:
  hosts: [front.example]
  ports: [{{ number: 443, name: tls, protocol: TLS }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1, ports: {{ tls: 1 }} }}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: back }}
spec:
  hosts: [back.example]
  ports: [{{ number: 443, name: tls, protocol: TLS, targetPort: {} }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1 }}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: front }}
spec:
  hosts: [front.example]
  tls:
    - match: [{{ port: 443, sniHosts: [secure.example] }}]
      route: [{{ destination: {{ host: back.example }} }}]
",
        server.port
    );
    mesh.write_resources("mesh.yaml", &objects)?;
    let client = mesh.client("client", &mesh.token(&["client"], 1)?)?;
    let address = eventually("the sidecar listens for the host", LIMIT, || client.ready.upstreams.get("front.example"));
    let shakes_hands = |name: &str| -> anyhow::Result<bool> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", address, "-servername", name, "-CAfile", "cert.pem"]);
        command.args(["-cert", "client.pem", "-key", "client.key", "-verify_return_error", "-brief"]);
        Ok(command.current_dir(mesh.path()).stdin(Stdio::null()).output()?.status.success())
    };
    assert!(shakes_hands("secure.example")?);
    assert!(!shakes_hands("unknown.example")?);
    Ok(())
}

#[test]
fn the_nearest_endpoints_take_the_requests() -> anyhow::Result<()> {
    let (europe, america) = (stranger("europe")?, stranger("america")?);
    let mesh = Mesh::start(&format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: api }}
spec:
  hosts: [api.example]
  ports: [{{ number: 80, name: http, protocol: HTTP }}]
  resolution: STATIC
  endpoints:
    - {{ address: 127.0.0.1, ports: {{ http: {europe} }}, locality: eu/a }}
    - {{ address: 127.0.0.1, ports: {{ http: {america} }}, locality: us/a }}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{ name: api }}
spec: {{ host: api.example, trafficPolicy: {{ outlierDetection: {{}} }} }}
"
    ))?;
    let token = mesh.token(&["client"], 2)?;
    for (name, locality, nearest) in [("client-eu", "eu/b", "europe"), ("client-us", "us/a", "america")] {
        let arguments = ["--locality", locality];
        let options =
            WorkloadOptions { app: &["wait"], arguments: &arguments, ..WorkloadOptions::new("client", name, &token) };
        let client = mesh.run(&options)?;
        client.wait_for("api.example");
        for _ in 0..20 {
            assert!(client.get("api.example", "/")?.text().starts_with(nearest), "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_sidecar_decides_what_is_there_at_all() -> anyhow::Result<()> {
    let port = stranger("api")?;
    let entry = format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: api, namespace: other }}
spec:
  hosts: [api.example]
  ports: [{{ number: 80, name: http, protocol: HTTP, targetPort: {port} }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1 }}]
"
    );
    let mesh = Mesh::start(&entry)?;
    let client = mesh.client("client", &mesh.token(&["client"], 1)?)?;
    client.wait_for("api.example");
    let sidecar = |hosts: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{ name: default }}
spec: {{ egress: [{{ hosts: [{hosts}] }}] }}
"
        )
    };
    mesh.write_resources("sidecar.yaml", &sidecar("./*"))?;
    eventually("the host is gone", LIMIT, || (client.get("api.example", "/").ok()?.status == 502).then_some(()));
    let forgets = || (!client.admin("/config_dump").contains("api.example")).then_some(());
    eventually("the sidecar has nothing of it", LIMIT, forgets);
    mesh.write_resources("sidecar.yaml", &sidecar("./*, other/api.example"))?;
    client.wait_for("api.example");
    Ok(())
}

#[test]
fn what_the_mesh_says_holds_for_all() -> anyhow::Result<()> {
    let port = stranger("api")?;
    let mesh = Mesh::start(&format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{ name: istio, namespace: istio-system }}
data: {{ mesh: 'pathNormalization: {{ normalization: MERGE_SLASHES }}' }}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: api }}
spec:
  hosts: [api.example]
  ports: [{{ number: 80, name: http, protocol: HTTP, targetPort: {port} }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1 }}]
"
    ))?;
    let client = mesh.client("client", &mesh.token(&["client"], 1)?)?;
    client.wait_for("api.example");
    assert_eq!(client.get("api.example", "/a//b/../c")?.text(), "api GET /a/c HTTP/1.1 api.example");
    Ok(())
}

#[test]
fn strangers_are_reached_where_somebody_wants_it() -> anyhow::Result<()> {
    let port = stranger("outside")?;
    let mesh = Mesh::start("")?;
    let token = mesh.token(&["client"], 1)?;
    let client = mesh.client("client", &token)?;
    let authorities = [format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    let all = |status: u16| {
        eventually(&format!("strangers answer {status}"), LIMIT, || {
            let answers = authorities.iter().map(|authority| client.get(authority, "/there").ok());
            let answers: Vec<_> = answers.collect::<Option<_>>()?;
            answers.iter().all(|answer| answer.status == status).then_some(answers)
        })
    };
    all(502);

    // Patterns, and hosts that are looked up when they are asked for.
    mesh.write_resources(
        "patterns.yaml",
        &format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: pattern }}
spec: {{ hosts: ['*.0.0.1'], ports: [{{ number: {port}, name: http, protocol: HTTP }}], resolution: NONE }}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: asked }}
spec: {{ hosts: [localhost], ports: [{{ number: {port}, name: http, protocol: HTTP }}], resolution: DYNAMIC_DNS }}
"
        ),
    )?;
    for (answer, authority) in all(200).iter().zip(&authorities) {
        assert_eq!(answer.text(), format!("outside GET /there HTTP/1.1 {authority}"));
    }
    std::fs::remove_file(mesh.path().join("resources/patterns.yaml"))?;
    all(502);

    mesh.write_resources(
        "mesh-config.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    outboundTrafficPolicy: { mode: ALLOW_ANY }
",
    )?;
    all(200);
    let mut session = Session::connect(client.ready.address("http_proxy"))?;
    session.send(format!("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n\r\n", authorities[0]).as_bytes())?;
    assert_eq!(session.receive(true)?.status, 200);
    session.send(b"GET /within HTTP/1.1\r\nhost: within.example\r\n\r\n")?;
    assert_eq!(session.receive(false)?.text(), "outside GET /within HTTP/1.1 within.example");

    // A Sidecar has the last word.
    mesh.write_resources(
        "sidecar.yaml",
        "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: strict }
spec: { outboundTrafficPolicy: { mode: REGISTRY_ONLY } }
",
    )?;
    all(502);
    Ok(())
}

#[test]
fn a_gateway_passes_tls_on_by_server_name() -> anyhow::Result<()> {
    if !need_program("openssl") {
        return Ok(());
    }
    let mesh = Mesh::start("")?;
    let server = tls_server(mesh.path(), "db.shop.example")?;
    mesh.write_resources(
        "passed-on.yaml",
        &format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: db }}
spec:
  hosts: [db.shop.example]
  ports: [{{ number: 8443, name: tls, protocol: TLS, targetPort: {} }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1 }}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{ name: passed-on }}
spec:
  selector: {{ istio: ingressgateway }}
  servers:
  - port: {{ number: 8443, name: tls, protocol: TLS }}
    hosts: ['*.shop.example']
    tls: {{ mode: PASSTHROUGH }}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: db }}
spec:
  hosts: [db.shop.example]
  gateways: [passed-on]
  tls:
  - match: [{{ port: 8443, sniHosts: [db.shop.example] }}]
    route: [{{ destination: {{ host: db.shop.example, port: {{ number: 8443 }} }} }}]
",
            server.port
        ),
    )?;
    let token = mesh.token(&["ingressgateway"], 1)?;
    let gateway = mesh.gateway("default", "ingressgateway", &token)?;
    let file = |name: &str| mesh.path().join(name);
    // Only the server wants it: had TLS ended at the gateway, nobody would have.
    let client = Pem { certificate: file("client.pem"), key: file("client.key") };
    let address = format!("{}:8443", gateway.address);
    let get = |name: &str, shown: Option<&Pem>| over_tls(&address, name, shown, ("GET", "/"), &[]);
    eventually("the server answers", LIMIT, || {
        get("db.shop.example", Some(&client)).ok().filter(|answer| answer.status == 200)
    });
    assert!(get("db.shop.example", None).is_err(), "the server wants a certificate");
    assert!(get("other.shop.example", Some(&client)).is_err(), "nobody has this name");
    Ok(())
}
