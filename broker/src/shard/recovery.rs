//! From the store to replicas, at start. Everything read here is checked: each
//! entry's checksum, and that the log has no hole. The store itself cannot leave
//! half an entry behind (RocksDB recovers its write-ahead log up to a whole
//! batch), so an entry that fails its check is damage, not a torn write (§5.5d).

use warren_replication::recovery::{Recovery, RecoveryError};
use warren_replication::replica::Replica;
use warren_replication::settings::Settings;
use warren_replication::types::{Process, QueueId};
use warren_store::{LogStore, StoreError};

/// A queue's copy on this node cannot be used; it must not count as in sync.
#[derive(Debug, thiserror::Error)]
#[error(
    "this node's copy is damaged: {0}. Move the data folder away and start the node with an empty one; \
     it fetches its queues from their other replicas"
)]
pub struct RecoveryFailure(#[from] RecoveryError);

/// Reads all queues, one after the other, and hands each replica on.
pub(super) fn replicas(
    store: &dyn LogStore,
    me: Process,
    settings: &Settings,
    mut found: impl FnMut(QueueId, Replica),
) -> Result<(), super::StartError> {
    for stored in store.recover()? {
        let mut recovery = Recovery::new(stored.queue, stored.epoch, stored.checkpoint).map_err(RecoveryFailure)?;
        let mut failure = None;
        let streamed = store.entries(stored.queue, &mut |index, entry| {
            recovery.push(entry).map_err(|error| {
                let reason = error.to_string();
                failure = Some(error);
                StoreError::Damaged { queue: stored.queue, index, reason }
            })
        });
        if let Some(error) = failure {
            return Err(RecoveryFailure(error).into());
        }
        streamed?;
        found(stored.queue, Replica::new(me, recovery, settings.clone()));
    }
    Ok(())
}
