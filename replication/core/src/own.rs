//! What a replica has whichever its role: log, ledger, disk, and what it knows
//! of epochs and the catalog.

use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::{self, Checkpoint};
use crate::disk::Disk;
use crate::hollow::Hollow;
use crate::ledger::Ledger;
use crate::log::{Log, Pending};
use crate::mutation::{self, Mutation};
use crate::record::Entry;
use crate::recovery::Recovery;
use crate::settings::Settings;
use crate::step::{Action, Committed, Write};
use crate::types::{Assignment, Epoch, Index, Moment, Offset, Process, QueueId, Version};

/// One replica's copy of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    pub(crate) me: Process,
    pub(crate) queue: QueueId,
    pub(crate) settings: Settings,
    /// The wall clock as of the event at hand.
    pub(crate) wall: u64,
    /// The highest epoch heard of (§5.1).
    pub(crate) known: Epoch,
    /// The epoch last given to the store.
    stored_epoch: Epoch,
    /// The highest epoch that this process has led: it leads none up to it again (§4.0).
    pub(crate) led: Epoch,
    pub(crate) assignment: Option<Arc<Assignment>>,
    /// The highest version that a leader has told this copy (§6.6).
    pub(crate) told: Version,
    pub(crate) log: Log,
    pub(crate) ledger: Ledger,
    pub(crate) disk: Disk,
    pub(crate) hollow: Hollow,
}

impl Own {
    pub(crate) fn new(me: Process, recovery: Recovery, settings: Settings) -> Self {
        Self {
            me,
            queue: recovery.queue,
            settings,
            wall: 0,
            known: recovery.epoch.max(recovery.log.last().epoch),
            stored_epoch: recovery.epoch,
            led: Epoch(0),
            assignment: None,
            told: Version(0),
            log: recovery.log,
            ledger: recovery.ledger,
            disk: Disk::default(),
            hollow: Hollow::default(),
        }
    }

    /// What was found at start counts only after this process has synced it
    /// again (§1): the first write's sync does so.
    pub(crate) fn vouch_again(&mut self, now: Moment, out: &mut Vec<Action>) {
        if self.disk.is_untouched() && self.log.last().index > Index(0) {
            if mutation::on(Mutation::TrustFoundLog) {
                self.disk.trust(self.log.last().index);
            }
            self.write(now, Write::Epoch(self.stored_epoch), out);
        }
    }

    /// Hands a write to the store; the log has its new end already.
    pub(crate) fn write(&mut self, now: Moment, write: Write, out: &mut Vec<Action>) {
        self.disk.issue(now, self.log.last().index);
        out.push(Action::Write(write));
    }

    /// Gives the known epoch to the store, ahead of the first entry or
    /// acknowledgement in it (§5.1); nothing is reported before it is durable.
    pub(crate) fn store_epoch(&mut self, now: Moment, out: &mut Vec<Action>) {
        if self.stored_epoch < self.known && !mutation::on(Mutation::ForgetEpoch) {
            self.stored_epoch = self.known;
            self.write(now, Write::Epoch(self.known), out);
            self.disk.bar();
        }
    }

    /// Appends entries that follow the last one.
    pub(crate) fn append(&mut self, now: Moment, entries: Vec<(Entry, Bytes)>, out: &mut Vec<Action>) {
        let first = self.log.last().index.next();
        let mut stored = Vec::with_capacity(entries.len());
        for (entry, bytes) in entries {
            stored.push(bytes.clone());
            self.log.push(entry, bytes);
        }
        self.write(now, Write::Append { first, entries: stored }, out);
    }

    /// Drops the entries from here on; they are all unapplied (§5.2).
    /// `aside`: some of it may have been confirmed, by a log that an unclean
    /// election left behind.
    pub(crate) fn truncate(&mut self, now: Moment, from: Index, aside: bool, out: &mut Vec<Action>) {
        self.log.truncate(from, self.ledger.next_offset());
        self.disk.clip(Index(from.0.saturating_sub(1)));
        if !mutation::on(Mutation::KeepDivergedTail) {
            self.write(now, Write::Truncate { from, aside }, out);
        }
        if !mutation::on(Mutation::ReportBeforeTruncated) {
            self.disk.bar();
        }
    }

