//! What nobody counts, because it can be looked at: members of clusters, limits that are reached, what runs.
//!
//! Source      Envoy's names: `membership_*`, `circuit_breakers.*`, `cluster_manager.*`, `listener_manager.*`, `server.*`

use leno_ir::EndpointHealth;

use super::{ClusterStatus, EndpointStatus};
use crate::stats::{Root, Snapshot};

/// What the process is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Server {
    pub(crate) workers: usize,
    pub(crate) uptime_seconds: u64,
    /// Envoy's numbers: 0 live, 1 draining, 2 before the first configuration.
    pub(crate) state: i64,
    pub(crate) listeners: usize,
    pub(crate) memory_physical_bytes: u64,
}

pub(super) fn add(snapshot: &mut Snapshot, clusters: &[ClusterStatus], server: Server) {
    for cluster in clusters {
        add_cluster(snapshot, cluster);
    }
    let number = |of: usize| i64::try_from(of).unwrap_or(i64::MAX);
    let long = |of: u64| i64::try_from(of).unwrap_or(i64::MAX);
    for (name, level) in [
        ("cluster_manager.active_clusters", number(clusters.len())),
        ("cluster_manager.warming_clusters", 0),
        ("listener_manager.total_listeners_active", number(server.listeners)),
        ("listener_manager.total_listeners_warming", 0),
        ("listener_manager.workers_started", 1),
        ("server.concurrency", number(server.workers)),
        ("server.live", i64::from(server.state == 0)),
        ("server.memory_physical_size", long(server.memory_physical_bytes)),
        ("server.state", server.state),
        ("server.uptime", long(server.uptime_seconds)),
    ] {
        snapshot.gauge(name, level);
    }
    let connections = snapshot.levels("listener.", ".downstream_cx_active");
    snapshot.gauge("server.total_connections", connections);
}

fn add_cluster(snapshot: &mut Snapshot, cluster: &ClusterStatus) {
    let place = (Root::Cluster, cluster.config.name.as_str());
    let count = |of: fn(&EndpointStatus) -> bool| {
        let members = cluster.endpoints.iter().filter(|endpoint| of(endpoint)).count();
        i64::try_from(members).unwrap_or(i64::MAX)
    };
    for (name, level) in [
        ("membership_degraded", count(|endpoint| endpoint.is_degraded() && !endpoint.is_out())),
        ("membership_excluded", count(|endpoint| endpoint.checked.as_ref().is_some_and(|checked| checked.is_excluded))),
        ("membership_healthy", count(|endpoint| !endpoint.is_out() && !endpoint.is_degraded())),
        ("membership_total", count(|_| true)),
    ] {
        snapshot.gauge_at(place, name, level);
    }
    let names = ["cx_open", "rq_pending_open", "rq_open", "rq_retry_open"];
    for (priority, are_reached) in ["default", "high"].into_iter().zip(cluster.breakers) {
        for (name, is_reached) in names.into_iter().zip(are_reached) {
            snapshot.gauge_at(place, &format!("circuit_breakers.{priority}.{name}"), i64::from(is_reached));
        }
    }
}

impl EndpointStatus {
    fn is_degraded(&self) -> bool {
        self.health == EndpointHealth::Degraded || self.checked.as_ref().is_some_and(|checked| checked.is_degraded)
    }

    /// Whether nothing is sent there while there are others.
    fn is_out(&self) -> bool {
        matches!(self.health, EndpointHealth::Draining | EndpointHealth::Unhealthy)
            || self.is_ejected
            || self.checked.as_ref().is_some_and(|checked| checked.is_failed)
    }
}
