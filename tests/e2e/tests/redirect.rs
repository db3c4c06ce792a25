//! Connections that the kernel redirects: where they were going is asked of it, in a network namespace of the test's own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use leno_e2e::{Sandbox, eventually, need_program};

/// Set in the namespace, where this test runs a second time.
const INSIDE: &str = "LENO_TEST_IS_INSIDE_NAMESPACE";

/// Everything to 10.9.9.9 goes to port 15001, but for what comes from the proxy itself.
const REDIRECTION: &str = "ip link set lo up
ip addr add 10.9.9.9/24 dev lo
iptables -t nat -A OUTPUT -p tcp -s 127.0.0.9 -j RETURN
iptables -t nat -A OUTPUT -p tcp -d 10.9.9.9 -j REDIRECT --to-ports 15001";

const BOOTSTRAP: &str = r#"
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
static_resources:
  listeners:
  - name: redirected
    address: { socket_address: { address: 127.0.0.1, port_value: 15001 } }
    listener_filters:
    - name: original_dst
      typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst }
    filter_chains:
    - filter_chain_match: { destination_port: 9001 }
      filters:
      - name: tcp
        typed_config: &tcp
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: fixed
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: ACCESS_LOG
              log_format: { text_format_source: { inline_string: "%DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_HOST%\n" } }
    default_filter_chain:
      filters: [{ name: tcp, typed_config: { <<: *tcp, cluster: original } }]
  - name: handing-over
    address: { socket_address: { address: 127.0.0.1, port_value: 15002 } }
    use_original_dst: true
    filter_chains:
    - filters: [{ name: tcp, typed_config: { <<: *tcp, cluster: original } }]
  - name: handed
    address: { socket_address: { address: 10.9.9.9, port_value: 9002 } }
    bind_to_port: false
    filter_chains:
    - filters: [{ name: tcp, typed_config: { <<: *tcp, cluster: fixed } }]
  - name: transparent
    address: { socket_address: { address: 127.0.0.1, port_value: 15003 } }
    transparent: true
    filter_chains:
    - filters: [{ name: tcp, typed_config: { <<: *tcp, cluster: fixed } }]
  clusters:
  - name: fixed
    load_assignment: { cluster_name: fixed, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9100 } } } }] }] }
  - name: original
    type: ORIGINAL_DST
    lb_policy: CLUSTER_PROVIDED
    upstream_bind_config: { source_address: { address: 127.0.0.9, port_value: 0 } }
"#;

#[test]
fn redirected_connections_go_where_they_were_going() -> anyhow::Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if !(need_program("unshare") && need_program("ip") && need_program("iptables")) {
        return Ok(());
    }
    let unshared = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "sh", "-ec", command]);
        unshare
    };
    let probe = unshared("ip link set lo up && iptables -t nat -L -n").output()?;
    if !probe.status.success() {
        let reason = String::from_utf8_lossy(&probe.stderr).into_owned();
        assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "no network namespace: {reason}");
        eprintln!("DID NOT RUN: no network namespace: {reason}");
        return Ok(());
    }
    let mut again = unshared(&format!("{REDIRECTION}\nexec \"$0\" \"$@\""));
    again.arg(std::env::current_exe()?).args(["--exact", "redirected_connections_go_where_they_were_going"]);
    let output = again.arg("--nocapture").env(INSIDE, "yes").output()?;
    assert!(output.status.success(), "{}", leno_e2e::said(&output));
    Ok(())
}

fn inside() -> anyhow::Result<()> {
    serve("10.9.9.9:9000", "original")?;
    serve("127.0.0.1:9100", "fixed")?;
    let sandbox = Sandbox::new()?;
    let log = sandbox.path("access.log");
    let file = sandbox.write("envoy.yaml", &BOOTSTRAP.replace("ACCESS_LOG", &log.display().to_string()))?;
    let leno = sandbox.leno(&file)?;
    assert_eq!(hear("10.9.9.9:9000")?, "original", "by the cluster that goes where the connection was going");
    assert_eq!(hear("10.9.9.9:9001")?, "fixed", "by the chain of that port, where nobody listens");
    assert_eq!(hear("127.0.0.1:15003")?, "fixed", "a transparent listener takes what is meant for it, too");
    eventually("both are in the access log", Duration::from_secs(10), || {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines = ["10.9.9.9:9000 10.9.9.9:9000\n", "10.9.9.9:9001 127.0.0.1:9100\n"];
        lines.iter().all(|line| text.contains(line)).then_some(())
    });
    redirect_to("15002")?;
    assert_eq!(hear("10.9.9.9:9000")?, "original", "no listener has that address");
    assert_eq!(hear("10.9.9.9:9002")?, "fixed", "by the listener that has that address and no socket");
    drop(leno);
    Ok(())
}

fn redirect_to(port: &str) -> anyhow::Result<()> {
    let rule = ["-t", "nat", "-R", "OUTPUT", "2", "-p", "tcp", "-d", "10.9.9.9", "-j", "REDIRECT", "--to-ports", port];
    let output = Command::new("iptables").args(rule).output()?;
    anyhow::ensure!(output.status.success(), "{}", leno_e2e::said(&output));
    Ok(())
}

/// Says its name to everybody.
fn serve(address: &str, name: &'static str) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(name.as_bytes());
        }
    });
    Ok(())
}

fn hear(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}
