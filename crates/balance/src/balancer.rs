use std::collections::HashMap;
use std::hash::Hash;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use leno_ir::{
    BalancerPolicy, EndpointHealth, EndpointPolicy, Labels, LeastRequest, OutlierDetection, SlowStart, SubsetSettings,
};
use leno_names::Fraction;

use crate::consistent::{HashTables, Table};
use crate::level::{Availability, Health, choose_priority};
use crate::load::Load;
use crate::outlier::{Signal, Watch};
use crate::plan::{Candidate, Group, Level, Plan, PlanSettings};
use crate::shared::Together;
use crate::slow_start;
use crate::subset::{Found, NO_LABELS, Subsets};
use crate::view::View;
use crate::zone::Zones;

/// How a cluster balances.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerSettings {
    pub policy: BalancerPolicy,
    pub outlier_detection: Option<OutlierDetection>,
    /// With a smaller share of available members all of a priority are used. Default 50 %, as Envoy.
    pub panic_threshold: Fraction,
    /// See `ir::EndpointPolicy`.
    pub overprovisioning_percent: u32,
    pub weighted_priority_health: bool,
    /// `None`: members are not told apart. A change holds from the next update on.
    pub subsets: Option<Box<SubsetSettings>>,
    /// `None`: members get their whole share at once.
    pub slow_start: Option<SlowStart>,
    /// See `ir::Hashing`.
    pub balance_percent: Option<u32>,
    /// `None`: zones do not matter.
    pub zones: Option<Box<Zones>>,
    /// In panic nobody is chosen, instead of anybody.
    pub fails_in_panic: bool,
}

impl BalancerSettings {
    pub fn new(policy: BalancerPolicy, outlier_detection: Option<OutlierDetection>) -> Self {
        Self {
            policy,
            outlier_detection,
            panic_threshold: Fraction::from_percent(50).unwrap_or(Fraction::ZERO),
            overprovisioning_percent: EndpointPolicy::OVERPROVISIONING_PERCENT,
            weighted_priority_health: false,
            subsets: None,
            slow_start: None,
            balance_percent: None,
            zones: None,
            fails_in_panic: false,
        }
    }

    fn of_plan(&self) -> PlanSettings<'_> {
        PlanSettings {
            panic_percent: self.panic_threshold.as_f64() * 100.0,
            overprovisioning_percent: self.overprovisioning_percent,
            weighs_health: self.weighted_priority_health,
            fails_in_panic: self.fails_in_panic,
            zones: self.zones.as_deref(),
        }
    }

    /// The time assumed of a member never measured, and the time after which a measurement counts 1/e.
    fn measuring(&self) -> (Duration, Duration) {
        match self.policy {
            BalancerPolicy::PeakEwma { default_rtt, decay } => (default_rtt, decay),
            _ => (Duration::from_millis(30), Duration::from_secs(10)),
        }
    }
}

/// One endpoint, as the configuration has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member<K> {
    pub key: K,
    /// At least 1; 0 counts as 1.
    pub weight: u32,
    pub health: EndpointHealth,
    /// As if it were not there, but for panic: a new member that must not count as unhealthy yet.
    pub is_excluded: bool,
    /// 0 is used first.
    pub priority: u32,
    /// Any number; members with the same one are together.
    pub locality: u32,
    /// Relative within the priority; all 0: localities are ignored.
    pub locality_weight: u32,
    /// Where it stands in the tables of ring hash and Maglev; others do not look at it.
    pub address: SocketAddr,
    /// The same, instead of the address.
    pub hash_key: Option<Rc<str>>,
}

impl<K> Member<K> {
    pub fn new(key: K) -> Self {
        Self {
            key,
            weight: 1,
            health: EndpointHealth::Unknown,
            is_excluded: false,
            priority: 0,
            locality: 0,
            locality_weight: 0,
            address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            hash_key: None,
        }
    }
}

/// What a request says of the member it is for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'r> {
    /// Looked at by policies that balance by hash.
    pub hash: Option<u64>,
    /// Looked at where there are subsets.
    pub labels: &'r Labels,
    /// The only priority that will do.
    pub priority: Option<u32>,
    /// Priorities that other ones are preferred to.
    pub past_priorities: &'r [u32],
}

impl Default for Wish<'_> {
    /// Any.
    fn default() -> Self {
        Self { hash: None, labels: &NO_LABELS, priority: None, past_priorities: &[] }
    }
}

