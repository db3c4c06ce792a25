//! Parts of a cluster's members that a request may ask for by labels, and what takes requests that ask for nobody's.
//!
//! Shape       1 `Subsets` -> n selectors (sets of keys) -> m subsets (values of those keys) -> 1 `View`
//! Invariants  a subset has at least one member; health does not move members between subsets
//! Cost        a look-up: keys compared per selector, then O(log subsets); no allocation. Built when members change
//! Source      Envoy subset_lb.cc: keys must be exactly those of a selector; fallbacks by selector, then by cluster
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use leno_ir::{Labels, MetadataValue, SubsetFallback, SubsetSettings};

use crate::view::View;

#[cfg(test)]
mod tests;

/// No labels.
pub(crate) static NO_LABELS: Labels = Labels::new();

#[derive(Debug)]
pub(crate) struct Subsets {
    settings: SubsetSettings,
    /// Of the members by place.
    labels: Vec<Labels>,
    default: View,
    selectors: Vec<Selector>,
}

#[derive(Debug)]
struct Selector {
    /// In order, each once.
    keys: Vec<String>,
    fallback: Option<SubsetFallback>,
    fewer_keys: BTreeSet<String>,
    /// Ordered by fingerprint.
    subsets: Vec<Subset>,
}

#[derive(Debug)]
struct Subset {
    /// Of `values`.
    fingerprint: u64,
    /// Of the selector's keys.
    values: Vec<MetadataValue>,
    /// The only member there is to be.
    single: Option<usize>,
    view: View,
}

/// Who takes a request.
pub(crate) enum Found<'v> {
    /// This one, by place.
    Member(usize),
    /// One of these.
    View(&'v mut View),
}

impl Subsets {
    /// Places are numbered as `labels` come.
    pub(crate) fn new(settings: &SubsetSettings, labels: Vec<Labels>) -> Self {
        let is_default = |labels: &Labels| {
            let has = |(key, value): (&String, &MetadataValue)| {
                labels.get(key).is_some_and(|found| is_label(found, value, settings.list_as_any))
            };
            settings.default_subset.iter().all(has)
        };
        let default = (0..labels.len()).filter(|at| is_default(&labels[*at])).collect();
        let selector = |selector: &leno_ir::SubsetSelector| Selector {
            keys: selector.keys.iter().cloned().collect(),
            fallback: selector.fallback,
            fewer_keys: selector.fewer_keys.clone(),
            subsets: subsets(selector, &labels, settings),
        };
        let selectors = settings.selectors.iter().map(selector).collect();
        Self { settings: settings.clone(), default: View::of(default, settings), selectors, labels }
    }

    /// Whether they would be made the same again.
    pub(crate) fn is_of(&self, settings: &SubsetSettings, labels: &[Labels]) -> bool {
        self.settings == *settings && self.labels == labels
    }

    pub(crate) fn views(&mut self) -> impl Iterator<Item = &mut View> {
        let subsets = self.selectors.iter_mut().flat_map(|selector| &mut selector.subsets);
        subsets.map(|subset| &mut subset.view).chain(std::iter::once(&mut self.default))
    }

    /// Who is there for a request that asks for `wanted`. `None`: nobody.
    pub(crate) fn find<'v>(&'v mut self, wanted: &Labels, whole: &'v mut View) -> Option<Found<'v>> {
        let mut fewer: Option<Labels> = None;
        loop {
            let wanted = fewer.as_ref().unwrap_or(wanted);
            let at = self.selectors.iter().position(|selector| wanted.keys().eq(&selector.keys));
            let Some(at) = at.filter(|_| !wanted.is_empty()) else { break };
            let selector = &self.selectors[at];
            if let Some(subset) = selector.find(wanted) {
                let subset = &mut self.selectors[at].subsets[subset];
                return Some(match subset.single {
                    Some(place) => Found::Member(place),
                    None => Found::View(&mut subset.view),
                });
            }
            if !selector.fewer_keys.is_empty() {
                let is_kept = |(key, _): &(&String, &MetadataValue)| selector.fewer_keys.contains(*key);
                let kept = wanted.iter().filter(is_kept).map(|(key, value)| (key.clone(), value.clone()));
                // Each time fewer, so it ends.
                fewer = Some(kept.collect());
                continue;
            }
            match selector.fallback {
                None => break,
                Some(SubsetFallback::AnyEndpoint) => return Some(Found::View(whole)),
                Some(SubsetFallback::DefaultSubset) => return Some(Found::View(&mut self.default)),
                Some(SubsetFallback::NoFallback) => return None,
            }
        }
        match self.settings.fallback {
            SubsetFallback::AnyEndpoint => Some(Found::View(whole)),
            SubsetFallback::DefaultSubset if self.settings.panics_to_any && self.default.plan.is_empty() => {
                Some(Found::View(whole))
            }
            SubsetFallback::DefaultSubset => Some(Found::View(&mut self.default)),
            SubsetFallback::NoFallback => None,
        }
    }
}

