//! Two network namespaces joined by a veth pair: a client's host and a server's host.

use std::process::Command;

use crate::command::output;

/// Addresses of the benchmark's own hosts, in TEST-NET-1 (RFC 5737), reachable only inside the namespaces.
pub(crate) const CLIENT_ADDRESS: &str = "192.0.2.1";
pub(crate) const SERVER_ADDRESS: &str = "192.0.2.2";

/// In both namespaces.
pub(crate) const CONGESTION_CONTROL: &str = "reno";

#[derive(Debug)]
pub(crate) struct Hosts {
    pub(crate) client: String,
    pub(crate) server: String,
}

impl Hosts {
    /// # Errors
    /// Without the right to make namespaces (root) or without `ip`.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let id = std::process::id();
        let hosts = Self { client: format!("leno-bench-{id}-c"), server: format!("leno-bench-{id}-s") };
        let (near, far) = (format!("lb{id}c"), format!("lb{id}s"));
        ip(&["netns", "add", &hosts.client])?;
        ip(&["netns", "add", &hosts.server])?;
        ip(&[
            "link",
            "add",
            &near,
            "netns",
            &hosts.client,
            "type",
            "veth",
            "peer",
            "name",
            &far,
            "netns",
            &hosts.server,
        ])?;
        for (namespace, device, address) in
            [(&hosts.client, &near, CLIENT_ADDRESS), (&hosts.server, &far, SERVER_ADDRESS)]
        {
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", device])?;
            ip(&["-n", namespace, "link", "set", device, "up"])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            // BBR, where it is the default, paces and doubles the CPU cost of bulk transfers.
            let file = "/proc/sys/net/ipv4/tcp_congestion_control";
            ip(&["netns", "exec", namespace, "sh", "-c", &format!("echo {CONGESTION_CONTROL} > {file}")])?;
        }
        Ok(hosts)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for namespace in [&self.client, &self.server] {
            // Made by us or not there at all; deleting it takes the veth pair along.
            let _ = ip(&["netns", "delete", namespace]);
        }
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    output(Command::new("ip").args(arguments)).map(|_| ())
}
