//! The logs in RocksDB: which keys there are, how a batch of writes becomes one
//! write batch, how a log is read.
//!
//! In `log`, an entry is under (queue id, index), both big-endian. In `meta`, a
//! queue has up to three records under (`q`, queue id, kind): its epoch, its
//! checkpoint, and the first index of its log. Space comes back by range
//! deletes at the front of a log, and by the sweeper where entries are overwritten
//! by smaller ones; reads start at the known first index, never at
//! the bare queue prefix, since a seek over many deleted keys takes seconds.

use bytes::Bytes;
use rocksdb::{ReadOptions, WriteBatch};
use rustc_hash::FxHashMap;
use warren_replication::step::Write;
use warren_replication::types::{Epoch, Index, QueueId};

use crate::aside::Aside;
use crate::database::{Database, LOG, META};
use crate::error::StoreError;
use crate::extent::Extent;
use crate::identity::synced;
use crate::sweeper::Part;
use crate::{LogStore, StoredQueue};

/// Read ahead so far when a log is read in order: it is on disk then, and long.
const READ_AHEAD: usize = 1 << 20;

const EPOCH: u8 = b'e';
const CHECKPOINT: u8 = b'c';
const FIRST: u8 = b'f';

fn entry_key(queue: QueueId, index: u64) -> [u8; 16] {
    ((u128::from(queue.0) << 64) | u128::from(index)).to_be_bytes()
}

fn meta_key(queue: QueueId, kind: u8) -> [u8; 10] {
    let mut key = [b'q'; 10];
    key[1..9].copy_from_slice(&queue.0.to_be_bytes());
    key[9] = kind;
    key
}

