use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use leno_ir::{Config, Direction, Discovery, EndpointSet};

/// A saved configuration with the addresses of the block that this run has claimed: another workload may have taken the
/// block of the last run since.
pub(super) fn to_block(config: Arc<Config>, prefix: [u8; 2]) -> Arc<Config> {
    let of_outbound = |listener: &Arc<leno_ir::Listener>| match listener.address.ip() {
        IpAddr::V4(ip) if ip.is_loopback() && listener.direction == Direction::Outbound => {
            Some([ip.octets()[0], ip.octets()[1]])
        }
        _ => None,
    };
    // All outbound listeners are in one block.
    let Some(old) = config.listeners.values().find_map(of_outbound).filter(|old| *old != prefix) else { return config };
    tracing::warn!(?old, new = ?prefix, "the block of the last run is taken; the saved configuration is moved");
    let mut config = Arc::unwrap_or_clone(config);
    config.listeners.edit(|listener| {
        let listener = Arc::make_mut(listener);
        listener.address = moved(listener.address, old, prefix);
    });
    config.clusters.edit(|cluster| {
        if let Discovery::Static(endpoints) = &mut Arc::make_mut(cluster).discovery {
            move_endpoints(Arc::make_mut(endpoints), old, prefix);
        }
    });
    config.endpoints.edit(|endpoints| move_endpoints(Arc::make_mut(endpoints), old, prefix));
    Arc::new(config)
}

fn move_endpoints(endpoints: &mut EndpointSet, old: [u8; 2], new: [u8; 2]) {
    for endpoint in endpoints.localities.iter_mut().flat_map(|locality| &mut locality.endpoints) {
        endpoint.address = moved(endpoint.address, old, new);
    }
}

fn moved(address: SocketAddr, old: [u8; 2], new: [u8; 2]) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.octets()[..2] == old => {
            let [_, _, third, fourth] = ip.octets();
            SocketAddr::from(([new[0], new[1], third, fourth], address.port()))
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use leno_ir::{Cluster, Endpoint, EndpointHealth, Listener, ListenerOptions, LocalityEndpoints};

    use super::*;

    #[test]
    fn listeners_and_our_own_endpoints_move_and_others_stay() {
        let listener = |name: &str, address: &str, direction| {
            let listener = Listener {
                name: name.to_owned(),
                address: address.parse().unwrap(),
                direction,
                inspect_tls: false,
                inspect_http: false,
                filter_chains: Vec::new(),
                default_filter_chain: None,
                options: ListenerOptions::default(),
                api: false,
            };
            (name.to_owned(), Arc::new(listener))
        };
        let mut config = Config::default();
        config.listeners.extend([
            listener("in", "10.0.0.1:15006", Direction::Inbound),
            listener("out", "127.70.1.0:8080", Direction::Outbound),
        ]);
        let endpoint =
            |address: &str| Endpoint { health: EndpointHealth::Healthy, ..Endpoint::new(address.parse().unwrap()) };
        let locality = LocalityEndpoints {
            endpoints: vec![endpoint("127.70.0.1:8080"), endpoint("127.71.0.1:1")],
            ..Default::default()
        };
        let endpoints = EndpointSet { name: String::new(), localities: vec![locality], ..EndpointSet::default() };
        let cluster = Cluster::new("inbound|8080||", Discovery::Static(Arc::new(endpoints)));
        config.clusters.insert(cluster.name.clone(), Arc::new(cluster));

        let moved = to_block(Arc::new(config.clone()), [127, 99]);
        let addresses: Vec<_> = moved.listeners.values().map(|listener| listener.address.to_string()).collect();
        assert_eq!(addresses, ["10.0.0.1:15006", "127.99.1.0:8080"]);
        let Discovery::Static(endpoints) = &moved.clusters["inbound|8080||"].discovery else { panic!("static") };
        let addresses: Vec<_> = endpoints.endpoints().map(|endpoint| endpoint.address.to_string()).collect();
        assert_eq!(addresses, ["127.99.0.1:8080", "127.71.0.1:1"]);
        assert_eq!(*to_block(Arc::new(config.clone()), [127, 70]), config);
    }
}
