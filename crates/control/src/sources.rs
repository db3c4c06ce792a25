use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use leno_api::{Kind, Located, Resource, ResourceKey};
use leno_model::Problem;
use leno_store::{Contents, DirectoryContent};

use crate::registration::Registrations;

/// The objects in force. Files first, then what was applied, then registrations: who comes first has the name.
///
/// Cost: what has changed since the last look; all files when one of them has.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Arc<DirectoryContent>,
    stored: Contents,
    in_force: BTreeMap<ResourceKey, Located<Arc<Resource>>>,
    /// Of objects that are not in force.
    problems: BTreeMap<ResourceKey, Vec<Problem>>,
    /// When objects in force change by themselves.
    moments: BTreeMap<ResourceKey, SystemTime>,
}

impl Sources {
    pub(crate) const fn in_force(&self) -> &BTreeMap<ResourceKey, Located<Arc<Resource>>> {
        &self.in_force
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        let all = self.in_force.range(ResourceKey::new(kind, "", "")..).take_while(move |(key, _)| key.kind == kind);
        all.map(|(_, located)| &located.value)
    }

    /// The next time that one of them changes by itself.
    pub(crate) fn next_change(&self) -> Option<SystemTime> {
        self.moments.values().min().copied()
    }

    pub(crate) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values().flatten()
    }

    /// Looks at the sources as they are now; gives the objects in force that are new, have changed or are gone (`None`).
    pub(crate) fn update(
        &mut self,
        files: &Arc<DirectoryContent>,
        stored: Contents,
        registrations: &mut Registrations,
        today: SystemTime,
    ) -> Vec<(ResourceKey, Option<Arc<Resource>>)> {
        let mut looked_at = registrations.take_changed();
        looked_at.extend(stored.changed_since(&self.stored).cloned());
        self.stored = stored;
        let before = std::mem::replace(&mut self.files, files.clone());
        if !Arc::ptr_eq(&before, files) {
            looked_at.extend(differing(&before, files).into_iter().cloned());
        }
        let due: BTreeSet<_> =
            self.moments.iter().filter(|(_, moment)| **moment <= today).map(|(key, _)| key.clone()).collect();
        looked_at.extend(due.iter().cloned());
        let looked_at = looked_at.into_iter();
        let changes = looked_at.filter_map(|key| self.look_at(key, registrations, &due));
        let changes: Vec<_> = changes.collect();
        let as_of = |(key, resource): (ResourceKey, Option<Arc<Resource>>)| {
            match resource.as_ref().and_then(|resource| resource.changes_at(today)) {
                Some(moment) => drop(self.moments.insert(key.clone(), moment)),
                None => drop(self.moments.remove(&key)),
            }
            (key, resource.map(|resource| resource.at(today)))
        };
        changes.into_iter().map(as_of).collect()
    }

    fn look_at(
        &mut self,
        key: ResourceKey,
        registrations: &Registrations,
        due: &BTreeSet<ResourceKey>,
    ) -> Option<(ResourceKey, Option<Arc<Resource>>)> {
        let mut problems = Vec::new();
        let file = self.files.resources.get(&key);
        let stored = self.stored.get(&key).map(|stored| &stored.resource);
        let registered = registrations.get(&key);
        if let (Some(file), Some(_)) = (file, stored) {
            let message = format!("what was applied has no effect: {}:{} defines it", file.source, file.line);
            problems.push(Problem::error(&key, "", "defined_in_file", message));
        }
        let is_taken = file.is_some() || stored.is_some();
        if registered.is_some_and(|(_, is_only)| is_taken || !is_only) {
            let message = "a workload of this name has registered, but an object of this name exists already";
            problems.push(Problem::error(&key, "", "name_taken", message));
        }
        let unwritten = stored.or(registered.map(|(entry, _)| entry));
        let now = file.cloned().or_else(|| unwritten.cloned().map(unplaced));
        match problems.is_empty() {
            true => drop(self.problems.remove(&key)),
            false => drop(self.problems.insert(key.clone(), problems)),
        }
        let before = self.in_force.get(&key).map(|located| &located.value);
        let same = match (before, now.as_ref().map(|located| &located.value)) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now) || before == now,
            (None, None) => true,
            _ => false,
        };
        let value = now.as_ref().map(|located| located.value.clone());
        match now {
            Some(now) => drop(self.in_force.insert(key.clone(), now)),
            None => drop(self.in_force.remove(&key)),
        }
        (!same || due.contains(&key)).then_some((key, value))
    }
}

fn differing<'a>(before: &'a DirectoryContent, now: &'a DirectoryContent) -> BTreeSet<&'a ResourceKey> {
    let (before, now) = (&before.resources, &now.resources);
    let new = now.iter().filter(|(key, located)| before.get(*key) != Some(*located)).map(|(key, _)| key);
    new.chain(before.keys().filter(|key| !now.contains_key(*key))).collect()
}

fn unplaced(value: Arc<Resource>) -> Located<Arc<Resource>> {
    Located { source: "".into(), line: 0, value }
}
