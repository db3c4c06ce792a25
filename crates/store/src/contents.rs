use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use leno_api::ResourceKey;

use crate::stored::Stored;

/// All objects at one moment. Cheap to clone, and to compare with what it was before.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub(crate) objects: OrdMap<ResourceKey, Arc<Stored>>,
}

impl Contents {
    pub fn get(&self, key: &ResourceKey) -> Option<&Arc<Stored>> {
        self.objects.get(key)
    }

    /// Objects that were not the same, or not there, in one of the two.
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a ResourceKey> {
        before.objects.diff(&self.objects).map(|item| match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key,
        })
    }
}
