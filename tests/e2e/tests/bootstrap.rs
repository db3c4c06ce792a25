//! One bootstrap file, served by Leno and by stock Envoy: the same answers; and what a file asks for in vain.

use std::collections::BTreeMap;
use std::time::Duration;

use leno_e2e::{Response, Sandbox, StaticProxy, eventually, need, request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const FILE: &str = include_str!("../testdata/static.yaml");

/// Method, host, path, headers.
type Case = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("GET", "any.test", "/exact", &[]),
    ("GET", "any.test", "/exact?a=b", &[]),
    ("GET", "any.test", "/exact/", &[]),
    ("GET", "any.test", "/case", &[]),
    ("GET", "any.test", "/segment", &[]),
    ("GET", "any.test", "/segment/a?b=c", &[]),
    ("GET", "any.test", "/segments", &[]),
    ("GET", "any.test", "/user/17", &[]),
    ("GET", "any.test", "/user/17?q", &[]),
    ("GET", "any.test", "/user/x", &[]),
    ("GET", "any.test", "/prefix", &[]),
    ("POST", "any.test", "/prefixed/on", &[]),
    ("GET", "any.test", "/header", &[("x-kind", "big")]),
    ("GET", "any.test", "/header", &[("x-kind", "bigger")]),
    ("GET", "any.test", "/header", &[("x-size", "10")]),
    ("GET", "any.test", "/header", &[("x-size", "20")]),
    ("GET", "any.test", "/header", &[("x-kind", "small")]),
    ("GET", "any.test", "/header", &[("x-kind", "small"), ("x-not", "1")]),
    ("PUT", "any.test", "/header", &[]),
    ("GET", "any.test", "/query?mode=fast", &[]),
    ("GET", "any.test", "/query?mode=faster&x", &[]),
    ("GET", "any.test", "/query?mode=fastest", &[]),
    ("GET", "any.test", "/direct/on", &[]),
    ("GET", "any.test", "/direct/302?q=1", &[]),
    ("GET", "any.test:81", "/direct/302?q=1", &[]),
    ("PUT", "any.test", "/header?q=1", &[]),
    ("GET", "any.test", "/redirect/path?q=1", &[]),
    ("GET", "any.test", "/redirect/prefix/on?q=1", &[]),
    ("GET", "any.test", "/redirect/host/on?q=1", &[]),
    ("GET", "any.test", "/weights/all", &[]),
    ("GET", "any.test", "/ops", &[("x-set", "old"), ("x-add", "first"), ("x-gone", "1"), ("x-only", "old")]),
    ("GET", "any.test", "/ops", &[("x-absent", "there")]),
    ("GET", "any.test", "/hold/bootstrap", &[]),
    ("GET", "any.test", "/status/503", &[]),
    ("GET", "any.test", "/status/404", &[]),
    ("GET", "any.test", "/nobody", &[]),
    ("GET", "any.test", "/refused", &[]),
    ("GET", "any.test", "/nothing", &[]),
    ("GET", "other.test", "/exact", &[]),
    ("GET", "sub.other.test", "/", &[]),
    ("GET", "another.test", "/", &[]),
    ("GET", "OTHER.test", "/", &[]),
];

/// Status, what rules say of the answer, its body where a proxy made it, and the request as it arrived.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    status: u16,
    answer: BTreeMap<&'static str, String>,
    body: String,
    arrived: BTreeMap<String, Value>,
}

fn outcome(response: &Response, proxy: &StaticProxy) -> Outcome {
    let answer = ["x-app", "x-answer", "x-more", "x-cluster", "location", "content-type"]
        .into_iter()
        .filter_map(|name| Some((name, response.header(name)?.replace(&proxy.address, "PROXY"))))
        .collect();
    let mut arrived = BTreeMap::new();
    let mut body = String::new();
    if let Ok(json) = response.json() {
        for name in ["app", "method", "path"] {
            arrived.insert(name.to_owned(), json[name].clone());
        }
        for (name, value) in json["headers"].as_object().into_iter().flatten() {
            let differs = name == "x-request-id" || name.starts_with("x-envoy-");
            if name == "host" || (name.starts_with("x-") && !differs) {
                arrived.insert(name.clone(), value.clone());
            }
        }
    } else {
        body = response.text();
    }
    // Envoy goes on with the reason of the failure in its own words.
    let body = body.split(". reset reason: ").next().unwrap_or_default().to_owned();
    Outcome { status: response.status, answer, body, arrived }
}

fn bootstrap(sandbox: &mut Sandbox) -> anyhow::Result<String> {
    let (one, two) = (sandbox.echo("one")?, sandbox.echo("two")?);
    Ok(FILE
        .replace("port_value: ONE", &format!("port_value: {one}"))
        .replace("port_value: TWO", &format!("port_value: {two}")))
}

