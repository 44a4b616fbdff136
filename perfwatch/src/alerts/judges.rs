//! The evaluators of this process, one for each host, as all its parts share them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::evaluator::Evaluator;

/// One host's evaluator. Clones share it.
#[derive(Debug, Clone)]
pub struct Judge(Arc<Mutex<Evaluator>>);

impl Judge {
    pub fn new(evaluator: Evaluator) -> Self {
        Self(Arc::new(Mutex::new(evaluator)))
    }

    /// Held only for moments.
    pub fn lock(&self) -> MutexGuard<'_, Evaluator> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub struct Judges(Mutex<BTreeMap<String, Judge>>);

impl Judges {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Judge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the hosts that are wanted, by ID.
    pub fn of(&self, wanted: impl Fn(&str) -> bool) -> Vec<Judge> {
        self.all().iter().filter(|(host, _)| wanted(host)).map(|(_, judge)| judge.clone()).collect()
    }

    pub fn put(&self, host: &str, judge: Judge) {
        self.all().insert(host.to_owned(), judge);
    }

    pub fn remove(&self, host: &str) {
        self.all().remove(host);
    }

    pub fn replace(&self, judges: BTreeMap<String, Judge>) {
        *self.all() = judges;
    }
}
