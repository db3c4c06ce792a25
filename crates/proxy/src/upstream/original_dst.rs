use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_ir::{DynamicHosts, Endpoint, EndpointSet, LocalityEndpoints};

use super::EndpointId;
use crate::discovery::look_up;

use super::endpoint::{Age, EndpointSource, EndpointState};

/// The endpoints of a cluster whose requests say themselves where they go; each is made by the first request there.
///
/// Invariants: one that was not used for the clean-up interval, and has no connections, is forgotten.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    known: RefCell<HashMap<SocketAddr, Destination>>,
    last_serial: Cell<u32>,
    /// Addresses of the hosts that requests named.
    hosts: RefCell<HashMap<String, Found>>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    address: IpAddr,
    until: Instant,
}

/// Chosen: whoever asks for more hosts than this at a time makes us ask again, and nothing grows.
const MOST_HOSTS: usize = 1024;

#[derive(Debug)]
struct Destination {
    state: Rc<EndpointState>,
    used: Instant,
}

impl Destinations {
    pub(super) fn at(&self, address: SocketAddr, now: Instant) -> Rc<EndpointState> {
        let mut known = self.known.borrow_mut();
        let destination = known.entry(address).or_insert_with(|| {
            let serial = self.last_serial.get().wrapping_add(1);
            self.last_serial.set(serial);
            let locality =
                LocalityEndpoints { endpoints: vec![Endpoint::new(address)], ..LocalityEndpoints::default() };
            let set = Arc::new(EndpointSet { localities: vec![locality], ..EndpointSet::default() });
            let source = EndpointSource::new(set, 0, 0);
            Destination { state: Rc::new(EndpointState::new(EndpointId::new(0, serial), source, None)), used: now }
        });
        destination.used = now;
        destination.state.clone()
    }

    /// The address of a host; it is asked for when it is not known or its time is over. Requests that come meanwhile ask, too.
    pub(super) async fn look_up(&self, config: &DynamicHosts, host: &str, now: Instant) -> Option<IpAddr> {
        if let Ok(address) = host.parse() {
            return Some(address);
        }
        let host = host.to_ascii_lowercase();
        let known = self.hosts.borrow().get(&host).copied();
        if let Some(known) = known.filter(|known| now < known.until) {
            return Some(known.address);
        }
        let (addresses, kept_for) = look_up(&host, config.lookup_family).await?;
        let address = addresses.first().copied()?;
        let kept_for = if kept_for.is_zero() { config.refresh_rate } else { kept_for };
        let mut hosts = self.hosts.borrow_mut();
        if hosts.len() >= MOST_HOSTS {
            hosts.retain(|_, found| now < found.until);
        }
        if hosts.len() < MOST_HOSTS {
            hosts.insert(host, Found { address, until: now + kept_for });
        }
        Some(address)
    }

    pub(super) fn sweep(&self, age: Age, now: Instant, cleanup_interval: Duration) {
        self.known.borrow_mut().retain(|_, destination| {
            let is_used = now.saturating_duration_since(destination.used) < cleanup_interval;
            destination.state.sweep(age);
            // As in Envoy, connections keep it, in use or not.
            let stays = is_used || destination.state.has_connections();
            if !stays {
                destination.state.retire();
            }
            stays
        });
    }

    pub(super) fn retire(&self) {
        self.known.borrow_mut().drain().for_each(|(_, destination)| destination.state.retire());
    }
}
