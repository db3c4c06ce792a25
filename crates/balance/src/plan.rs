use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use crate::level::{self, Availability, Health};
use crate::zone::{self, Zones};

/// A member as the plan sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) weight: u32,
    pub(crate) priority: u32,
    pub(crate) locality: u32,
    pub(crate) locality_weight: u32,
    pub(crate) availability: Availability,
    /// Last resort only, even in panic.
    pub(crate) is_draining: bool,
    /// Not counted at all.
    pub(crate) is_excluded: bool,
    /// In slow start.
    pub(crate) is_starting: bool,
}

/// What decides the shares of priorities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanSettings<'z> {
    /// 0 to 100; with a smaller share of available members all of a priority are used.
    pub(crate) panic_percent: f64,
    pub(crate) overprovisioning_percent: u32,
    /// Whether health counts weights instead of members.
    pub(crate) weighs_health: bool,
    pub(crate) fails_in_panic: bool,
    pub(crate) zones: Option<&'z Zones>,
}

/// Members by priority and locality, with each one's share of the traffic. Rebuilt when membership or health changes.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    groups: Vec<Group>,
    /// Sums of the groups' shares, in percent.
    shares: Vec<f64>,
    levels: Vec<Level>,
    /// By priority.
    healths: Vec<(u32, Health)>,
}

/// A priority that takes traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) priority: u32,
    /// `None`: in panic everybody does.
    pub(crate) wanted: Option<Availability>,
    /// Sum of the loads up to this one, in percent; 100 for the last.
    until: u32,
}

impl Level {
    pub(crate) fn takes(&self, candidate: &Candidate) -> bool {
        match self.wanted {
            None => !candidate.is_draining,
            Some(wanted) => candidate.availability == wanted,
        }
    }
}

/// Members among which the policy chooses freely.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) members: Vec<usize>,
    /// Sums of the members' weights.
    cumulative: Vec<u64>,
    pub(crate) has_equal_weights: bool,
    cursor: usize,
    /// For round robin by weight: the member whose turn is next.
    queue: BinaryHeap<Turn>,
}

impl Plan {
    /// `seed` lets workers start their rounds at different members.
    pub(crate) fn new(candidates: &[Candidate], settings: &PlanSettings<'_>, seed: u64) -> Self {
        Self::among(candidates, 0..candidates.len(), settings, seed)
    }

    /// The same for some of the candidates.
    pub(crate) fn among(
        candidates: &[Candidate],
        places: impl Iterator<Item = usize>,
        settings: &PlanSettings<'_>,
        seed: u64,
    ) -> Self {
        let mut priorities: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for at in places {
            priorities.entry(candidates[at].priority).or_default().push(at);
        }
        let healths: Vec<Health> =
            priorities.values().map(|members| Health::of(candidates, members, settings)).collect();
        let loads = level::loads(&healths, settings.panic_percent);
        let by_priority = priorities.keys().copied().zip(healths).collect();
        let mut plan = Self { healths: by_priority, ..Self::default() };
        let mut until = 0;
        for (wanted, load) in [(Availability::Healthy, &loads.healthy), (Availability::Degraded, &loads.degraded)] {
            for (((priority, members), percent), is_panic) in priorities.iter().zip(load).zip(&loads.is_panic) {
                if *percent == 0 {
                    continue;
                }
                until += percent;
                let wanted = (!is_panic).then_some(wanted);
                if *is_panic && settings.fails_in_panic {
                    continue;
                }
                // As in Envoy, zones matter to the most important priority alone.
                let zones = settings.zones.filter(|_| *priority == 0 && wanted == Some(Availability::Healthy));
                let settings = PlanSettings { zones, ..*settings };
                plan.add_priority(candidates, members, *percent, wanted, (&settings, seed));
                plan.levels.push(Level { priority: *priority, wanted, until });
            }
        }
        plan
    }