/// What is known of a member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemberStatus<K> {
    pub key: K,
    pub health: EndpointHealth,
    pub active: u32,
    /// The latency expected now.
    pub latency: Duration,
    pub ejected_until: Option<Instant>,
}

/// Chooses among the endpoints of one cluster, for one thread.
#[derive(Debug)]
pub struct Balancer<K> {
    settings: BalancerSettings,
    members: Vec<(Member<K>, Rc<Load>)>,
    candidates: Vec<Candidate>,
    whole: View,
    subsets: Option<Box<Subsets>>,
    /// What all workers know.
    together: Together,
    /// Of them when the plans were made.
    generation: u64,
    ejected: usize,
    /// The last time that was told.
    latest: Option<Instant>,
    seed: u64,
    /// Places of members; `None`: to be made by the first that asks.
    addresses: Option<HashMap<SocketAddr, usize>>,
}

/// A request that is on its way to a member, counted as active until dropped.
#[derive(Debug)]
#[must_use]
pub struct Choice<K> {
    key: K,
    load: Rc<Load>,
    /// Where the requests of all workers are counted.
    shared: Option<Arc<AtomicU32>>,
}

impl<K: Copy> Choice<K> {
    fn new((member, load): &(Member<K>, Rc<Load>)) -> Self {
        Self { key: member.key, shared: load.begin(), load: load.clone() }
    }

    pub fn key(&self) -> K {
        self.key
    }
}

impl<K> Drop for Choice<K> {
    fn drop(&mut self) {
        self.load.end(self.shared.as_deref());
    }
}

/// Costs closer than this are equal, and the first drawn wins: differences of microseconds must not decide who gets the
/// traffic of a quiet service. Our deviation from Linkerd, which compares strictly.
const TIE: f64 = 1.25;

impl<K: Copy + Eq + Hash> Balancer<K> {
    /// `seed`: where round robin begins, different per worker.
    pub fn new(settings: BalancerSettings, seed: u64) -> Self {
        Self::sharing(settings, seed, Together::default())
    }

    /// One that knows the same as others of its cluster.
    pub fn sharing(settings: BalancerSettings, seed: u64, together: Together) -> Self {
        Self {
            settings,
            members: Vec::new(),
            candidates: Vec::new(),
            whole: View::default(),
            subsets: None,
            together,
            generation: 0,
            ejected: 0,
            latest: None,
            seed,
            addresses: None,
        }
    }

    /// Measurements stay; members ejected stay out unless detection is turned off.
    pub fn reconfigure(&mut self, settings: BalancerSettings) {
        match &settings.outlier_detection {
            None => self.members.iter().for_each(|(_, load)| *load.watch.borrow_mut() = None),
            Some(_) => self.members.iter().for_each(|(member, load)| {
                load.watch.borrow_mut().get_or_insert_with(|| self.together.outliers.watch(member.address));
            }),
        }
        for (member, load) in &self.members {
            let loads = &self.together.loads;
            *load.shared.borrow_mut() = settings.balance_percent.map(|_| loads.of(member.address));
        }
        if self.settings.policy != settings.policy {
            self.views().for_each(|view| view.tables = None);
        }
        self.settings = settings;
        self.rebuild();
    }

    /// Replaces the members; those with a key already known keep their state. Of two with one key the first counts.
    pub fn update(&mut self, members: impl IntoIterator<Item = Member<K>>, now: Instant) {
        self.update_labelled(members.into_iter().map(|member| (member, Labels::new())), now);
    }

