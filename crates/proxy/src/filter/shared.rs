use std::sync::Arc;

use crate::stats::{FilterCounters, FilterStats};

/// What the filters of all workers have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterShared {
    stats: Arc<FilterStats>,
}

impl FilterShared {
    pub(crate) fn new(stats: Arc<FilterStats>) -> Self {
        Self { stats }
    }

    /// Counters of the events of a kind of filter, which exporters see under `stat_prefix`.
    pub(super) fn counters(
        &self,
        filter: &'static str,
        stat_prefix: &str,
        events: &'static [&'static str],
    ) -> Arc<FilterCounters> {
        self.stats.counters(filter, stat_prefix, events)
    }
}
