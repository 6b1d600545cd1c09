//! Where a node keeps its queues' logs: a trait with two implementations, the
//! RocksDB [`Database`] and the [`MemoryStore`] of tests and simulations (one
//! test suite runs against both), the node's identity on its disk, and the
//! [`GroupCommit`] thread that turns the writes of all shards into one fsync.
//!
//! The store knows nothing of epochs or commits; it keeps bytes under (queue,
//! index) and promises two things: what [`LogStore::commit`] returned `Ok` for
//! survives power loss, and a batch is there as a whole or not at all.

mod aside;
mod database;
mod error;
mod extent;
mod group_commit;
mod identity;
mod memory;
mod rocks;
mod sweeper;
mod vouched;

pub use aside::read_aside;
pub use database::{Database, Options, open};
pub use error::StoreError;
pub use group_commit::{COMMIT_BOUNDS, CommitStats, GroupCommit, Submission};
pub use identity::{ClusterId, node_id};
pub use memory::MemoryStore;

use bytes::Bytes;
use warren_replication::step::Write;
use warren_replication::types::{Epoch, Index, QueueId};

/// One queue as found in the store: all but its entries, which
/// [`LogStore::entries`] streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredQueue {
    /// Which queue.
    pub queue: QueueId,
    /// Its durable epoch, 0 if none was ever put.
    pub epoch: Epoch,
    /// Its last checkpoint, if one was ever put.
    pub checkpoint: Option<Bytes>,
    /// The first index that the log holds, and the one after its last; equal if
    /// it holds none.
    pub log: (Index, Index),
}

/// Logs, epochs and checkpoints of a node's queues.
///
/// Writers call `commit` from one thread ([`GroupCommit`]); `read`, `recover`
/// and `entries` may be called from any thread beside it.
pub trait LogStore: Send + Sync + 'static {
    /// Carries out the writes in order, atomically, and returns once they are
    /// on disk. `None` drops all that is stored of a queue.
    ///
    /// # Errors
    /// Whatever the disk says, or a write that does not continue its log. The
    /// caller must end the process: what is on disk then is unknown, and an
    /// fsync that failed must never be tried again (§1, durable index).
    fn commit(&self, batch: &[(QueueId, Option<Write>)]) -> Result<(), StoreError>;

    /// Entries from `first` on, dense, about `max_bytes` of them but at least
    /// one; short or empty if fewer are there (released, truncated, or not yet
    /// written).
    ///
    /// # Errors
    /// Whatever the disk says; [`StoreError::Gap`] if the log has a hole.
    fn read(&self, queue: QueueId, first: Index, max_bytes: usize) -> Result<Vec<Bytes>, StoreError>;

    /// Every queue of which anything is stored, in id order.
    ///
    /// # Errors
    /// Whatever the disk says; [`StoreError::Damaged`] if a record of it cannot
    /// be understood.
    fn recover(&self) -> Result<Vec<StoredQueue>, StoreError>;

    /// Streams a queue's entries, in order and without gaps.
    /// Checksums are the reader's business (`warren_replication::record`): what
    /// it rejects it returns, and streaming ends with that error.
    ///
    /// # Errors
    /// Whatever the disk says, [`StoreError::Gap`] if the log has a hole, or
    /// what `visit` returned.
    fn entries(
        &self,
        queue: QueueId,
        visit: &mut dyn FnMut(Index, Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
}
