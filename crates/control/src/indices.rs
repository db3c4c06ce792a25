use leno_telemetry::Chain;
use std::collections::{BTreeMap, BTreeSet};

use leno_names::ServiceKey;
use leno_store::EmbeddedStore;

const STATE_KEY: &str = "service-numbers";
/// The numbers below belong to the proxies themselves (127.x.0.*); above would leave the block.
const FIRST: u16 = 256;
const LAST: u16 = 65_279;

/// Service numbers: the last two bytes of a service's loopback address on every host. Given once, kept for ever.
#[derive(Debug, Default)]
pub(crate) struct Indices {
    numbers: BTreeMap<ServiceKey, u16>,
}

impl Indices {
    pub(crate) fn load(store: &EmbeddedStore) -> Self {
        let stored = store.states(STATE_KEY).unwrap_or_else(|error| {
            tracing::error!(error = %Chain(&error), "service numbers cannot be read; services may get other loopback addresses");
            Vec::new()
        });
        let pairs: Vec<(ServiceKey, u16)> =
            stored.first().and_then(|(_, value)| serde_json::from_slice(value).ok()).unwrap_or_default();
        Self { numbers: pairs.into_iter().collect() }
    }

    pub(crate) fn numbers(&self) -> &BTreeMap<ServiceKey, u16> {
        &self.numbers
    }

    /// Gives numbers to services that have none. Services that went keep theirs: they may come back.
    pub(crate) fn allot(&mut self, keys: BTreeSet<ServiceKey>, store: &EmbeddedStore) {
        let new: Vec<_> = keys.into_iter().filter(|key| !self.numbers.contains_key(key)).collect();
        if new.is_empty() {
            return;
        }
        let taken: BTreeSet<u16> = self.numbers.values().copied().collect();
        let mut free = (FIRST..=LAST).filter(|number| !taken.contains(number));
        for key in new {
            match free.next() {
                Some(number) => {
                    self.numbers.insert(key, number);
                }
                None => {
                    tracing::error!(service = %key, "no service number is left; the service gets no loopback address")
                }
            }
        }
        let pairs: Vec<_> = self.numbers.iter().collect();
        let saved = serde_json::to_vec(&pairs).map_err(|error| error.to_string());
        let saved = saved.and_then(|text| store.put_state(STATE_KEY, &text).map_err(|error| error.to_string()));
        if let Err(error) = saved {
            tracing::error!(error, "service numbers cannot be saved; they may change at the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_keeps_its_number_when_others_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&directory.path().join("store")).unwrap();
        let key = |name: &str| ServiceKey::new("default", name);
        let mut indices = Indices::load(&store);
        indices.allot([key("b")].into(), &store);
        indices.allot([key("a"), key("c")].into(), &store);
        let again = Indices::load(&store);
        assert_eq!(again.numbers()[&key("b")], 256);
        assert_eq!(again.numbers()[&key("a")], 257);
        assert_eq!(again.numbers().len(), 3);
    }
}
