//! Balancing by hash through real sidecars: who is served by whom, and what changes when an instance leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leno_e2e::{Mesh, Response, Workload, eventually, need};

const ECHO: &str = "apiVersion: v1
kind: Service
metadata: { name: echo }
spec:
  selector: { app: echo }
  ports: [{ name: http, port: 8080 }]
";

const USERS: usize = 60;

/// A mesh with three instances of `echo` that are balanced as `hash` says.
fn mesh(hash: &str) -> anyhow::Result<Mesh> {
    let rule = format!(
        "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{ name: echo }}
spec:
  host: echo
  trafficPolicy: {{ loadBalancer: {{ consistentHash: {hash} }} }}
"
    );
    Mesh::start(&format!("{ECHO}{rule}"))
}

fn instances(mesh: &Mesh, token: &str) -> anyhow::Result<Vec<Workload>> {
    ["v1", "v2", "v3"].into_iter().map(|version| mesh.echo("echo", version, token)).collect()
}

/// The client's sidecar knows so many endpoints.
fn knows(client: &Workload, endpoints: usize) {
    eventually(&format!("{endpoints} endpoints"), Duration::from_secs(20), || {
        let page = client.admin("/clusters");
        let count = page.lines().filter(|line| line.starts_with("outbound|8080||echo.") && line.contains("::weight::"));
        (count.count() == endpoints).then_some(())
    });
}

fn served_by(response: &Response) -> anyhow::Result<String> {
    anyhow::ensure!(response.status == 200, "{} {}", response.status, response.text());
    Ok(response.header("x-app").unwrap_or_default().to_owned())
}

/// The instance of each user; each asks twice and must meet the same one.
fn instances_of_users(client: &Workload) -> anyhow::Result<BTreeMap<usize, String>> {
    let mut met = BTreeMap::new();
    for user in (0..USERS).chain(0..USERS) {
        let name = format!("user-{user}");
        let instance = served_by(&client.request("GET", "echo:8080", "/", &[("x-user", &name)], b"")?)?;
        let before = met.entry(user).or_insert_with(|| instance.clone());
        assert_eq!(*before, instance, "{name} has moved");
    }
    Ok(met)
}

#[test]
fn a_user_stays_with_an_instance_and_moves_only_when_it_leaves() -> anyhow::Result<()> {
    let mesh = mesh("{ httpHeaderName: X-User, maglev: {} }")?;
    let token = mesh.token(&["echo", "client", "other"], 10)?;
    let mut echoes = instances(&mesh, &token)?;
    let (client, other) = (mesh.client("client", &token)?, mesh.client("other", &token)?);
    for client in [&client, &other] {
        client.wait_for("echo:8080");
        knows(client, 3);
    }
    let before = instances_of_users(&client)?;
    let met: BTreeSet<&String> = before.values().collect();
    assert_eq!(met.len(), 3, "users are spread: {before:?}");
    assert_eq!(instances_of_users(&other)?, before, "all proxies agree");

    let gone = echoes.remove(0);
    let name = gone.name.clone();
    drop(gone);
    knows(&client, 2);
    let after = instances_of_users(&client)?;
    assert!(after.values().all(|instance| *instance != name), "{name} has left");
    let stayed = before.iter().filter(|(user, instance)| **instance != name && after[user] == **instance).count();
    let others = before.values().filter(|instance| **instance != name).count();
    // Maglev moves hardly any of the others.
    assert!(stayed + 1 >= others, "{stayed} of {others} stayed: {before:?} {after:?}");
    Ok(())
}

