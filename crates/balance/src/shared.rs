use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::Outliers;

/// A number for each endpoint that all workers count in together. Kept for as long as somebody holds it.
#[derive(Debug, Default)]
pub struct SharedCounts {
    endpoints: Mutex<HashMap<SocketAddr, Weak<AtomicU32>>>,
}

impl SharedCounts {
    /// Asked once per endpoint and worker.
    pub fn of(&self, address: SocketAddr) -> Arc<AtomicU32> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = endpoints.get(&address).and_then(Weak::upgrade) {
            return known;
        }
        endpoints.retain(|_, count| count.strong_count() > 0);
        let count = Arc::new(AtomicU32::new(0));
        endpoints.insert(address, Arc::downgrade(&count));
        count
    }
}

/// What the balancers that all workers have of one cluster know together.
#[derive(Clone, Debug, Default)]
pub struct Together {
    pub outliers: Arc<Outliers>,
    /// Requests under way. Counted only where a policy bounds them.
    pub loads: Arc<SharedCounts>,
}
