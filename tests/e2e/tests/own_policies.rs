//! Leno's own policies, as traffic and their authors see them.

use std::time::{Duration, Instant, SystemTime};

use leno_e2e::{ECHO, LIMIT, Mesh, Workload, WorkloadOptions, eventually};

/// `echo` with a given application, and a client that has its endpoint.
fn echo_and_client(resources: &str, app: &[&str]) -> anyhow::Result<(Mesh, Workload, Workload)> {
    let mesh = Mesh::start(&format!("{ECHO}{resources}"))?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let echo =
        mesh.run(&WorkloadOptions { port: Some("8080:http"), app, ..WorkloadOptions::new("echo", "echo-v1", &token) })?;
    let client = mesh.client("client", &token)?;
    eventually("the client knows the endpoint", LIMIT, || {
        let clusters = client.admin("/clusters");
        clusters.lines().any(|line| line.contains("outbound|8080||echo") && line.contains("weight")).then_some(())
    });
    Ok((mesh, echo, client))
}

/// The condition `Accepted` of a policy's first target: status, reason.
fn accepted(mesh: &Mesh, kind: &str, name: &str) -> Option<(String, String)> {
    let object: serde_json::Value =
        serde_json::from_str(&mesh.cli_ok(&["get", kind, name, "-o", "json"]).ok()?).ok()?;
    let conditions = object["status"]["ancestors"][0]["conditions"].as_array()?;
    let accepted = conditions.iter().find(|condition| condition["type"] == "Accepted")?;
    Some((accepted["status"].as_str()?.to_owned(), accepted["reason"].as_str()?.to_owned()))
}

#[test]
fn a_fault_ends_by_itself() -> anyhow::Result<()> {
    let (mesh, _echo, client) = echo_and_client("", &["echo", "--name", "echo-v1"])?;
    client.wait_for("echo:8080");
    // Whole seconds, so that there are five at least.
    let until = SystemTime::now() + Duration::from_secs(6);
    let policy = format!(
        "apiVersion: leno.dev/v1
kind: FaultPolicy
metadata: {{ name: tea }}
spec:
  targetRefs: [{{ kind: Service, name: echo }}]
  until: {}
  headers: {{ x-test: tea }}
  abort: {{ status: 418 }}
",
        humantime::format_rfc3339_seconds(until)
    );
    let file = mesh.path().join("fault.yaml");
    std::fs::write(&file, policy)?;
    mesh.cli_ok(&["apply", "-f", &file.display().to_string()])?;
    let status = || client.request("GET", "echo:8080", "/", &[("x-test", "tea")], b"").map(|response| response.status);
    eventually("the fault is there", LIMIT, || (status().ok()? == 418).then_some(()));
    assert!(SystemTime::now() < until, "it took too long to see it");
    assert_eq!(client.get("echo:8080", "/")?.status, 200, "others are left alone");
    assert_eq!(accepted(&mesh, "faultpolicy", "tea"), Some(("True".to_owned(), "Accepted".to_owned())));
    let over = eventually("the fault is gone", LIMIT, || (status().ok()? == 200).then(SystemTime::now));
    assert!(over + Duration::from_secs(1) >= until, "not before its end");
    assert_eq!(accepted(&mesh, "faultpolicy", "tea"), Some(("False".to_owned(), "Expired".to_owned())));
    Ok(())
}