    /// The same with what subsets tell members apart by.
    pub fn update_labelled(&mut self, members: impl IntoIterator<Item = (Member<K>, Labels)>, now: Instant) {
        self.latest = Some(now);
        let placed = |member: &Member<K>| Member { health: EndpointHealth::Unknown, ..member.clone() };
        let before: Vec<_> = self.members.iter().map(|(member, _)| placed(member)).collect();
        let mut known: HashMap<K, (EndpointHealth, Rc<Load>)> =
            self.members.drain(..).map(|(member, load)| (member.key, (member.health, load))).collect();
        let mut seen = std::collections::HashSet::new();
        let mut all_labels = Vec::new();
        let (default_rtt, _) = self.settings.measuring();
        for (member, labels) in members {
            if seen.insert(member.key) {
                let load = match known.remove(&member.key) {
                    None => Rc::new(Load::new(default_rtt, now)),
                    Some((health, load)) => {
                        if health == EndpointHealth::Unhealthy && member.health != health {
                            load.started.set(now);
                        }
                        load
                    }
                };
                if self.settings.outlier_detection.is_some() {
                    load.watch.borrow_mut().get_or_insert_with(|| self.together.outliers.watch(member.address));
                }
                if self.settings.balance_percent.is_some() {
                    load.shared.borrow_mut().get_or_insert_with(|| self.together.loads.of(member.address));
                }
                self.members.push((member, load));
                all_labels.push(labels);
            }
        }
        self.addresses = None;
        // Health does not move anybody.
        let has_moved = !self.members.iter().map(|(member, _)| placed(member)).eq(before);
        if has_moved {
            self.views().for_each(|view| view.tables = None);
        }
        match &self.settings.subsets {
            None => self.subsets = None,
            Some(settings) => {
                let is_same = |subsets: &Subsets| !has_moved && subsets.is_of(settings, &all_labels);
                if !self.subsets.as_deref().is_some_and(is_same) {
                    self.subsets = Some(Box::new(Subsets::new(settings, all_labels)));
                }
            }
        }
        self.rebuild();
    }

    fn views(&mut self) -> impl Iterator<Item = &mut View> {
        let subsets = self.subsets.iter_mut().flat_map(|subsets| subsets.views());
        std::iter::once(&mut self.whole).chain(subsets)
    }

    /// A member for one request, none of `avoid` while there is another. `None`: there is none at all (flag UH).
    pub fn pick(&mut self, now: Instant, random: &mut impl FnMut() -> u64, avoid: &[K]) -> Option<Choice<K>> {
        self.pick_for(Wish::default(), now, random, avoid)
    }

    /// The member of a hash, where the policy is one that balances by hash; the next one in the table while that member
    /// takes no traffic or is one of `avoid`. Otherwise as [`Balancer::pick`].
    pub fn pick_by_hash(
        &mut self,
        hash: u64,
        now: Instant,
        random: &mut impl FnMut() -> u64,
        avoid: &[K],
    ) -> Option<Choice<K>> {
        self.pick_for(Wish { hash: Some(hash), ..Wish::default() }, now, random, avoid)
    }

    /// The same among the members that a request asks for.
    pub fn pick_for(
        &mut self,
        wish: Wish<'_>,
        now: Instant,
        random: &mut impl FnMut() -> u64,
        avoid: &[K],
    ) -> Option<Choice<K>> {
        if self.settings.outlier_detection.is_some() {
            self.follow_outliers();
        }
        let Self { members, candidates, settings, whole, subsets, .. } = self;
        let view = match subsets {
            None => whole,
            Some(subsets) => match subsets.find(wish.labels, whole)? {
                Found::View(view) => view,
                Found::Member(at) => {
                    return members.get(at).map(Choice::new);
                }
            },
        };
        let priority = match wish.priority {
            None if !wish.past_priorities.is_empty() => {
                other_priority(view.plan.healths(), wish.past_priorities, settings.panic_threshold, random())
            }
            wanted => wanted,
        };
        let pool = Pool { members, candidates, settings };
        if settings.policy.uses_hash() {
            view.build_tables(&settings.policy, members.iter().map(|(member, _)| member));
        }
        let (plan, tables) = view.parts(priority, candidates, &settings.of_plan());
        let at = match tables {
            Some(tables) => pool.choose_by_hash(plan, tables, wish.hash.unwrap_or_else(random), avoid),
            None => pool.choose(plan, now, random, avoid),
        };
        members.get(at?).map(Choice::new)
    }

    /// The member at an address, whatever its weight, priority and subset, if its health is one of `allowed`; one that is
    /// ejected is unhealthy.
    pub fn pick_at(&mut self, address: SocketAddr, allowed: &[EndpointHealth]) -> Option<Choice<K>> {
        let Self { members, addresses, .. } = self;
        let addresses = addresses.get_or_insert_with(|| {
            let places = members.iter().enumerate().map(|(at, (member, _))| (member.address, at));
            // Of several at one address the first counts.
            places.rev().collect()
        });
        let found = members.get(*addresses.get(&address)?)?;
        let health = if found.1.is_ejected() { EndpointHealth::Unhealthy } else { found.0.health };
        allowed.contains(&health).then(|| Choice::new(found))
    }

