use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{Resource, ResourceKey};

/// Oldest first, those without a time last, then by name (Gateway API: "conflicts"): who comes first wins.
pub(super) type Place = ((bool, Option<String>), ResourceKey);

pub(super) fn place(key: &ResourceKey, resource: &Resource) -> Place {
    let stamp = resource.metadata().creation_timestamp.clone();
    ((stamp.is_none(), stamp), key.clone())
}

/// All objects but workloads.
#[derive(Debug, Default)]
pub(super) struct Objects {
    in_order: BTreeMap<Place, Arc<Resource>>,
    places: BTreeMap<ResourceKey, Place>,
}

impl Objects {
    /// Puts an object in the place of the one of its key, which is given back; `None` leaves none.
    pub(super) fn replace(&mut self, key: &ResourceKey, new: Option<&Arc<Resource>>) -> Option<Arc<Resource>> {
        let old = self.places.remove(key).and_then(|place| self.in_order.remove(&place));
        if let Some(new) = new {
            let place = place(key, new);
            self.places.insert(key.clone(), place.clone());
            self.in_order.insert(place, new.clone());
        }
        old
    }

    pub(super) fn get(&self, key: &ResourceKey) -> Option<&Arc<Resource>> {
        self.in_order.get(self.places.get(key)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.in_order.values()
    }
}

/// One of each key: the oldest, and of those of one age the one whose text comes first.
pub(super) fn unique(resources: &[Arc<Resource>]) -> BTreeMap<ResourceKey, Arc<Resource>> {
    let mut all: BTreeMap<ResourceKey, Arc<Resource>> = BTreeMap::new();
    for resource in resources {
        let key = resource.key();
        let rank = |resource: &Resource| (place(&key, resource), resource.to_json().to_string());
        // The text is only written out where two of one key meet, which they hardly ever do.
        if all.get(&key).is_none_or(|other| rank(resource) < rank(other)) {
            all.insert(key, resource.clone());
        }
    }
    all
}