fn number(queue: QueueId, value: &[u8]) -> Result<u64, StoreError> {
    let bytes = value.try_into().map_err(|_| damaged(queue, Index(0), "a number of the wrong size"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn damaged(queue: QueueId, index: Index, reason: &str) -> StoreError {
    StoreError::Damaged { queue, index, reason: reason.to_owned() }
}

impl LogStore for Database {
    fn commit(&self, batch: &[(QueueId, Option<Write>)]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        for (nth, (queue, write)) in batch.iter().enumerate() {
            if let Some(Write::Truncate { from, aside: true } | Write::Install { aside: Some(from), .. }) = write {
                self.put_aside(*queue, *from, &batch[..nth])?;
            }
        }
        let mut building = Building::new(self)?;
        for (queue, write) in batch {
            building.add(*queue, write.as_ref())?;
        }
        let Building { batch, changed, overwritten, .. } = building;

        // While the write is under way a reader may rely on what is there both
        // before and after it.
        {
            let mut extents = self.extents.write();
            for (queue, change) in &changed {
                extents.insert(*queue, change.common);
            }
        }
        let sequence = self.db.latest_sequence_number();
        self.db.write_opt(batch, &synced())?;
        self.vouched.lock().note(sequence)?;
        let mut extents = self.extents.write();
        for (queue, change) in changed {
            match change.last {
                Some(extent) => extents.insert(queue, extent),
                None => extents.remove(&queue),
            };
        }
        drop(extents);
        if !overwritten.is_empty() {
            self.sweeper.lock().sweep(&self.db, overwritten)?;
        }
        Ok(())
    }

    fn read(&self, queue: QueueId, first: Index, max_bytes: usize) -> Result<Vec<Bytes>, StoreError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        self.scan(queue, first, |_, entry| {
            entries.push(Bytes::copy_from_slice(entry));
            bytes += entry.len();
            Ok(bytes < max_bytes)
        })?;
        Ok(entries)
    }

    fn recover(&self) -> Result<Vec<StoredQueue>, StoreError> {
        let mut queues: Vec<StoredQueue> = Vec::new();
        self.scan_meta(|queue, kind, value| {
            if queues.last().is_none_or(|last| last.queue != queue) {
                queues.push(StoredQueue {
                    queue,
                    epoch: Epoch::default(),
                    checkpoint: None,
                    log: (Index(0), Index(0)),
                });
            }
            let Some(stored) = queues.last_mut() else { return Ok(()) };
            match kind {
                EPOCH => stored.epoch = Epoch(number(queue, value)?),
                CHECKPOINT => stored.checkpoint = Some(Bytes::copy_from_slice(value)),
                FIRST => {}
                _ => return Err(damaged(queue, Index(0), "a record of unknown kind")),
            }
            Ok(())
        })?;
        let extents = self.extents.read();
        for stored in &mut queues {
            let extent = extents.get(&stored.queue).copied().unwrap_or_default();
            stored.log = (Index(extent.first), Index(extent.next));
        }
        Ok(queues)
    }

    fn entries(
        &self,
        queue: QueueId,
        visit: &mut dyn FnMut(Index, Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let first = self.extents.read().get(&queue).map_or(Index(0), |extent| Index(extent.first));
        self.scan(queue, first, |index, entry| {
            visit(index, Bytes::copy_from_slice(entry))?;
            Ok(true)
        })
    }
}

impl Database {
    /// Keeps a copy of the entries from here on, those of this batch that are
    /// not written yet included.
    fn put_aside(&self, queue: QueueId, from: Index, before: &[(QueueId, Option<Write>)]) -> Result<(), StoreError> {
        let first = self.extents.read().get(&queue).map_or(from.0, |extent| from.0.max(extent.first));
        let mut file = Aside::begin(&self.aside, queue, from)?;
        self.scan(queue, Index(first), |_, entry| file.add(entry).map(|()| true))?;
        for write in before.iter().filter(|(of, _)| *of == queue).filter_map(|(_, write)| write.as_ref()) {
            if let Write::Append { first, entries } = write {
                let behind = (first.0..).zip(entries).filter(|(index, _)| *index >= from.0);
                behind.map(|(_, entry)| entry).try_for_each(|entry| file.add(entry))?;
            }
        }
        file.finish()
    }

    /// Finds out where each log begins (its record) and ends (its last key).
    pub(crate) fn load_extents(&self) -> Result<(), StoreError> {
        let mut extents = FxHashMap::default();
        self.scan_meta(|queue, kind, value| {
            let extent: &mut Extent = extents.entry(queue).or_default();
            if kind == FIRST {
                let first = number(queue, value)?;
                *extent = Extent { first, next: self.end(queue, first)? };
            }
            Ok(())
        })?;
        *self.extents.write() = extents;
        Ok(())
    }

    /// The index after the last entry at or above `first`.
    fn end(&self, queue: QueueId, first: u64) -> Result<u64, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(entry_key(queue, first));
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(LOG)?, options);
        iterator.seek_for_prev(entry_key(queue, u64::MAX));
        match iterator.key() {
            Some(key) => Ok(index_of(queue, key)? + 1),
            None => Ok(iterator.status().map(|()| first)?),
        }
    }

    /// Visits the entries from `first` on until `visit` says false or the log
    /// ends; checks that they are dense.
    fn scan(
        &self,
        queue: QueueId,
        first: Index,
        mut visit: impl FnMut(Index, &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        // An extent never says more than what is there before and after a
        // commit under way, so the iterator's view, fixed while the extent is
        // locked, holds all of it, whatever is committed meanwhile.
        let (mut iterator, end) = {
            let extents = self.extents.read();
            let extent = extents.get(&queue).copied().unwrap_or_default();
            if !(extent.first..extent.next).contains(&first.0) {
                return Ok(());
            }
            let mut options = ReadOptions::default();
            options.set_iterate_lower_bound(entry_key(queue, first.0));
            options.set_iterate_upper_bound(entry_key(queue, extent.next));
            options.set_readahead_size(READ_AHEAD);
            options.fill_cache(false);
            (self.db.raw_iterator_cf_opt(self.family(LOG)?, options), extent.next)
        };
        iterator.seek(entry_key(queue, first.0));
        for expected in first.0..end {
            let Some((key, value)) = iterator.item() else {
                iterator.status()?;
                return Err(StoreError::Gap { queue, expected: Index(expected), found: Index(0) });
            };
            let found = index_of(queue, key)?;
            if found != expected {
                return Err(StoreError::Gap { queue, expected: Index(expected), found: Index(found) });
            }
            if !visit(Index(found), value)? {
                break;
            }
            iterator.next();
        }
        Ok(())
    }

    fn scan_meta(&self, mut visit: impl FnMut(QueueId, u8, &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(*b"q");
        options.set_iterate_upper_bound(*b"r");
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(META)?, options);
        iterator.seek_to_first();
        while let Some((key, value)) = iterator.item() {
            let [b'q', id @ .., kind] = key else {
                return Err(StoreError::Identity("a record under an unknown key"));
            };
            let id = id.try_into().map_err(|_| StoreError::Identity("a record under an unknown key"))?;
            visit(QueueId(u64::from_be_bytes(id)), *kind, value)?;
            iterator.next();
        }
        Ok(iterator.status()?)
    }
}

fn index_of(queue: QueueId, key: &[u8]) -> Result<u64, StoreError> {
    let key = key.try_into().map_err(|_| damaged(queue, Index(0), "a log key of the wrong size"))?;
    Ok(u128::from_be_bytes(key) as u64)
}

/// What a batch does to one queue's extent.
struct Change {
    /// Where it stands after the writes so far; `None`: the queue is gone.
    last: Option<Extent>,
    /// What was there throughout.
    common: Extent,
}

/// A write batch in the making. RocksDB applies a batch in order, so that a
/// range delete followed by puts into the same range leaves the puts.
struct Building<'a> {
    database: &'a Database,
    log: &'a rocksdb::ColumnFamily,
    meta: &'a rocksdb::ColumnFamily,
    batch: WriteBatch,
    changed: FxHashMap<QueueId, Change>,
    /// First and last key of parts in which many entries were overwritten.
    overwritten: Vec<Part>,
}

impl<'a> Building<'a> {
    fn new(database: &'a Database) -> Result<Self, StoreError> {
        Ok(Self {
            database,
            log: database.family(LOG)?,
            meta: database.family(META)?,
            batch: WriteBatch::default(),
            changed: FxHashMap::default(),
            overwritten: Vec::new(),
        })
    }

    fn extent(&self, queue: QueueId) -> Extent {
        match self.changed.get(&queue) {
            Some(change) => change.last.unwrap_or_default(),
            None => self.database.extents.read().get(&queue).copied().unwrap_or_default(),
        }
    }

    fn add(&mut self, queue: QueueId, write: Option<&Write>) -> Result<(), StoreError> {
        let before = self.extent(queue);
        let Some(write) = write else {
            self.drop_entries(queue, before);
            for kind in [EPOCH, CHECKPOINT, FIRST] {
                self.batch.delete_cf(self.meta, meta_key(queue, kind));
            }
            self.change(queue, before, None);
            return Ok(());
        };
        let after = before.after(queue, write)?;
        match write {
            Write::Append { first, entries } => {
                for (index, entry) in (first.0..).zip(entries) {
                    self.batch.put_cf(self.log, entry_key(queue, index), entry);
                }
            }
            Write::Truncate { .. } => self.drop_entries(queue, Extent { first: after.next, next: before.next }),
            Write::Install { checkpoint, .. } => {
                self.drop_entries(queue, before);
                self.batch.put_cf(self.meta, meta_key(queue, CHECKPOINT), checkpoint);
            }
            Write::Epoch(epoch) => {
                self.batch.put_cf(self.meta, meta_key(queue, EPOCH), epoch.0.to_be_bytes());
            }
            Write::Rewrite { entries, over } => {
                for (index, entry) in entries {
                    self.batch.put_cf(self.log, entry_key(queue, index.0), entry);
                }
                let part = over.map(|(first, last)| (entry_key(queue, first.0), entry_key(queue, last.0)));
                self.overwritten.extend(part);
            }
            Write::Checkpoint { checkpoint, .. } => {
                self.drop_entries(queue, Extent { first: before.first, next: after.first.min(before.next) });
                self.batch.put_cf(self.meta, meta_key(queue, CHECKPOINT), checkpoint);
            }
        }
        if after.first != before.first {
            self.batch.put_cf(self.meta, meta_key(queue, FIRST), after.first.to_be_bytes());
        }
        self.change(queue, before, Some(after));
        Ok(())
    }

    fn drop_entries(&mut self, queue: QueueId, extent: Extent) {
        if extent.first < extent.next {
            let (from, to) = (entry_key(queue, extent.first), entry_key(queue, extent.next));
            self.batch.delete_range_cf(self.log, from, to);
        }
    }

    fn change(&mut self, queue: QueueId, before: Extent, last: Option<Extent>) {
        let change = self.changed.entry(queue).or_insert(Change { last, common: before });
        change.last = last;
        change.common = change.common.common(last.unwrap_or_default());
    }
}
