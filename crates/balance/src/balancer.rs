use std::collections::HashMap;
use std::hash::Hash;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use leno_ir::{BalancerPolicy, EndpointHealth, EndpointPolicy, Labels, OutlierDetection, SubsetSettings};
use leno_names::Fraction;

use crate::level::Availability;
use crate::load::Load;
use crate::outlier::{self, Signal};
use crate::plan::{Candidate, Group, PlanSettings};
use crate::subset::{NO_LABELS, Subsets};
use crate::view::View;

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
}

impl Default for Wish<'_> {
    /// Any.
    fn default() -> Self {
        Self { hash: None, labels: &NO_LABELS }
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
    ejected: usize,
    next_sweep: Option<Instant>,
    seed: u64,
}

/// A request that is on its way to a member, counted as active until dropped.
#[derive(Debug)]
#[must_use]
pub struct Choice<K> {
    key: K,
    load: Rc<Load>,
}

impl<K: Copy> Choice<K> {
    pub fn key(&self) -> K {
        self.key
    }
}

impl<K> Drop for Choice<K> {
    fn drop(&mut self) {
        self.load.end();
    }
}

/// Costs closer than this are equal, and the first drawn wins: differences of microseconds must not decide who gets the
/// traffic of a quiet service. Our deviation from Linkerd, which compares strictly.
const TIE: f64 = 1.25;

impl<K: Copy + Eq + Hash> Balancer<K> {
    /// `seed`: where round robin begins, different per worker.
    pub fn new(settings: BalancerSettings, seed: u64) -> Self {
        Self {
            settings,
            members: Vec::new(),
            candidates: Vec::new(),
            whole: View::default(),
            subsets: None,
            ejected: 0,
            next_sweep: None,
            seed,
        }
    }

