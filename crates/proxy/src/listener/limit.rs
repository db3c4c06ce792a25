use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many connections listeners may have, by their names (Envoy's runtime key
/// `envoy.resource_limits.listener.<name>.connection_limit`); shared by the workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionLimits(Arc<BTreeMap<String, Arc<ListenerLimit>>>);

#[derive(Debug)]
pub(crate) struct ListenerLimit {
    most: u64,
    open: AtomicU64,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct ListenerSlot(Arc<ListenerLimit>);

impl ConnectionLimits {
    pub(crate) fn new(limits: BTreeMap<String, u64>) -> Self {
        let limit = |(name, most)| (name, Arc::new(ListenerLimit { most, open: AtomicU64::default() }));
        Self(Arc::new(limits.into_iter().map(limit).collect()))
    }

    /// `None`: any number.
    pub(crate) fn of(&self, listener: &str) -> Option<Arc<ListenerLimit>> {
        self.0.get(listener).cloned()
    }
}

impl ListenerLimit {
    /// A place for one more connection; `None`: there are too many.
    pub(super) fn admit(self: &Arc<Self>) -> Option<ListenerSlot> {
        // Counted first, or two workers could take the last place.
        let slot = ListenerSlot(self.clone());
        (self.open.fetch_add(1, Ordering::Relaxed) < self.most).then_some(slot)
    }
}

impl Drop for ListenerSlot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_no_more_connections_than_it_may() {
        let limits = ConnectionLimits::new(BTreeMap::from([("a".to_owned(), 2)]));
        assert!(limits.of("b").is_none());
        let limit = limits.of("a").expect("it has one");
        let (first, second) = (limit.admit(), limit.admit());
        assert!(first.is_some() && second.is_some() && limit.admit().is_none() && limit.admit().is_none());
        drop(first);
        assert!(limit.admit().is_some());
    }
}
