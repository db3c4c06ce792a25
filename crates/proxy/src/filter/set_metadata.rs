use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use leno_ir::{FixedMetadata, MetadataValue, SetMetadata as Config};

use super::{Place, RequestContext, Step};
use crate::stats::Counter;

/// Puts fixed values into metadata (Envoy's HTTP filter `set_metadata`).
#[derive(Debug)]
pub(crate) struct SetMetadata {
    entries: Vec<FixedMetadata>,
    overwrite_denied: Counter,
}

impl SetMetadata {
    pub(super) fn new(config: &Config, place: Place<'_>) -> Self {
        Self { entries: config.entries.clone(), overwrite_denied: place.counter("set_metadata.overwrite_denied") }
    }

    pub(super) fn on_request(&self, cx: &mut RequestContext<'_>) -> Step {
        for entry in &self.entries {
            match cx.exchange.metadata.entry(entry.namespace.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(entry.fields.clone());
                }
                Entry::Occupied(mut there) if entry.allow_overwrite => merge(there.get_mut(), &entry.fields),
                Entry::Occupied(_) => self.overwrite_denied.increment(),
            }
        }
        Step::Continue
    }
}

/// Lists grow, structures are merged, all else is replaced.
fn merge(fields: &mut BTreeMap<String, MetadataValue>, new: &BTreeMap<String, MetadataValue>) {
    for (key, value) in new {
        match (fields.get_mut(key), value) {
            (Some(MetadataValue::Struct(old)), MetadataValue::Struct(new)) => merge(old, new),
            (Some(MetadataValue::List(old)), MetadataValue::List(new)) => old.extend(new.iter().cloned()),
            (Some(old), new) => *old = new.clone(),
            (None, new) => {
                fields.insert(key.clone(), new.clone());
            }
        }
    }
}
