use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Serialize, Serializer};

/// Resources of one type by their xDS names.
///
/// Cost: a clone is one pointer; changing one of n resources copies O(log n); comparing two that came from one another costs
/// what changed in between.
pub struct Resources<T> {
    map: OrdMap<Arc<str>, Entry<T>>,
}

/// The same only when it is the same object: what did not change keeps its identity.
struct Entry<T>(Arc<T>);

/// What became of a resource.
#[derive(Debug)]
pub enum ResourceChange<'a, T> {
    Removed(&'a str),
    Set(&'a Arc<str>, &'a Arc<T>),
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for Resources<T> {
    fn clone(&self) -> Self {
        Self { map: self.map.clone() }
    }
}

impl<T> Default for Resources<T> {
    fn default() -> Self {
        Self { map: OrdMap::new() }
    }
}

impl<T> Resources<T> {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.map.get(name).map(|entry| &entry.0)
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// The one that had the name before comes back.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, resource: Arc<T>) -> Option<Arc<T>> {
        self.map.insert(name.into(), Entry(resource)).map(|entry| entry.0)
    }

    pub fn remove(&mut self, name: &str) -> Option<Arc<T>> {
        self.map.remove(name).map(|entry| entry.0)
    }

    /// In order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<T>)> {
        self.map.iter().map(|(name, entry)| (&**name, &entry.0))
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(|name| &**name)
    }

    pub fn values(&self) -> impl Iterator<Item = &Arc<T>> {
        self.map.values().map(|entry| &entry.0)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Arc<T>) -> bool) {
        let gone: Vec<_> =
            self.map.iter().filter(|(name, entry)| !keep(name, &entry.0)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.map.remove(&name);
        }
    }

    /// Lets `change` have each of them; those it leaves as they are keep their identity.
    pub fn edit(&mut self, mut change: impl FnMut(&mut Arc<T>)) {
        for (name, entry) in self.clone().map {
            let mut new = entry.0.clone();
            change(&mut new);
            if !Arc::ptr_eq(&new, &entry.0) {
                self.map.insert(name, Entry(new));
            }
        }
    }

    /// Whether both hold the very same resources.
    pub fn is_same(&self, other: &Self) -> bool {
        self.len() == other.len() && self.changes_since(other).next().is_none()
    }

    /// What makes these of `before`, by identity.
    pub fn changes_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = ResourceChange<'a, T>> {
        before.map.diff(&self.map).map(|item| match item {
            DiffItem::Add(name, entry) | DiffItem::Update { new: (name, entry), .. } => {
                ResourceChange::Set(name, &entry.0)
            }
            DiffItem::Remove(name, _) => ResourceChange::Removed(name),
        })
    }
}

impl<T: PartialEq> PartialEq for Resources<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|((a, one), (b, two))| a == b && (Arc::ptr_eq(one, two) || one == two))
    }
}

impl<T: fmt::Debug> fmt::Debug for Resources<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T: Serialize> Serialize for Resources<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<T> Index<&str> for Resources<T> {
    type Output = Arc<T>;

    /// # Panics
    /// When there is no such resource.
    fn index(&self, name: &str) -> &Self::Output {
        &self.map[name].0
    }
}

impl<T, N: Into<Arc<str>>> Extend<(N, Arc<T>)> for Resources<T> {
    fn extend<I: IntoIterator<Item = (N, Arc<T>)>>(&mut self, resources: I) {
        for (name, resource) in resources {
            self.insert(name, resource);
        }
    }
}

impl<T, N: Into<Arc<str>>> FromIterator<(N, Arc<T>)> for Resources<T> {
    fn from_iter<I: IntoIterator<Item = (N, Arc<T>)>>(resources: I) -> Self {
        let mut all = Self::new();
        all.extend(resources);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_those_of_identity() {
        let mut before: Resources<u8> =
            [("a", 1), ("b", 2), ("c", 3)].map(|(name, one)| (name, Arc::new(one))).into_iter().collect();
        let mut after = before.clone();
        assert!(after.is_same(&before));
        after.insert("b", Arc::new(2));
        after.remove("c");
        after.insert("d", Arc::new(4));
        let words: Vec<_> = after
            .changes_since(&before)
            .map(|change| match change {
                ResourceChange::Removed(name) => format!("-{name}"),
                ResourceChange::Set(name, _) => format!("+{name}"),
            })
            .collect();
        assert_eq!(words, ["+b", "-c", "+d"]);
        before.remove("c");
        before.insert("d", Arc::new(4));
        assert_eq!(before, after);
        assert!(!after.is_same(&before));
    }
}
