//! Limits, retries and ejection, as a client sees them.

use std::time::{Duration, Instant};

use leno_e2e::{ECHO, LIMIT, Mesh, Session, Workload, WorkloadOptions, eventually};

/// One good instance and one that ends each connection in the middle of a request.
fn good_and_bad(rules: &str) -> anyhow::Result<(Mesh, [Workload; 2], Workload)> {
    let mesh = Mesh::start(&format!("{ECHO}{rules}"))?;
    let token = mesh.token(&["echo", "client"], 3)?;
    let good = mesh.echo("echo", "v1", &token)?;
    let bad = mesh.run(&WorkloadOptions {
        version: "v2",
        port: Some("8080:http"),
        app: &["reset"],
        ..WorkloadOptions::new("echo", "echo-v2", &token)
    })?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    // Its sidecar has heard of both.
    eventually("the client knows two endpoints", LIMIT, || {
        let clusters = client.admin("/clusters");
        let lines = clusters.lines().filter(|line| line.contains("outbound|8080||echo") && line.contains("weight"));
        (lines.count() == 2).then_some(())
    });
    Ok((mesh, [good, bad], client))
}

#[test]
fn more_requests_than_allowed_are_refused_at_once() -> anyhow::Result<()> {
    let rules = "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo }
spec:
  host: echo
  trafficPolicy:
    connectionPool: { http: { http2MaxRequests: 2 } }
";
    let mesh = Mesh::start(&format!("{ECHO}{rules}"))?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let _echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    let address = &client.ready.upstreams["echo"];
    let mut held = Vec::new();
    for key in ["a", "b"] {
        let mut session = Session::connect(address)?;
        session.send(format!("GET /hold/{key} HTTP/1.1\r\nhost: echo:8080\r\n\r\n").as_bytes())?;
        held.push(session);
    }
    let refused = eventually("the third request is one too many", LIMIT, || {
        client.get("echo:8080", "/").ok().filter(|response| response.status == 503)
    });
    assert_eq!(refused.header("x-envoy-overloaded"), Some("true"), "{refused:?}");
    let begun = Instant::now();
    assert_eq!(client.get("echo:8080", "/")?.status, 503);
    assert!(begun.elapsed() < Duration::from_secs(1), "nothing waits for a place");
    eventually("the flag is in the access log", LIMIT, || {
        mesh.read_log("client.access").contains(" 503 UO ").then_some(())
    });
    drop(held);
    eventually("there is room again", LIMIT, || {
        client.get("echo:8080", "/release/a").ok().filter(|response| response.status == 200)
    });
    Ok(())
}

#[test]
fn a_request_that_one_endpoint_resets_is_answered_by_another() -> anyhow::Result<()> {
    let rules = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
    - route: [{ destination: { host: echo } }]
      retries: { attempts: 2, retryOn: 'reset,503' }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo }
spec:
  host: echo
  trafficPolicy:
    loadBalancer: { simple: ROUND_ROBIN }
    outlierDetection: { consecutive5xxErrors: 0, consecutiveGatewayErrors: 0 }
";
    let (_mesh, [_good, bad], client) = good_and_bad(rules)?;
    for _ in 0..40 {
        let response = client.get("echo:8080", "/")?;
        assert_eq!((response.status, response.header("x-app")), (200, Some("echo-v1")));
    }
    let tried = bad.metric("istio_requests_total", &[("reporter", "destination")]);
    assert!(tried >= 10.0, "half of the first tries go to the bad one, {tried} did");
    // The rule speaks of no method: a POST is sent again as well, with its body.
    for _ in 0..20 {
        let response = client.request("POST", "echo:8080", "/", &[], b"twice")?;
        assert_eq!((response.status, response.json()?["body"].as_str()), (200, Some("twice")));
    }
    Ok(())
}

