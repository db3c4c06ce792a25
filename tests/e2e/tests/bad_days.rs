//! What goes wrong in production: the mesh keeps serving, says clearly what is wrong, and loses nothing.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use leno_e2e::{
    ECHO, LIMIT, Load, Mesh, Session, Workload, WorkloadOptions, both_answer, eventually, leno, one_echo, said,
    subsets, two_echoes,
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Retries also what was cut off in the middle; a GET may be sent twice.
const RETRIES: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
    - route: [{ destination: { host: echo } }]
      retries: { attempts: 3, retryOn: 'connect-failure,refused-stream,reset,503' }
";

/// `echo` with its two versions.
fn resources() -> String {
    format!("{ECHO}{}", subsets("echo"))
}

/// A route to `v2` alone, for [`only_second_answers`].
fn only_second() -> String {
    RETRIES.replace("{ host: echo }", "{ host: echo, subset: v2 }")
}

fn only_second_answers(client: &Workload) {
    eventually("only v2 answers", LIMIT, || {
        (0..20).all(|_| client.get("echo:8080", "/").is_ok_and(|r| r.header("x-app") == Some("echo-v2"))).then_some(())
    });
}

fn in_sync(mesh: &Mesh, proxies: usize) {
    eventually(&format!("{proxies} proxies are in sync"), LIMIT, || {
        let status = mesh.status().ok()?;
        let proxies_now = status["proxies"].as_array()?;
        let synced = proxies_now.iter().filter(|proxy| proxy["inSync"] == true).count();
        (proxies_now.len() == proxies && synced == proxies).then_some(())
    });
}

#[test]
fn control_plane_killed_and_restarted_fails_no_request() -> anyhow::Result<()> {
    let (mut mesh, _servers, client) = two_echoes(&resources())?;
    let root = std::fs::read(mesh.data().join("ca/root-cert.pem"))?;
    mesh.cli_ok(&["apply", "-f", &mesh.file("kept.yaml", &ECHO.replace("echo", "kept"))])?;

    let load = Load::to_echo(&client);
    load.answered(100);
    mesh.kill_control();
    load.answered(1000);
    mesh.start_control()?;
    load.answered(100);
    in_sync(&mesh, 3);
    both_answer(&client);

    // The new one is in charge: what it is told now happens.
    mesh.write_resources("mesh.yaml", &format!("{}{}", resources(), only_second()))?;
    only_second_answers(&client);
    load.finish().assert_clean();
    assert_eq!(std::fs::read(mesh.data().join("ca/root-cert.pem"))?, root, "the authority is the same");
    let late = mesh.client("late", &mesh.token(&["late"], 1)?)?;
    assert_eq!(late.wait_for("echo:8080").status, 200);
    assert!(mesh.cli_ok(&["get", "service", "kept", "-o", "yaml"])?.contains("8080"));
    Ok(())
}

#[test]
fn a_killed_proxy_costs_no_request_and_its_endpoint_goes() -> anyhow::Result<()> {
    let (mesh, [first, _second], client) = two_echoes(&format!("{ECHO}{RETRIES}"))?;
    let load = Load::to_echo(&client);
    load.answered(100);
    // Nobody starts the sidecar again while `leno run` is stopped.
    first.signal(Signal::SIGSTOP);
    first.signal_proxy(Signal::SIGKILL);
    load.answered(500);
    eventually("the endpoint of the killed proxy goes", LIMIT, || {
        (!mesh.cli_ok(&["get", "workloadentries"]).ok()?.contains("echo-v1")).then_some(())
    });
    load.answered(500);
    first.signal(Signal::SIGCONT);
    both_answer(&client);
    load.answered(100);
    load.finish().assert_clean();
    Ok(())
}

