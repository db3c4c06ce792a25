use std::sync::Arc;

use super::cells::{Cell64, Level};

/// Leno's own counts of one cluster on one worker.
#[derive(Debug)]
pub(crate) struct ClusterCells {
    name: String,
    pub(super) connections_active: Level,
    pub(super) connections_opened: Cell64,
    pub(super) connections_failed: Cell64,
    pub(super) ejections: Cell64,
    pub(super) ejected: Level,
    pub(super) retries: Cell64,
    pub(super) overflows: [Cell64; Limit::ALL.len()],
}

/// The limits of a circuit breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    Connections,
    Pending,
    Requests,
    Retries,
}

impl Limit {
    pub(super) const ALL: [Self; 4] = [Self::Connections, Self::Pending, Self::Requests, Self::Retries];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Pending => "pending",
            Self::Requests => "requests",
            Self::Retries => "retries",
        }
    }
}

impl ClusterCells {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            connections_active: Level::default(),
            connections_opened: Cell64::default(),
            connections_failed: Cell64::default(),
            ejections: Cell64::default(),
            ejected: Level::default(),
            retries: Cell64::default(),
            overflows: Default::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Counts for one cluster. Clones count together; all stay on one worker.
#[derive(Clone, Debug)]
pub(crate) struct ClusterStats {
    cells: Arc<ClusterCells>,
    // Cells are written without read-modify-write, so a handle must not move to another thread.
    _stays_on_its_thread: std::marker::PhantomData<std::rc::Rc<()>>,
}

/// One upstream connection, counted as active until dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct ConnectionGuard {
    stats: ClusterStats,
}

impl ClusterStats {
    pub(super) fn new(cells: Arc<ClusterCells>) -> Self {
        Self { cells, _stays_on_its_thread: std::marker::PhantomData }
    }

    pub(crate) fn connection_opened(&self) -> ConnectionGuard {
        self.cells.connections_opened.add(1);
        self.cells.connections_active.add(1);
        ConnectionGuard { stats: self.clone() }
    }

    pub(crate) fn connection_failed(&self) {
        self.cells.connections_failed.add(1);
    }

    pub(crate) fn retried(&self) {
        self.cells.retries.add(1);
    }

    pub(crate) fn overflowed(&self, limit: Limit) {
        self.cells.overflows[limit as usize].add(1);
    }

    pub(crate) fn ejected(&self) {
        self.cells.ejections.add(1);
    }

    /// How many endpoints are out now.
    pub(crate) fn set_ejected_endpoints(&self, endpoints: usize) {
        self.cells.ejected.set(i64::try_from(endpoints).unwrap_or(i64::MAX));
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.stats.cells.connections_active.add(-1);
    }
}
