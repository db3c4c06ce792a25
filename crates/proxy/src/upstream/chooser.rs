use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use leno_ir::Cluster;

use super::Outcome;
use super::endpoint::EndpointState;

/// Chooses among a cluster's endpoints.
#[derive(Debug)]
pub(super) struct Chooser {
    healthy: Vec<usize>,
    active: Vec<Cell<u32>>,
}

impl Chooser {
    pub(super) fn new(_config: &Cluster, members: &[Rc<EndpointState>], _old: Option<&Self>, _now: Instant) -> Self {
        let takes = |(index, member): (usize, &Rc<EndpointState>)| {
            member.source().endpoint().health.takes_traffic().then_some(index)
        };
        let healthy = members.iter().enumerate().filter_map(takes).collect();
        Self { healthy, active: members.iter().map(|_| Cell::new(0)).collect() }
    }

    pub(super) fn pick(
        &self,
        random: &dyn Fn() -> u64,
        _now: Instant,
        is_avoided: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let wanted: Vec<usize> = self.healthy.iter().copied().filter(|index| !is_avoided(*index)).collect();
        let from = if wanted.is_empty() { &self.healthy } else { &wanted };
        let one = *from.get((random() as usize).checked_rem(from.len())?)?;
        let other = *from.get((random() as usize).checked_rem(from.len())?)?;
        Some(if self.active[other].get() < self.active[one].get() { other } else { one })
    }

    pub(super) fn tick(&self, _now: Instant) {}
}

/// One try at one endpoint; ends when dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    chooser: Rc<Chooser>,
    index: usize,
}

impl InFlight {
    pub(super) fn new(chooser: Rc<Chooser>, index: usize) -> Self {
        let active = &chooser.active[index];
        active.set(active.get() + 1);
        Self { chooser, index }
    }

    pub(super) fn report(&mut self, _outcome: Outcome) {}
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let active = &self.chooser.active[self.index];
        active.set(active.get() - 1);
    }
}