#[test]
fn bad_yaml_over_good_is_reported_by_line_and_field_and_changes_nothing() -> anyhow::Result<()> {
    let (mesh, _servers, client) = two_echoes(&resources())?;
    let load = Load::to_echo(&client);
    let broken: [(&str, &str, &str); 3] = [
        ("  hots: [echo]\n", "hots", "hosts"),
        ("  hosts: [echo]\n  http: 7\n", "http", ""),
        ("  hosts: [echo\n", "", ""),
    ];
    for (spec, field, suggestion) in broken {
        let head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: echo }\nspec:\n";
        mesh.write_resources("mesh.yaml", &format!("{}---\n{head}{spec}", resources()))?;
        let problem = eventually("the problem is reported", LIMIT, || {
            mesh.status().ok()?["problems"].as_array()?.first().cloned()
        });
        let place = (problem["source"].as_str().unwrap_or_default(), problem["line"].as_u64().unwrap_or_default());
        assert!(place.0.ends_with("mesh.yaml") && (16..=24).contains(&place.1), "{problem}");
        assert!(problem["field"].as_str().unwrap_or_default().contains(field), "{problem}");
        assert!(problem["message"].as_str().unwrap_or_default().contains(suggestion), "{problem}");
        assert_eq!(mesh.cli(&["status"])?.status.code(), Some(1), "status fails when an object has errors");
        load.answered(100);

        mesh.write_resources("mesh.yaml", &resources())?;
        eventually("the problem is gone", LIMIT, || {
            mesh.status().ok()?["problems"].as_array()?.is_empty().then_some(())
        });
    }
    // A bad file does not hold back what is good elsewhere.
    mesh.write_resources("bad.yaml", "kind: Nothing\n")?;
    mesh.write_resources("more.yaml", &only_second())?;
    only_second_answers(&client);
    load.finish().assert_clean();
    Ok(())
}

/// `leno run` with a token that is no good.
fn join(mesh: &Mesh, name: &str, token: &str) -> anyhow::Result<Output> {
    let mut command = Command::new(leno());
    command.args(["run", "--control", mesh.address("xds"), "--service", name, "--workload", name]);
    command.arg("--state").arg(mesh.path().join("state").join(name)).args(["--", "true"]);
    Ok(command.env("LENO_JOIN_TOKEN", token).output()?)
}

#[test]
fn expired_reused_and_foreign_tokens_are_refused_with_a_reason() -> anyhow::Result<()> {
    let mesh = Mesh::start(ECHO)?;
    let once = mesh.token(&["client"], 1)?;
    assert_eq!(join(&mesh, "client", &once)?.status.code(), Some(0));
    std::fs::remove_dir_all(mesh.path().join("state/client"))?;
    let expired = mesh.cli_ok(&["token", "create", "--service-account", "client", "--ttl", "1s"])?;
    let expired = expired.trim();
    let until = Instant::now() + Duration::from_secs(2);
    eventually("the token has expired", LIMIT, || (Instant::now() > until).then_some(()));
    let other = Mesh::start("")?.token(&["client"], 1)?;
    let cases = [
        (once.as_str(), "client", "used up"),
        (expired, "client", "expired"),
        (&mesh.token(&["other"], 1)?, "client", "is not for spiffe://cluster.local/ns/default/sa/client"),
        (&other, "client", "does not prove to be the one that made the join token"),
        ("nonsense", "client", "token"),
    ];
    for (token, name, reason) in cases {
        let begun = Instant::now();
        let output = join(&mesh, name, token)?;
        assert_eq!(output.status.code(), Some(125), "{reason}: {}", said(&output));
        assert!(said(&output).contains(reason), "{reason}: {}", said(&output));
        assert!(begun.elapsed() < Duration::from_secs(10), "a refusal is final, nothing to wait for");
    }
    let listed = mesh.cli_ok(&["token", "list"])?;
    assert!(!listed.contains(once.split('.').next_back().unwrap_or(&once)), "secrets are never shown again");
    Ok(())
}

/// A service whose only endpoint is said to be at `address`, and must be `account`.
fn endpoint_at(service: &str, address: &str, account: &str) -> String {
    let (ip, port) = address.rsplit_once(':').expect("an address");
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{ name: {service} }}
spec:
  selector: {{ app: {service} }}
  ports: [{{ name: http, port: 8080 }}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{ name: {service}, annotations: {{ leno.dev/protocols: 8080=http }} }}