    /// Whether there is a member at an address, well or not.
    pub fn has_address(&self, address: SocketAddr) -> bool {
        self.members.iter().any(|(member, _)| member.address == address)
    }

    /// Notes what came of a try. `true` when its member is ejected now.
    pub fn report(
        &mut self,
        choice: &Choice<K>,
        signal: Signal,
        latency: Option<Duration>,
        now: Instant,
        random: u64,
    ) -> bool {
        let (default_rtt, decay) = self.settings.measuring();
        match latency {
            _ if signal.is_failure() => choice.load.observe_failure(default_rtt, decay, now),
            Some(latency) => choice.load.observe(latency, decay, now),
            None => {}
        }
        let Some(config) = &self.settings.outlier_detection else { return false };
        let watch = choice.load.watch.borrow();
        let Some(watch) = watch.as_ref() else { return false };
        let Some(detector) = watch.count(signal, config) else { return false };
        let is_member = self.members.iter().any(|(_, load)| Rc::ptr_eq(load, &choice.load));
        if !is_member || !self.together.outliers.eject(watch, config, detector.enforced, now, random) {
            return false;
        }
        self.latest = Some(now);
        self.rebuild();
        true
    }

    /// Lets members back in whose time is over, and leaves out those whose rates are out of line; does nothing more often
    /// than every `interval`. Whether any member came or went.
    pub fn sweep(&mut self, now: Instant, random: &mut impl FnMut() -> u64) -> bool {
        let Some(config) = &self.settings.outlier_detection else { return false };
        self.together.outliers.sweep(config, now, random);
        self.latest = Some(now);
        self.follow_outliers()
    }

    /// Takes over what other workers have found out. Whether there was something.
    fn follow_outliers(&mut self) -> bool {
        let is_behind = self.generation != self.together.outliers.generation();
        if is_behind {
            self.rebuild();
        }
        is_behind
    }

    /// Ends the ejections of members. Whether there were any.
    pub fn readmit(&mut self, keys: &[K]) -> bool {
        let is_readmitted = |(member, load): &&(Member<K>, Rc<Load>)| {
            let watch = load.watch.borrow();
            keys.contains(&member.key) && watch.as_ref().is_some_and(|watch| self.together.outliers.readmit(watch))
        };
        let has_any = self.members.iter().filter(is_readmitted).count() > 0;
        if has_any {
            self.rebuild();
        }
        has_any
    }

    /// To be shared with other workers.
    pub fn together(&self) -> Together {
        self.together.clone()
    }

    /// How each priority is, the most important first.
    pub fn priorities(&self) -> &[(u32, Health)] {
        self.whole.plan.healths()
    }

    /// Members that are left out now.
    pub fn ejected(&self) -> usize {
        self.ejected
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where the tables of hashes are, if they are built.
    #[cfg(test)]
    pub(crate) fn tables_at(&self) -> Option<*const crate::consistent::HashTables> {
        self.whole.tables.as_deref().map(std::ptr::from_ref)
    }

    /// For the admin interface.
    pub fn status(&self, now: Instant) -> impl Iterator<Item = MemberStatus<K>> {
        let (_, decay) = self.settings.measuring();
        self.members.iter().map(move |(member, load)| MemberStatus {
            key: member.key,
            health: member.health,
            active: load.active(),
            latency: Duration::from_nanos(load.estimate(decay, now) as u64),
            ejected_until: load.watch.borrow().as_ref().and_then(Watch::ejected_until),
        })
    }

    fn rebuild(&mut self) {
        // Before anybody is looked at, so that what changes meanwhile is looked at again.
        self.generation = self.together.outliers.generation();
        let slow_start = self.settings.slow_start.as_ref().zip(self.latest);
        let is_starting = |load: &Load| {
            slow_start.is_some_and(|(config, now)| slow_start::share(config, load.started.get(), now) < 1.0)
        };
        let candidate = |(member, load): &(Member<K>, Rc<Load>)| Candidate {
            is_starting: is_starting(load),
            weight: member.weight.max(1),
            priority: member.priority,
            locality: member.locality,
            locality_weight: member.locality_weight,
            availability: availability(member.health, load),
            is_excluded: member.is_excluded,
            is_draining: member.health == EndpointHealth::Draining,
        };
        self.candidates = self.members.iter().map(candidate).collect();
        self.ejected = self.members.iter().filter(|(_, load)| load.is_ejected()).count();
        let Self { candidates, whole, subsets, seed, settings, .. } = self;
        let settings = settings.of_plan();
        let subsets = subsets.iter_mut().flat_map(|subsets| subsets.views());
        std::iter::once(whole).chain(subsets).for_each(|view| view.rebuild(candidates, &settings, *seed));
    }
}

/// What a choice looks at.
struct Pool<'b, K> {
    members: &'b [(Member<K>, Rc<Load>)],
    candidates: &'b [Candidate],
    settings: &'b BalancerSettings,
}

