//! Random exchanges: a message goes to one of the destinations, whatever its
//! routing key and the binding keys are.

use std::hash::{BuildHasher, Hasher, RandomState};

use warren_membership::catalog::Destination;

use super::targets::Found;

/// Destinations, each with its number of bindings.
#[derive(Debug, Default)]
pub(super) struct Random(Vec<(Destination, u32)>);

impl Random {
    pub(super) fn insert(&mut self, destination: Destination) {
        match self.0.binary_search_by(|(known, _)| known.cmp(&destination)) {
            Ok(place) => self.0[place].1 += 1,
            Err(place) => self.0.insert(place, (destination, 1)),
        }
    }

    pub(super) fn remove(&mut self, destination: &Destination) {
        if let Ok(place) = self.0.binary_search_by(|(known, _)| known.cmp(destination)) {
            self.0[place].1 -= 1;
            if self.0[place].1 == 0 {
                self.0.remove(place);
            }
        }
    }

    pub(super) fn route<'a>(&'a self, found: &mut Found<'a>) {
        if !self.0.is_empty() {
            // Each new state has other keys.
            let chance = RandomState::new().build_hasher().finish() % self.0.len() as u64;
            found.add(&self.0[chance as usize].0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::collections::BTreeSet;

    use warren_replication::types::QueueId;

    use super::*;

    #[test]
    fn each_message_goes_to_one_and_all_get_some() {
        let mut exchange = Random::default();
        let queue = |id| Destination::Queue(QueueId(id));
        for id in [2, 1, 3, 1] {
            exchange.insert(queue(id));
        }
        exchange.remove(&queue(3));
        exchange.remove(&queue(1));
        let mut met = BTreeSet::new();
        for _ in 0..200 {
            let mut found = Found::default();
            exchange.route(&mut found);
            assert_eq!(found.queues.len(), 1);
            met.insert(found.queues[0].0);
        }
        assert_eq!(met, BTreeSet::from([1, 2]));
    }
}