spec:
  address: {ip}
  labels: {{ app: {service}, security.istio.io/tlsMode: istio }}
  ports: {{ '8080': {port} }}
  serviceAccount: {account}
"
    )
}

fn inbound_of(mesh: &Mesh, workload: &str) -> anyhow::Result<String> {
    let entry: Value = serde_json::from_str(&mesh.cli_ok(&["get", "workloadentry", workload, "-o", "json"])?)?;
    let spec = &entry["spec"];
    Ok(format!("{}:{}", spec["address"].as_str().unwrap_or_default(), spec["ports"]["8080"]))
}

#[test]
fn a_peer_of_another_trust_domain_or_service_is_refused_counted_and_logged() -> anyhow::Result<()> {
    let other = Mesh::start_with(ECHO, &["--trust-domain", "other.example"])?;
    let stranger = other.run(&WorkloadOptions {
        port: Some("8080:http"),
        app: &["echo", "--name", "stranger"],
        ..WorkloadOptions::new("echo", "echo-v1", &other.token(&["echo"], 1)?)
    })?;
    let (mesh, [server, _], client) = two_echoes(&resources())?;
    let foreign = endpoint_at("foreign", &inbound_of(&other, "echo-v1")?, "foreign");
    let wrong = endpoint_at("wrong", &inbound_of(&mesh, "echo-v1")?, "wrong");
    mesh.write_resources("more.yaml", &format!("{foreign}{wrong}"))?;

    for (service, presented) in [
        ("foreign", "spiffe://other.example/ns/default/sa/echo"),
        ("wrong", "spiffe://cluster.local/ns/default/sa/echo"),
    ] {
        let before = client.metric("leno_proxy_peer_refused_total", &[]);
        let authority = format!("{service}:8080");
        let answer = eventually("the endpoint is refused and counted", LIMIT, || {
            let answer = client.get(&authority, "/").ok()?;
            (client.metric("leno_proxy_peer_refused_total", &[]) > before).then_some(answer)
        });
        assert_eq!(answer.status, 503, "{}", answer.text());
        let expected = format!("spiffe://cluster.local/ns/default/sa/{service}");
        // At most one line in five seconds: ask until it is our turn.
        eventually("both names are in the log", LIMIT, || {
            client.get(&authority, "/").ok()?;
            let log = mesh.read_log("client");
            log.lines()
                .any(|line| line.contains("refused") && line.contains(&expected) && line.contains(presented))
                .then_some(())
        });
    }
    assert_eq!(client.get("echo:8080", "/")?.status, 200);
    let nobody = stranger.metric("istio_requests_total", &[("response_code", "200")]);
    assert!(nobody == 0.0, "nothing reached the application of the other mesh");

    // The other way round: a client with a certificate of another trust domain.
    let svid: Value = serde_json::from_slice(&std::fs::read(other.path().join("state/echo-v1/svid.json"))?)?;
    let pem = mesh.path().join("stranger.pem");
    let parts: Vec<_> =
        svid.as_object().into_iter().flat_map(|object| object.values()).filter_map(Value::as_str).collect();
    std::fs::write(&pem, parts.into_iter().filter(|part| part.contains("BEGIN")).collect::<String>())?;
    let before = server.metric("leno_proxy_peer_refused_total", &[]);
    eventually("the server refuses and logs both names", LIMIT, || {
        let pem = pem.to_str()?;
        let inbound = inbound_of(&mesh, "echo-v1").ok()?;
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-connect",
            &inbound,
            "-cert",
            pem,
            "-key",
            pem,
            "-alpn",
            "istio-http/1.1",
            "-quiet",
        ]);
        let output = openssl.stdin(std::process::Stdio::null()).output().ok()?;
        assert!(!said(&output).contains("HTTP/1.1 200"));
        let log = mesh.read_log("echo-v1");
        let both =
            |line: &str| line.contains("spiffe://other.example/ns/default/sa/echo") && line.contains("cluster.local");
        log.lines().any(both).then_some(())
    });
    assert!(server.metric("leno_proxy_peer_refused_total", &[]) > before);
    Ok(())
}

