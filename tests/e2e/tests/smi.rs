//! SMI's objects and what traffic makes of them, in the steps of its conformance tests.

use leno_e2e::{LIMIT, Mesh, Workload, eventually};

/// `web` has no workloads of its own: what it is called by is split.
const SERVICES: &str = "apiVersion: v1
kind: Service
metadata: { name: web }
spec: { ports: [{ name: http, port: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: app-b }
spec: { selector: { app: app-b }, ports: [{ name: http, port: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: app-c }
spec: { selector: { app: app-c }, ports: [{ name: http, port: 8080 }] }
";

fn split(b: u32, c: u32) -> String {
    format!(
        "apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {{ name: web }}
spec:
  service: web
  backends: [{{ service: app-b, weight: {b} }}, {{ service: app-c, weight: {c} }}]
"
    )
}

fn who(client: &Workload) -> Option<String> {
    let response = client.get("web:8080", "/").ok().filter(|response| response.status == 200)?;
    response.header("x-app").map(str::to_owned)
}

#[test]
fn a_split_divides_what_a_service_is_asked() -> anyhow::Result<()> {
    let mesh = Mesh::start(SERVICES)?;
    let token = mesh.token(&["app-b", "app-c", "client"], 3)?;
    let _servers = [mesh.echo("app-b", "v1", &token)?, mesh.echo("app-c", "v1", &token)?];
    let client = mesh.client("client", &token)?;
    for authority in ["app-b:8080", "app-c:8080"] {
        client.wait_for(authority);
    }

    for (weights, only) in [((1, 0), "app-b-v1"), ((0, 1), "app-c-v1")] {
        mesh.write_resources("split.yaml", &split(weights.0, weights.1))?;
        eventually(&format!("only {only} answers"), LIMIT, || {
            (0..20).all(|_| who(&client).as_deref() == Some(only)).then_some(())
        });
    }
    mesh.write_resources("split.yaml", &split(75, 25))?;
    eventually("both answer", LIMIT, || {
        let answers: Vec<_> = (0..50).filter_map(|_| who(&client)).collect();
        let of_b = answers.iter().filter(|name| *name == "app-b-v1").count();
        // Three quarters of 50, and more than four standard deviations of slack.
        (answers.len() == 50 && (24..50).contains(&of_b)).then_some(())
    });
    Ok(())
}

#[test]
fn a_target_lets_in_whom_it_names_and_nobody_else() -> anyhow::Result<()> {
    let mesh = Mesh::start(SERVICES)?;
    let token = mesh.token(&["app-b", "friend", "stranger"], 3)?;
    let _server = mesh.echo("app-b", "v1", &token)?;
    let friend = mesh.client("friend", &token)?;
    let stranger = mesh.client("stranger", &token)?;
    friend.wait_for("app-b:8080");
    stranger.wait_for("app-b:8080");

    mesh.write_resources(
        "access.yaml",
        "apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: { name: metrics }
spec: { matches: [{ name: metrics, pathRegex: /metrics, methods: [GET] }] }
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: { name: metrics }
spec:
  destination: { kind: ServiceAccount, name: app-b }
  rules: [{ kind: HTTPRouteGroup, name: metrics, matches: [metrics] }]
  sources: [{ kind: ServiceAccount, name: friend }]
",
    )?;
    let status = |client: &Workload, method: &str, path: &str| {
        client.request(method, "app-b:8080", path, &[], b"").ok().map(|response| response.status)
    };
    eventually("strangers are refused", LIMIT, || (status(&stranger, "GET", "/metrics") == Some(403)).then_some(()));
    assert_eq!(status(&friend, "GET", "/metrics"), Some(200));
    assert_eq!(status(&friend, "GET", "/other"), Some(403));
    assert_eq!(status(&friend, "POST", "/metrics"), Some(403));
    assert_eq!(status(&stranger, "GET", "/"), Some(403));

    mesh.write_resources("access.yaml", "")?;
    eventually("everybody may come again", LIMIT, || (status(&stranger, "GET", "/") == Some(200)).then_some(()));
    Ok(())
}
