use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use super::cells::{Cell64, Level};

/// What filters count, under the names that Envoy gives it (`<stat_prefix>.rbac.denied`).
#[derive(Debug)]
pub(super) struct NamedCells {
    pub(super) name: String,
    pub(super) total: Cell64,
}

/// As [`NamedCells`], for what goes up and down.
#[derive(Debug)]
pub(super) struct NamedLevel {
    pub(super) name: String,
    pub(super) level: Level,
}

/// Counts one kind of event of a filter. Stays on its worker.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(super) cells: Arc<NamedCells>,
    pub(super) _stays_on_its_thread: PhantomData<Rc<()>>,
}

impl Counter {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, amount: u64) {
        self.cells.total.add(amount);
    }
}

/// How many there are of something of a filter. Stays on its worker.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    pub(super) cells: Arc<NamedLevel>,
    pub(super) _stays_on_its_thread: PhantomData<Rc<()>>,
}

/// One of them, until dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct GaugeGuard(Gauge);

impl Gauge {
    pub(crate) fn one_more(&self) -> GaugeGuard {
        self.cells.level.add(1);
        GaugeGuard(self.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.cells.level.add(-1);
    }
}
