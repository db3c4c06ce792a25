use std::borrow::Cow;
use std::collections::BTreeMap;

use leno_ir::{BalancerPolicy, SubsetSettings};

use crate::Member;
use crate::consistent::HashTables;
use crate::plan::{Candidate, Plan, PlanSettings};

/// Members among which a request is balanced, all of them or a subset: priorities, shares and tables of hashes.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Places; `None`: all.
    places: Option<Vec<usize>>,
    /// See `ir::SubsetSettings`.
    scales_localities: bool,
    pub(crate) plan: Plan,
    /// The same of one priority alone, for those who were asked for.
    narrow: BTreeMap<u32, Plan>,
    /// `None`: to be built by the first choice by hash.
    pub(crate) tables: Option<Box<HashTables>>,
}

impl View {
    pub(crate) fn of(places: Vec<usize>, settings: &SubsetSettings) -> Self {
        Self { places: Some(places), scales_localities: settings.scales_localities, ..Self::default() }
    }

    /// The plan and the tables; the plan of one priority, where that is asked for.
    pub(crate) fn parts(
        &mut self,
        priority: Option<u32>,
        candidates: &[Candidate],
        settings: &PlanSettings<'_>,
    ) -> (&mut Plan, Option<&HashTables>) {
        let Some(priority) = priority else { return (&mut self.plan, self.tables.as_deref()) };
        let plan = self.narrow.entry(priority).or_insert_with(|| {
            let is_of = |at: &usize| candidates[*at].priority == priority;
            let all = || (0..candidates.len()).filter(is_of);
            match &self.places {
                None => Plan::among(candidates, all(), settings, 0),
                Some(places) => {
                    let candidates = scaled(candidates, places, self.scales_localities);
                    Plan::among(&candidates, places.iter().copied().filter(is_of), settings, 0)
                }
            }
        });
        (plan, self.tables.as_deref())
    }

    pub(crate) fn rebuild(&mut self, candidates: &[Candidate], settings: &PlanSettings<'_>, seed: u64) {
        self.narrow.clear();
        self.plan = match &self.places {
            None => Plan::new(candidates, settings, seed),
            Some(places) => {
                let candidates = scaled(candidates, places, self.scales_localities);
                Plan::among(&candidates, places.iter().copied(), settings, seed)
            }
        };
    }

    /// `members` by place, all there are.
    pub(crate) fn build_tables<'m, K: 'm>(
        &mut self,
        policy: &BalancerPolicy,
        members: impl Iterator<Item = &'m Member<K>>,
    ) {
        if self.tables.is_some() {
            return;
        }
        let all = (0_u32..).zip(members);
        let tables = match &self.places {
            None => HashTables::new(policy, all),
            // Places are in order.
            Some(places) => {
                HashTables::new(policy, all.filter(|(at, _)| places.binary_search(&(*at as usize)).is_ok()))
            }
        };
        self.tables = Some(Box::new(tables));
    }
}

/// The candidates, where it is wanted with localities that weigh as much less as fewer of their members are at `places`.
fn scaled<'c>(candidates: &'c [Candidate], places: &[usize], is_wanted: bool) -> Cow<'c, [Candidate]> {
    if !is_wanted {
        return Cow::Borrowed(candidates);
    }
    let locality = |candidate: &Candidate| (candidate.priority, candidate.locality);
    // All and those of the subset.
    let mut counts: BTreeMap<(u32, u32), (u32, u32)> = BTreeMap::new();
    candidates.iter().for_each(|candidate| counts.entry(locality(candidate)).or_default().0 += 1);
    places.iter().for_each(|at| counts.entry(locality(&candidates[*at])).or_default().1 += 1);
    let scale = |candidate: &Candidate| {
        let (all, here) = counts.get(&locality(candidate)).copied().unwrap_or((1, 1));
        let weight = f64::from(candidate.locality_weight) * f64::from(here) / f64::from(all.max(1));
        Candidate { locality_weight: weight.round() as u32, ..*candidate }
    };
    candidates.iter().map(scale).collect()
}
