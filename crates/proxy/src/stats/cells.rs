use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// A count that one thread writes and others may read.
#[derive(Debug, Default)]
pub(super) struct Cell64(AtomicU64);

impl Cell64 {
    /// Only ever called on the thread that owns the cell, so a load and a store lose nothing.
    pub(super) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level that one thread writes and others may read.
#[derive(Debug, Default)]
pub(super) struct Level {
    value: AtomicI64,
    is_used: AtomicBool,
}

impl Level {
    /// As `Cell64::add`.
    pub(super) fn add(&self, amount: i64) {
        self.set(self.get().wrapping_add(amount));
    }

    pub(super) fn set(&self, value: i64) {
        self.value.store(value, Ordering::Relaxed);
        self.is_used.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Whether it was ever set.
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }
}

/// Upper bounds in milliseconds: Istio's, with finer ones where the time of a healthy service lies.
pub(super) const DURATION_BOUNDS: &[f64] = &[
    0.5,
    1.0,
    2.0,
    3.0,
    4.0,
    5.0,
    7.5,
    10.0,
    15.0,
    20.0,
    25.0,
    50.0,
    75.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Upper bounds in bytes: Istio's set for sizes.
pub(super) const SIZE_BOUNDS: &[f64] = &[
    1.0,
    8.0,
    64.0,
    512.0,
    4_096.0,
    32_768.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

/// One more than the bounds: what is above the last.
const SLOTS: usize = 27;

const _: () = assert!(DURATION_BOUNDS.len() < SLOTS && SIZE_BOUNDS.len() < SLOTS);

#[derive(Debug)]
pub(super) struct HistogramCells {
    bounds: &'static [f64],
    slots: [Cell64; SLOTS],
    /// Bits of an `f64`.
    sum: AtomicU64,
}

impl HistogramCells {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, slots: std::array::from_fn(|_| Cell64::default()), sum: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, value: f64) {
        let slot = self.bounds.partition_point(|bound| *bound < value);
        self.slots[slot].add(1);
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed)) + value;
        self.sum.store(sum.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, merged: &mut MergedHistogram) {
        merged.bounds = self.bounds;
        merged.sum += f64::from_bits(self.sum.load(Ordering::Relaxed));
        for (total, slot) in merged.slots.iter_mut().zip(&self.slots) {
            *total += slot.get();
        }
    }
}

/// One histogram over all workers.
#[derive(Clone, Debug)]
pub(super) struct MergedHistogram {
    bounds: &'static [f64],
    slots: [u64; SLOTS],
    pub(super) sum: f64,
}

impl Default for MergedHistogram {
    fn default() -> Self {
        Self { bounds: DURATION_BOUNDS, slots: [0; SLOTS], sum: 0.0 }
    }
}

impl MergedHistogram {
    pub(super) fn count(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Upper bound and count of each bucket, not cumulated.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.slots).collect()
    }
}
