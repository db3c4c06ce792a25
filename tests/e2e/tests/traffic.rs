//! Requests through two real sidecars: routing, protocols, and what the application sees.

use std::time::Duration;

use leno_e2e::{ECHO, LIMIT, Mesh, Session, WorkloadOptions, eventually, one_echo, subsets};

#[test]
fn a_request_goes_over_mutual_tls_and_comes_back() -> anyhow::Result<()> {
    let (_mesh, echo, client) = one_echo()?;

    let response = client.request("POST", "echo:8080", "/a?b=c", &[("x-test", "1")], b"hello")?;
    let seen = response.json()?;
    assert_eq!((seen["method"].as_str(), seen["path"].as_str()), (Some("POST"), Some("/a?b=c")));
    assert_eq!((seen["body"].as_str(), seen["headers"]["x-test"].as_str()), (Some("hello"), Some("1")));
    assert!(seen["headers"]["x-request-id"].is_string(), "{seen}");

    let labels =
        [("reporter", "source"), ("destination_service_name", "echo"), ("connection_security_policy", "mutual_tls")];
    eventually("the client's sidecar counts it", Duration::from_secs(5), || {
        (client.metric("istio_requests_total", &labels) >= 2.0).then_some(())
    });
    let labels = [("reporter", "destination"), ("source_principal", "spiffe://cluster.local/ns/default/sa/client")];
    eventually("the server's sidecar knows who called", Duration::from_secs(5), || {
        (echo.metric("istio_requests_total", &labels) >= 2.0).then_some(())
    });
    Ok(())
}

#[test]
fn services_are_reachable_by_loopback_address_and_by_name() -> anyhow::Result<()> {
    let (_mesh, _echo, client) = one_echo()?;
    let address = client.ready.upstreams.get("echo").expect("the sidecar offers echo").clone();
    let mut session = Session::connect(&address)?;
    for path in ["/one", "/two"] {
        let response = session.request("GET", path, &[("host", "echo:8080")], b"")?;
        assert_eq!(response.json()?["path"], path);
    }
    let ip = address.rsplit_once(':').expect("host:port").0;
    for name in ["echo", "echo.default", "echo.default.svc.cluster.local"] {
        assert_eq!(resolve(client.ready.address("dns"), name)?, ip, "{name}");
    }
    Ok(())
}

/// Asks a DNS server for the first A record of a name (RFC 1035 §4.1).
fn resolve(server: &str, name: &str) -> anyhow::Result<String> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    socket.send_to(&query, server)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    anyhow::ensure!(length > 16 && answer[7] > 0, "no answer for {name}: {:?}", &answer[..length]);
    Ok(answer[length - 4..length].iter().map(u8::to_string).collect::<Vec<_>>().join("."))
}

#[test]
fn http1_corner_cases_survive_two_sidecars() -> anyhow::Result<()> {
    let (_mesh, _echo, client) = one_echo()?;
    let address = client.ready.upstreams["echo"].clone();

    let mut session = Session::connect(&address)?;
    let host = ("host", "echo:8080");
    let head = session.request("HEAD", "/", &[host], b"")?;
    assert!(head.status == 200 && head.body.is_empty());
    assert_eq!(session.request("GET", "/status/204", &[host], b"")?.status, 204);
    assert_eq!(session.request("GET", "/status/404", &[host], b"")?.status, 404);

    session.send(
        b"POST / HTTP/1.1\r\nhost: echo:8080\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
    )?;
    assert_eq!(session.receive(false)?.json()?["body"], "abcdefg");
    session.send(b"POST / HTTP/1.1\r\nhost: echo:8080\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi")?;
    assert_eq!(session.receive(false)?.json()?["body"], "hi");
    let large = vec![b'x'; 1 << 20];
    let seen = session.request("POST", "/", &[host], &large)?.json()?;
    assert_eq!(seen["body"].as_str().map(str::len), Some(1 << 20));

    session.send(b"GET /upgrade HTTP/1.1\r\nhost: echo:8080\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")?;
    assert_eq!(session.receive(true)?.status, 101);
    session.send(b"raw bytes")?;
    let mut back = Vec::new();
    while back.len() < 9 {
        back.extend(session.receive_some()?);
    }
    assert_eq!(back, b"raw bytes");
    Ok(())
}

