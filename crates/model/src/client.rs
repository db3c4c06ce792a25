use std::collections::{BTreeMap, BTreeSet};

use crate::Visibility;

/// Who looks at the mesh.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    pub namespace: &'a str,
    pub labels: &'a BTreeMap<String, String>,
}

/// What of a client decides what it sees: clients of one scope see the same.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Scope {
    /// Empty: one of which nothing is said.
    pub namespace: String,
    /// Those of which something is said.
    pub labels: BTreeMap<String, String>,
}

impl Scope {
    pub(crate) fn has(&self, selector: &BTreeMap<String, String>) -> bool {
        selector.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// What scopes differ by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Differences {
    pub namespaces: BTreeSet<String>,
    /// Each is told apart, those of which nothing is said included.
    pub every_namespace: bool,
    pub labels: BTreeSet<(String, String)>,
}

impl Differences {
    /// An object of `own` that not everybody sees.
    pub(crate) fn see(&mut self, visibility: &Visibility, own: &str) {
        self.namespaces.extend(visibility.named().chain([own]).map(str::to_owned));
    }

    pub(crate) fn select(&mut self, labels: &BTreeMap<String, String>) {
        self.labels.extend(labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    pub(crate) fn scope(&self, client: Client<'_>) -> Scope {
        let told_apart = self.every_namespace || self.namespaces.contains(client.namespace);
        let pairs = client.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
        Scope {
            namespace: if told_apart { client.namespace.to_owned() } else { String::new() },
            labels: pairs.filter(|pair| self.labels.contains(pair)).collect(),
        }
    }
}