impl Selector {
    fn find(&self, wanted: &Labels) -> Option<usize> {
        let wanted_fingerprint = fingerprint(wanted.values());
        let first = self.subsets.partition_point(|subset| subset.fingerprint < wanted_fingerprint);
        let alike = self.subsets.iter().enumerate().skip(first);
        alike
            .take_while(|(_, subset)| subset.fingerprint == wanted_fingerprint)
            .find(|(_, subset)| wanted.values().eq(&subset.values))
            .map(|(at, _)| at)
    }
}

/// Whether a member's label is what is wanted.
fn is_label(found: &MetadataValue, wanted: &MetadataValue, list_as_any: bool) -> bool {
    match found {
        MetadataValue::List(values) if list_as_any => values.contains(wanted),
        found => found == wanted,
    }
}

/// Values, and the places of the members that stand for them.
type Placed = (Vec<MetadataValue>, Vec<usize>);

fn subsets(selector: &leno_ir::SubsetSelector, labels: &[Labels], settings: &SubsetSettings) -> Vec<Subset> {
    let mut members: BTreeMap<u64, Vec<Placed>> = BTreeMap::new();
    for (at, labels) in labels.iter().enumerate() {
        for values in combinations(selector, labels, settings.list_as_any) {
            let alike = members.entry(fingerprint(values.iter())).or_default();
            match alike.iter_mut().find(|(known, _)| *known == values) {
                // A list may name one value twice.
                Some((_, places)) if places.last() == Some(&at) => {}
                Some((_, places)) => places.push(at),
                None => alike.push((values, vec![at])),
            }
        }
    }
    let subset = |fingerprint, (values, places): (_, Vec<usize>)| Subset {
        fingerprint,
        values,
        single: places.first().copied().filter(|_| selector.is_single),
        view: View::of(places, settings),
    };
    let all = members.into_iter();
    all.flat_map(|(fingerprint, alike)| alike.into_iter().map(move |one| subset(fingerprint, one))).collect()
}

/// The values of the keys that a member stands for: none unless it has all of them, several where lists count as any.
fn combinations(selector: &leno_ir::SubsetSelector, labels: &Labels, list_as_any: bool) -> Vec<Vec<MetadataValue>> {
    let mut all = vec![Vec::new()];
    for key in &selector.keys {
        let values: &[MetadataValue] = match labels.get(key) {
            None => &[],
            Some(MetadataValue::List(values)) if list_as_any => values,
            Some(value) => std::slice::from_ref(value),
        };
        let extended = |before: &Vec<MetadataValue>| {
            let before = before.clone();
            values.iter().map(move |value| before.iter().chain([value]).cloned().collect())
        };
        all = all.iter().flat_map(extended).collect();
    }
    all
}

/// Equal values have equal ones.
fn fingerprint<'v>(values: impl Iterator<Item = &'v MetadataValue>) -> u64 {
    let mut hasher = DefaultHasher::new();
    values.for_each(|value| feed(value, &mut hasher));
    hasher.finish()
}

fn feed(value: &MetadataValue, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        MetadataValue::Null => {}
        MetadataValue::Bool(value) => value.hash(hasher),
        // 0 and -0 are equal.
        MetadataValue::Number(value) => (value + 0.0).to_bits().hash(hasher),
        MetadataValue::String(text) => text.hash(hasher),
        MetadataValue::List(values) => values.iter().for_each(|value| feed(value, hasher)),
        MetadataValue::Struct(fields) => {
            for (key, value) in fields {
                key.hash(hasher);
                feed(value, hasher);
            }
        }
    }
}
