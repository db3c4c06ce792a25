use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::Which;
use super::{Plan, Worker};
use crate::admin::ClusterStatus;
use crate::listener::{ActiveListener, Binding};
use crate::proxy::{BindKey, NewSockets, Rejection, ResourceType};
use crate::upstream::{LocalZone, UpstreamCluster};

impl Worker {
    /// Makes `plan` the configuration of this worker. Everything a route may name is there before the route is, and
    /// connections meet either the old configuration or the new one, because nothing is awaited in between.
    pub(super) async fn apply(self: &Rc<Self>, plan: Arc<Plan>, sockets: NewSockets) -> Vec<Rejection> {
        let retired = self.apply_clusters(&plan);
        *self.plan.borrow_mut() = plan.clone();
        let (closing, rejections) = self.apply_listeners(&plan, sockets);
        self.access_logs.start_remote(self);
        for cluster in retired {
            cluster.retire();
        }
        // The answer says that the addresses are free again.
        for binding in closing {
            binding.closed().await;
        }
        rejections
    }

    fn apply_clusters(&self, plan: &Plan) -> Vec<Rc<UpstreamCluster>> {
        let mut old = std::mem::take(&mut *self.clusters.borrow_mut());
        let mut clusters = FxHashMap::with_capacity_and_hasher(plan.config.clusters.len(), FxBuildHasher);
        for (name, config) in plan.config.clusters.iter() {
            let endpoints = plan.endpoints(config);
            let shared = plan.shared(name);
            let cluster = match old.remove(name) {
                Some(cluster) if Arc::ptr_eq(&cluster.config, config) || cluster.config == *config => {
                    cluster.update(endpoints, self);
                    cluster
                }
                Some(cluster) => Rc::new(cluster.successor(config.clone(), shared, endpoints, self)),
                None => Rc::new(UpstreamCluster::new(config.clone(), shared, endpoints, self)),
            };
            clusters.insert(name.to_owned(), cluster);
        }
        *self.clusters.borrow_mut() = clusters;
        self.tell_zone();
        old.into_values().collect()
    }

    /// Tells the clusters to which it matters where this proxy and its like are.
    fn tell_zone(&self) {
        let clusters = self.clusters.borrow();
        let mut zone_aware = clusters.values().filter(|cluster| cluster.is_zone_aware()).peekable();
        if zone_aware.peek().is_none() {
            return;
        }
        let local = self.local_zone.as_ref().and_then(|(name, locality)| Some((clusters.get(name)?, locality)));
        let zone = local.map(|(cluster, locality)| {
            Arc::new(LocalZone { locality: locality.clone(), callers: cluster.healthy_by_locality() })
        });
        zone_aware.for_each(|cluster| cluster.set_zone(zone.as_ref()));
    }

    fn apply_listeners(self: &Rc<Self>, plan: &Plan, mut sockets: NewSockets) -> (Vec<Rc<Binding>>, Vec<Rejection>) {
        let mut old = std::mem::take(&mut *self.bindings.borrow_mut());
        let mut bindings = HashMap::with_capacity(plan.config.listeners.len());
        let mut rejections = Vec::new();
        self.apply_unbound(plan);
        for (name, config) in plan.config.listeners.iter().filter(|(_, listener)| listener.is_bound()) {
            // One for all of its addresses.
            let mut successor = None;
            let before = BindKey::all_of(config).find_map(|key| old.get(&key)).map(|binding| binding.listener());
            let mut active = || {
                let next = || Rc::new(ActiveListener::successor(before.as_deref(), config.clone(), self));
                successor.get_or_insert_with(next).clone()
            };
            for key in BindKey::all_of(config) {
                if let Some(binding) = old.remove(&key) {
                    if !binding.listener().has_config(config) {
                        binding.replace(active());
                    }
                    bindings.insert(key, binding);
                } else if let Some(socket) = sockets.remove(&key) {
                    match Binding::start(socket, active(), self) {
                        Ok(binding) => {
                            bindings.insert(key, binding);
                        }
                        Err(error) => rejections.push(Rejection {
                            resource_type: ResourceType::Listener,
                            name: name.to_owned(),
                            reason: format!("its socket cannot be watched: {error}"),
                        }),
                    }
                }
            }
        }
        *self.bindings.borrow_mut() = bindings;
        let closing: Vec<_> = old.into_values().collect();
        for binding in &closing {
            binding.stop();
        }
        (closing, rejections)
    }

