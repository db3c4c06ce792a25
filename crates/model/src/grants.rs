use leno_api::{ReferenceGrantSpec, Resource};
use std::sync::Arc;

/// Who may refer to objects of other namespaces (ReferenceGrant).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants {
    /// By namespace of what is referred to.
    all: Vec<(String, ReferenceGrantSpec)>,
}

/// The object that refers to another.
#[derive(Clone, Copy, Debug)]
pub struct Referrer<'a> {
    pub group: &'a str,
    pub kind: &'a str,
    pub namespace: &'a str,
}

/// The object that is referred to.
#[derive(Clone, Copy, Debug)]
pub struct Referent<'a> {
    pub group: &'a str,
    pub kind: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl Grants {
    pub(crate) fn of(resources: &[Arc<Resource>]) -> Self {
        let grant = |resource: &Arc<Resource>| match &**resource {
            Resource::ReferenceGrant(grant) => Some((grant.metadata.namespace().to_owned(), grant.spec.clone())),
            _ => None,
        };
        Self { all: resources.iter().filter_map(grant).collect() }
    }

    /// Within a namespace nobody has to be asked.
    pub fn permit(&self, from: Referrer<'_>, to: Referent<'_>) -> bool {
        from.namespace == to.namespace
            || self.all.iter().filter(|(namespace, _)| namespace == to.namespace).any(|(_, grant)| {
                let who = grant
                    .from
                    .iter()
                    .any(|one| one.group == from.group && one.kind == from.kind && one.namespace == from.namespace);
                let what = |one: &leno_api::GrantTo| {
                    one.group == to.group
                        && one.kind == to.kind
                        && one.name.as_deref().is_none_or(|name| name.is_empty() || name == to.name)
                };
                who && grant.to.iter().any(what)
            })
    }
}
