//! Which share of the traffic goes to which priority, by how healthy each is.
//!
//! Shape       health of n priorities -> n loads for healthy members, n for degraded ones, and who is in panic
//! Units       whole percents
//! Invariants  loads sum to 100 when there is any member; healthy members of all priorities come before degraded ones
//! Source      Envoy "priority levels", "degraded endpoints", "panic threshold" and load_balancer_base.cc, 1.40: the same
//!             roundings, so that a hash meets the same priority

use leno_names::Fraction;

use crate::plan::{Candidate, PlanSettings};

/// Whether a member takes traffic, and whose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Availability {
    Degraded,
    Healthy,
    No,
}

/// How many members of one priority take traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    overprovisioning_percent: u32,
    healthy: u64,
    degraded: u64,
    total: u64,
    /// Members that count, whatever their weights.
    healthy_members: u32,
    degraded_members: u32,
    members: u32,
}

/// What each priority gets.
#[derive(Debug)]
pub(crate) struct Loads {
    pub(crate) healthy: Vec<u32>,
    pub(crate) degraded: Vec<u32>,
    pub(crate) is_panic: Vec<bool>,
}

impl Health {
    pub(crate) fn of(candidates: &[Candidate], members: &[usize], settings: &PlanSettings<'_>) -> Self {
        let mut health = Self { overprovisioning_percent: settings.overprovisioning_percent, ..Self::default() };
        for candidate in members.iter().map(|at| &candidates[*at]).filter(|candidate| !candidate.is_excluded) {
            let weight = if settings.weighs_health { u64::from(candidate.weight.max(1)) } else { 1 };
            health.total += weight;
            health.members += 1;
            match candidate.availability {
                Availability::Degraded => {
                    health.degraded += weight;
                    health.degraded_members += 1;
                }
                Availability::Healthy => {
                    health.healthy += weight;
                    health.healthy_members += 1;
                }
                Availability::No => {}
            }
        }
        health
    }

    /// Whether anybody takes traffic.
    pub fn has_any(self) -> bool {
        self.healthy_members + self.degraded_members > 0
    }

    fn percent(self, part: u64) -> u32 {
        let percent = (u64::from(self.overprovisioning_percent) * part).checked_div(self.total).unwrap_or(0);
        u32::try_from(percent.min(100)).unwrap_or(100)
    }

    fn is_in_panic(self, panic_percent: f64) -> bool {
        let available = f64::from(self.healthy_members + self.degraded_members);
        100.0 * available / f64::from(self.members.max(1)) < panic_percent
    }
}

pub(crate) fn loads(healths: &[Health], panic_percent: f64) -> Loads {
    let healthy: Vec<u32> = healths.iter().map(|health| health.percent(health.healthy)).collect();
    let degraded: Vec<u32> = healths.iter().map(|health| health.percent(health.degraded)).collect();
    let available = (healthy.iter().sum::<u32>() + degraded.iter().sum::<u32>()).min(100);
    let mut loads = Loads {
        healthy: vec![0; healths.len()],
        degraded: vec![0; healths.len()],
        is_panic: healths.iter().map(|health| available < 100 && health.is_in_panic(panic_percent)).collect(),
    };
    if available == 0 {
        if let Some(first) = loads.healthy.first_mut() {
            *first = 100;
        }
    } else {
        let mut left = distribute(&mut loads.healthy, &healthy, available, 100);
        left = distribute(&mut loads.degraded, &degraded, available, left);
        // What was lost by rounding.
        let rest = match healthy.iter().position(|percent| *percent > 0) {
            Some(at) => loads.healthy.get_mut(at),
            None => degraded.iter().position(|percent| *percent > 0).and_then(|at| loads.degraded.get_mut(at)),
        };
        if let Some(rest) = rest {
            *rest += left;
        }
    }
    if loads.is_panic.iter().all(|is_panic| *is_panic) {
        share_by_size(&mut loads, healths);
    }
    loads
}

/// The one that takes a request, for a number drawn. `None`: there are none.
pub fn choose_priority(healths: &[Health], panic_threshold: Fraction, random: u64) -> Option<usize> {
    let loads = loads(healths, panic_threshold.as_f64() * 100.0);
    let at = u32::try_from(random % 100).unwrap_or(0);
    let mut until = 0;
    let all = loads.healthy.iter().enumerate().chain(loads.degraded.iter().enumerate());
    let chosen = all.filter(|(_, load)| **load > 0).find(|(_, load)| {
        until += **load;
        at < until
    });
    chosen.map(|(place, _)| place)
}

/// Returns what is left of `left`.
fn distribute(loads: &mut [u32], availability: &[u32], available: u32, mut left: u32) -> u32 {
    for (load, percent) in loads.iter_mut().zip(availability) {
        *load = (percent * 100 / available).min(left);
        left -= *load;
    }
    left
}

/// When nobody's health can be believed, priorities get traffic by their size.
fn share_by_size(loads: &mut Loads, healths: &[Health]) {
    let total: u32 = healths.iter().map(|health| health.members).sum();
    if total == 0 {
        return;
    }
    let mut left = 100;
    for (load, health) in loads.healthy.iter_mut().zip(healths) {
        *load = (100 * health.members / total).min(left);
        left -= *load;
    }
    loads.degraded.fill(0);
    if let Some(first) = loads.healthy.iter_mut().zip(healths).find(|(_, health)| health.members > 0) {
        *first.0 += left;
    }
}