    /// Listeners without a socket, which get connections by their original destination.
    fn apply_unbound(&self, plan: &Plan) {
        let mut old = std::mem::take(&mut *self.unbound.borrow_mut());
        let wanted = plan.config.listeners.values().filter(|listener| listener.options.is_unbound && !listener.api);
        let mut unbound = Vec::new();
        for config in wanted {
            let kept = old.iter().position(|listener| listener.has_config(config)).map(|at| old.swap_remove(at));
            unbound.push(kept.unwrap_or_else(|| Rc::new(ActiveListener::new(config.clone(), self))));
        }
        *self.unbound.borrow_mut() = unbound;
        old.iter().for_each(|listener| listener.drain(None));
    }

    /// The listener for connections to `destination`: at exactly that address, or at all addresses of the host.
    pub(crate) fn listener_at(&self, destination: SocketAddr) -> Option<Rc<ActiveListener>> {
        let bound = self.bindings.borrow();
        let all: Vec<_> =
            self.unbound.borrow().iter().cloned().chain(bound.values().map(|binding| binding.listener())).collect();
        let everywhere = match destination {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, destination.port())),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, destination.port())),
        };
        let at = |wanted: SocketAddr| all.iter().find(|listener| listener.config.addresses().any(|one| one == wanted));
        at(destination).or_else(|| at(everywhere)).cloned()
    }

    /// Takes no new connections, lets those under way finish. `false` when some had not at the deadline.
    pub(super) async fn drain(&self, deadline: Duration) -> bool {
        let bindings: Vec<_> = self.bindings.borrow_mut().drain().map(|(_, binding)| binding).collect();
        self.unbound.borrow_mut().drain(..).for_each(|listener| listener.drain(None));
        for binding in &bindings {
            binding.stop();
            // Its socket may be closed long since.
            binding.listener().drain(None);
        }
        let finishing = async {
            for binding in &bindings {
                binding.closed().await;
            }
            self.connections.join().await;
        };
        tokio::time::timeout(deadline, finishing).await.is_ok()
    }

    fn bindings_of(&self, which: Which) -> Vec<Rc<Binding>> {
        let bindings = self.bindings.borrow();
        bindings.values().filter(|binding| which.has(&binding.listener().config)).cloned().collect()
    }

    pub(super) fn drain_listeners(&self, which: Which) {
        self.bindings_of(which).iter().for_each(|binding| binding.listener().drain(None));
    }

    pub(super) async fn stop_listeners(&self, which: Which) {
        let bindings = self.bindings_of(which);
        bindings.iter().for_each(|binding| binding.stop_keeping_connections());
        for binding in bindings {
            binding.closed().await;
        }
    }

    /// Takes what was found out of clusters.
    pub(super) fn refresh(&self) {
        let clusters: Vec<_> = self.clusters.borrow().values().cloned().collect();
        for cluster in clusters {
            cluster.refresh(self);
        }
        self.tell_zone();
    }

    /// What happens once a second.
    pub(super) fn tick(&self) {
        self.access_logs.flush();
        let now = self.now();
        self.clock.set(now);
        let clusters: Vec<_> = self.clusters.borrow().values().cloned().collect();
        for cluster in clusters {
            cluster.tick(now);
        }
        self.crowd.set(self.crowd.get().seen(self.connections.len(), leno_runtime::sys::trim_heap));
    }

    pub(super) fn status(&self) -> Vec<ClusterStatus> {
        let now = self.now();
        self.clusters.borrow().values().map(|cluster| cluster.status(now)).collect()
    }

    /// Closes every idle upstream connection.
    pub(super) fn retire(&self) {
        for (_, cluster) in self.clusters.borrow_mut().drain() {
            cluster.retire();
        }
    }
}
