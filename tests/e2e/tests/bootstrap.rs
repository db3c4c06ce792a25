//! A proxy that serves a bootstrap file: its admin interface, its end, and what a file asks for in vain. That it answers as
//! Envoy does is for `tests/differential`.

use std::time::Duration;

use leno_e2e::{Sandbox, eventually, leno, request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const FILE: &str = include_str!("../testdata/static.yaml");

fn bootstrap(sandbox: &mut Sandbox) -> anyhow::Result<String> {
    let (one, two) = (sandbox.echo("one")?, sandbox.echo("two")?);
    Ok(FILE
        .replace("port_value: ONE", &format!("port_value: {one}"))
        .replace("port_value: TWO", &format!("port_value: {two}")))
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
    assert_eq!(request(&leno.admin, "GET", "/certs", &[], b"")?.status, 200);

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
fn a_bootstrap_can_be_validated_while_something_else_has_its_ports() -> anyhow::Result<()> {
    let mut sandbox = Sandbox::new()?;
    let text = bootstrap(&mut sandbox)?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = format!("port_value: {} ", taken.local_addr()?.port());
    let file = sandbox.write("envoy.yaml", &text.replacen("port_value: 0 ", &port, 1))?;
    let validate = |file: &std::path::Path| {
        std::process::Command::new(leno()).args(["proxy", "--validate", "--bootstrap"]).arg(file).output()
    };
    let output = validate(&file)?;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{} can be served\n", file.display()));
    let file = sandbox.write("wrong.yaml", &text.replacen("type: STATIC", "type: NONE", 1))?;
    assert_eq!(validate(&file)?.status.code(), Some(1));
    Ok(())
}

#[test]
fn what_leno_does_not_have_is_named_by_line_and_field() -> anyhow::Result<()> {
    let sandbox = Sandbox::new()?;
    let text = FILE.replace("port_value: ONE", "port_value: 1").replace("port_value: TWO", "port_value: 2");
    let lua = "- name: envoy.filters.http.lua\n            typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua }\n          ";
    let router = "- name: envoy.filters.http.router";
    let text =
        text.replacen(router, &format!("{lua}{router}"), 1).replacen("type: STATIC", "upstream_config: { name: x }", 1);
    let file = sandbox.write("envoy.yaml", &text)?;
    let output = sandbox.leno_refuses(&file)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = |what: &str| 1 + text.lines().position(|line| line.contains(what)).expect("it is there");
    let place = format!("{}:{}: ", file.display(), line("http.lua"));
    let field = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0]";
    assert!(said.contains(&format!("{place}{field}: no such filter here: envoy.filters.http.lua (")), "{said}");
    let place = format!("{}:{}: ", file.display(), line("upstream_config"));
    assert!(
        said.contains(&format!("{place}static_resources.clusters[0].upstream_config: is not supported\n")),
        "{said}"
    );
    Ok(())
}
