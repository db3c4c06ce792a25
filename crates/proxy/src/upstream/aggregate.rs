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

/// One priority of one of the clusters.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// In the row of all.
    number: u32,
    cluster: usize,
    priority: u32,
    health: Health,
}

fn places(clusters: &[Rc<UpstreamCluster>]) -> SmallVec<[Place; 8]> {
    let mut places = SmallVec::new();
    let mut number = 0;
    for (cluster, of) in clusters.iter().enumerate() {
        of.with_priorities(|priority, health| {
            places.push(Place { number, cluster, priority, health });
            number += 1;
        });
    }
    places
}

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
        let all = places(&clusters);
        let is_fresh = |place: &Place| !wish.past_priorities.contains(&place.number);
        let mut fresh: SmallVec<[Place; 8]> = all.iter().copied().filter(is_fresh).collect();
        if !fresh.iter().any(|place| place.health.has_any()) {
            fresh = all;
        }
        let healths: SmallVec<[Health; 8]> = fresh.iter().map(|place| place.health).collect();
        let place = fresh.get(choose_priority(&healths, self.panic_threshold(), worker.random())?)?;
        let wish = Wish { priority: Some(place.priority), past_priorities: &[], ..wish };
        let pick = clusters.get(place.cluster)?.pick_for(worker, now, wish, avoid)?;
        Some(pick.of_place(place.number))
    }

    /// Whether somebody is in other priorities than these.
    pub(crate) fn has_other_priority(self: &Rc<Self>, worker: &Worker, past: &[u32]) -> bool {
        let mut clusters = SmallVec::new();
        self.leaves(worker, 0, &mut clusters);
        let is_aggregate = matches!(self.config.discovery, Discovery::Aggregate(_));
        places(&clusters).iter().any(|place| {
            let number = if is_aggregate { place.number } else { place.priority };
            place.health.has_any() && !past.contains(&number)
        })
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
