use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Where the server of a block listens: 127.x.0.1.
pub const DNS_PORT: u16 = 15053;
/// Where resolvers look: `/etc/resolv.conf` cannot name a port.
const STANDARD_PORT: u16 = 53;

/// Where the forward proxy of a block listens. A guest has no DNS server to claim the block with, but it has this.
const HTTP_PROXY_PORT: u16 = 15001;

/// Bound by whoever holds a block for a proxy that starts again.
const HOLD_PORT: u16 = 15052;

/// Second bytes of the blocks proxies may claim; leaves 127.0 and what systems use (127.0.0.53, 127.0.1.1) alone.
const FIRST: u8 = 64;
const LAST: u8 = 191;

/// A /16 of loopback addresses that belongs to one proxy of this machine for as long as the sockets are open.
#[derive(Debug)]
pub struct Block {
    prefix: [u8; 2],
    sockets: (UdpSocket, TcpListener),
    /// On port 53, where the system allows that.
    standard: Option<(UdpSocket, TcpListener)>,
}

impl Block {
    /// `127.x`.
    pub fn prefix(&self) -> [u8; 2] {
        self.prefix
    }

    /// The proxy's own address in the block.
    pub fn address(&self) -> Ipv4Addr {
        own_address(self.prefix)
    }

    /// Where its DNS server is reached, over UDP and TCP.
    pub fn dns_address(&self) -> SocketAddr {
        SocketAddr::from((self.address(), DNS_PORT))
    }

    /// Whether the DNS server is reached on port 53 too, so that a `resolv.conf` may name it.
    pub fn has_standard_port(&self) -> bool {
        self.standard.is_some()
    }

    pub(super) fn into_sockets(self) -> impl Iterator<Item = (UdpSocket, TcpListener)> {
        std::iter::once(self.sockets).chain(self.standard)
    }
}

/// Keeps a block for its proxy while that starts again: an application that was told addresses of it would otherwise talk to
/// a stranger, or strangers to it.
#[derive(Debug)]
pub struct BlockHold {
    _socket: UdpSocket,
}

impl BlockHold {
    /// To be called while the proxy of the block runs: nobody else is looking at it then.
    ///
    /// # Errors
    /// When somebody holds it already.
    pub fn new(prefix: [u8; 2]) -> io::Result<Self> {
        Ok(Self { _socket: UdpSocket::bind((own_address(prefix), HOLD_PORT))? })
    }
}

/// Claims just this block, also when it is held for the caller.
///
/// # Errors
/// When another proxy has it.
pub fn claim_held_block(prefix: [u8; 2]) -> io::Result<Block> {
    let sockets = bind(prefix, DNS_PORT)?;
    // Without the right to bind it, names are still answered on our own port.
    Ok(Block { prefix, sockets, standard: bind(prefix, STANDARD_PORT).ok() })
}

/// Claims a block by binding its DNS server's sockets: `preferred` if it is free, otherwise the next free one after the
/// place that `seed` (say, a hash of the workload's name) points to, so that a workload tends to keep its block.
///
/// A block is passed over when somebody listens on one of `app_ports` of its first address: an application whose sidecar is
/// about to come back.
///
/// # Errors
/// When no block is free: then 128 proxies run on this machine already, or loopback addresses cannot be bound.
pub fn claim_block(preferred: Option<[u8; 2]>, seed: u64, app_ports: &[u16]) -> io::Result<Block> {
    let count = u64::from(LAST - FIRST) + 1;
    let others = (0..count).map(|step| [127, FIRST + ((seed % count + step) % count) as u8]);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for prefix in preferred.into_iter().chain(others) {
        // In the preferred block that is our own application, which outlives a restart of its sidecar.
        let app_ports = app_ports.iter().filter(|_| preferred != Some(prefix));
        let mut refused = app_ports.chain([&HTTP_PROXY_PORT]).filter_map(|port| bind_tcp(prefix, *port).err());
        // Without the right to bind a low port it is not known whether somebody does.
        if let Some(error) = refused.find(|error| error.kind() == io::ErrorKind::AddrInUse) {
            last = error;
            continue;
        }
        // Held for another: it is let go again at once.
        match claim_held_block(prefix).and_then(|block| BlockHold::new(prefix).map(|_| block)) {
            Ok(block) => return Ok(block),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn own_address([first, second]: [u8; 2]) -> Ipv4Addr {
    Ipv4Addr::new(first, second, 0, 1)
}

/// Without SO_REUSEPORT, and for UDP without SO_REUSEADDR, either of which would let two proxies share the address.
fn bind(prefix: [u8; 2], port: u16) -> io::Result<(UdpSocket, TcpListener)> {
    let address = SocketAddr::from((own_address(prefix), port));
    let udp = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    udp.set_nonblocking(true)?;
    udp.bind(&address.into())?;
    let tcp = bind_tcp(prefix, port)?;
    tcp.listen(64)?;
    Ok((udp.into(), tcp.into()))
}

fn bind_tcp(prefix: [u8; 2], port: u16) -> io::Result<Socket> {
    let address = SocketAddr::from(([prefix[0], prefix[1], 0, 1], port));
    let tcp = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    tcp.set_nonblocking(true)?;
    // For a restart while old connections are in TIME-WAIT; a listening socket still excludes others.
    tcp.set_reuse_address(true)?;
    tcp.bind(&address.into())?;
    Ok(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_block_is_not_given_twice() {
        let first = claim_block(None, 7, &[]).expect("a free block");
        let second = claim_block(Some(first.prefix()), 7, &[]).expect("another one");
        assert_ne!(first.prefix(), second.prefix());
        let prefix = first.prefix();
        drop(first);
        assert_eq!(claim_block(Some(prefix), 0, &[]).expect("free again").prefix(), prefix);
    }

    #[test]
    fn a_block_where_an_application_listens_is_given_only_to_its_own_sidecar() {
        let block = claim_block(None, 42, &[]).expect("a free block").prefix();
        let app = TcpListener::bind((Ipv4Addr::new(block[0], block[1], 0, 1), 0)).expect("any port");
        let port = app.local_addr().expect("bound").port();
        assert_ne!(claim_block(None, 42, &[port]).expect("another one").prefix(), block);
        assert_eq!(claim_block(Some(block), 42, &[port]).expect("its own").prefix(), block);
    }

    #[test]
    fn a_block_where_a_guest_listens_is_not_given() {
        let block = claim_block(None, 21, &[]).expect("a free block").prefix();
        let guest = TcpListener::bind((Ipv4Addr::new(block[0], block[1], 0, 1), HTTP_PROXY_PORT)).expect("it is free");
        assert_ne!(claim_block(Some(block), 21, &[]).expect("another one").prefix(), block);
        drop(guest);
        assert_eq!(claim_block(Some(block), 21, &[]).expect("free again").prefix(), block);
    }

    #[test]
    fn a_held_block_goes_only_to_whom_it_is_held_for() {
        let first = claim_block(None, 90, &[]).expect("a free block");
        let prefix = first.prefix();
        let hold = BlockHold::new(prefix).expect("nobody else holds it");
        drop(first);
        assert_ne!(claim_block(Some(prefix), 90, &[]).expect("another one").prefix(), prefix);
        assert_eq!(claim_held_block(prefix).expect("ours").prefix(), prefix);
        drop(hold);
        assert_eq!(claim_block(Some(prefix), 90, &[]).expect("free again").prefix(), prefix);
    }
}
