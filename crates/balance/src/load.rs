use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::outlier::Watch;

/// What is known of one member; shared by the choices that are under way.
#[derive(Debug)]
pub(crate) struct Load {
    active: Cell<u32>,
    /// The same for all workers together, where that matters.
    pub(crate) shared: RefCell<Option<Arc<AtomicU32>>>,
    /// Nanoseconds. Rises at once to a higher measurement, falls with time.
    estimate: Cell<f64>,
    updated: Cell<Instant>,
    /// When it came, or became healthy again.
    pub(crate) started: Cell<Instant>,
    /// Set where outliers are looked for.
    pub(crate) watch: RefCell<Option<Watch>>,
}

/// A failure counts as this many times the estimate, so that failing fast attracts nothing.
const FAILURE_PENALTY: f64 = 2.0;
/// The estimate never grows beyond it by failures alone. Chosen: an endpoint is tried again after some decays.
const MAX_PENALTY: Duration = Duration::from_secs(10);

impl Load {
    pub(crate) fn new(default_rtt: Duration, now: Instant) -> Self {
        Self {
            active: Cell::new(0),
            shared: RefCell::new(None),
            estimate: Cell::new(default_rtt.as_nanos() as f64),
            updated: Cell::new(now),
            started: Cell::new(now),
            watch: RefCell::new(None),
        }
    }

    /// Whether it is left out for a while.
    pub(crate) fn is_ejected(&self) -> bool {
        self.watch.borrow().as_ref().is_some_and(Watch::is_ejected)
    }

    pub(crate) fn active(&self) -> u32 {
        self.active.get()
    }

    /// Of all workers, where that is counted.
    pub(crate) fn active_of_all(&self) -> u32 {
        self.shared.borrow().as_ref().map_or(self.active.get(), |shared| shared.load(Ordering::Relaxed))
    }

    /// What it has counted in is given back with [`Load::end`].
    pub(crate) fn begin(&self) -> Option<Arc<AtomicU32>> {
        self.active.set(self.active.get().saturating_add(1));
        let shared = self.shared.borrow().clone();
        if let Some(shared) = &shared {
            shared.fetch_add(1, Ordering::Relaxed);
        }
        shared
    }

    pub(crate) fn end(&self, shared: Option<&AtomicU32>) {
        self.active.set(self.active.get().saturating_sub(1));
        if let Some(shared) = shared {
            shared.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The estimate in nanoseconds, decayed to `now`.
    pub(crate) fn estimate(&self, decay: Duration, now: Instant) -> f64 {
        self.estimate.get() * self.weight_of_the_old(decay, now)
    }

    pub(crate) fn observe(&self, rtt: Duration, decay: Duration, now: Instant) {
        let rtt = rtt.as_nanos() as f64;
        let old = self.estimate.get();
        let weight = self.weight_of_the_old(decay, now);
        self.estimate.set(if rtt > old { rtt } else { old * weight + rtt * (1.0 - weight) });
        self.updated.set(now);
    }

    pub(crate) fn observe_failure(&self, default_rtt: Duration, decay: Duration, now: Instant) {
        let known = self.estimate(decay, now).max(default_rtt.as_nanos() as f64);
        let penalty = (known * FAILURE_PENALTY).min(MAX_PENALTY.as_nanos() as f64).max(known);
        self.observe(Duration::from_nanos(penalty as u64), decay, now);
    }

    fn weight_of_the_old(&self, decay: Duration, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.updated.get());
        if decay.is_zero() { 0.0 } else { (-elapsed.as_secs_f64() / decay.as_secs_f64()).exp() }
    }
}