impl<K: Copy + Eq> Pool<'_, K> {
    fn choose_by_hash(&self, plan: &Plan, tables: &HashTables, hash: u64, avoid: &[K]) -> Option<usize> {
        let level = plan.level(hash)?;
        let at = self.choose_in_table(plan, tables.of(level.priority)?, level, hash, avoid)?;
        match self.settings.balance_percent {
            Some(percent) if level.takes(&self.candidates[at]) => {
                Some(self.least_loaded(plan, level, at, (percent, hash), avoid))
            }
            _ => Some(at),
        }
    }

    fn choose_in_table(&self, plan: &Plan, table: &Table, level: Level, hash: u64, avoid: &[K]) -> Option<usize> {
        let is_usable = |at: usize| level.takes(&self.candidates[at]);
        let is_avoided = |at: usize| avoid.contains(&self.members[at].0.key);
        let first = table.at(hash)?;
        if is_usable(first) && !is_avoided(first) {
            return Some(first);
        }
        // A table may be long and hold nobody else: that there is somebody is known before it is walked.
        let others = || plan.members().filter(|at| !is_avoided(*at));
        if others().any(|at| self.candidates[at].priority == level.priority) {
            return table.walk(hash).find(|at| is_usable(*at) && !is_avoided(*at)).or_else(|| others().next());
        }
        others().next().or_else(|| table.walk(hash).find(|at| is_usable(*at))).or_else(|| plan.members().next())
    }

    /// `wanted` unless it has more than its share of the requests under way; then one of the others that has not, by turns
    /// that depend on the hash (Mirrokni et al., "Consistent hashing with bounded loads"; Envoy `hash_balance_factor`).
    fn least_loaded(
        &self,
        plan: &Plan,
        level: Level,
        wanted: usize,
        (percent, hash): (u32, u64),
        avoid: &[K],
    ) -> usize {
        let active = |at: usize| u64::from(self.members[at].1.active_of_all());
        let weight = |at: usize| f64::from(self.candidates[at].weight.max(1));
        let is_of_level = |at: &usize| {
            let candidate = &self.candidates[*at];
            candidate.priority == level.priority && level.takes(candidate)
        };
        let members = || plan.members().filter(is_of_level);
        let (all_active, all_weights) =
            members().fold((0, 0.0), |(requests, weights), at| (requests + active(at), weights + weight(at)));
        let places = ((all_active + 1) * u64::from(percent)).div_ceil(100) as f64;
        let load = |at: usize| active(at) as f64 / (places * weight(at) / all_weights).ceil().max(1.0);
        if load(wanted) <= 1.0 {
            return wanted;
        }
        let is_avoided = |at: usize| avoid.contains(&self.members[at].0.key);
        let mut others: Vec<usize> = members().filter(|at| *at != wanted && !is_avoided(*at)).collect();
        let (mut best, mut state) = (wanted, hash | 1);
        while !others.is_empty() {
            // xorshift64: the same order for the same hash.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let other = others.swap_remove(usize::try_from(state % others.len() as u64).unwrap_or(0));
            if load(other) <= 1.0 {
                return other;
            }
            if load(other) < load(best) {
                best = other;
            }
        }
        best
    }

    fn choose(&self, plan: &mut Plan, now: Instant, random: &mut impl FnMut() -> u64, avoid: &[K]) -> Option<usize> {
        let is_avoided = |at: usize| avoid.contains(&self.members[at].0.key);
        let draw = if plan.is_single() { 0 } else { random() };
        let group = plan.group(draw)?;
        // A few draws nearly always do; a scan settles the rest.
        let mut last = None;
        for _ in 0..=avoid.len() {
            let at = choose_in(group, self.members, self.candidates, self.settings, now, random)?;
            if !is_avoided(at) {
                return Some(at);
            }
            last = Some(at);
        }
        let count = plan.members().count();
        let start = usize::try_from(random() % count.max(1) as u64).unwrap_or(0);
        let all = || plan.members();
        all().skip(start).chain(all().take(start)).find(|at| !is_avoided(*at)).or(last)
    }
}

