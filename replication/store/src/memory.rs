//! The store of tests and simulations: the same promises as the database, with
//! a power switch. What was written and not yet synced can be lost by
//! [`MemoryStore::crash`], all of it or any suffix, as on a real disk.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use warren_replication::step::Write;
use warren_replication::types::{Epoch, Index, QueueId};

use crate::error::StoreError;
use crate::extent::Extent;
use crate::{LogStore, StoredQueue};

/// One batch, as committed.
type Batch = Vec<(QueueId, Option<Write>)>;

/// Logs in memory. [`LogStore::commit`] writes and syncs; [`MemoryStore::write`]
/// only writes.
#[derive(Debug, Default)]
pub struct MemoryStore {
    disk: Mutex<Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    /// What reads see.
    now: Queues,
    /// What survives a crash.
    synced: Queues,
    /// The batches between the two.
    unsynced: Vec<Batch>,
}

type Queues = BTreeMap<QueueId, Stored>;

#[derive(Clone, Debug, Default)]
struct Stored {
    epoch: Epoch,
    checkpoint: Option<Bytes>,
    extent: Extent,
    entries: BTreeMap<u64, Bytes>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a batch that a crash may still lose.
    ///
    /// # Errors
    /// [`StoreError::Gap`] if a write does not continue its log.
    pub fn write(&self, batch: &[(QueueId, Option<Write>)]) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        apply(&mut disk.now, batch)?;
        disk.unsynced.push(batch.to_vec());
        Ok(())
    }

    /// Makes everything written so far survive crashes.
    ///
    /// # Errors
    /// None that `write` has not given before.
    pub fn sync(&self) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        let Disk { synced, unsynced, .. } = &mut *disk;
        unsynced.drain(..).try_for_each(|batch| apply(synced, &batch))
    }

    /// Power loss: of the batches that were written and not synced the oldest
    /// `keep` survive.
    ///
    /// # Errors
    /// None that `write` has not given before.
    pub fn crash(&self, keep: usize) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        disk.unsynced.truncate(keep);
        let Disk { now, synced, unsynced } = &mut *disk;
        unsynced.drain(..).try_for_each(|batch| apply(synced, &batch))?;
        now.clone_from(synced);
        Ok(())
    }
}

fn apply(queues: &mut Queues, batch: &[(QueueId, Option<Write>)]) -> Result<(), StoreError> {
    // Whole or not at all: check first.
    let mut extents: BTreeMap<QueueId, Extent> = BTreeMap::new();
    for (queue, write) in batch {
        let before = extents
            .get(queue)
            .copied()
            .unwrap_or_else(|| queues.get(queue).map(|stored| stored.extent).unwrap_or_default());
        let after = write.as_ref().map_or(Ok(Extent::default()), |write| before.after(*queue, write))?;
        extents.insert(*queue, after);
    }
    for (queue, write) in batch {
        let Some(write) = write else {
            queues.remove(queue);
            continue;
        };
        let stored = queues.entry(*queue).or_default();
        stored.extent = stored.extent.after(*queue, write)?;
        match write {
            Write::Append { first, entries } => {
                stored.entries.extend((first.0..).zip(entries.iter().cloned()));
            }
            Write::Truncate { .. } => {
                stored.entries.split_off(&stored.extent.next);
            }
            Write::Install { checkpoint, .. } => {
                stored.entries.clear();
                stored.checkpoint = Some(checkpoint.clone());
            }
            Write::Epoch(epoch) => stored.epoch = *epoch,
            Write::Rewrite { entries, .. } => {
                stored.entries.extend(entries.iter().map(|(index, entry)| (index.0, entry.clone())));
            }
            Write::Checkpoint { checkpoint, .. } => {
                stored.entries = stored.entries.split_off(&stored.extent.first);
                stored.checkpoint = Some(checkpoint.clone());
            }
        }
    }
    Ok(())
}

impl LogStore for MemoryStore {
    fn commit(&self, batch: &[(QueueId, Option<Write>)]) -> Result<(), StoreError> {
        self.write(batch)?;
        self.sync()
    }

    fn read(&self, queue: QueueId, first: Index, max_bytes: usize) -> Result<Vec<Bytes>, StoreError> {
        let disk = self.disk.lock();
        let Some(stored) = disk.now.get(&queue) else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        let mut bytes = 0;
        for (expected, (index, entry)) in (first.0..).zip(stored.entries.range(first.0..)) {
            if *index != expected || bytes >= max_bytes && !entries.is_empty() {
                break;
            }
            bytes += entry.len();
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn recover(&self) -> Result<Vec<StoredQueue>, StoreError> {
        let disk = self.disk.lock();
        Ok(disk
            .now
            .iter()
            .map(|(queue, stored)| StoredQueue {
                queue: *queue,
                epoch: stored.epoch,
                checkpoint: stored.checkpoint.clone(),
                log: (Index(stored.extent.first), Index(stored.extent.next)),
            })
            .collect())
    }

    fn entries(
        &self,
        queue: QueueId,
        visit: &mut dyn FnMut(Index, Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let entries = match self.disk.lock().now.get(&queue) {
            Some(stored) => stored.entries.clone(),
            None => return Ok(()),
        };
        entries.into_iter().try_for_each(|(index, entry)| visit(Index(index), entry))
    }
}