    /// In panic localities do not matter either (Envoy `hostSourceToUse`).
    fn add_priority(
        &mut self,
        candidates: &[Candidate],
        members: &[usize],
        percent: u32,
        wanted: Option<Availability>,
        (settings, seed): (&PlanSettings<'_>, u64),
    ) {
        let mut localities: BTreeMap<u32, (u32, Vec<usize>)> = BTreeMap::new();
        for at in members {
            let candidate = candidates[*at];
            let entry = localities.entry(candidate.locality).or_insert((candidate.locality_weight, Vec::new()));
            entry.1.push(*at);
        }
        let is_weighted = localities.values().any(|(weight, _)| *weight > 0) && localities.len() > 1;
        let mut groups = match settings.zones {
            Some(zones) if !is_weighted => zone_groups(candidates, members, zones),
            _ => Vec::new(),
        };
        if let Some(wanted) = wanted.filter(|_| is_weighted) {
            for (weight, members) in localities.into_values() {
                let share = f64::from(weight) * available_share(candidates, &members, wanted, settings);
                groups.push((share, members));
            }
        }
        // When no locality with a weight has anybody left, those without one are better than no answer (Envoy).
        if groups.iter().all(|(share, _)| *share <= 0.0) {
            groups = vec![(1.0, members.to_vec())];
        }
        let total: f64 = groups.iter().map(|(share, _)| share).sum();
        for (share, members) in groups {
            let usable = usable(candidates, &members, wanted);
            if share > 0.0 {
                let before = self.shares.last().copied().unwrap_or(0.0);
                self.shares.push(before + f64::from(percent) * share / total);
                self.groups.push(Group::new(candidates, usable, seed));
            }
        }
    }

    /// The group for a number drawn.
    pub(crate) fn group(&mut self, random: u64) -> Option<&mut Group> {
        if self.groups.len() <= 1 {
            return self.groups.first_mut();
        }
        let whole = self.shares.last().copied()?;
        let at = unit(random) * whole;
        let index = self.shares.partition_point(|share| *share <= at).min(self.groups.len() - 1);
        self.groups.get_mut(index)
    }

    /// The priority for a hash, by whole percents as in Envoy.
    pub(crate) fn level(&self, hash: u64) -> Option<Level> {
        let at = u32::try_from(hash % 100).unwrap_or(0);
        self.levels.iter().find(|level| at < level.until).or(self.levels.last()).copied()
    }

    /// How each priority is, the most important first.
    pub(crate) fn healths(&self) -> &[(u32, Health)] {
        &self.healths
    }

    /// Whether there is nothing to draw between priorities and localities.
    pub(crate) fn is_single(&self) -> bool {
        self.groups.len() <= 1
    }

    /// Whether nobody may be chosen.
    pub(crate) fn is_empty(&self) -> bool {
        self.members().next().is_none()
    }

    /// Every member that may be chosen, the most important priority first.
    pub(crate) fn members(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().flat_map(|group| group.members.iter().copied())
    }
}

/// Shares of localities and their members; nothing where localities do not matter.
fn zone_groups(candidates: &[Candidate], members: &[usize], zones: &Zones) -> Vec<(f64, Vec<usize>)> {
    let mut localities: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for at in members.iter().copied().filter(|at| candidates[*at].availability == Availability::Healthy) {
        localities.entry(candidates[at].locality).or_default().push(at);
    }
    let healthy = localities.iter().map(|(locality, members)| (*locality, members.len())).collect();
    let Some(shares) = zone::shares(zones, &healthy) else { return Vec::new() };
    let enabled = zones.routing_enabled.as_f64();
    let group = |(locality, share): (u32, f64)| Some((share * enabled, localities.remove(&locality)?));
    let mut groups: Vec<_> = shares.into_iter().filter_map(group).collect();
    if enabled < 1.0 {
        groups.push((1.0 - enabled, members.to_vec()));
    }
    groups
}

/// From 0 to below 1.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// The share of a locality's weight that its members can carry.
fn available_share(
    candidates: &[Candidate],
    members: &[usize],
    wanted: Availability,
    settings: &PlanSettings<'_>,
) -> f64 {
    let counted = members.iter().filter(|at| !candidates[**at].is_excluded).count();
    let available = members.iter().filter(|at| candidates[**at].availability == wanted).count();
    let factor = f64::from(settings.overprovisioning_percent) / 100.0;
    (factor * available as f64 / counted.max(1) as f64).min(1.0)
}

/// In panic everybody counts, as the health data is more likely wrong than nearly all members down.
fn usable(candidates: &[Candidate], members: &[usize], wanted: Option<Availability>) -> Vec<usize> {
    let all = |keep: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        members.iter().copied().filter(|at| keep(&candidates[*at])).collect()
    };
    if let Some(wanted) = wanted {
        return all(&|candidate| candidate.availability == wanted);
    }
    let staying = all(&|candidate| !candidate.is_draining);
    if staying.is_empty() { members.to_vec() } else { staying }
}

