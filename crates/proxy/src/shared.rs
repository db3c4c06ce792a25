use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// State that filters of all workers have in common: a limit of 1 stays 1 whatever the number of workers.
///
/// A key names the place in the configuration and what is configured there, so that each worker finds the same state, a
/// filter that changed begins anew, and one that did not goes on. State lives as long as somebody uses it.
///
/// Cost: a lock and a look-up when a filter is made, never when it is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedStates {
    states: Arc<Mutex<HashMap<String, Weak<dyn Any + Send + Sync>>>>,
}

impl SharedStates {
    /// Whether health checks of this proxy are to fail, whatever they find.
    pub(crate) fn unwell(&self) -> Arc<AtomicBool> {
        self.get("healthcheck/fail".to_owned(), AtomicBool::default)
    }

    /// The state of that key, made now when there is none.
    pub(crate) fn get<T: Any + Send + Sync>(&self, key: String, make: impl FnOnce() -> T) -> Arc<T> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(&key).and_then(Weak::upgrade)
            && let Ok(state) = state.downcast()
        {
            return state;
        }
        let state = Arc::new(make());
        states.retain(|_, state| state.strong_count() > 0);
        let erased: Arc<dyn Any + Send + Sync> = state.clone();
        states.insert(key, Arc::downgrade(&erased));
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_one_while_somebody_has_it() {
        let states = SharedStates::default();
        let first = states.get("a".to_owned(), || 1_u32);
        assert!(Arc::ptr_eq(&first, &states.get("a".to_owned(), || 2)));
        assert_eq!(*states.get("b".to_owned(), || 3_u32), 3);
        drop(first);
        assert_eq!(*states.get("a".to_owned(), || 4_u32), 4);
    }
}
