use std::collections::BTreeMap;

use leno_ir::BalancerPolicy;

use crate::Member;
use crate::consistent::HashTables;
use crate::plan::{Candidate, Plan, PlanSettings};

/// Members among which a request is balanced, all of them or a subset: priorities, shares and tables of hashes.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Places; `None`: all.
    places: Option<Vec<usize>>,
    pub(crate) plan: Plan,
    /// The same of one priority alone, for those who were asked for.
    narrow: BTreeMap<u32, Plan>,
    /// `None`: to be built by the first choice by hash.
    pub(crate) tables: Option<Box<HashTables>>,
}

impl View {
    pub(crate) fn of(places: Vec<usize>) -> Self {
        Self { places: Some(places), ..Self::default() }
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
                Some(places) => Plan::among(candidates, places.iter().copied().filter(is_of), settings, 0),
            }
        });
        (plan, self.tables.as_deref())
    }

    pub(crate) fn rebuild(&mut self, candidates: &[Candidate], settings: &PlanSettings<'_>, seed: u64) {
        self.narrow.clear();
        self.plan = match &self.places {
            None => Plan::new(candidates, settings, seed),
            Some(places) => Plan::among(candidates, places.iter().copied(), settings, seed),
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
