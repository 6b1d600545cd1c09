//! A node's disk for one queue: writes reach it in order and at leisure; a
//! crash loses any unsynced suffix.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::QUEUE;
use super::rng::Rng;
use crate::ranges::RangeSet;
use crate::record;
use crate::recovery::Recovery;
use crate::step::Write;
use crate::types::{Epoch, Index, QueueId};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    epoch: Epoch,
    checkpoint: Option<Bytes>,
    entries: BTreeMap<u64, Bytes>,
    unsynced: VecDeque<Write>,
    /// How many of those are of processes that have ended: the system has them
    /// still, and the next sync is theirs too.
    inherited: u64,
    synced: u64,
    /// A rewrite that it should not have been given.
    pub(crate) wrong: Option<String>,
}

impl Disk {
    pub(crate) fn write(&mut self, write: Write) {
        self.unsynced.push_back(write);
    }

    pub(crate) fn unsynced(&self) -> u64 {
        self.unsynced.len() as u64
    }

    /// Whether these entries, the queue's first, are all on the platter, or were
    /// before a checkpoint released them.
    pub(crate) fn holds(&self, queue: QueueId, log: &[Bytes]) -> bool {
        let base = match &self.checkpoint {
            None => Index(0),
            some => Recovery::new(queue, self.epoch, some.clone()).map_or(Index(0), |recovery| recovery.base()),
        };
        (1..)
            .zip(log)
            .skip(base.0 as usize)
            .all(|(index, entry)| self.entries.get(&index).is_some_and(|stored| record::is_same(stored, entry)))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// Syncs up to so many writes; the ordinal of the last one.
    pub(crate) fn sync(&mut self, most: u64) -> u64 {
        for _ in 0..most.saturating_add(self.inherited) {
            let Some(write) = self.unsynced.pop_front() else { break };
            self.apply(write);
            match self.inherited {
                0 => self.synced += 1,
                _ => self.inherited -= 1,
            }
        }
        self.synced
    }

    /// The process ends, or the power fails: then some of what was not synced
    /// got there all the same, and the rest is lost.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        if rng.permille(500) {
            self.end_of_process();
        } else {
            self.power_loss(rng.below(self.unsynced.len() as u64 + 1));
        }
    }

    /// What was written is still with the system.
    pub(crate) fn end_of_process(&mut self) {
        self.inherited = self.unsynced.len() as u64;
        self.synced = 0;
    }

    /// The first so many of the unsynced writes got there.
    pub(crate) fn power_loss(&mut self, survive: u64) {
        self.unsynced.truncate(survive as usize);
        self.end_of_process();
        self.sync(0);
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Append { first, entries } => {
                for (index, entry) in (first.0..).zip(entries) {
                    self.entries.insert(index, entry);
                }
            }
            Write::Truncate { from, .. } => {
                self.entries.split_off(&from.0);
            }
            Write::Install { checkpoint, .. } => {
                self.entries.clear();
                self.checkpoint = Some(checkpoint);
            }
            Write::Epoch(epoch) => self.epoch = epoch,
            Write::Rewrite { entries, .. } => {
                for (index, entry) in entries {
                    if let Err(what) = self.rewrite(index, entry) {
                        self.wrong.get_or_insert(format!("entry {index} is rewritten: {what}"));
                    }
                }
            }
            Write::Checkpoint { checkpoint, release } => {
                self.checkpoint = Some(checkpoint);
                self.entries = self.entries.split_off(&(release.0 + 1));
            }
        }
    }

    /// §3: an entry is stored anew as the same, and without nothing that whoever
    /// starts from this disk takes for live.
    fn rewrite(&mut self, index: Index, entry: Bytes) -> Result<(), String> {
        let checkpoint = self.checkpoint.clone().ok_or("without a checkpoint")?;
        let known = Recovery::new(QUEUE, self.epoch, Some(checkpoint)).map_err(|error| error.to_string())?;
        let before = self.entries.insert(index.0, entry.clone()).ok_or("it is not there")?;
        if index >= known.first() {
            return Err("it is behind the checkpoint".to_owned());
        }
        if !record::is_same(&before, &entry) || entry.len() > before.len() {
            return Err("as another one".to_owned());
        }
        let gone = |entry| record::gone(entry).map_err(|error| error.to_string());
        let (lost, missed) = (gone(&entry)?, RangeSet::from_iter(gone(&before)?));
        let live = |offset: &u64| known.ledger().live().contains(*offset) && !missed.contains(*offset);
        match lost.into_iter().flatten().find(live) {
            Some(offset) => Err(format!("without {offset}, which the checkpoint has as live")),
            None => Ok(()),
        }
    }

    /// The offsets of messages that entries here have lost.
    pub(crate) fn gone(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.values().filter_map(|entry| record::gone(entry).ok()).flatten().flatten()
    }

    pub(crate) fn read(&self, first: Index, most: u64) -> Vec<Bytes> {
        let dense = (first.0..).zip(self.entries.range(first.0..)).take_while(|(index, (at, _))| index == *at);
        dense.take(most as usize).map(|(_, (_, entry))| entry.clone()).collect()
    }

    /// What the system has of it. Everything found is dense, or the protocol's
    /// own writes made a hole.
    pub(crate) fn recover(&self, queue: QueueId, whole: bool) -> Result<Recovery, String> {
        let mut seen = self.clone();
        seen.sync(u64::MAX);
        seen.recover_synced(queue, whole)
    }

    fn recover_synced(&self, queue: QueueId, whole: bool) -> Result<Recovery, String> {
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
