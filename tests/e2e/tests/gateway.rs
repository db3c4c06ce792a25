//! A gateway from its objects to its traffic.

use leno_e2e::{ECHO, LIMIT, Mesh, eventually, request};

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
