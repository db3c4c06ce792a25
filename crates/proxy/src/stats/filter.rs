use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;

/// The counters of HTTP filters, by kind of filter and statistics prefix. They are shared by workers: what one says about
/// routes is, and events of filters are rare beside requests.
#[derive(Debug, Default)]
pub(crate) struct FilterStats {
    counters: Mutex<BTreeMap<(&'static str, String), Arc<FilterCounters>>>,
}

/// One counter for each kind of event.
#[derive(Debug)]
pub(crate) struct FilterCounters {
    events: &'static [&'static str],
    counts: Vec<AtomicU64>,
}

impl FilterStats {
    /// The same for the same filter and prefix. Keep it; it is found under a lock.
    pub(crate) fn counters(
        &self,
        filter: &'static str,
        stat_prefix: &str,
        events: &'static [&'static str],
    ) -> Arc<FilterCounters> {
        let new = || {
            let counts = events.iter().map(|_| AtomicU64::new(0)).collect();
            Arc::new(FilterCounters { events, counts })
        };
        lock(&self.counters).entry((filter, stat_prefix.to_owned())).or_insert_with(new).clone()
    }

    /// Labels and value of every counter.
    pub(super) fn rows(&self) -> Vec<([(&'static str, String); 3], u64)> {
        let mut rows = Vec::new();
        for ((filter, prefix), counters) in lock(&self.counters).iter() {
            for (event, count) in counters.events.iter().zip(&counters.counts) {
                let labels =
                    [("filter", (*filter).to_owned()), ("stat_prefix", prefix.clone()), ("event", (*event).to_owned())];
                rows.push((labels, count.load(Ordering::Relaxed)));
            }
        }
        rows
    }
}

impl FilterCounters {
    /// `event` is a place in the list that the counters were asked for with.
    pub(crate) fn add(&self, event: usize) {
        if let Some(count) = self.counts.get(event) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
