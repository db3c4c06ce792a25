//! The PROXY protocol: what a load balancer says, before the first byte of a connection, of where the client really is.
//!
//! Looks at bytes only. Values of type-length-value fields are stepped over.
//!
//! Shape       bytes so far -> [`Progress`]; asked again whenever more have come
//! Invariants  no bytes make it panic; a header never takes more than its own length; the same bytes give the same answer
//!             however they were cut; `encode` is read back as it was
//! Errors      [`Malformed`]: it began like a header and is none
//! Source      HAProxy's proxy-protocol.txt, versions 1 and 2; Envoy's proxy_protocol listener filter

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use leno_ir::ProxyProtocolVersion;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// With its end of line.
const MAX_V1_BYTES: usize = 107;
/// Start, version and command, family and protocol, length.
const V2_FIXED_BYTES: usize = 16;
/// Of any header.
pub const MAX_HEADER_BYTES: usize = V2_FIXED_BYTES + u16::MAX as usize;

/// What a header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProxyHeader {
    pub version: ProxyProtocolVersion,
    /// `None`: the connection is the balancer's own, or of a protocol it does not name; its own addresses count.
    pub addresses: Option<ProxyAddresses>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ProxyAddresses {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// A header, and its length in bytes.
    Complete { header: ProxyHeader, length: usize },
    /// It may still become a header.
    More,
    /// Not a header.
    Other,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    #[error("a PROXY header of version 1 has no end of line in {MAX_V1_BYTES} bytes")]
    TooLong,
    #[error("the PROXY header does not parse")]
    Syntax,
    #[error("the PROXY header names a command, family or protocol that is not known")]
    Unknown,
}

/// What `bytes` are the start of.
///
/// # Errors
/// When they began like a header and cannot become one.
pub fn parse(bytes: &[u8]) -> Result<Progress, Malformed> {
    if bytes.starts_with(V2_START) {
        parse_v2(bytes)
    } else if bytes.starts_with(V1_START) {
        parse_v1(bytes)
    } else if V2_START.starts_with(bytes) || V1_START.starts_with(bytes) {
        Ok(Progress::More)
    } else {
        Ok(Progress::Other)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Progress, Malformed> {
    let line = bytes.get(..MAX_V1_BYTES).unwrap_or(bytes);
    let Some(end) = memchr::memmem::find(line, b"\r\n") else {
        return if line.len() == MAX_V1_BYTES { Err(Malformed::TooLong) } else { Ok(Progress::More) };
    };
    let complete = |addresses| Progress::Complete {
        header: ProxyHeader { version: ProxyProtocolVersion::V1, addresses },
        length: end + 2,
    };
    let text = line.get(V1_START.len()..end).and_then(|text| std::str::from_utf8(text).ok());
    let mut words = text.ok_or(Malformed::Syntax)?.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(complete(None));
    }
    let [source, destination, source_port, destination_port] = [(); 4].map(|()| words.next());
    if words.next().is_some() {
        return Err(Malformed::Syntax);
    }
    let ip = |word: Option<&str>| -> Option<IpAddr> {
        match family {
            "TCP4" => word?.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let address = |host, port: Option<&str>| Some(SocketAddr::new(ip(host)?, port?.parse().ok()?));
    match (address(source, source_port), address(destination, destination_port)) {
        (Some(source), Some(destination)) => Ok(complete(Some(ProxyAddresses { source, destination }))),
        _ => Err(Malformed::Syntax),
    }
}

fn parse_v2(bytes: &[u8]) -> Result<Progress, Malformed> {
    let Some(&[version_and_command, family_and_protocol, high, low]) =
        bytes.get(V2_START.len()..V2_FIXED_BYTES).and_then(|fixed| fixed.first_chunk())
    else {
        return Ok(Progress::More);
    };
    let length = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed::Unknown),
    };
    let complete =
        |addresses| Progress::Complete { header: ProxyHeader { version: ProxyProtocolVersion::V2, addresses }, length };
    let Some(payload) = bytes.get(V2_FIXED_BYTES..length) else {
        // What can be told already is told now.
        return if is_local || matches!(family_and_protocol, 0x11 | 0x12 | 0x21 | 0x22) {
            Ok(Progress::More)
        } else {
            Err(Malformed::Unknown)
        };
    };
    if is_local {
        return Ok(complete(None));
    }
    let addresses = match family_and_protocol {
        // IPv4, then IPv6; streams, and as in Envoy datagrams. A Unix socket has no address that counts here.
        0x11 | 0x12 => addresses(payload, |ip: [u8; 4]| Ipv4Addr::from(ip).into()),
        0x21 | 0x22 => addresses(payload, |ip: [u8; 16]| Ipv6Addr::from(ip).into()),
        _ => return Err(Malformed::Unknown),
    };
    addresses.map(|addresses| complete(Some(addresses))).ok_or(Malformed::Syntax)
}

/// Two addresses, then two ports.
fn addresses<const N: usize>(payload: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Option<ProxyAddresses> {
    let (source, rest) = payload.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let destination_port = rest.first_chunk::<2>()?;
    let address = |host, port| SocketAddr::new(ip(host), u16::from_be_bytes(port));
    Some(ProxyAddresses {
        source: address(*source, *source_port),
        destination: address(*destination, *destination_port),
    })
}

/// The header that says `addresses`; without them, that the connection is our own.
pub fn encode(version: ProxyProtocolVersion, addresses: Option<ProxyAddresses>) -> Vec<u8> {
    // One header has one family: an IPv4 address is written as IPv6 beside one that is.
    let addresses = addresses.map(|ProxyAddresses { source, destination }| {
        let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
        let (from, to) = match (from, to) {
            (IpAddr::V4(from), to @ IpAddr::V6(_)) => (from.to_ipv6_mapped().into(), to),
            (from @ IpAddr::V6(_), IpAddr::V4(to)) => (from, to.to_ipv6_mapped().into()),
            same => same,
        };
        (SocketAddr::new(from, source.port()), SocketAddr::new(to, destination.port()))
    });
    match version {
        ProxyProtocolVersion::V1 => encode_v1(addresses),
        ProxyProtocolVersion::V2 => encode_v2(addresses),
    }
}

fn encode_v1(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let Some((source, destination)) = addresses else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

fn encode_v2(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut bytes = V2_START.to_vec();
    let Some((source, destination)) = addresses else {
        bytes.extend([0x20, 0, 0, 0]);
        return bytes;
    };
    let ip = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(if source.is_ipv4() { [0x21, 0x11, 0, 12] } else { [0x21, 0x21, 0, 36] });
    bytes.extend(ip(source));
    bytes.extend(ip(destination));
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(destination.port().to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests;