#[test]
fn envoy_answers_as_leno_does_from_the_same_file() -> anyhow::Result<()> {
    let Some(envoy) = need("LENO_ENVOY") else { return Ok(()) };
    let mut sandbox = Sandbox::new()?;
    let text = bootstrap(&mut sandbox)?;
    let file = sandbox.write("envoy.yaml", &text)?;
    let (leno, envoy) = (sandbox.leno(&file)?, sandbox.envoy(&envoy, &file)?);
    let mut differences = Vec::new();
    for &(method, host, path, headers) in CASES {
        let [of_leno, of_envoy] = [&leno, &envoy].map(|proxy| {
            let response = proxy.request(method, host, path, headers)?;
            anyhow::Ok(outcome(&response, proxy))
        });
        let (of_leno, of_envoy) = (of_leno?, of_envoy?);
        if of_leno != of_envoy {
            differences.push(format!("{method} {host}{path} {headers:?}\n  Leno:  {of_leno:?}\n  Envoy: {of_envoy:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    for proxy in [&leno, &envoy] {
        let mut ones = 0;
        for _ in 0..200 {
            let response = proxy.request("GET", "any.test", "/weights", &[])?;
            let cluster = response.header("x-cluster").expect("each cluster names itself").to_owned();
            assert_eq!(response.json()?["app"], cluster.as_str());
            ones += u32::from(cluster == "one");
        }
        // 50 expected; a deviation of 25 is 4 standard deviations.
        assert!((25..=75).contains(&ones), "{}: {ones} of 200 went to a cluster with weight 25 of 100", proxy.name);
    }
    Ok(())
}

#[test]
fn a_static_proxy_serves_admin_and_drains() -> anyhow::Result<()> {
    let mut sandbox = Sandbox::new()?;
    let text = bootstrap(&mut sandbox)?.replacen("timeout: 0.2s", "timeout: 20s", 1);
    let file = sandbox.write("envoy.yaml", &text)?;
    let mut leno = sandbox.leno(&file)?;
    assert_eq!(request(&leno.admin, "GET", "/ready", &[], b"")?.status, 200);
    let clusters = request(&leno.admin, "GET", "/clusters", &[], b"")?.text();
    assert!(clusters.contains("one::127.0.0.1:"), "{clusters}");
    assert_eq!(request(&leno.admin, "GET", "/certs", &[], b"")?.status, 404);

    let address = leno.address.clone();
    let held = std::thread::spawn(move || request(&address, "GET", "/hold/drain", &[("host", "any.test")], b""));
    let mut one = text.split("port_value: ").filter_map(|rest| rest.split(' ').next()?.parse::<u16>().ok());
    let one = format!("127.0.0.1:{}", one.find(|port| *port > 1).expect("the first application's port"));
    eventually("the request is under way", Duration::from_secs(10), || {
        let answer = request(&one, "GET", "/", &[], b"").ok()?.json().ok()?;
        (answer["held"] == 1).then_some(())
    });
    kill(Pid::from_raw(leno.pid()), Signal::SIGTERM)?;
    eventually("it takes nothing new", Duration::from_secs(10), || {
        std::net::TcpStream::connect(&leno.address).is_err().then_some(())
    });
    assert_eq!(leno.exit_code(), None);
    request(&one, "GET", "/release/drain", &[], b"")?;
    assert_eq!(held.join().expect("no panic")?.status, 200);
    let code = eventually("it has ended", Duration::from_secs(10), || leno.exit_code());
    assert_eq!(code, 0);
    Ok(())
}

#[test]
fn what_leno_does_not_have_is_named_by_line_and_field() -> anyhow::Result<()> {
    let sandbox = Sandbox::new()?;
    let text = FILE.replace("port_value: ONE", "port_value: 1").replace("port_value: TWO", "port_value: 2");
    let lua = "- name: envoy.filters.http.lua\n            typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua }\n          ";
    let router = "- name: envoy.filters.http.router";
    let text = text.replacen(router, &format!("{lua}{router}"), 1).replacen("type: STATIC", "dns_refresh_rate: 5s", 1);
    let file = sandbox.write("envoy.yaml", &text)?;
    let output = sandbox.leno_refuses(&file)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = |what: &str| 1 + text.lines().position(|line| line.contains(what)).expect("it is there");
    let place = format!("{}:{}: ", file.display(), line("http.lua"));
    let field = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0]";
    assert!(said.contains(&format!("{place}{field}: no such filter here: envoy.filters.http.lua\n")), "{said}");
    let place = format!("{}:{}: ", file.display(), line("dns_refresh_rate"));
    assert!(
        said.contains(&format!("{place}static_resources.clusters[0].dns_refresh_rate: is not supported\n")),
        "{said}"
    );
    Ok(())
}
