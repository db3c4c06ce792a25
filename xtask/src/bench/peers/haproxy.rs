//! HAProxy: one thread, keep-alive on both sides; as two sidecars it does TLS and nothing else.

use anyhow::Context;

use super::{PROXY_CPU, Peer, Process, SERVER_ADDRESS, SetUp};

const GLOBAL: &str = "global
  nbthread 1
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
";

/// One frontend and its only backend; the texts are options of `bind` and `server`.
struct Configuration<'a> {
    mode: &'a str,
    bind: String,
    server: String,
}

impl Configuration<'_> {
    fn text(&self) -> String {
        let reuse = if self.mode == "http" { "  http-reuse always\n" } else { "" };
        format!(
            "{GLOBAL}defaults
  mode {}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
{reuse}frontend in
  bind {}
  default_backend origin
backend origin
  server origin {}
",
            self.mode, self.bind, self.server
        )
    }
}

/// `options` are those of `bind` and `server`: ` proto h2`, for one.
pub(super) fn single(set_up: &SetUp<'_>, listen: &str, mode: &str, options: [&str; 2]) -> anyhow::Result<Peer> {
    let configuration = Configuration {
        mode,
        bind: format!("{listen}{}", options[0]),
        server: format!("127.0.0.1:{}{}", set_up.origin_port, options[1]),
    };
    let process = start(set_up, "haproxy", set_up.near(), &configuration)?;
    Ok(Peer::new("haproxy", listen, "origin", vec![process]))
}

/// TLS with client certificates on one side.
pub(super) fn terminating(set_up: &SetUp<'_>, listen: &str) -> anyhow::Result<Peer> {
    let options =
        format!(" ssl crt {} ca-file {} verify required", combined(set_up, "server")?, set_up.pki.path("root.pem"));
    single(set_up, listen, "http", [&options, ""])
}

pub(super) fn sidecars(set_up: &SetUp<'_>, mode: &str) -> anyhow::Result<Peer> {
    let hosts = set_up.hosts.as_ref().context("sidecars need two hosts")?;
    let roots = set_up.pki.path("root.pem");
    let (client, server) = (combined(set_up, "client")?, combined(set_up, "server")?);
    let far = format!("{SERVER_ADDRESS}:15406");
    let near = "127.0.0.1:15401";
    let server = Configuration {
        mode,
        bind: format!("{far} ssl crt {server} ca-file {roots} verify required"),
        server: format!("127.0.0.1:{}", set_up.origin_port),
    };
    let client = Configuration {
        mode,
        bind: near.to_owned(),
        server: format!("{far} ssl crt {client} ca-file {roots} verify required"),
    };
    let server = start(set_up, "haproxy-server", Some(&hosts.server), &server)?;
    let client = start(set_up, "haproxy-client", Some(&hosts.client), &client)?;
    Ok(Peer::new("haproxy", near, "origin", vec![client, server]))
}

/// Certificate and key in one file, as HAProxy wants them.
fn combined(set_up: &SetUp<'_>, name: &str) -> anyhow::Result<String> {
    let read = |file: String| std::fs::read_to_string(&file).with_context(|| format!("reading {file}"));
    let both = read(set_up.pki.path(&format!("{name}.pem")))? + &read(set_up.pki.path(&format!("{name}.key")))?;
    set_up.write(&format!("{name}-combined.pem"), &both)
}

fn start(
    set_up: &SetUp<'_>,
    name: &str,
    namespace: Option<&str>,
    configuration: &Configuration<'_>,
) -> anyhow::Result<Process> {
    let path = set_up.write(&format!("{name}.cfg"), &configuration.text())?;
    let command = ["haproxy", "-db", "-f", &path].map(str::to_owned);
    Process::spawn(&command, PROXY_CPU, namespace, &set_up.directory.join(format!("{name}.log")))
}
