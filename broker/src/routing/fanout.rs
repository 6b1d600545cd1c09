//! Fanout exchanges: everything goes everywhere.

use warren_membership::catalog::Destination;

use super::targets::{Found, Targets};

/// All destinations.
#[derive(Debug, Default)]
pub(super) struct Fanout(Targets);

impl Fanout {
    pub(super) fn insert(&mut self, destination: Destination) {
        self.0.insert(destination);
    }

    pub(super) fn remove(&mut self, destination: &Destination) {
        self.0.remove(destination);
    }

    pub(super) fn route<'a>(&'a self, found: &mut Found<'a>) {
        self.0.add_to(found);
    }
}