    /// Starts anew from a checkpoint at its base (§5.3).
    pub(crate) fn install(
        &mut self,
        now: Moment,
        (bytes, checkpoint): (Bytes, Checkpoint),
        aside: Option<Index>,
        out: &mut Vec<Action>,
    ) {
        (self.log, self.ledger) = checkpoint.open();
        self.hollow = Hollow::default();
        self.disk.clip(Index(0));
        self.write(now, Write::Install { checkpoint: bytes, aside }, out);
        self.disk.bar();
    }

    /// Applies the entries up to `commit` to the ledger; a leader tells of each.
    pub(crate) fn apply(&mut self, commit: Index, mut tell: Option<&mut Vec<Action>>) {
        while self.ledger.applied().index < commit {
            let Some(pending) = self.log.pop() else { return };
            let mut told = tell.as_ref().map(|_| committed(&pending));
            self.ledger.apply(&pending.entry, told.as_mut());
            if let (Some(out), Some(told)) = (tell.as_deref_mut(), told) {
                out.push(Action::Committed(told));
            }
        }
    }

    /// Takes a checkpoint when enough has been appended since the last one, or
    /// settled of a long log, and releases the log before the oldest live message,
    /// as far as `hold` allows (§3). The ledger is never ahead of the disk, so its index is committed
    /// and durable here.
    pub(crate) fn checkpoint(&mut self, now: Moment, hold: Index, out: &mut Vec<Action>) {
        let due = self.log.grown_bytes >= self.settings.checkpoint_bytes
            || self.log.grown_entries >= self.settings.checkpoint_entries
            || self.hollow.is_due(&self.log, &self.ledger, self.settings.hollow_bytes);
        let applied = self.ledger.applied().index;
        if !due || applied > self.disk.durable() || applied <= self.log.base().index {
            return;
        }
        self.log.grown_bytes = 0;
        self.log.grown_entries = 0;
        let limit = applied.min(hold);
        let released = match self.ledger.live().first() {
            None if limit == applied => self.log.release_to(applied, self.ledger.next_offset()),
            first => {
                let first = first.map_or(self.ledger.next_offset(), Offset);
                self.log.release_before(first, limit)
            }
        };
        let checkpoint = checkpoint::encode(self.queue, &self.log, &self.ledger);
        self.write(now, Write::Checkpoint { checkpoint, release: released.unwrap_or_default() }, out);
        self.hollow.consider(&self.log, &self.ledger, self.disk.issued(), self.settings.hollow_bytes);
    }

    /// Whether there is space to give back, by a pass that is under way, or may be
    /// once a checkpoint has been taken: ticks bring it on.
    pub(crate) fn is_hollowing(&self) -> bool {
        self.hollow.is_busy() || self.hollow.is_due(&self.log, &self.ledger, self.settings.hollow_bytes)
    }

    /// Keeps memory bounded: old unapplied entries are read back when needed.
    pub(crate) fn trim(&mut self) {
        self.log.trim(self.settings.tail_bytes, self.disk.durable());
    }
}

fn committed(pending: &Pending) -> Committed {
    Committed {
        index: pending.entry.position.index,
        time: pending.entry.time,
        expiring: pending.entry.expiring,
        first_offset: pending.entry.first_offset,
        weights: pending.weights(),
        entry: pending.bytes().cloned(),
        confirmed: Vec::new(),
        refused: Vec::new(),
        settled: Vec::new(),
        returned: Vec::new(),
        ignored: Vec::new(),
        consigned: Vec::new(),
        reclaimed: Vec::new(),
        horizon: Offset(0),
    }
}