#[test]
fn deadlines_and_retries_of_the_nearest_policy_hold() -> anyhow::Result<()> {
    let rules = "---
apiVersion: leno.dev/v1
kind: DeadlinePolicy
metadata: { name: all, namespace: leno-system }
spec: { request: 60s }
---
apiVersion: leno.dev/v1
kind: DeadlinePolicy
metadata: { name: echo }
spec:
  targetRefs: [{ kind: Service, name: echo, sectionName: http }]
  request: 400ms
---
apiVersion: leno.dev/v1
kind: RetryPolicy
metadata: { name: echo, creationTimestamp: \"2026-01-01T00:00:00Z\" }
spec:
  targetRefs: [{ kind: Service, name: echo }]
  attempts: 3
  on: [retriable-status-codes]
  codes: [503]
  backoff: { base: 1ms }
---
apiVersion: leno.dev/v1
kind: RetryPolicy
metadata: { name: later }
spec:
  targetRefs: [{ kind: Service, name: echo }]
  attempts: 0
---
apiVersion: leno.dev/v1
kind: RetryPolicy
metadata: { name: lost }
spec:
  targetRefs: [{ kind: Service, name: nobody }]
";
    let (mesh, echo, client) = echo_and_client(rules, &["echo", "--name", "echo-v1"])?;
    client.wait_for("echo:8080");
    let begun = Instant::now();
    assert_eq!(client.get("echo:8080", "/hold/deadline")?.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    let tries = || echo.metric("istio_requests_total", &[("reporter", "destination"), ("response_code", "503")]);
    assert_eq!(client.get("echo:8080", "/status/503")?.status, 503);
    eventually("the request was tried four times", LIMIT, || (tries() == 4.0).then_some(()));

    let is = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
    assert_eq!(accepted(&mesh, "retrypolicy", "echo"), is("True", "Accepted"));
    assert_eq!(accepted(&mesh, "retrypolicy", "later"), is("False", "Conflicted"));
    assert_eq!(accepted(&mesh, "retrypolicy", "lost"), is("False", "TargetNotFound"));
    Ok(())
}

#[test]
fn late_answers_are_hedged_unless_the_method_forbids_it() -> anyhow::Result<()> {
    let rules = "---
apiVersion: leno.dev/v1
kind: HedgePolicy
metadata: { name: echo }
spec:
  targetRefs: [{ kind: Service, name: echo }]
  after: 100ms
  maxRequests: 3
";
    let (_mesh, echo, client) = echo_and_client(rules, &["echo", "--name", "echo-v1"])?;
    client.wait_for("echo:8080");
    let held = || echo.app_get("/").ok()?.json().ok()?["held"].as_u64();
    let mut session = leno_e2e::Session::connect(&client.ready.upstreams["echo"])?;
    session.send(b"GET /hold/late HTTP/1.1\r\nhost: echo:8080\r\n\r\n")?;
    eventually("the request is there three times", LIMIT, || (held()? == 3).then_some(()));
    client.get("echo:8080", "/release/late")?;
    assert_eq!(session.receive(true)?.status, 200);
    eventually("all is quiet again", LIMIT, || (held()? == 0).then_some(()));

    let posts = || echo.metric("istio_requests_total", &[("reporter", "destination")]);
    let before = posts();
    // Ten times as late as a GET may be.
    assert_eq!(client.request("POST", "echo:8080", "/?delay=1s", &[], b"once")?.status, 200);
    eventually("it is counted", LIMIT, || (posts() > before).then_some(()));
    assert_eq!(posts() - before, 1.0, "what must not be processed twice is asked for once");
    Ok(())
}

#[test]
fn limits_hold_for_each_caller_and_for_each_header() -> anyhow::Result<()> {
    let rules = "---
apiVersion: leno.dev/v1
kind: RateLimitPolicy
metadata: { name: callers }
spec:
  targetRefs: [{ kind: Service, name: echo }]
  limits:
    - { requests: 5, per: 1h, by: [{ type: Identity }], headers: { x-kind: caller } }
    - { requests: 2, per: 1h, by: [{ type: Header, name: x-user }] }
";
    let mesh = Mesh::start(&format!("{ECHO}{rules}"))?;
    let token = mesh.token(&["echo", "client", "other"], 3)?;
    let _echo = mesh.echo("echo", "v1", &token)?;
    let (client, other) = (mesh.client("client", &token)?, mesh.client("other", &token)?);
    client.wait_for("echo:8080");
    other.wait_for("echo:8080");
    let ask = |caller: &Workload, headers: &[(&str, &str)]| caller.request("GET", "echo:8080", "/", headers, b"");
    for _ in 0..5 {
        assert_eq!(ask(&client, &[("x-kind", "caller")])?.status, 200);
    }
    let refused = ask(&client, &[("x-kind", "caller")])?;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(ask(&other, &[("x-kind", "caller")])?.status, 200, "another caller has tokens of its own");
    assert_eq!(ask(&client, &[])?.status, 200, "what no limit means is not counted");
    for user in ["ann", "bob"] {
        let statuses = [0; 3].map(|_| ask(&client, &[("x-user", user)]).map_or(0, |response| response.status));
        assert_eq!(statuses, [200, 200, 429], "{user}");
    }
    Ok(())
}

#[test]
fn a_limit_for_the_mesh_is_one_for_all_instances() -> anyhow::Result<()> {
    let policy = |mode: &str| {
        format!(
            "{ECHO}---
apiVersion: leno.dev/v1
kind: RateLimitPolicy
metadata: {{ name: echo }}
spec:
  targetRefs: [{{ kind: Service, name: echo }}]
  scope: Mesh
  failureMode: {mode}
  limits: [{{ requests: 4, per: 1h, by: [{{ type: Header, name: x-user }}] }}]
"
        )
    };
    let (mut mesh, servers, client) = leno_e2e::two_echoes(&policy("Closed"))?;
    let ask = |user: &str| client.request("GET", "echo:8080", "/", &[("x-user", user)], b"");
    // What cannot be counted in time is refused: Closed.
    let mut answers = std::collections::BTreeMap::new();
    eventually("the limit is reached", LIMIT, || {
        let response = ask("ann").ok()?;
        if response.status == 200 {
            *answers.entry(response.header("x-app")?.to_owned()).or_insert(0) += 1;
        }
        (response.status == 429).then_some(())
    });
    assert_eq!(answers.values().sum::<i32>(), 4, "{answers:?}");
    for _ in 0..10 {
        assert_eq!(ask("ann")?.status, 429, "whichever instance it is");
    }
    assert_eq!(ask("bob")?.status, 200, "others have tokens of their own");

    mesh.kill_control();
    eventually("nobody counts, so nobody may pass", LIMIT, || (ask("bob").ok()?.status == 500).then_some(()));
    mesh.start_control()?;
    mesh.write_resources("mesh.yaml", &policy("Open"))?;
    let is_open = |server: &Workload| !server.admin("/config_dump").contains("failure_mode_deny");
    eventually("both have the new policy", LIMIT, || servers.iter().all(is_open).then_some(()));
    eventually("it counts again", LIMIT, || (ask("ann").ok()?.status == 429).then_some(()));
    mesh.kill_control();
    eventually("nobody counts, so all may pass", LIMIT, || (ask("ann").ok()?.status == 200).then_some(()));
    Ok(())
}

#[test]
fn the_nearest_traffic_policy_and_the_mesh_config_hold() -> anyhow::Result<()> {
    let rules = "---
apiVersion: leno.dev/v1
kind: TrafficPolicy
metadata: { name: mesh, namespace: leno-system }
spec:
  connectTimeout: 3s
  loadBalancer: { type: RoundRobin }
  circuitBreakers: { maxRequests: 100 }
---
apiVersion: leno.dev/v1
kind: TrafficPolicy
metadata: { name: echo }
spec:
  targetRefs: [{ kind: Service, name: echo }]
  circuitBreakers: { maxRequests: 1 }
---
apiVersion: leno.dev/v1
kind: MeshConfig
metadata: { name: default }
spec: { upgradeToHttp2: true }
";
    let (_mesh, echo, client) = echo_and_client(rules, &["echo", "--name", "echo-v1"])?;
    client.wait_for("echo:8080");
    let clusters: serde_json::Value =
        serde_json::from_str(&client.admin("/config_dump?resource=dynamic_active_clusters"))?;
    let cluster =
        clusters["configs"].as_array().into_iter().flatten().find(|config| {
            config["cluster"]["name"].as_str().is_some_and(|name| name.starts_with("outbound|8080||echo"))
        });
    let cluster =
        cluster.map(|config| &config["cluster"]).ok_or_else(|| anyhow::anyhow!("no cluster: {clusters:#}"))?;
    assert_eq!(cluster["connect_timeout"], "3s", "{cluster:#}");
    let address = &client.ready.upstreams["echo"];
    let mut held = leno_e2e::Session::connect(address)?;
    held.send(b"GET /hold/one HTTP/1.1\r\nhost: echo:8080\r\n\r\n")?;
    eventually("a second request is one too many", LIMIT, || {
        client.get("echo:8080", "/").ok().filter(|response| response.status == 503)
    });
    let http2 = echo.metric("istio_requests_total", &[("reporter", "destination"), ("request_protocol", "http")]);
    assert!(http2 >= 1.0);
    Ok(())
}
