//! From what the store found at start to a replica's log and ledger.

use bytes::Bytes;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::ledger::Ledger;
use crate::log::Log;
use crate::record::{Entry, RecordError};
use crate::settings::Settings;
use crate::types::{Epoch, Index, QueueId};

/// Why a stored log cannot be used: the copy is damaged or rolled back (§5.4,
/// §5.5); it must not count as in sync.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The checkpoint cannot be read.
    #[error("queue {queue}: checkpoint: {error}")]
    Checkpoint {
        /// Whose.
        queue: QueueId,
        /// Why.
        error: CheckpointError,
    },
    /// An entry cannot be read.
    #[error("queue {queue}: entry after {after}: {error}")]
    Entry {
        /// Whose.
        queue: QueueId,
        /// The last good index.
        after: Index,
        /// Why.
        error: RecordError,
    },
    /// The log has a hole, or its epochs go back.
    #[error("queue {queue}: entry {found} does not follow {after}")]
    Gap {
        /// Whose.
        queue: QueueId,
        /// The last good index.
        after: Index,
        /// What came instead of the next.
        found: Index,
    },
}

/// A queue's log as it is read back at start.
#[derive(Clone, Debug)]
pub struct Recovery {
    pub(crate) queue: QueueId,
    pub(crate) epoch: Epoch,
    pub(crate) log: Log,
    pub(crate) ledger: Ledger,
}

impl Recovery {
    /// A queue of which nothing is stored here.
    #[must_use]
    pub fn empty(queue: QueueId) -> Self {
        Self { queue, epoch: Epoch(0), log: Log::default(), ledger: Ledger::default() }
    }

    /// Begins with the stored epoch and checkpoint, if there is one.
    ///
    /// # Errors
    /// The checkpoint is damaged, of an unknown version, or of another queue.
    pub fn new(queue: QueueId, epoch: Epoch, checkpoint: Option<Bytes>) -> Result<Self, RecoveryError> {
        let mut recovery = Self { epoch, ..Self::empty(queue) };
        if let Some(bytes) = checkpoint {
            let checkpoint =
                Checkpoint::decode(queue, &bytes).map_err(|error| RecoveryError::Checkpoint { queue, error })?;
            (recovery.log, recovery.ledger) = checkpoint.open();
        }
        Ok(recovery)
    }

    /// The first entry that has to be pushed: what lies before is in the
    /// checkpoint. Pushing earlier ones, from the base on, is allowed and
    /// verifies them.
    #[must_use]
    pub fn first(&self) -> Index {
        self.ledger.applied().index.next()
    }

    /// The entry before the first one that the log holds.
    #[cfg(test)]
    pub(crate) fn base(&self) -> Index {
        self.log.base().index
    }

    /// What the checkpoint says.
    #[cfg(test)]
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The stored entries, ascending and dense.
    ///
    /// # Errors
    /// The entry is damaged or does not follow the one before.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), RecoveryError> {
        let (queue, after) = (self.queue, self.log.last().index);
        let entry = Entry::decode(&bytes).map_err(|error| RecoveryError::Entry { queue, after, error })?;
        let position = entry.position;
        if position.index <= self.ledger.applied().index {
            return match self.log.holds(position) {
                true => Ok(()),
                false => Err(RecoveryError::Gap { queue, after, found: position.index }),
            };
        }
        if position.index != after.next() || position.epoch < self.log.last().epoch {
            return Err(RecoveryError::Gap { queue, after, found: position.index });
        }
        self.log.push(entry, bytes);
        self.log.trim(Settings::default().tail_bytes, position.index);
        Ok(())
    }
}
