//! What bindings lead to, each once however many bindings lead there: bindings
//! that differ only in arguments that their exchange does not read are counted.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use warren_membership::catalog::Destination;
use warren_replication::types::QueueId;

/// A set of destinations. Most have one member, and cost no allocation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Targets {
    #[default]
    None,
    One(Destination, u32),
    Many(BTreeMap<Destination, u32>),
}

impl Targets {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn insert(&mut self, destination: Destination) {
        match self {
            Self::None => *self = Self::One(destination, 1),
            Self::One(only, count) if *only == destination => *count += 1,
            Self::One(..) => {
                let Self::One(only, count) = std::mem::take(self) else { return };
                *self = Self::Many(BTreeMap::from([(only, count), (destination, 1)]));
            }
            Self::Many(many) => *many.entry(destination).or_default() += 1,
        }
    }

    pub(super) fn remove(&mut self, destination: &Destination) {
        match self {
            Self::One(only, count) if only == destination => {
                *count -= 1;
                if *count == 0 {
                    *self = Self::None;
                }
            }
            Self::None | Self::One(..) => {}
            Self::Many(many) => {
                if let Some(count) = many.get_mut(destination) {
                    *count -= 1;
                    if *count == 0 {
                        many.remove(destination);
                    }
                }
                if many.is_empty() {
                    *self = Self::None;
                }
            }
        }
    }

    pub(super) fn add_to<'a>(&'a self, found: &mut Found<'a>) {
        match self {
            Self::None => {}
            Self::One(only, _) => found.add(only),
            Self::Many(many) => many.keys().for_each(|destination| found.add(destination)),
        }
    }
}

/// What one exchange leads to for one message; things may be in it twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) queues: Vec<QueueId>,
    pub(super) exchanges: SmallVec<[&'a str; 2]>,
}

impl<'a> Found<'a> {
    pub(super) fn add(&mut self, destination: &'a Destination) {
        match destination {
            Destination::Queue(id) => self.queues.push(*id),
            Destination::Exchange(name) => self.exchanges.push(name),
        }
    }
}
