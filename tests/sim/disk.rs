//! A node's store: group commits reach it in order and at leisure; a crash
//! loses any suffix of what was not synced.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use warren_replication::record;
use warren_replication::recovery::Recovery;
use warren_replication::step::Write;
use warren_replication::types::{Epoch, Index, QueueId};

use crate::rng::Rng;

type Batch = Vec<(QueueId, Option<Write>)>;

#[derive(Clone, Debug, Default)]
pub(crate) struct QueueDisk {
    epoch: Epoch,
    checkpoint: Option<Bytes>,
    entries: BTreeMap<u64, Bytes>,
}

impl QueueDisk {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Append { first, entries } => self.entries.extend((first.0..).zip(entries)),
            Write::Truncate { from, .. } => drop(self.entries.split_off(&from.0)),
            Write::Install { checkpoint, .. } => {
                self.entries.clear();
                self.checkpoint = Some(checkpoint);
            }
            Write::Epoch(epoch) => self.epoch = epoch,
            Write::Rewrite { entries, .. } => {
                for (index, entry) in entries {
                    let before = self.entries.insert(index.0, entry.clone());
                    assert!(before.is_some_and(|before| record::is_same(&before, &entry)), "{index} is rewritten");
                }
            }
            Write::Checkpoint { checkpoint, release } => {
                self.checkpoint = Some(checkpoint);
                self.entries = self.entries.split_off(&(release.0 + 1));
            }
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    queues: BTreeMap<QueueId, QueueDisk>,
    /// What was written, synced or not, released or not: for the oracle.
    seen: BTreeMap<QueueId, QueueDisk>,
    unsynced: VecDeque<(u64, Batch)>,
}

fn apply(queues: &mut BTreeMap<QueueId, QueueDisk>, batch: Batch) {
    for (queue, write) in batch {
        match write {
            Some(write) => queues.entry(queue).or_default().apply(write),
            None => drop(queues.remove(&queue)),
        }
    }
}

impl Disk {
    pub(crate) fn write(&mut self, ticket: u64, batch: Batch) {
        // Nothing that is released, or settled, is forgotten here.
        let forgets = |write: &Option<Write>| matches!(write, Some(Write::Checkpoint { .. } | Write::Rewrite { .. }));
        let kept = batch.iter().filter(|(_, write)| !forgets(write));
        apply(&mut self.seen, kept.cloned().collect());
        self.unsynced.push_back((ticket, batch));
    }

    /// One fsync for everything that piled up: the last ticket.
    pub(crate) fn sync(&mut self, most: usize) -> Option<u64> {
        let mut last = None;
        for _ in 0..most {
            let Some((ticket, batch)) = self.unsynced.pop_front() else { break };
            apply(&mut self.queues, batch);
            last = Some(ticket);
        }
        last
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let survive = rng.below(self.unsynced.len() as u64 + 1) as usize;
        self.sync(survive);
        self.unsynced.clear();
        self.seen = self.queues.clone();
    }

    pub(crate) fn read(&self, queue: QueueId, first: Index, max_bytes: usize) -> Vec<Bytes> {
        let Some(disk) = self.queues.get(&queue) else { return Vec::new() };
        let mut bytes = 0;
        let dense = (first.0..).zip(disk.entries.range(first.0..)).take_while(|(index, (at, _))| index == *at);
        dense
            .take_while(|(_, (_, entry))| {
                let more = bytes == 0 || bytes + entry.len() <= max_bytes;
                bytes += entry.len();
                more
            })
            .map(|(_, (_, entry))| entry.clone())
            .collect()
    }

    /// An entry as written, synced or not.
    pub(crate) fn entry(&self, queue: QueueId, index: u64) -> Option<&Bytes> {
        self.seen.get(&queue)?.entries.get(&index)
    }

    pub(crate) fn recover(&self) -> Result<Vec<(QueueId, Recovery)>, String> {
        let mut found = Vec::new();
        for (queue, disk) in &self.queues {
            let mut recovery =
                Recovery::new(*queue, disk.epoch, disk.checkpoint.clone()).map_err(|error| error.to_string())?;
            for entry in disk.entries.range(recovery.first().0..).map(|(_, entry)| entry) {
                recovery.push(entry.clone()).map_err(|error| error.to_string())?;
            }
            found.push((*queue, recovery));
        }
        Ok(found)
    }
}