#[test]
fn without_a_rule_nothing_is_sent_twice_that_may_have_been_seen() -> anyhow::Result<()> {
    let rules = "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo }
spec: { host: echo, trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN } } }
";
    let (_mesh, [good, bad], client) = good_and_bad(rules)?;
    let seen = |server: &Workload| server.metric("istio_requests_total", &[("reporter", "destination")]);
    let before = seen(&good) + seen(&bad);
    for _ in 0..20 {
        assert!([200, 503].contains(&client.request("POST", "echo:8080", "/", &[], b"once")?.status));
    }
    eventually("twenty requests have come to twenty", LIMIT, || {
        let tries = seen(&good) + seen(&bad) - before;
        assert!(tries <= 20.0, "{tries} tries for twenty requests");
        (tries >= 20.0).then_some(())
    });
    Ok(())
}

#[test]
fn an_endpoint_that_keeps_failing_is_ejected_and_comes_back() -> anyhow::Result<()> {
    let rules = "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo }
spec:
  host: echo
  trafficPolicy:
    loadBalancer: { simple: ROUND_ROBIN }
    outlierDetection: { consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 3s, maxEjectionPercent: 50 }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
    - route: [{ destination: { host: echo } }]
      retries: { attempts: 0 }
";
    let (_mesh, [_good, bad], client) = good_and_bad(rules)?;
    let ejected = |client: &Workload| client.metric("leno_proxy_outlier_ejected_endpoints", &[]);
    eventually("the bad one is ejected", LIMIT, || {
        client.get("echo:8080", "/").ok()?;
        (ejected(&client) >= 1.0).then_some(())
    });
    let before = bad.metric("istio_requests_total", &[]);
    for _ in 0..50 {
        assert_eq!(client.get("echo:8080", "/")?.status, 200);
    }
    assert!(bad.metric("istio_requests_total", &[]) <= before, "an ejected endpoint gets nothing");
    eventually("it gets another chance", LIMIT, || {
        client.get("echo:8080", "/").ok().filter(|response| response.status == 503)
    });
    Ok(())
}

#[test]
fn faults_and_cors_of_a_virtual_service_take_effect() -> anyhow::Result<()> {
    let rules = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
    - match: [{ uri: { prefix: /broken } }]
      fault: { abort: { httpStatus: 418, percentage: { value: 100 } } }
      route: [{ destination: { host: echo } }]
    - match: [{ uri: { prefix: /slow } }]
      fault: { delay: { fixedDelay: 300ms, percentage: { value: 100 } } }
      route: [{ destination: { host: echo } }]
    - corsPolicy: { allowOrigins: [{ exact: 'https://a.test' }], allowMethods: [PUT], maxAge: 1h }
      route: [{ destination: { host: echo } }]
";
    let mesh = Mesh::start(ECHO)?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let _echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    assert_eq!(client.get("echo:8080", "/broken")?.status, 200, "there is no rule yet");
    mesh.write_resources("mesh.yaml", &format!("{ECHO}{rules}"))?;
    let broken = eventually("the fault arrives", LIMIT, || {
        client.get("echo:8080", "/broken").ok().filter(|response| response.status == 418)
    });
    assert_eq!(broken.header("x-app"), None, "the application is not asked: {broken:?}");
    // Through the service's own address as well as through the forward proxy.
    let mut session = Session::connect(&client.ready.upstreams["echo"])?;
    assert_eq!(session.request("GET", "/broken", &[("host", "echo:8080")], b"")?.status, 418);
    let begun = Instant::now();
    assert_eq!(client.get("echo:8080", "/slow")?.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    let preflight = |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "PUT")];
        client.request("OPTIONS", "echo:8080", "/", &headers, b"")
    };
    let allowed = preflight("https://a.test")?;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some("https://a.test")));
    assert_eq!((allowed.header("access-control-max-age"), allowed.header("x-app")), (Some("3600"), None));
    // Somebody else's goes to the application, which allows nothing.
    let other = preflight("https://b.test")?;
    assert_eq!((other.header("access-control-allow-origin"), other.header("x-app")), (None, Some("echo-v1")));
    eventually("the flag is in the access log", LIMIT, || {
        mesh.read_log("client.access").contains(" 418 FI ").then_some(())
    });
    Ok(())
}
