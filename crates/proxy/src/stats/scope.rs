use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};

use super::cells::{Cell64, DURATION_BOUNDS, HistogramCells, Level, MergedHistogram};
use super::lock;
use super::names::{Kind, Root, Slot};

/// What one worker counts at one place of the configuration, under Envoy's names.
#[derive(Debug)]
pub(crate) struct ScopeCells {
    pub(super) root: Root,
    /// Of the cluster, or what else the root tells.
    pub(super) name: String,
    counters: Cells<Cell64>,
    gauges: Cells<Level>,
    /// Made when first used: most places have no traffic.
    histograms: Cells<OnceLock<Box<HistogramCells>>>,
    /// Names that only traffic tells: of statuses.
    found: Mutex<Vec<Arc<FoundCells>>>,
}

#[derive(Debug)]
struct Cells<T> {
    names: &'static [&'static str],
    cells: Box<[T]>,
}

impl<T: Default> Cells<T> {
    fn new<S: Slot>() -> Self {
        Self { names: S::NAMES, cells: S::NAMES.iter().map(|_| T::default()).collect() }
    }
}

impl<T> Cells<T> {
    fn named(&self) -> impl Iterator<Item = (&'static str, &T)> {
        self.names.iter().copied().zip(&self.cells)
    }
}

/// A counter whose name was made of what came.
#[derive(Debug)]
pub(super) struct FoundCells {
    pub(super) name: String,
    pub(super) total: Cell64,
}

impl ScopeCells {
    fn new<K: Kind>(name: &str) -> Self {
        Self {
            root: K::ROOT,
            name: name.to_owned(),
            counters: Cells::new::<K::Counter>(),
            gauges: Cells::new::<K::Gauge>(),
            histograms: Cells::new::<K::Histogram>(),
            found: Mutex::default(),
        }
    }

    pub(super) fn counters(&self, mut each: impl FnMut(&str, u64)) {
        for (name, cell) in self.counters.named() {
            each(name, cell.get());
        }
        for cells in lock(&self.found).iter() {
            each(&cells.name, cells.total.get());
        }
    }

    pub(super) fn gauges(&self) -> impl Iterator<Item = (&'static str, i64, bool)> {
        self.gauges.named().map(|(name, level)| (name, level.get(), level.is_used()))
    }

    /// Passes to `each` what adds this worker's part to a histogram.
    pub(super) fn histograms(&self, mut each: impl FnMut(&'static str, &dyn Fn(&mut MergedHistogram))) {
        for (name, cells) in self.histograms.named() {
            each(name, &|merged| {
                if let Some(cells) = cells.get() {
                    cells.add_to(merged);
                }
            });
        }
    }

    pub(super) fn counter<S: Slot>(&self, of: S) -> u64 {
        self.counters.cells.get(of.at()).map_or(0, Cell64::get)
    }

    pub(super) fn gauge<S: Slot>(&self, of: S) -> i64 {
        self.gauges.cells.get(of.at()).map_or(0, Level::get)
    }
}

/// The counts of one place. Clones count together; all stay on one worker.
#[derive(Debug)]
pub(crate) struct Scope<K> {
    cells: Arc<ScopeCells>,
    // Cells are written without read-modify-write, so a handle must not move to another thread.
    _stays_on_its_thread: PhantomData<(Rc<()>, K)>,
}

impl<K> Clone for Scope<K> {
    fn clone(&self) -> Self {
        Self { cells: self.cells.clone(), _stays_on_its_thread: PhantomData }
    }
}

/// Something under way, counted in a gauge until dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Held {
    cells: Arc<ScopeCells>,
    at: usize,
    _stays_on_its_thread: PhantomData<Rc<()>>,
}

impl<K: Kind> Scope<K> {
    pub(super) fn new(cells: Arc<ScopeCells>) -> Self {
        Self { cells, _stays_on_its_thread: PhantomData }
    }

    pub(super) fn cells(name: &str) -> Arc<ScopeCells> {
        Arc::new(ScopeCells::new::<K>(name))
    }

    pub(crate) fn count(&self, what: K::Counter) {
        self.add(what, 1);
    }

    pub(crate) fn add(&self, what: K::Counter, amount: u64) {
        if let Some(cell) = self.cells.counters.cells.get(what.at()) {
            cell.add(amount);
        }
    }

    /// One more, until the guard is dropped.
    pub(crate) fn hold(&self, what: K::Gauge) -> Held {
        let held = Held { cells: self.cells.clone(), at: what.at(), _stays_on_its_thread: PhantomData };
        held.add(1);
        held
    }

    pub(crate) fn set(&self, what: K::Gauge, value: i64) {
        if let Some(level) = self.cells.gauges.cells.get(what.at()) {
            level.set(value);
        }
    }

    pub(crate) fn observe(&self, what: K::Histogram, duration: std::time::Duration) {
        if let Some(cells) = self.cells.histograms.cells.get(what.at()) {
            let cells = cells.get_or_init(|| Box::new(HistogramCells::new(DURATION_BOUNDS)));
            cells.observe(super::milliseconds(duration).floor());
        }
    }

    /// A counter with a name of its own. Keep it; it is found by a scan under a lock.
    pub(super) fn found(&self, name: &str) -> Arc<FoundCells> {
        let mut found = lock(&self.cells.found);
        if let Some(cells) = found.iter().find(|cells| cells.name == name) {
            return cells.clone();
        }
        let cells = Arc::new(FoundCells { name: name.to_owned(), total: Cell64::default() });
        found.push(cells.clone());
        cells
    }
}

impl Held {
    fn add(&self, amount: i64) {
        if let Some(level) = self.cells.gauges.cells.get(self.at) {
            level.add(amount);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.add(-1);
    }
}
