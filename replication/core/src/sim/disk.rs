//! A node's disk for one queue: writes reach it in order and at leisure; a
//! crash loses any unsynced suffix.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::rng::Rng;
use crate::record;
use crate::recovery::Recovery;
use crate::step::Write;
use crate::types::{Epoch, Index, QueueId};

#[derive(Default)]
pub(super) struct Disk {
    epoch: Epoch,
    checkpoint: Option<Bytes>,
    entries: BTreeMap<u64, Bytes>,
    unsynced: VecDeque<Write>,
    synced: u64,
}

impl Disk {
    pub(super) fn write(&mut self, write: Write) {
        self.unsynced.push_back(write);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// Syncs up to so many writes; the ordinal of the last one.
    pub(super) fn sync(&mut self, most: u64) -> u64 {
        for _ in 0..most {
            let Some(write) = self.unsynced.pop_front() else { break };
            self.apply(write);
            self.synced += 1;
        }
        self.synced
    }

    /// Some of what was not synced got there all the same, the rest is lost.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let survive = rng.below(self.unsynced.len() as u64 + 1);
        self.sync(survive);
        self.unsynced.clear();
        self.synced = 0;
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Append { first, entries } => {
                for (index, entry) in (first.0..).zip(entries) {
                    self.entries.insert(index, entry);
                }
            }
            Write::Truncate { from } => {
                self.entries.split_off(&from.0);
            }
            Write::Install { checkpoint } => {
                self.entries.clear();
                self.checkpoint = Some(checkpoint);
            }
            Write::Epoch(epoch) => self.epoch = epoch,
            Write::Checkpoint { checkpoint, release } => {
                self.checkpoint = Some(checkpoint);
                self.entries = self.entries.split_off(&(release.0 + 1));
            }
        }
    }

    pub(super) fn read(&self, first: Index, most: u64) -> Vec<Bytes> {
        let dense = (first.0..).zip(self.entries.range(first.0..)).take_while(|(index, (at, _))| index == *at);
        dense.take(most as usize).map(|(_, (_, entry))| entry.clone()).collect()
    }

    /// Everything found is dense, or the protocol's own writes made a hole.
    pub(super) fn recover(&self, queue: QueueId, whole: bool) -> Result<Recovery, String> {
        let mut recovery =
            Recovery::new(queue, self.epoch, self.checkpoint.clone()).map_err(|error| error.to_string())?;
        let first = if whole { 0 } else { recovery.first().0 };
        for entry in self.entries.range(first..).map(|(_, entry)| entry) {
            recovery.push(entry.clone()).map_err(|error| {
                format!("{error} (found {:?})", self.entries.values().map(record::position).collect::<Vec<_>>())
            })?;
        }
        Ok(recovery)
    }
}
