use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use leno_ir::{BalancerPolicy, Cluster, OutlierDetection};
use smallvec::SmallVec;

use super::endpoint::EndpointState;
use super::{EndpointId, Outcome};
use crate::stats::ClusterStats;

/// Below this share of usable endpoints all are used: a wrong verdict on many hurts more than a try (Envoy's healthy panic
/// threshold, 50 %).
const PANIC_PERCENT: usize = 50;

/// Chooses among a cluster's endpoints and leaves out those that fail. What it knows of an endpoint is kept with the
/// endpoint, so it survives a change of the set.
#[derive(Debug)]
pub(super) struct Chooser {
    policy: BalancerPolicy,
    outlier: Option<OutlierDetection>,
    /// By priority, the first to be used first.
    levels: Vec<Vec<Rc<EndpointState>>>,
    turn: Cell<usize>,
    last_sweep: Cell<Option<Instant>>,
    stats: ClusterStats,
    /// Spares an allocation per pick.
    usable: RefCell<Vec<Rc<EndpointState>>>,
}

impl Chooser {
    pub(super) fn new(config: &Cluster, members: &[Rc<EndpointState>], stats: ClusterStats) -> Self {
        let mut priorities: Vec<u32> = members.iter().map(|member| member.source().priority()).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let level = |priority: &u32| {
            members.iter().filter(|member| member.source().priority() == *priority).cloned().collect::<Vec<_>>()
        };
        Self {
            policy: config.balancer.clone(),
            outlier: config.outlier_detection.clone(),
            levels: priorities.iter().map(level).collect(),
            turn: Cell::new(0),
            last_sweep: Cell::new(None),
            stats,
            usable: RefCell::default(),
        }
    }

    /// Of the first priority that has usable endpoints one, if possible none of `avoid`. `None`: there are no endpoints.
    pub(super) fn pick(&self, random: &dyn Fn() -> u64, now: Instant, avoid: &[EndpointId]) -> Option<Rc<EndpointState>> {
        let mut usable = self.usable.borrow_mut();
        for level in &self.levels {
            usable.clear();
            usable.extend(level.iter().filter(|member| member.is_usable(now)).cloned());
            if usable.len() * 100 < level.len() * PANIC_PERCENT {
                continue;
            }
            return self.pick_from(&mut usable, random, now, avoid);
        }
        // Panic: no priority has enough of them. Those that drain come only when there is nothing else.
        usable.clear();
        let all = self.levels.iter().flatten();
        usable.extend(all.clone().filter(|member| !member.is_draining()).cloned());
        if usable.is_empty() {
            usable.extend(all.cloned());
        }
        self.pick_from(&mut usable, random, now, avoid)
    }

    fn pick_from(
        &self,
        usable: &mut Vec<Rc<EndpointState>>,
        random: &dyn Fn() -> u64,
        now: Instant,
        avoid: &[EndpointId],
    ) -> Option<Rc<EndpointState>> {
        if !avoid.is_empty() && usable.iter().any(|member| !avoid.contains(&member.id)) {
            usable.retain(|member| !avoid.contains(&member.id));
        }
        let one = |_| usable.get(usize::try_from(random()).unwrap_or(0).checked_rem(usable.len())?);
        match &self.policy {
            BalancerPolicy::Random => by_weight(usable, random()),
            BalancerPolicy::RoundRobin => {
                let turn = self.turn.get();
                self.turn.set(turn.wrapping_add(1));
                by_weight_in_turn(usable, turn)
            }
            BalancerPolicy::LeastRequest { choices } => {
                let choices: SmallVec<[_; 4]> = (0..(*choices).clamp(2, 16)).filter_map(one).collect();
                choices.into_iter().min_by(|a, b| a.measures.load().total_cmp(&b.measures.load())).cloned()
            }
            BalancerPolicy::PeakEwma { default_rtt, decay } => {
                let cost = |member: &&Rc<EndpointState>| {
                    member.measures.load() * member.measures.latency(now, *default_rtt, *decay)
                };
                let (a, b) = (one(0)?, one(1)?);
                Some(if cost(&b) < cost(&a) { b.clone() } else { a.clone() })
            }
        }
    }

    /// Takes note of an outcome; leaves the endpoint out when it has failed too often in a row.
    pub(super) fn report(&self, member: &EndpointState, outcome: Outcome, now: Instant) {
        if let (BalancerPolicy::PeakEwma { default_rtt, decay }, Some(latency)) = (&self.policy, outcome.latency()) {
            member.measures.observe(latency, now, *default_rtt, *decay);
        }
        let Some(outlier) = &self.outlier else { return };
        if !member.measures.count(outcome, outlier) || !member.measures.is_in(now) {
            return;
        }
        let all: usize = self.levels.iter().map(Vec::len).sum();
        let out = self.ejected(now);
        let most = usize::try_from(outlier.max_ejection.of(all as u64)).unwrap_or(usize::MAX).max(1);
        let least_healthy = outlier.min_health.of(all as u64) as usize;
        if out < most && all.saturating_sub(out) > least_healthy {
            let until = member.measures.eject(now, outlier);
            self.stats.ejected();
            self.stats.set_ejected_endpoints(out + 1);
            tracing::info!(endpoint = %member.address, for_seconds = until.saturating_duration_since(now).as_secs(), "endpoint ejected");
        }
    }

    /// Once a second.
    pub(super) fn tick(&self, now: Instant) {
        let Some(outlier) = &self.outlier else { return };
        if self.last_sweep.get().is_some_and(|last| now.saturating_duration_since(last) < outlier.interval) {
            return;
        }
        self.last_sweep.set(Some(now));
        for member in self.levels.iter().flatten() {
            member.measures.forgive(now);
        }
        self.stats.set_ejected_endpoints(self.ejected(now));
    }

    fn ejected(&self, now: Instant) -> usize {
        self.levels.iter().flatten().filter(|member| !member.measures.is_in(now)).count()
    }
}

fn by_weight(members: &[Rc<EndpointState>], random: u64) -> Option<Rc<EndpointState>> {
    let total: u64 = members.iter().map(|member| u64::from(member.measures.weight())).sum();
    let mut at = random.checked_rem(total)?;
    let chosen = members.iter().find(|member| {
        let weight = u64::from(member.measures.weight());
        let is_here = at < weight;
        at = at.saturating_sub(weight);
        is_here
    });
    chosen.cloned()
}

/// With equal weights each in its turn; otherwise spread over a round of all weights.
fn by_weight_in_turn(members: &[Rc<EndpointState>], turn: usize) -> Option<Rc<EndpointState>> {
    let first = members.first()?.measures.weight();
    if members.iter().all(|member| member.measures.weight() == first) {
        return members.get(turn % members.len()).cloned();
    }
    // A stride coprime to most totals keeps turns of a heavy endpoint apart (Fibonacci hashing).
    by_weight(members, (turn as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16)
}

/// One try at one endpoint; ends when dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    chooser: Rc<Chooser>,
    member: Rc<EndpointState>,
}

impl InFlight {
    pub(super) fn new(chooser: Rc<Chooser>, member: Rc<EndpointState>) -> Self {
        member.measures.begin();
        Self { chooser, member }
    }

    pub(super) fn report(&self, outcome: Outcome) {
        if outcome != Outcome::Abandoned {
            self.chooser.report(&self.member, outcome, Instant::now());
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.member.measures.end();
    }
}
