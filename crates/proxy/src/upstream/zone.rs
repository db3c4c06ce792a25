use std::collections::BTreeMap;

use leno_balance::Zones;
use leno_ir::{EndpointSet, ZoneAware};
use leno_names::Locality;

/// Where this proxy is, and where all proxies like it are: the endpoints of its own cluster that take traffic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LocalZone {
    pub(crate) locality: Locality,
    pub(crate) callers: BTreeMap<Locality, u32>,
}

impl LocalZone {
    /// The same by the localities of a cluster's endpoints.
    pub(super) fn of(&self, set: &EndpointSet, config: &ZoneAware) -> Zones {
        let number = |wanted: &Locality| {
            let at = set.localities.iter().position(|one| one.priority == 0 && one.locality == *wanted)?;
            u32::try_from(at).ok()
        };
        let callers = self.callers.iter().filter_map(|(locality, count)| Some((number(locality)?, *count)));
        Zones {
            routing_enabled: config.routing_enabled,
            min_members: config.min_cluster_size,
            local: number(&self.locality),
            local_callers: self.callers.get(&self.locality).copied().unwrap_or_default(),
            callers: callers.collect(),
            all_callers: self.callers.values().sum(),
        }
    }
}
