use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// What the system's files say of names: `/etc/hosts` and `/etc/resolv.conf`.
#[derive(Debug, Default)]
pub(super) struct SystemNames {
    pub(super) hosts: HashMap<String, Vec<IpAddr>>,
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    /// A name with at least so many dots is first looked up as it stands.
    pub(super) ndots: usize,
}

impl SystemNames {
    /// A file that cannot be read says nothing.
    pub(super) fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text("/etc/hosts"), &text("/etc/resolv.conf"))
    }

    fn parse(hosts: &str, resolv_conf: &str) -> Self {
        let mut system = Self { ndots: 1, ..Self::default() };
        for line in hosts.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(ip) = words.next().and_then(|ip| ip.parse::<IpAddr>().ok()) else { continue };
            for name in words {
                system.hosts.entry(name.to_ascii_lowercase()).or_default().push(ip);
            }
        }
        for line in resolv_conf.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|ip| ip.parse::<IpAddr>().ok());
                    system.servers.extend(server.map(|ip| SocketAddr::new(ip, 53)));
                }
                Some("search" | "domain") => system.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    system.ndots = ndots.unwrap_or(system.ndots);
                }
                _ => {}
            }
        }
        system
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_the_system_reads_them() {
        let system = SystemNames::parse(
            "127.0.0.1 localhost Here # comment\n::1 localhost\nnonsense x\n",
            "# generated\nnameserver 10.0.0.2\nsearch a.test b.test\noptions edns0 ndots:5\n",
        );
        assert_eq!(system.hosts["localhost"].len(), 2);
        assert_eq!(system.hosts["here"], [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(system.servers, [SocketAddr::from(([10, 0, 0, 2], 53))]);
        assert_eq!((system.search.len(), system.ndots), (2, 5));
    }
}