/// One server that runs `leno-e2e-app MODE`, and a client with a timeout of half a second and no retries.
fn misbehaving(mode: &str) -> anyhow::Result<(Mesh, Workload, Workload)> {
    let rules = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
    - route: [{ destination: { host: echo } }]
      timeout: 500ms
      retries: { attempts: 0 }
";
    let mesh = Mesh::start(&format!("{ECHO}{rules}"))?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let options =
        WorkloadOptions { port: Some("8080:http"), app: &[mode], ..WorkloadOptions::new("echo", "echo-v1", &token) };
    let server = mesh.run(&options)?;
    let client = mesh.client("client", &token)?;
    Ok((mesh, server, client))
}

/// The answer once the endpoint is known, and the log line of the sidecar `name` about it.
fn answer_and_log(
    mesh: &Mesh,
    client: &Workload,
    status: u16,
    name: &str,
    flag: &str,
) -> anyhow::Result<(Duration, String)> {
    let mut begun = Instant::now();
    let response = eventually(&format!("{status} instead of an answer"), LIMIT, || {
        begun = Instant::now();
        client.get("echo:8080", "/").ok().filter(|response| response.status == status)
    });
    let took = begun.elapsed();
    let line = eventually(&format!("{flag} in the access log of {name}"), LIMIT, || {
        let log = mesh.read_log(&format!("{name}.access"));
        log.lines().rev().find(|line| line.contains(flag)).map(str::to_owned)
    });
    assert!(response.header("server").is_some(), "the answer is the proxy's own: {response:?}");
    Ok((took, line))
}

#[test]
fn an_upstream_that_hangs_is_a_timeout() -> anyhow::Result<()> {
    let (mesh, _server, client) = misbehaving("hang")?;
    let (took, line) = answer_and_log(&mesh, &client, 504, "client", " UT ")?;
    assert!((400..3000).contains(&took.as_millis()), "{took:?}");
    assert!(line.contains(" 504 "), "{line}");
    Ok(())
}

#[test]
fn an_upstream_that_resets_is_a_503() -> anyhow::Result<()> {
    let (mesh, _server, client) = misbehaving("reset")?;
    let (_, line) = answer_and_log(&mesh, &client, 503, "echo-v1", " UC ")?;
    assert!(line.contains(" 503 "), "{line}");
    Ok(())
}

#[test]
fn an_upstream_that_answers_garbage_is_a_502() -> anyhow::Result<()> {
    let (mesh, _server, client) = misbehaving("garbage")?;
    let (_, line) = answer_and_log(&mesh, &client, 502, "echo-v1", "UPE")?;
    assert!(line.contains(" 502 "), "{line}");
    Ok(())
}

