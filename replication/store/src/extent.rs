//! Which indices a queue's log holds. Both stores keep one of these a queue in
//! memory, so that every read starts at a known key, and check every write
//! against it: a hole in a log must be noticed when it is made, not when
//! somebody needs what is missing.

use warren_replication::step::Write;
use warren_replication::types::{Index, QueueId};

use crate::error::StoreError;

/// The indices `first..next`. All zero: empty, and the next append may begin
/// anywhere (a new queue, or one whose copy was just replaced).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) next: u64,
}

impl Extent {
    /// The extent after a write, if the write continues the log.
    pub(crate) fn after(self, queue: QueueId, write: &Write) -> Result<Self, StoreError> {
        Ok(match write {
            Write::Append { first, entries } => {
                let fresh = self == Self::default();
                if (!fresh && first.0 != self.next) || first.0 == 0 {
                    return Err(StoreError::Gap { queue, expected: Index(self.next), found: *first });
                }
                let begin = if fresh { first.0 } else { self.first };
                Self { first: begin, next: first.0 + entries.len() as u64 }
            }
            Write::Truncate { from, .. } => {
                let next = self.next.min(from.0);
                Self { first: self.first.min(next), next }
            }
            Write::Install { .. } => Self::default(),
            Write::Epoch(_) => self,
            Write::Rewrite { entries, .. } => {
                match entries.iter().find(|(index, _)| !(self.first..self.next).contains(&index.0)) {
                    Some((index, _)) => {
                        return Err(StoreError::Gap { queue, expected: Index(self.first), found: *index });
                    }
                    None => self,
                }
            }
            Write::Checkpoint { release, .. } if release.0 >= self.first && self != Self::default() => {
                let first = release.0 + 1;
                Self { first, next: self.next.max(first) }
            }
            Write::Checkpoint { .. } => self,
        })
    }

    /// What both extents hold: all that a reader may rely on while a commit is
    /// under way.
    pub(crate) fn common(self, other: Self) -> Self {
        let first = self.first.max(other.first);
        Self { first, next: self.next.min(other.next).max(first) }
    }
}
