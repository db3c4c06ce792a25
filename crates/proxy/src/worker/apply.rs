use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::{Plan, Worker};
use crate::admin::ClusterStatus;
use crate::listener::{ActiveListener, Binding};
use crate::proxy::{BindKey, NewSockets, Rejection, ResourceType};
use crate::upstream::UpstreamCluster;

impl Worker {
    /// Makes `plan` the configuration of this worker. Everything a route may name is there before the route is, and
    /// connections meet either the old configuration or the new one, because nothing is awaited in between.
    pub(super) async fn apply(self: &Rc<Self>, plan: Arc<Plan>, sockets: NewSockets) -> Vec<Rejection> {
        let retired = self.apply_clusters(&plan);
        *self.plan.borrow_mut() = plan.clone();
        let (closing, rejections) = self.apply_listeners(&plan, sockets);
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
        for (name, config) in &plan.config.clusters {
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
            clusters.insert(name.clone(), cluster);
        }
        *self.clusters.borrow_mut() = clusters;
        old.into_values().collect()
    }

    fn apply_listeners(self: &Rc<Self>, plan: &Plan, mut sockets: NewSockets) -> (Vec<Rc<Binding>>, Vec<Rejection>) {
        let mut old = std::mem::take(&mut *self.bindings.borrow_mut());
        let mut bindings = HashMap::with_capacity(plan.config.listeners.len());
        let mut rejections = Vec::new();
        for (name, config) in plan.config.listeners.iter().filter(|(_, listener)| !listener.api) {
            let key = BindKey::of(config);
            if let Some(binding) = old.remove(&key) {
                let current = binding.listener();
                if !Arc::ptr_eq(&current.config, config) && current.config != *config {
                    binding.replace(Rc::new(ActiveListener::new(config.clone(), self)));
                }
                bindings.insert(key, binding);
            } else if let Some(socket) = sockets.remove(&key) {
                let listener = Rc::new(ActiveListener::new(config.clone(), self));
                match Binding::start(socket, listener, self) {
                    Ok(binding) => {
                        bindings.insert(key, binding);
                    }
                    Err(error) => rejections.push(Rejection {
                        resource_type: ResourceType::Listener,
                        name: name.clone(),
                        reason: format!("its socket cannot be watched: {error}"),
                    }),
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

    /// Takes no new connections, lets those under way finish. `false` when some had not at the deadline.
    pub(super) async fn drain(&self, deadline: Duration) -> bool {
        let bindings: Vec<_> = self.bindings.borrow_mut().drain().map(|(_, binding)| binding).collect();
        for binding in &bindings {
            binding.stop();
        }
        let finishing = async {
            for binding in &bindings {
                binding.closed().await;
            }
            self.connections.join().await;
        };
        tokio::time::timeout(deadline, finishing).await.is_ok()
    }

    /// Takes what was found out of clusters.
    pub(super) fn refresh(&self) {
        let clusters: Vec<_> = self.clusters.borrow().values().cloned().collect();
        for cluster in clusters {
            cluster.refresh(self);
        }
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
