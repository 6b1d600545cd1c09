//! Direct exchanges: the routing key is the binding key.

use rustc_hash::FxHashMap;
use warren_membership::catalog::Destination;

use super::targets::{Found, Targets};

/// Destinations by binding key.
#[derive(Debug, Default)]
pub(super) struct Direct(FxHashMap<Box<str>, Targets>);

impl Direct {
    pub(super) fn insert(&mut self, key: &str, destination: Destination) {
        self.0.entry(key.into()).or_default().insert(destination);
    }

    pub(super) fn remove(&mut self, key: &str, destination: &Destination) {
        if let Some(targets) = self.0.get_mut(key) {
            targets.remove(destination);
            if targets.is_empty() {
                self.0.remove(key);
            }
        }
    }

    pub(super) fn route<'a>(&'a self, key: &str, found: &mut Found<'a>) {
        if let Some(targets) = self.0.get(key) {
            targets.add_to(found);
        }
    }
}
