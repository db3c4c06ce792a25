//! A gateway from its objects to its traffic.

use std::collections::BTreeSet;

use leno_e2e::{ECHO, LIMIT, Mesh, Response, eventually, request};

const GATEWAY: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: entry }
spec:
  gatewayClassName: leno
  listeners:
    - { name: http, port: 8080, protocol: HTTP, hostname: '*.shop.example' }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: front }
spec:
  parentRefs: [{ name: entry }]
  hostnames: [www.shop.example]
  rules:
    - matches: [{ path: { value: /basket } }]
      backendRefs: [{ name: echo, port: 8080 }]
";

#[test]
fn a_gateway_serves_its_routes_and_says_so() -> anyhow::Result<()> {
    let mesh = Mesh::start(&format!("{ECHO}{GATEWAY}"))?;
    let status = mesh.cli_ok(&["get", "gateway", "entry", "-o", "yaml"])?;
    assert!(status.contains("start one with: leno proxy --gateway entry -n default"), "{status}");

    let token = mesh.token(&["echo", "entry"], 2)?;
    let _echo = mesh.echo("echo", "v1", &token)?;
    let gateway = mesh.gateway("default", "entry", &token)?;
    let authority = format!("{}:8080", gateway.address);
    let get = |host: &str, path: &str| request(&authority, "GET", path, &[("host", host)], b"");

    let answer = eventually("the gateway reaches the service", LIMIT, || {
        get("www.shop.example", "/basket/1").ok().filter(|answer| answer.status == 200)
    });
    let seen = answer.json()?;
    assert_eq!((&seen["app"], &seen["path"]), (&"echo-v1".into(), &"/basket/1".into()), "{seen}");
    assert_eq!(seen["headers"]["host"], "www.shop.example", "{seen}");
    assert_eq!(get("www.shop.example", "/")?.status, 404);
    assert_eq!(get("api.shop.example", "/basket/1")?.status, 404);

    let says = |kind: &str, name: &str, words: &[&str]| {
        eventually(&format!("the status of {name}"), LIMIT, || {
            let status = mesh.cli_ok(&["get", kind, name, "-o", "yaml"]).ok()?;
            words.iter().all(|words| status.contains(words)).then_some(())
        });
    };
    let address = format!("value: \"{}\"", gateway.address);
    says("gateway", "entry", &["reason: Programmed", "reason: Accepted", "attachedRoutes: 1", &address]);
    says("httproute", "front", &["parents:", "controllerName: leno.dev/gateway-controller", "reason: ResolvedRefs"]);
    Ok(())
}

const SESSIONS: &str = "---
apiVersion: v1
kind: Service
metadata: { name: echo-v1, annotations: { leno.dev/service-accounts: echo } }
spec: { selector: { app: echo, version: v1 }, ports: [{ port: 8080, name: http }] }
---
apiVersion: v1
kind: Service
metadata: { name: echo-v2, annotations: { leno.dev/service-accounts: echo } }
spec: { selector: { app: echo, version: v2 }, ports: [{ port: 8080, name: http }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: entry }
spec: { gatewayClassName: leno, listeners: [{ name: http, port: 8080, protocol: HTTP }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: split }
spec:
  parentRefs: [{ name: entry }]
  rules:
    - sessionPersistence: { type: Cookie, cookie: { name: mine } }
      backendRefs: [{ name: echo-v1, port: 8080 }, { name: echo-v2, port: 8080 }]
---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: { name: loyal }
spec:
  targetRefs: [{ group: '', kind: Service, name: echo }]
  sessionPersistence: { type: Header, header: { name: X-Session } }
  retryConstraint: { budget: { percent: 50 }, minRetryRate: { count: 7 } }
---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: { name: lost }
spec: { targetRefs: [{ group: '', kind: Service, name: nobody }], retryConstraint: {} }
";

#[test]
fn sessions_stay_where_they_began() -> anyhow::Result<()> {
    let mesh = Mesh::start(&format!("{ECHO}{SESSIONS}"))?;
    let token = mesh.token(&["echo", "entry", "client"], 4)?;
    let (_v1, _v2) = (mesh.echo("echo", "v1", &token)?, mesh.echo("echo", "v2", &token)?);
    let client = mesh.client("client", &token)?;
    let gateway = mesh.gateway("default", "entry", &token)?;
    let authority = format!("{}:8080", gateway.address);
    let app = |answer: &Response| answer.json().map(|saw| saw["app"].as_str().unwrap_or_default().to_owned());

    // A split of two services: whichever the dice chose first.
    let split = |headers: &[(&str, &str)]| request(&authority, "GET", "/", headers, b"");
    for wanted in ["echo-v1", "echo-v2"] {
        let cookie = eventually(&format!("{wanted} is reached"), LIMIT, || {
            let answer = split(&[]).ok().filter(|answer| app(answer).is_ok_and(|app| app == wanted))?;
            let cookie = answer.header("set-cookie")?;
            Some(cookie.split(';').next().unwrap_or_default().to_owned())
        });
        assert!(cookie.starts_with("mine="), "{cookie}");
        for _ in 0..20 {
            assert_eq!(app(&split(&[("cookie", &cookie)])?)?, wanted);
        }
    }

    // Two endpoints of one service, in the mesh, by a header.
    let ask = |headers: &[(&str, &str)]| client.request("GET", "echo:8080", "/", headers, b"");
    let mut apps = BTreeSet::new();
    for wanted in ["echo-v1", "echo-v2"] {
        let session = eventually(&format!("{wanted} is reached"), LIMIT, || {
            let answer = ask(&[]).ok().filter(|answer| app(answer).is_ok_and(|app| app == wanted))?;
            answer.header("x-session").map(str::to_owned)
        });
        for _ in 0..20 {
            apps.insert((wanted, app(&ask(&[("x-session", &session)])?)?));
        }
    }
    let alone = ["echo-v1", "echo-v2"].map(|name| (name, name.to_owned()));
    assert_eq!(apps, BTreeSet::from(alone));

    let status = |name: &str| mesh.cli_ok(&["get", "xbackendtrafficpolicy", name, "-o", "yaml"]);
    assert!(status("loyal")?.contains("reason: Accepted"), "{}", status("loyal")?);
    assert!(status("lost")?.contains("reason: TargetNotFound"), "{}", status("lost")?);
    Ok(())
}
