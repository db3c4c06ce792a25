use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use leno_ir::{Cluster, EndpointSet, Flavor, Listener, RouteTable};
use leno_xds::{Resource, codec};

/// Encoded resources, shared by all streams: what was compiled once is encoded once per flavor.
///
/// Keeps nothing alive: an entry is as good as gone when its source or the last stream that holds the encoding is.
#[derive(Debug, Default)]
pub(crate) struct EncodingCache {
    clusters: Table<Cluster>,
    endpoints: Table<EndpointSet>,
    listeners: Table<Listener>,
    route_tables: Table<RouteTable>,
}

impl EncodingCache {
    pub(crate) fn cluster(&self, value: &Arc<Cluster>, flavor: Flavor) -> Arc<Resource> {
        self.clusters.encoded(value, flavor, codec::encode_cluster)
    }

    pub(crate) fn endpoints(&self, value: &Arc<EndpointSet>, flavor: Flavor) -> Arc<Resource> {
        self.endpoints.encoded(value, flavor, codec::encode_endpoints)
    }

    pub(crate) fn listener(&self, value: &Arc<Listener>, flavor: Flavor) -> Arc<Resource> {
        self.listeners.encoded(value, flavor, codec::encode_listener)
    }

    pub(crate) fn route_table(&self, value: &Arc<RouteTable>, flavor: Flavor) -> Arc<Resource> {
        self.route_tables.encoded(value, flavor, codec::encode_route_table)
    }
}

/// By flavor and address. The `Weak` keeps the address from being used again while the entry stands.
#[derive(Debug)]
struct Table<T> {
    entries: Mutex<Entries<T>>,
}

#[derive(Debug)]
struct Entries<T> {
    map: HashMap<(Flavor, usize), (Weak<T>, Weak<Resource>)>,
    sweep_at: usize,
}

/// A table is swept when it has doubled since the last sweep, but not below this.
const MIN_SWEEP: usize = 256;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Mutex::new(Entries { map: HashMap::new(), sweep_at: MIN_SWEEP }) }
    }
}

impl<T> Table<T> {
    fn encoded(&self, value: &Arc<T>, flavor: Flavor, encode: impl Fn(&T, Flavor) -> Resource) -> Arc<Resource> {
        let key = (flavor, Arc::as_ptr(value).addr());
        if let Some(resource) = self.lock().map.get(&key).and_then(|(_, encoded)| encoded.upgrade()) {
            return resource;
        }
        // Outside the lock: two streams may encode the same resource at once, which costs less than making all wait.
        let resource = Arc::new(encode(value, flavor));
        let mut entries = self.lock();
        entries.map.insert(key, (Arc::downgrade(value), Arc::downgrade(&resource)));
        if entries.map.len() > entries.sweep_at {
            entries.map.retain(|_, (source, encoded)| source.strong_count() > 0 && encoded.strong_count() > 0);
            entries.sweep_at = MIN_SWEEP.max(2 * entries.map.len());
        }
        resource
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(value: &u8, _flavor: Flavor) -> Resource {
        codec::encode_endpoints(
            &EndpointSet { name: value.to_string(), localities: Vec::new(), ..EndpointSet::default() },
            Flavor::Leno,
        )
    }

    #[test]
    fn one_source_is_encoded_once_per_flavor() {
        let (table, source) = (Table::default(), Arc::new(1));
        let first = table.encoded(&source, Flavor::Leno, encode);
        assert!(Arc::ptr_eq(&first, &table.encoded(&source, Flavor::Leno, |_, _| panic!("encoded twice"))));
        assert!(!Arc::ptr_eq(&first, &table.encoded(&source, Flavor::Envoy, encode)));
    }

    #[test]
    fn entries_nobody_holds_are_swept() {
        let table = Table::default();
        for round in 0..=u8::MAX {
            table.encoded(&Arc::new(round), Flavor::Leno, encode);
            table.encoded(&Arc::new(round), Flavor::Envoy, encode);
        }
        assert!(table.lock().map.len() <= MIN_SWEEP, "{}", table.lock().map.len());
    }
}