#[test]
fn ambiguous_messages_are_refused_and_never_forwarded() -> anyhow::Result<()> {
    let (_mesh, _echo, client) = one_echo()?;
    let before = client.wait_for("echo:8080").json()?["number"].as_u64();
    let address = client.ready.upstreams["echo"].clone();

    let huge = format!("GET / HTTP/1.1\r\nhost: echo:8080\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    let cases: [(&str, u16); 9] = [
        ("POST / HTTP/1.1\r\nhost: echo:8080\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
        ("POST / HTTP/1.1\r\nhost: echo:8080\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: echo:8080\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nhost: echo:8080\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
        ("GET / HTTP/1.1\nhost: echo:8080\n\n", 400),
        ("GET / HTTP/1.1\r\nhost: echo:8080\r\nx : y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: echo:8080\r\nx: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (&huge, 431),
    ];
    for (bytes, status) in cases {
        let shown = &bytes[..bytes.len().min(90)];
        let mut session = Session::connect(&address)?;
        session.send(bytes.as_bytes())?;
        let response = session.receive(false)?;
        assert_eq!(response.status, status, "{shown:?}");
        assert!(session.rest().is_empty(), "the connection must end after {shown:?}");
    }
    let after = client.get("echo:8080", "/")?.json()?["number"].as_u64();
    assert_eq!(after, before.map(|number| number + 1), "the application saw one of them");
    Ok(())
}

#[test]
fn the_forward_proxy_says_which_hosts_it_does_not_know() -> anyhow::Result<()> {
    let (_mesh, _echo, client) = one_echo()?;
    let stranger = client.get("elsewhere.example", "/")?;
    assert_eq!(stranger.status, 502);
    assert!(stranger.text().contains("no service of the mesh has this name"), "{}", stranger.text());
    Ok(())
}

/// In a tunnel go bytes that no rule of a service sees.
#[test]
fn the_forward_proxy_makes_tunnels() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    let token = mesh.token(&["mail", "client"], 2)?;
    let options =
        WorkloadOptions { port: Some("2525"), app: &["banner"], ..WorkloadOptions::new("mail", "mail-v1", &token) };
    let _mail = mesh.run(&options)?;
    let client = mesh.client("client", &token)?;
    let connect = b"CONNECT mail:2525 HTTP/1.1\r\nhost: mail:2525\r\n\r\n";
    let mut tunnel = eventually("the tunnel is made", LIMIT, || {
        let mut tunnel = Session::connect(client.ready.address("http_proxy")).ok()?;
        tunnel.send(connect).ok()?;
        (tunnel.receive(true).ok()?.status == 200).then_some(tunnel)
    });
    let mut greeting = Vec::new();
    while greeting.len() < b"220 hello\r\n".len() {
        greeting.extend(tunnel.receive_some()?);
    }
    assert_eq!(greeting, b"220 hello\r\n");
    Ok(())
}

#[test]
fn a_service_listener_makes_no_tunnel() -> anyhow::Result<()> {
    let (_mesh, _echo, client) = one_echo()?;
    let before = client.get("echo:8080", "/")?.json()?["number"].as_u64();
    let mut session = Session::connect(&client.ready.upstreams["echo"])?;
    session.send(b"CONNECT echo:8080 HTTP/1.1\r\nhost: echo:8080\r\n\r\n")?;
    assert_eq!(session.receive(false)?.status, 404);
    let after = client.get("echo:8080", "/")?.json()?["number"].as_u64();
    assert_eq!(after, before.map(|number| number + 1), "the application saw nothing of it");
    Ok(())
}

#[test]
fn routes_split_and_match_and_changes_take_effect() -> anyhow::Result<()> {
    let subsets = subsets("echo");
    let rules = |canary: u32| {
        format!(
            "{ECHO}{subsets}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: echo }}
spec:
  hosts: [echo]
  http:
    - match: [{{ headers: {{ x-user: {{ exact: jason }} }} }}]
      route: [{{ destination: {{ host: echo, subset: v2 }} }}]
    - route:
        - {{ destination: {{ host: echo, subset: v1 }}, weight: {} }}
        - {{ destination: {{ host: echo, subset: v2 }}, weight: {canary} }}
",
            100 - canary
        )
    };
    let mesh = Mesh::start(&rules(0))?;
    let token = mesh.token(&["echo", "client"], 3)?;
    let _servers = [mesh.echo("echo", "v1", &token)?, mesh.echo("echo", "v2", &token)?];
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    let jason = [("x-user", "jason")];
    let of_user = || client.request("GET", "echo:8080", "/", &jason, b"").ok().filter(|r| r.status == 200);
    eventually("v2 answers the user", Duration::from_secs(10), of_user);

    let app = |headers: &[(&str, &str)]| -> anyhow::Result<String> {
        let response = client.request("GET", "echo:8080", "/", headers, b"")?;
        Ok(response.header("x-app").unwrap_or_default().to_owned())
    };
    for _ in 0..20 {
        assert_eq!(app(&[])?, "echo-v1");
        assert_eq!(app(&jason)?, "echo-v2");
    }
    mesh.write_resources("mesh.yaml", &rules(50))?;
    eventually("the split arrives", Duration::from_secs(10), || (app(&[]).ok()? == "echo-v2").then_some(()));
    let mut second = 0;
    for _ in 0..400 {
        second += u32::from(app(&[])? == "echo-v2");
    }
    // 400 tries at one half: 200 +- 10 is one standard deviation; six of them are 60.
    assert!((140..=260).contains(&second), "{second} of 400");
    Ok(())
}

#[test]
fn a_server_that_speaks_first_is_not_delayed() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    let token = mesh.token(&["mail", "client"], 10)?;
    let options = WorkloadOptions {
        // No protocol: it has to be found out.
        port: Some("2525"),
        app: &["banner"],
        ..WorkloadOptions::new("mail", "mail-v1", &token)
    };
    let _mail = mesh.run(&options)?;
    let client = mesh.client("client", &token)?;
    let address = client.ready.upstreams.get("mail").expect("the sidecar offers mail").clone();
    let greeting = eventually("the banner", Duration::from_secs(10), || {
        let mut session = Session::connect(&address).ok()?;
        let begun = std::time::Instant::now();
        let line = session.receive_some().ok().filter(|bytes| !bytes.is_empty())?;
        session.send(b"ehlo\r\n").ok()?;
        let answer = session.receive_some().ok()?;
        Some((line, answer, begun.elapsed()))
    });
    assert_eq!(greeting.0, b"220 hello\r\n");
    assert_eq!(greeting.1, b"ehlo ehlo\r\n");
    assert!(greeting.2 < Duration::from_secs(1), "{:?}", greeting.2);
    Ok(())
}