    /// Measurements stay; members ejected stay out unless detection is turned off.
    pub fn reconfigure(&mut self, settings: BalancerSettings) {
        if settings.outlier_detection.is_none() {
            for (_, load) in &self.members {
                load.ejected_until.set(None);
            }
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
        let placed = |member: &Member<K>| Member { health: EndpointHealth::Unknown, ..member.clone() };
        let before: Vec<_> = self.members.iter().map(|(member, _)| placed(member)).collect();
        let mut known: HashMap<K, Rc<Load>> = self.members.drain(..).map(|(member, load)| (member.key, load)).collect();
        let mut seen = std::collections::HashSet::new();
        let mut all_labels = Vec::new();
        let (default_rtt, _) = self.settings.measuring();
        for (member, labels) in members {
            if seen.insert(member.key) {
                let load = known.remove(&member.key).unwrap_or_else(|| Rc::new(Load::new(default_rtt, now)));
                self.members.push((member, load));
                all_labels.push(labels);
            }
        }
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
        let Self { members, candidates, settings, whole, subsets, .. } = self;
        let view = match subsets {
            None => whole,
            Some(subsets) => subsets.find(wish.labels, whole)?,
        };
        let pool = Pool { members, candidates, settings };
        let at = if settings.policy.uses_hash() {
            pool.choose_by_hash(view, wish.hash.unwrap_or_else(random), avoid)
        } else {
            pool.choose(view, now, random, avoid)
        };
        let (member, load) = members.get(at?)?;
        load.begin();
        Some(Choice { key: member.key, load: load.clone() })
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
        let Some(detector) = outlier::count(&choice.load.counters, signal, config) else { return false };
        let total = self.members.len();
        let is_member = self.members.iter().any(|(_, load)| Rc::ptr_eq(load, &choice.load));
        if choice.load.ejected_until.get().is_some()
            || !is_member
            || !outlier::may_eject(config, self.ejected, total)
            || !outlier::is_enforced(detector.enforced, random)
        {
            return false;
        }
        outlier::eject(&choice.load, config, now, random);
        self.rebuild();
        true
    }

    /// Lets members back in whose time is over, and leaves out those whose rates are out of line; does nothing more often
    /// than every `interval`. Whether any member came or went.
    pub fn sweep(&mut self, now: Instant, random: &mut impl FnMut() -> u64) -> bool {
        let Some(config) = &self.settings.outlier_detection else { return false };
        match self.next_sweep {
            Some(next) if now < next => return false,
            None => {
                self.next_sweep = now.checked_add(config.interval);
                return false;
            }
            Some(_) => self.next_sweep = now.checked_add(config.interval),
        }
        let returned = self.members.iter().filter(|(_, load)| outlier::sweep(load, now)).count();
        let mut ejected = self.ejected - returned;
        let loads: Vec<&Load> = self.members.iter().map(|(_, load)| load.as_ref()).collect();
        let mut has_ejected = false;
        for (at, enforced) in outlier::judge(&loads, config) {
            let load = loads[at];
            let may = load.ejected_until.get().is_none() && outlier::may_eject(config, ejected, loads.len());
            if may && outlier::is_enforced(enforced, random()) {
                outlier::eject(load, config, now, random());
                ejected += 1;
                has_ejected = true;
            }
        }
        if returned > 0 || has_ejected {
            self.rebuild();
        }
        returned > 0 || has_ejected
    }

    /// Ends the ejections of members. Whether there were any.
    pub fn readmit(&mut self, keys: &[K]) -> bool {
        let ejected = self
            .members
            .iter()
            .filter(|(member, load)| keys.contains(&member.key) && load.ejected_until.replace(None).is_some());
        let has_any = ejected.count() > 0;
        if has_any {
            self.rebuild();
        }
        has_any
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
            ejected_until: load.ejected_until.get(),
        })
    }

    fn rebuild(&mut self) {
        let candidate = |(member, load): &(Member<K>, Rc<Load>)| Candidate {
            weight: member.weight.max(1),
            priority: member.priority,
            locality: member.locality,
            locality_weight: member.locality_weight,
            availability: availability(member.health, load),
            is_excluded: member.is_excluded,
            is_draining: member.health == EndpointHealth::Draining,
        };
        self.candidates = self.members.iter().map(candidate).collect();
        self.ejected = self.members.iter().filter(|(_, load)| load.ejected_until.get().is_some()).count();
        let settings = PlanSettings {
            panic_percent: self.settings.panic_threshold.as_f64() * 100.0,
            overprovisioning_percent: self.settings.overprovisioning_percent,
            weighs_health: self.settings.weighted_priority_health,
        };
        let Self { candidates, whole, subsets, seed, .. } = self;
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
    fn choose_by_hash(&self, view: &mut View, hash: u64, avoid: &[K]) -> Option<usize> {
        view.build_tables(&self.settings.policy, self.members.iter().map(|(member, _)| member));
        let level = view.plan.level(hash)?;
        let table = view.tables.as_ref()?.of(level.priority)?;
        let is_usable = |at: usize| level.takes(&self.candidates[at]);
        let is_avoided = |at: usize| avoid.contains(&self.members[at].0.key);
        let first = table.at(hash)?;
        if is_usable(first) && !is_avoided(first) {
            return Some(first);
        }
        // A table may be long and hold nobody else: that there is somebody is known before it is walked.
        let others = || view.plan.members().filter(|at| !is_avoided(*at));
        if others().any(|at| self.candidates[at].priority == level.priority) {
            return table.walk(hash).find(|at| is_usable(*at) && !is_avoided(*at)).or_else(|| others().next());
        }
        others().next().or_else(|| table.walk(hash).find(|at| is_usable(*at))).or_else(|| view.plan.members().next())
    }

    fn choose(&self, view: &mut View, now: Instant, random: &mut impl FnMut() -> u64, avoid: &[K]) -> Option<usize> {
        let is_avoided = |at: usize| avoid.contains(&self.members[at].0.key);
        let draw = if view.plan.is_single() { 0 } else { random() };
        let group = view.plan.group(draw)?;
        // A few draws nearly always do; a scan settles the rest.
        let mut last = None;
        for _ in 0..=avoid.len() {
            let at = choose_in(group, self.members, self.candidates, self.settings, now, random)?;
            if !is_avoided(at) {
                return Some(at);
            }
            last = Some(at);
        }
        let count = view.plan.members().count();
        let start = usize::try_from(random() % count.max(1) as u64).unwrap_or(0);
        let all = || view.plan.members();
        all().skip(start).chain(all().take(start)).find(|at| !is_avoided(*at)).or(last)
    }
}

fn availability(health: EndpointHealth, load: &Load) -> Availability {
    if load.ejected_until.get().is_some() {
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
    // Weight relative to the mean only matters against weights that differ.
    let weight = |at: usize| f64::from(candidates[at].weight);
    match settings.policy {
        BalancerPolicy::RoundRobin => group.next(candidates),
        // Ring hash and Maglev do not come here.
        BalancerPolicy::Random | BalancerPolicy::Maglev { .. } | BalancerPolicy::RingHash { .. } => {
            group.draw(random())
        }
        BalancerPolicy::LeastRequest { choices } => {
            let cost = |at: usize| f64::from(load(at).active()) / weight(at);
            let (mut best, second) = group.draw_two(random)?;
            let rest = (2..choices.clamp(2, 16)).filter_map(|_| group.draw(random())).collect::<Vec<_>>();
            for at in std::iter::once(second).chain(rest) {
                if cost(at) < cost(best) {
                    best = at;
                }
            }
            Some(best)
        }
        BalancerPolicy::PeakEwma { decay, .. } => {
            let (first, second) = group.draw_two(random)?;
            let mean = group.mean_weight();
            let cost =
                |at: usize| load(at).estimate(decay, now) * (f64::from(load(at).active()) * mean / weight(at) + 1.0);
            Some(if cost(second) * TIE < cost(first) { second } else { first })
        }
    }
}
