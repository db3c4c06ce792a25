use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use leno_names::Fraction;

/// A member as the plan sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) weight: u32,
    pub(crate) priority: u32,
    pub(crate) locality: u32,
    pub(crate) locality_weight: u32,
    /// Takes traffic and is not ejected.
    pub(crate) is_available: bool,
    /// Last resort only, even in panic.
    pub(crate) is_draining: bool,
}

/// Members by priority and locality, with each one's share of the traffic. Rebuilt when membership or health changes.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    groups: Vec<Group>,
    /// Sums of the groups' shares.
    shares: Vec<f64>,
    levels: Vec<Level>,
}

/// A priority that takes traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) priority: u32,
    pub(crate) is_panic: bool,
    /// Sum of the loads up to this one; 1 for the last.
    until: f64,
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

/// Health above which a priority takes all traffic: with 1.4 that is 72 % (Envoy `overprovisioning_factor`).
const OVERPROVISIONING: f64 = 1.4;

impl Plan {
    /// `seed` lets workers start their rounds at different members.
    pub(crate) fn new(candidates: &[Candidate], panic_threshold: Fraction, seed: u64) -> Self {
        let mut priorities: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, candidate) in candidates.iter().enumerate() {
            priorities.entry(candidate.priority).or_default().push(at);
        }
        let healths: Vec<f64> = priorities.values().map(|members| health(candidates, members)).collect();
        let total: f64 = healths.iter().map(|health| (health * OVERPROVISIONING).min(1.0)).sum();
        let mut left = 1.0_f64;
        let mut plan = Self::default();
        for ((at, (priority, members)), health) in priorities.iter().enumerate().zip(&healths) {
            // With less than full health in all priorities together their loads are scaled up (Envoy "priority levels").
            let load =
                if total > 0.0 { (health * OVERPROVISIONING).min(1.0) / total.min(1.0) } else { f64::from(at == 0) };
            let load = load.min(left);
            left -= load;
            let is_panic = total < 1.0 && *health < panic_threshold.as_f64();
            let groups = plan.groups.len();
            plan.add_priority(candidates, members, load, is_panic, seed);
            if plan.groups.len() > groups {
                plan.levels.push(Level { priority: *priority, is_panic, until: 1.0 - left });
            }
        }
        plan
    }

    fn add_priority(&mut self, candidates: &[Candidate], members: &[usize], load: f64, is_panic: bool, seed: u64) {
        if load <= f64::EPSILON {
            return;
        }
        let mut localities: BTreeMap<u32, (u32, Vec<usize>)> = BTreeMap::new();
        for at in members {
            let candidate = candidates[*at];
            let entry = localities.entry(candidate.locality).or_insert((candidate.locality_weight, Vec::new()));
            entry.1.push(*at);
        }
        let is_weighted = localities.values().any(|(weight, _)| *weight > 0) && localities.len() > 1;
        let groups: Vec<(f64, Vec<usize>)> = if is_weighted {
            let share = |(weight, members): (u32, Vec<usize>)| {
                let health = if is_panic { 1.0 } else { (health(candidates, &members) * OVERPROVISIONING).min(1.0) };
                (f64::from(weight) * health, members)
            };
            localities.into_values().map(share).collect()
        } else {
            vec![(1.0, members.to_vec())]
        };
        let total: f64 = groups.iter().map(|(share, _)| share).sum();
        // When no locality with a weight has anybody left, those without one are better than no answer (Envoy).
        let groups = if total > 0.0 { groups } else { vec![(1.0, members.to_vec())] };
        let total = if total > 0.0 { total } else { 1.0 };
        for (share, members) in groups {
            let usable = usable(candidates, &members, is_panic);
            if share > 0.0 && !usable.is_empty() {
                let before = self.shares.last().copied().unwrap_or(0.0);
                self.shares.push(before + load * share / total);
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
        let at = (hash % 100) as f64 / 100.0;
        self.levels.iter().find(|level| at < level.until).or(self.levels.last()).copied()
    }

    /// Whether there is nothing to draw between priorities and localities.
    pub(crate) fn is_single(&self) -> bool {
        self.groups.len() <= 1
    }

    /// Every member that may be chosen, the most important priority first.
    pub(crate) fn members(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().flat_map(|group| group.members.iter().copied())
    }
}

/// From 0 to below 1.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// Share of the members that are available.
fn health(candidates: &[Candidate], members: &[usize]) -> f64 {
    let available = members.iter().filter(|at| candidates[**at].is_available).count();
    available as f64 / members.len().max(1) as f64
}

/// In panic everybody counts, as the health data is more likely wrong than nearly all members down.
fn usable(candidates: &[Candidate], members: &[usize], is_panic: bool) -> Vec<usize> {
    let all = |keep: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        members.iter().copied().filter(|at| keep(&candidates[*at])).collect()
    };
    if !is_panic {
        return all(&|candidate| candidate.is_available);
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
        let has_equal_weights = members.iter().all(|at| Some(weight(at)) == first);
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

    /// The member whose turn it is: in order, or earliest deadline first when weights differ.
    pub(crate) fn next(&mut self, candidates: &[Candidate]) -> Option<usize> {
        if self.has_equal_weights {
            let member = self.members.get(self.cursor).copied()?;
            self.cursor = (self.cursor + 1) % self.members.len();
            return Some(member);
        }
        let turn = self.queue.pop()?;
        let member = self.members[turn.at];
        let weight = f64::from(candidates[member].weight.max(1));
        self.queue.push(Turn { due: turn.due + 1.0 / weight, at: turn.at });
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