impl Group {
    fn new(candidates: &[Candidate], members: Vec<usize>, seed: u64) -> Self {
        let weight = |at: &usize| u64::from(candidates[*at].weight.max(1));
        let mut sum = 0;
        let cumulative = members
            .iter()
            .map(|at| {
                sum += weight(at);
                sum
            })
            .collect();
        let first = members.first().map(weight);
        let has_equal_weights = members.iter().all(|at| Some(weight(at)) == first && !candidates[*at].is_starting);
        let cursor = usize::try_from(seed % members.len().max(1) as u64).unwrap_or(0);
        let queue = if has_equal_weights {
            BinaryHeap::new()
        } else {
            let turn = |at: usize| Turn { due: 1.0 / weight(&members[at]) as f64, at };
            (0..members.len()).map(turn).collect()
        };
        Self { members, cumulative, has_equal_weights, cursor, queue }
    }

    pub(crate) fn mean_weight(&self) -> f64 {
        self.cumulative.last().copied().unwrap_or(1) as f64 / self.members.len().max(1) as f64
    }

    /// A member with a probability in proportion to its weight.
    pub(crate) fn draw(&self, random: u64) -> Option<usize> {
        let at = if self.has_equal_weights {
            usize::try_from(random % self.members.len().max(1) as u64).ok()?
        } else {
            let at = random.checked_rem(*self.cumulative.last()?)?;
            self.cumulative.partition_point(|sum| *sum <= at)
        };
        self.members.get(at).copied()
    }

    /// A member, each as probable.
    pub(crate) fn draw_any(&self, random: u64) -> Option<usize> {
        let at = usize::try_from(random % self.members.len().max(1) as u64).ok()?;
        self.members.get(at).copied()
    }

    /// `drawn`, or in its place another one as often as it must not have its share yet.
    pub(crate) fn settle(&self, drawn: usize, ramp: impl Fn(usize) -> f64, random: &mut impl FnMut() -> u64) -> usize {
        let mut at = drawn;
        // Chosen: what is left to chance after so many draws is below what anybody can measure.
        for _ in 0..16 {
            if unit(random()) < ramp(at) {
                break;
            }
            at = self.draw(random()).unwrap_or(at);
        }
        at
    }

    /// Two members; different ones when weights are equal and there are two.
    pub(crate) fn draw_two(&self, random: &mut impl FnMut() -> u64) -> Option<(usize, usize)> {
        let length = self.members.len() as u64;
        if !self.has_equal_weights || length < 2 {
            return Some((self.draw(random())?, self.draw(random())?));
        }
        let first = random() % length;
        let second = (first + 1 + random() % (length - 1)) % length;
        let member = |at: u64| usize::try_from(at).ok().and_then(|at| self.members.get(at).copied());
        Some((member(first)?, member(second)?))
    }

    /// The member whose turn it is: in order, or earliest deadline first when weights differ; `weight` is asked for that of
    /// the one chosen.
    pub(crate) fn next(&mut self, weight: impl Fn(usize) -> f64) -> Option<usize> {
        if self.has_equal_weights {
            let member = self.members.get(self.cursor).copied()?;
            self.cursor = (self.cursor + 1) % self.members.len();
            return Some(member);
        }
        let turn = self.queue.pop()?;
        let member = self.members[turn.at];
        self.queue.push(Turn { due: turn.due + 1.0 / weight(member).max(f64::MIN_POSITIVE), at: turn.at });
        Some(member)
    }
}

/// Ordered so that the earliest is the greatest.
#[derive(Debug)]
struct Turn {
    due: f64,
    at: usize,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.total_cmp(&self.due).then_with(|| other.at.cmp(&self.at))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}