#[test]
fn a_cookie_set_by_the_sidecar_keeps_a_client_with_its_instance() -> anyhow::Result<()> {
    let mesh = mesh("{ httpCookie: { name: cart, path: /shop, ttl: 90s } }")?;
    let token = mesh.token(&["echo", "client"], 10)?;
    let _echoes = instances(&mesh, &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    knows(&client, 3);

    let mut met = BTreeSet::new();
    for _ in 0..30 {
        let first = client.get("echo:8080", "/")?;
        let instance = served_by(&first)?;
        let set = first.header("set-cookie").unwrap_or_default().to_owned();
        let (pair, attributes) = set.split_once(';').unwrap_or_default();
        assert_eq!(attributes, " Max-Age=90; Path=/shop; HttpOnly", "{set}");
        assert!(pair.starts_with("cart=\""), "{set}");
        for _ in 0..5 {
            let next = client.request("GET", "echo:8080", "/", &[("cookie", pair)], b"")?;
            assert_eq!(served_by(&next)?, instance);
            assert_eq!(next.header("set-cookie"), None, "it has one");
        }
        met.insert(instance);
    }
    assert_eq!(met.len(), 3, "clients are spread");
    Ok(())
}

const AGREE: &str = "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo }
spec:
  host: echo
  subsets:
    - name: ring
      labels: { app: echo }
      trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: X-User } } }
    - name: large-ring
      labels: { app: echo }
      trafficPolicy:
        { loadBalancer: { consistentHash: { httpQueryParameterName: user, ringHash: { minimumRingSize: 5000 } } } }
    - name: table
      labels: { app: echo }
      trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: X-User, maglev: {} } } }
    - name: cookie
      labels: { app: echo }
      trafficPolicy:
        { loadBalancer: { consistentHash: { httpCookie: { name: cart, path: /, ttl: 0s }, maglev: { tableSize: 251 } } } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
    - match: [{ uri: { prefix: /ring } }]
      route: [{ destination: { host: echo, subset: ring } }]
    - match: [{ uri: { prefix: /large-ring } }]
      route: [{ destination: { host: echo, subset: large-ring } }]
    - match: [{ uri: { prefix: /table } }]
      route: [{ destination: { host: echo, subset: table } }]
    - match: [{ uri: { prefix: /cookie } }]
      route: [{ destination: { host: echo, subset: cookie } }]
    - match: [{ uri: { prefix: /split } }]
      route:
        - { destination: { host: echo, subset: ring }, weight: 1 }
        - { destination: { host: echo, subset: large-ring }, weight: 0 }
    - route: [{ destination: { host: echo } }]
";

#[test]
fn envoy_sends_each_user_to_the_same_instance() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    let mesh = Mesh::start(&format!("{ECHO}{AGREE}"))?;
    let token = mesh.token(&["echo", "client", "legacy"], 10)?;
    let _echoes = instances(&mesh, &token)?;
    let client = mesh.client("client", &token)?;
    let guest = mesh.envoy(&envoy, "legacy", &token)?;
    client.wait_for("echo:8080");
    knows(&client, 3);
    eventually("Envoy has all endpoints of all subsets", Duration::from_secs(20), || {
        let page = guest.admin("/clusters");
        let count = page.lines().filter(|line| line.contains("|echo.default.") && line.contains("::weight::"));
        (count.count() == 15).then_some(())
    });

    let (mut met, mut differences) = (BTreeSet::new(), Vec::new());
    for path in ["/ring", "/large-ring", "/table", "/cookie", "/split"] {
        for user in 0..USERS {
            let name = format!("user-{user}");
            let (target, cookie) = (format!("{path}?user={name}"), format!("other=1; cart={name}"));
            let headers = [("x-user", name.as_str()), ("cookie", cookie.as_str())];
            let leno = served_by(&client.request("GET", "echo:8080", &target, &headers, b"")?)?;
            let envoy = served_by(&guest.request("GET", "echo:8080", &target, &headers)?)?;
            if leno != envoy {
                differences.push(format!("{target}: Leno {leno}, Envoy {envoy}"));
            }
            met.insert((path, leno));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(met.len(), 15, "users are spread: {met:?}");

    let shape = |response: &Response| {
        let set = response.header("set-cookie").unwrap_or_default();
        let (pair, attributes) = set.split_once(';').unwrap_or_default();
        (pair.len(), attributes.to_owned())
    };
    let leno = shape(&client.get("echo:8080", "/cookie")?);
    assert_eq!(leno, shape(&guest.request("GET", "echo:8080", "/cookie", &[])?), "the same cookie but for its value");
    assert_eq!(leno, ("cart=\"0123456789abcdef\"".len(), " Path=/; HttpOnly".to_owned()));
    Ok(())
}
