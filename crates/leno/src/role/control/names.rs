//! Under which names clients reach this host. SPIFFE clients do not ask; gRPC's TLS credentials check them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// What was given, the host's own name, and the addresses on which sockets bound to `listen` answer.
pub(super) fn of_server(listen: &[IpAddr], given: &[String]) -> Vec<String> {
    let mut names: BTreeSet<String> = given.iter().cloned().collect();
    names.insert("localhost".to_owned());
    names.extend(nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).filter(|name| is_name(name)));
    if listen.iter().any(IpAddr::is_unspecified) {
        names.extend(addresses().iter().map(IpAddr::to_string));
    }
    names.extend(listen.iter().filter(|address| !address.is_unspecified()).map(IpAddr::to_string));
    names.into_iter().collect()
}

/// Of all interfaces, loopback included. Addresses that come later need `--name`, or a restart.
fn addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
        })
        .collect()
}

/// A host may be named anything; a certificate cannot (RFC 1123 §2.1).
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_on_all_addresses_has_all_names() {
        let names = of_server(&[IpAddr::from([0, 0, 0, 0])], &["mesh.example".to_owned()]);
        for name in ["127.0.0.1", "localhost", "mesh.example"] {
            assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
        }
    }

    #[test]
    fn a_socket_on_one_address_has_no_other() {
        let names = of_server(&[IpAddr::from([192, 0, 2, 1])], &[]);
        let addresses: Vec<_> = names.iter().filter(|name| name.parse::<IpAddr>().is_ok()).collect();
        assert_eq!(addresses, ["192.0.2.1"]);
    }
}