/// The priority that takes a request which was in those of `past`; they count as if they had nobody, unless then nobody is
/// left (Envoy `previous_priorities`).
fn other_priority(healths: &[(u32, Health)], past: &[u32], panic_threshold: Fraction, random: u64) -> Option<u32> {
    let fresh: Vec<_> = healths.iter().filter(|(priority, _)| !past.contains(priority)).collect();
    if !fresh.iter().any(|(_, health)| health.has_any()) {
        return None;
    }
    let of: Vec<Health> = fresh.iter().map(|(_, health)| *health).collect();
    let at = choose_priority(&of, panic_threshold, random)?;
    fresh.get(at).map(|(priority, _)| *priority)
}

fn availability(health: EndpointHealth, load: &Load) -> Availability {
    if load.is_ejected() {
        return Availability::No;
    }
    match health {
        EndpointHealth::Degraded => Availability::Degraded,
        EndpointHealth::Draining | EndpointHealth::Unhealthy => Availability::No,
        EndpointHealth::Healthy | EndpointHealth::Unknown => Availability::Healthy,
    }
}

fn choose_in<K>(
    group: &mut Group,
    members: &[(Member<K>, Rc<Load>)],
    candidates: &[Candidate],
    settings: &BalancerSettings,
    now: Instant,
    random: &mut impl FnMut() -> u64,
) -> Option<usize> {
    let load = |at: usize| &members[at].1;
    let ramp = |at: usize| match &settings.slow_start {
        None => 1.0,
        Some(config) => slow_start::share(config, load(at).started.get(), now),
    };
    let weight = |at: usize| f64::from(candidates[at].weight.max(1));
    match &settings.policy {
        BalancerPolicy::ClusterProvided | BalancerPolicy::RoundRobin => group.next(|at| weight(at) * ramp(at)),
        // Ring hash and Maglev do not come here.
        BalancerPolicy::Random | BalancerPolicy::Maglev { .. } | BalancerPolicy::RingHash { .. } => {
            group.draw_any(random())
        }
        BalancerPolicy::LeastRequest(config) => {
            least_request(group, config, |at| load(at).active(), |at| weight(at) * ramp(at), random)
        }
        BalancerPolicy::PeakEwma { decay, .. } => {
            let mean = group.mean_weight();
            // Weight relative to the mean only matters against weights that differ.
            let cost =
                |at: usize| load(at).estimate(*decay, now) * (f64::from(load(at).active()) * mean / weight(at) + 1.0);
            let (mut first, mut second) = group.draw_two(random)?;
            if settings.slow_start.is_some() {
                first = group.settle(first, ramp, random);
                second = group.settle(second, ramp, random);
            }
            Some(if cost(second) * TIE < cost(first) { second } else { first })
        }
    }
}

fn least_request(
    group: &mut Group,
    config: &LeastRequest,
    active: impl Fn(usize) -> u32,
    weight: impl Fn(usize) -> f64,
    random: &mut impl FnMut() -> u64,
) -> Option<usize> {
    if !group.has_equal_weights {
        return group.next(|at| {
            let busy = f64::from(active(at)) + 1.0;
            let bias = config.active_request_bias;
            weight(at) / if bias == LeastRequest::ACTIVE_REQUEST_BIAS { busy } else { busy.powf(bias) }
        });
    }
    if config.is_full_scan {
        let start = usize::try_from(random() % group.members.len().max(1) as u64).unwrap_or(0);
        let (after, before) = (group.members.iter().skip(start), group.members.iter().take(start));
        return after.chain(before).copied().min_by_key(|at| active(*at));
    }
    let (mut best, mut other) = group.draw_two(random)?;
    for drawn in 2..=config.choices.max(2) {
        if active(other) < active(best) {
            best = other;
        }
        if drawn < config.choices {
            other = group.draw_any(random())?;
        }
    }
    Some(best)
}
