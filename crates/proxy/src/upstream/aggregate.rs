//! Clusters made of clusters: which of them, and which of its priorities, takes a request.
//!
//! Shape       the priorities of all clusters in a row -> their shares, as if they were one cluster's -> an endpoint of one
//! Invariants  connections, limits and counters are those of the cluster the endpoint belongs to
//! Source      Envoy aggregate cluster.cc, 1.40: everything of a request but its route is that of the cluster chosen

use std::rc::Rc;
use std::time::Instant;

use leno_balance::{Health, Wish, choose_priority};
use leno_ir::Discovery;
use smallvec::SmallVec;

use super::{EndpointId, Pick, UpstreamCluster};
use crate::worker::Worker;

/// Clusters of clusters of clusters end here. Chosen: nobody nests them, but for circles.
const MOST_LEVELS: usize = 4;

impl UpstreamCluster {
    /// The clusters this one is made of; itself where it is made of none.
    fn leaves(self: &Rc<Self>, worker: &Worker, level: usize, found: &mut SmallVec<[Rc<Self>; 4]>) {
        let Discovery::Aggregate(names) = &self.config.discovery else { return found.push(self.clone()) };
        if level < MOST_LEVELS {
            names.iter().filter_map(|name| worker.cluster(name)).for_each(|cluster| {
                cluster.leaves(worker, level + 1, found);
            });
        }
    }

    pub(super) fn pick_among(
        self: &Rc<Self>,
        worker: &Worker,
        now: Instant,
        wish: Wish<'_>,
        avoid: &[EndpointId],
    ) -> Option<Pick> {
        let mut clusters = SmallVec::new();
        self.leaves(worker, 0, &mut clusters);
        let mut places: SmallVec<[(usize, u32); 8]> = SmallVec::new();
        let mut healths: SmallVec<[Health; 8]> = SmallVec::new();
        for (at, cluster) in clusters.iter().enumerate() {
            cluster.with_priorities(|priority, health| {
                places.push((at, priority));
                healths.push(health);
            });
        }
        let chosen = choose_priority(&healths, self.panic_threshold(), worker.random())?;
        let (at, priority) = places.get(chosen)?;
        clusters.get(*at)?.pick_for(worker, now, Wish { priority: Some(*priority), ..wish }, avoid)
    }

    /// Whether one of the clusters a request may go to balances by hash.
    pub(crate) fn uses_hash(self: &Rc<Self>, worker: &Worker) -> bool {
        if !matches!(self.config.discovery, Discovery::Aggregate(_)) {
            return self.config.balancer.uses_hash();
        }
        let mut clusters = SmallVec::new();
        self.leaves(worker, 0, &mut clusters);
        clusters.iter().any(|cluster| cluster.config.balancer.uses_hash())
    }
}
