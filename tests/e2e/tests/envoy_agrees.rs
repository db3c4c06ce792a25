//! The same rules in both data planes: what Leno's proxy answers, stock Envoy answers too.

use std::collections::BTreeMap;

use leno_e2e::{LIMIT, Mesh, Response, eventually, need};
use serde_json::Value;

/// Method, service, path, headers.
type Case = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("GET", "echo", "/", &[]),
    ("POST", "echo", "/", &[]),
    ("GET", "echo", "/exact", &[]),
    ("GET", "echo", "/exact?q", &[]),
    ("GET", "echo", "/exact/", &[]),
    ("GET", "echo", "/CASE", &[]),
    ("GET", "echo", "/prefix", &[]),
    ("GET", "echo", "/prefixed/on?a=b", &[]),
    ("GET", "echo", "/prefix/on?a=b", &[]),
    ("GET", "echo", "/slash/a", &[]),
    ("GET", "echo", "/slash/", &[]),
    ("GET", "echo", "/slash", &[]),
    ("GET", "echo", "/whole?x=1", &[]),
    ("GET", "echo", "/user/17", &[]),
    ("GET", "echo", "/user/17?full", &[]),
    ("GET", "echo", "/user/17x", &[]),
    ("GET", "echo", "//double//slash", &[]),
    ("GET", "echo", "/a/../b", &[]),
    ("GET", "echo", "/%2e%2e/b", &[]),
    ("GET", "echo", "/a%2Fb", &[]),
    ("DELETE", "echo", "/any", &[]),
    ("GET", "echo", "/any?mode=fast", &[]),
    ("GET", "echo", "/any?mode=faster", &[]),
    ("GET", "echo", "/any?x=1&mode=fast", &[]),
    ("GET", "echo", "/any?level=12", &[]),
    ("GET", "echo", "/any?level=12a", &[]),
    ("GET", "echo", "/any", &[("x-present", "")]),
    ("GET", "echo", "/any", &[("x-present", "yes")]),
    ("GET", "echo", "/any", &[("x-kind", "bigger")]),
    ("GET", "echo", "/any", &[("x-kind", "bigger"), ("x-small", "1")]),
    ("GET", "echo", "/any", &[("x-word", "aab")]),
    ("GET", "echo", "/any", &[("x-word", "aabb")]),
    // Not tried: a condition on a header that is there twice. Leno joins the values with a comma (RFC 9110 §5.3), as Envoy did
    // until 1.38; since 1.39 Envoy looks at each.
    ("GET", "echo", "/headers", &[("x-gone", "1"), ("x-both", "old"), ("x-add", "first")]),
    ("GET", "echo", "/redirect", &[]),
    ("GET", "echo", "/redirect?q=1", &[]),
    ("GET", "echo", "/redirect-port/a?q=1", &[]),
    ("GET", "echo", "/no-subset", &[]),
    ("GET", "echo", "/no-host", &[]),
    ("GET", "echo", "/empty", &[]),
    ("GET", "echo", "/slow", &[]),
    ("GET", "echo", "/status/503", &[]),
    ("GET", "echo", "/status/500", &[]),
    ("GET", "echo", "/status/404", &[]),
    ("GET", "echo", "/nothing-weighs", &[]),
    ("GET", "gate", "/a", &[("x-gone", "1"), ("x-set", "old"), ("x-add", "one")]),
    ("GET", "gate", "/a/b", &[]),
    ("GET", "gate", "/ab", &[]),
    ("GET", "gate", "/old", &[]),
    ("GET", "gate", "/old/", &[]),
    ("GET", "gate", "/old/a?q=1", &[]),
    ("GET", "gate", "/older", &[]),
    ("GET", "gate", "/strip", &[]),
    ("GET", "gate", "/strip/", &[]),
    ("GET", "gate", "/strip/a", &[]),
    ("GET", "gate", "/full?q=1", &[]),
    ("GET", "gate", "/moved", &[]),
    ("GET", "gate", "/moved/a?q=1", &[]),
    ("GET", "gate", "/gone", &[]),
    ("GET", "gate", "/bare", &[]),
    ("GET", "gate", "/bare/a?q=1", &[]),
    ("GET", "gate", "/no.thing", &[]),
    ("GET", "gate", "/no.thing/a?q=1", &[]),
    ("GET", "gate", "/noXthing/a", &[]),
    ("GET", "gate", "/tail", &[]),
    ("GET", "gate", "/tail/", &[]),
    ("GET", "gate", "/tail/a", &[]),
    ("GET", "root", "/", &[]),
    ("GET", "root", "/a/b?q", &[]),
    ("GET", "root", "/a/b?q", &[("x-redirect", "1")]),
    ("PUT", "gate", "/x?q=1", &[("x-kind", "big")]),
    ("PUT", "gate", "/x?q=2", &[("x-kind", "big")]),
    ("PUT", "gate", "/x", &[("x-kind", "big")]),
    ("GET", "empty", "/", &[]),
    ("GET", "nobody", "/", &[]),
];

#[test]
fn envoy_answers_as_leno_does() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    let mesh = Mesh::start(include_str!("../testdata/agree.yaml"))?;
    let token = mesh.token(&["echo", "legacy", "client"], 10)?;
    let _v1 = mesh.echo("echo", "v1", &token)?;
    let _v2 = mesh.echo("echo", "v2", &token)?;
    let client = mesh.client("client", &token)?;
    let guest = mesh.envoy(&envoy, "legacy", &token)?;
    for (authority, path) in [("echo:8080", "/"), ("echo:8080", "/exact"), ("gate:8080", "/a"), ("root:8080", "/")] {
        eventually("both proxies have the endpoints", LIMIT, || {
            let leno = client.get(authority, path).ok()?;
            let envoy = guest.request("GET", authority, path, &[]).ok()?;
            (leno.status == 200 && envoy.status == 200).then_some(())
        });
    }

    let mut differences = Vec::new();
    for &(method, service, path, headers) in CASES {
        let authority = format!("{service}:8080");
        let leno = outcome(&client.request(method, &authority, path, headers, b"")?);
        let envoy = outcome(&guest.request(method, &authority, path, headers)?);
        if leno != envoy {
            differences.push(format!("{method} {service}{path} {headers:?}\n  Leno:  {leno:?}\n  Envoy: {envoy:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}

/// Status, the answer's headers that rules speak of, and the request as it arrived.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    status: u16,
    answer: BTreeMap<&'static str, String>,
    arrived: BTreeMap<String, Value>,
}

fn outcome(response: &Response) -> Outcome {
    let answer = ["x-app", "x-answer", "x-more", "location"]
        .into_iter()
        .filter_map(|name| Some((name, response.header(name)?.to_owned())))
        .collect();
    let mut arrived = BTreeMap::new();
    if let Ok(body) = response.json() {
        for name in ["app", "method", "path"] {
            arrived.insert(name.to_owned(), body[name].clone());
        }
        for (name, value) in body["headers"].as_object().into_iter().flatten() {
            let compared = !COMPARED_NOT.contains(&name.as_str()) && !name.starts_with("x-envoy-");
            if name == "host" || (name.starts_with("x-") && compared) {
                arrived.insert(name.clone(), value.clone());
            }
        }
    }
    Outcome { status: response.status, answer, arrived }
}

/// Differ by nature (an ID, a caller), or are Envoy's own.
const COMPARED_NOT: &[&str] =
    &["x-request-id", "x-forwarded-client-cert", "x-envoy-original-path", "x-envoy-original-host"];
