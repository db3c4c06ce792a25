//! From what the user said to what the control plane hears: names, addresses and ports of a workload.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;

use anyhow::Context;
use leno_ir::{Flavor, GatewayRole, Node, WorkloadPort};
use leno_model::istio_label;
use leno_proxy::Block;

use super::proxy_args::ProxyArgs;

/// RFC 1123: longest label of a DNS name.
const MAX_LABEL: usize = 63;
/// First inbound port; one more for each further port of the application. Istio's number for inbound capture.
const FIRST_INBOUND_PORT: u16 = 15006;
pub(crate) const HTTP_PROXY_PORT: u16 = 15001;
pub(crate) const ADMIN_PORT: u16 = 15000;

/// A stable number for a workload of this host: the same arguments give the same.
pub(crate) fn seed(args: &ProxyArgs) -> u64 {
    let mut hasher = DefaultHasher::new();
    host_name().hash(&mut hasher);
    (&args.namespace, &args.service, &args.workload_version, &args.workload).hash(&mut hasher);
    args.ports.iter().for_each(|port| port.number.hash(&mut hasher));
    hasher.finish()
}

/// A block of loopback addresses for the workload.
pub(crate) fn claim(args: &ProxyArgs, preferred: Option<[u8; 2]>) -> std::io::Result<Block> {
    let own = args.ports.iter().filter(|_| args.app_address == "own").map(|port| port.number);
    leno_proxy::claim_block(preferred, seed(args), &own.collect::<Vec<_>>())
}

fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The workload's name: as given, or `<service>-<version>-<hash>`.
pub(crate) fn name(args: &ProxyArgs) -> String {
    args.workload.clone().unwrap_or_else(|| {
        let version = args.workload_version.as_deref().unwrap_or("v0");
        // A label at most, also of a Gateway whose name is as long as names can be.
        let room = MAX_LABEL.saturating_sub(version.len() + "--ffffff".len());
        let service = &args.service[..args.service.floor_char_boundary(room)];
        format!("{service}-{version}-{:06x}", seed(args) & 0xff_ffff)
    })
}

/// Below the data directory unless given.
pub(crate) fn state_directory(args: &ProxyArgs) -> PathBuf {
    args.state.clone().unwrap_or_else(|| leno_cli::data_directory().join("proxies").join(name(args)))
}

/// Where peers reach the sidecar: as given; else the address that this host uses towards the control plane; and when that is
/// a loopback address, the workload's own.
pub(crate) fn address(args: &ProxyArgs, own: IpAddr) -> IpAddr {
    if let Some(address) = args.address {
        return address;
    }
    let towards_control = args.control.iter().find_map(|control| {
        let target = control.to_socket_addrs().ok()?.next()?;
        let socket = UdpSocket::bind(if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).ok()?;
        // Connecting a UDP socket sends nothing; it only chooses the local address.
        socket.connect(target).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    towards_control.filter(|address| !address.is_loopback() && !address.is_unspecified()).unwrap_or(own)
}

/// How the workload introduces itself.
///
/// # Errors
/// When `--app-address` is no address, or no inbound port is free.
pub(crate) fn node(args: &ProxyArgs, flavor: Flavor, prefix: [u8; 2]) -> anyhow::Result<Node> {
    let own = IpAddr::from([prefix[0], prefix[1], 0, 1]);
    let address = address(args, own);
    let app_address = match args.app_address.as_str() {
        "own" => own,
        text => {
            text.parse().with_context(|| format!("\"{text}\" is no IP address; --app-address takes one, or \"own\""))?
        }
    };
    let mut ports = Vec::with_capacity(args.ports.len());
    for (port, offset) in args.ports.iter().zip(0_u16..) {
        // The workload's own address has all ports free; on a shared one others may have been here first.
        let inbound = if address == own { FIRST_INBOUND_PORT + offset } else { free_port(address)? };
        let app = SocketAddr::new(app_address, port.number);
        ports.push(WorkloadPort { app: port.number, app_address: app, inbound, protocol: port.protocol.clone() });
    }
    Ok(Node {
        id: format!("{}.{}", name(args), args.namespace),
        flavor,
        locality: args.locality.clone(),
        namespace: args.namespace.clone(),
        service_account: args.service_account().to_owned(),
        workload: name(args),
        service: Some(args.service.clone()),
        labels: args.all_labels(),
        address: (!ports.is_empty()).then_some(address),
        ports,
        outbound_prefix: Some(prefix),
        http_proxy: Some(SocketAddr::new(own, HTTP_PROXY_PORT)),
        access_log: args.access_log.clone(),
        gateway: None,
        access_log_format: args.access_log_format.clone(),
        control: None,
    })
}

/// How a gateway introduces itself: it has no application, and the addresses of its listeners are those that it is told.
///
/// # Errors
/// As [`node`].
pub(crate) fn gateway(args: &ProxyArgs, bind: IpAddr, prefix: [u8; 2]) -> anyhow::Result<Node> {
    let sidecar = node(args, Flavor::Leno, prefix)?;
    let own = IpAddr::from([prefix[0], prefix[1], 0, 1]);
    let mut labels = sidecar.labels.clone();
    // As in Istio's chart `gateway`, so that selectors of Istio's Gateways mean what they say.
    labels.entry("istio".to_owned()).or_insert_with(|| istio_label(&args.service).to_owned());
    let reached = if bind.is_unspecified() { address(args, own) } else { args.address.unwrap_or(bind) };
    Ok(Node {
        address: Some(reached),
        service: None,
        labels,
        outbound_prefix: None,
        http_proxy: None,
        gateway: Some(GatewayRole { namespace: args.namespace.clone(), name: args.service.clone(), bind }),
        ..sidecar
    })
}

/// A port that is free now; taken for good when the listener is bound a moment later.
fn free_port(address: IpAddr) -> anyhow::Result<u16> {
    let listener =
        std::net::TcpListener::bind((address, 0)).with_context(|| format!("looking for a free port on {address}"))?;
    Ok(listener.local_addr().context("reading the port")?.port())
}
