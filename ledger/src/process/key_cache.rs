//! Keys that this process has seen, until somebody changes one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::records::api_key::ApiKey;
use crate::records::hash::Hash;

/// Known keys by hash. Trusted only while this process hears of changes elsewhere.
#[derive(Clone, Default)]
pub(crate) struct KeyCache(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_trusted: bool,
    /// Counts clearings, so that a key read before one is not remembered after it.
    clearings: u64,
    keys: HashMap<Hash, Arc<ApiKey>>,
}

impl KeyCache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.clearings = state.clearings.wrapping_add(1);
        state.keys.clear();
    }

    pub(crate) fn trust(&self) {
        self.clear();
        self.state().is_trusted = true;
    }

    pub(crate) fn distrust(&self) {
        self.state().is_trusted = false;
    }

    /// A key that certainly stands, and the number of clearings so far.
    pub(crate) fn find(&self, hash: &Hash) -> (Option<Arc<ApiKey>>, u64) {
        let state = self.state();
        let known = state.is_trusted.then(|| state.keys.get(hash).cloned());
        (known.flatten(), state.clearings)
    }

    /// A key that may have been changed elsewhere.
    pub(crate) fn find_untrusted(&self, hash: &Hash) -> Option<Arc<ApiKey>> {
        self.state().keys.get(hash).cloned()
    }

    /// Remembers a key that was read after so many clearings.
    pub(crate) fn remember(&self, hash: Hash, key: &Arc<ApiKey>, clearings: u64) {
        let mut state = self.state();
        if state.clearings == clearings {
            state.keys.insert(hash, Arc::clone(key));
        }
    }
}
