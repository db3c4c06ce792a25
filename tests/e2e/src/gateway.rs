//! `leno proxy --gateway`, on a loopback address that no other gateway of the machine has: gateways have the ports that
//! they are written with.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, bail};

use crate::notify::Inbox;
use crate::tools::leno;
use crate::{Mesh, Workload};

/// Addresses given to gateways of this process.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// A gateway and where it is reached.
#[derive(Debug)]
pub struct GatewayProxy {
    pub workload: Workload,
    pub address: Ipv4Addr,
}

impl Mesh {
    /// Starts a proxy for a Gateway and waits until it is ready. The token is one for the service account of its name.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn gateway(&self, namespace: &str, gateway: &str, token: &str) -> anyhow::Result<GatewayProxy> {
        self.gateway_with(namespace, gateway, token, &[])
    }

    /// The same with more options of `leno proxy`.
    ///
    /// # Errors
    /// As [`Mesh::gateway`].
    pub fn gateway_with(
        &self,
        namespace: &str,
        gateway: &str,
        token: &str,
        arguments: &[&str],
    ) -> anyhow::Result<GatewayProxy> {
        self.gateway_at(free_address()?, namespace, gateway, token, arguments)
    }

    /// The same at an address that [`free_address`] gave.
    ///
    /// # Errors
    /// As [`Mesh::gateway`].
    pub fn gateway_at(
        &self,
        address: Ipv4Addr,
        namespace: &str,
        gateway: &str,
        token: &str,
        arguments: &[&str],
    ) -> anyhow::Result<GatewayProxy> {
        // Not by the gateway's name, which may be as long as a name can be.
        let name = format!("gateway-{address}").replace('.', "-");
        let inbox = Inbox::bind(self.path(), &name)?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log(&name))?;
        let mut command = Command::new(leno());
        command.args(["proxy", "--control", self.address("xds"), "--gateway", gateway, "-n", namespace]);
        command.args(["--bind", &address.to_string(), "--workload", &name, "--threads", "1", "--drain-deadline", "1s"]);
        command.args(arguments).arg("--state").arg(self.path().join("state").join(&name));
        command.arg("--access-log").arg(self.log(&format!("{name}.access")));
        command.arg("--notify").arg(inbox.path()).env("LENO_JOIN_TOKEN", token).env("RUST_BACKTRACE", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().context("starting leno proxy")?;
        let ready = inbox.wait(|| child.try_wait().ok().flatten().map(|status| format!("leno proxy ended: {status}")));
        match ready {
            Ok(ready) => Ok(GatewayProxy { workload: Workload { child, name, ready }, address }),
            Err(error) => {
                // It may be gone already.
                let _ = child.kill();
                let _ = child.wait();
                Err(error.context(self.read_log(&name)))
            }
        }
    }
}

/// Of 127.0.0.0/16, which no workload takes.
///
/// # Errors
/// When none is free.
pub fn free_address() -> anyhow::Result<Ipv4Addr> {
    for _ in 0..1000 {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        // Processes that run at once have numbers near one another.
        let number = std::process::id().wrapping_mul(61).wrapping_add(u32::from(given));
        let [_, _, high, low] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, 0, high.max(1), low);
        if TcpListener::bind((address, 8080)).is_ok() {
            return Ok(address);
        }
    }
    bail!("no loopback address is free")
}