#[test]
fn a_client_that_sends_its_head_slowly_is_shown_out() -> anyhow::Result<()> {
    let (_mesh, echo, client) = one_echo()?;
    let before = client.wait_for("echo:8080").json()?["number"].as_u64();
    let mut slow = Session::connect(&client.ready.upstreams["echo"])?;
    let begun = Instant::now();
    slow.send(b"GET / HTTP/1.1\r\nhost: echo:8080\r\n")?;
    let answer = eventually("the slow client is refused", LIMIT, || {
        // A header line now and then, as slow as the polling is. It ends with an error once the proxy has closed.
        if slow.send(b"x: y\r\n").is_err() || begun.elapsed() > Duration::from_secs(10) {
            return Some(slow.receive(false));
        }
        None
    });
    assert_eq!(answer?.status, 408);
    assert!((9..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(client.get("echo:8080", "/")?.json()?["number"].as_u64(), before.map(|number| number + 1));
    drop(echo);
    Ok(())
}

#[test]
fn a_full_disk_is_a_clear_error_and_serving_goes_on() -> anyhow::Result<()> {
    let (mut mesh, _servers, client) = two_echoes(&resources())?;
    let load = Load::to_echo(&client);
    mesh.kill_control();
    mesh.start_control_with_mounts(
        "mkdir -p \"$DATA.small\"
         mount -t tmpfs -o size=8m,mode=700 tmpfs \"$DATA.small\"
         cp -a \"$DATA/.\" \"$DATA.small\"
         mount --bind \"$DATA.small\" \"$DATA\"",
    )?;
    in_sync(&mesh, 3);
    let filler = mesh.data().join("filler");
    let kept = mesh.file("kept.yaml", &ECHO.replace("echo", "kept"));
    mesh.cli_ok(&["apply", "-f", &kept])?;

    let full = std::fs::write(&filler, vec![0; 64 << 20]);
    assert!(full.is_err(), "the disk is full");
    // Small writes may fit into what the store has reserved: write until it is used up.
    let error = eventually("the store is full", LIMIT, || {
        let large = ECHO.replace("name: echo", &format!("name: large, annotations: {{ a: {} }}", "x".repeat(400_000)));
        let large = mesh.file("large.yaml", &large);
        let output = mesh.cli(&["apply", "-f", &large]).ok()?;
        (!output.status.success()).then(|| said(&output))
    });
    assert!(error.contains("store.redb") && error.contains("No space left"), "{error}");
    let refused = mesh.cli(&["token", "create", "--service-account", "client"])?;
    assert!(!refused.status.success() && said(&refused).contains("No space left"), "{}", said(&refused));
    // What is read from files, served to proxies and asked by people goes on.
    mesh.write_resources("mesh.yaml", &format!("{}{}", resources(), only_second()))?;
    only_second_answers(&client);
    assert!(mesh.cli_ok(&["get", "services"])?.contains("kept"));

    std::fs::remove_file(&filler)?;
    let kept = mesh.file("kept.yaml", &ECHO.replace("echo", "kept").replace("8080", "8081"));
    mesh.cli_ok(&["apply", "-f", &kept])?;
    mesh.token(&["client"], 1)?;
    load.finish().assert_clean();
    Ok(())
}

#[test]
fn a_read_only_store_is_served_as_it_is() -> anyhow::Result<()> {
    let (mut mesh, _servers, client) = two_echoes(&resources())?;
    let kept = mesh.file("kept.yaml", &ECHO.replace("echo", "kept"));
    mesh.cli_ok(&["apply", "-f", &kept])?;
    let load = Load::to_echo(&client);
    mesh.kill_control();
    mesh.start_control_with_mounts("mount --bind \"$DATA\" \"$DATA\"\nmount -o remount,ro,bind \"$DATA\"")?;
    in_sync(&mesh, 3);
    assert!(mesh.cli_ok(&["get", "service", "kept", "-o", "yaml"])?.contains("8080"));
    let changed = mesh.file("kept.yaml", &ECHO.replace("echo", "kept").replace("8080", "8081"));
    let output = mesh.cli(&["apply", "-f", &changed])?;
    assert!(!output.status.success() && said(&output).contains("Read-only file system"), "{}", said(&output));
    assert!(mesh.cli_ok(&["get", "service", "kept", "-o", "yaml"])?.contains("8080"), "nothing was changed");
    // Files are not the store: what they say still happens.
    mesh.write_resources("mesh.yaml", &format!("{}{}", resources(), only_second()))?;
    only_second_answers(&client);
    load.answered(100);
    load.finish().assert_clean();
    Ok(())
}

#[test]
fn idle_connections_to_the_admin_interface_do_not_keep_readiness_checks_out() -> anyhow::Result<()> {
    let mesh = Mesh::start(ECHO)?;
    let client = mesh.client("client", &mesh.token(&["client"], 1)?)?;
    let idle: Vec<_> = (0..400).map(|_| Session::connect(client.ready.address("admin"))).collect::<Result<_, _>>()?;
    let begun = Instant::now();
    assert!(client.admin("/ready").contains("LIVE"));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    drop(idle);
    Ok(())
}
