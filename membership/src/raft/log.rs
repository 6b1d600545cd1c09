//! The Raft log and vote in the node's RocksDB: column family `raft-log` holds
//! entries under their index (big endian), `raft-state` the vote and the last
//! purged log id. An append, a vote and a truncation are on disk before they are
//! reported done.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogId, RaftLogReader, StorageIOError};
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch, WriteOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use warren_store::Database;

use super::{Entry, LogId, StorageError, TypeConfig, Vote};

const LOG: &str = "raft-log";
pub(crate) const STATE: &str = "raft-state";
const VOTE: &[u8] = b"vote";
const PURGED: &[u8] = b"purged";

/// About so much is read for one message to a follower.
const READ_BYTES: usize = 1 << 20;

/// The log; clones share the database.
#[derive(Clone)]
pub(crate) struct Log {
    database: Arc<Database>,
}

impl Log {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    /// Whether anything of Raft was ever written here.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub(crate) fn is_pristine(&self) -> Result<bool, StorageError> {
        Ok(self.get::<Vote>(VOTE)?.is_none() && self.last()?.is_none() && self.get::<LogId>(PURGED)?.is_none())
    }

    fn db(&self) -> &DB {
        self.database.rocksdb()
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StorageError> {
        let family = family(self.db(), STATE)?;
        let value = self.db().get_pinned_cf(family, key).map_err(|error| read(&error))?;
        value.map(|bytes| decode(&bytes)).transpose()
    }

    fn last(&self) -> Result<Option<LogId>, StorageError> {
        let mut entries = self.db().iterator_cf(family(self.db(), LOG)?, IteratorMode::End);
        match entries.next() {
            Some(Ok((_, value))) => Ok(Some(*decode::<Entry>(&value)?.get_log_id())),
            Some(Err(error)) => Err(read(&error)),
            None => Ok(None),
        }
    }

    /// The entries from `first` up to, not including, `end`; at least one if it
    /// is there, and no more than about `bytes`.
    fn entries(&self, first: u64, end: u64, bytes: usize) -> Result<Vec<Entry>, StorageError> {
        let mut found = Vec::new();
        let mut size = 0;
        let start = first.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Forward);
        for row in self.db().iterator_cf(family(self.db(), LOG)?, mode) {
            let (key, value) = row.map_err(|error| read(&error))?;
            if index_of(&key)? >= end || size >= bytes {
                break;
            }
            size += value.len();
            found.push(decode(&value)?);
        }
        Ok(found)
    }

    /// Runs a write on a thread that may block, and waits for it.
    async fn write(
        &self,
        fill: impl FnOnce(&DB, &mut WriteBatch) -> Result<(), StorageError> + Send + 'static,
    ) -> Result<(), StorageError> {
        let database = self.database.clone();
        let written = tokio::task::spawn_blocking(move || {
            let db = database.rocksdb();
            let mut batch = WriteBatch::default();
            fill(db, &mut batch)?;
            db.write_opt(batch, &synced()).map_err(|error| wrote(&error))
        });
        written.await.map_err(|error| StorageIOError::write_logs(AnyError::new(&error)))?
    }
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        let first = match range.start_bound() {
            Bound::Included(&first) => first,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        self.entries(first, end, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.entries(start, end, READ_BYTES)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let last_purged_log_id = self.get(PURGED)?;
        let last_log_id = self.last()?.or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let value = encode(vote)?;
        self.write(move |db, batch| {
            batch.put_cf(family(db, STATE)?, VOTE, value);
            Ok(())
        })
        .await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.get(VOTE)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut rows = Vec::new();
        for entry in entries {
            rows.push((entry.get_log_id().index.to_be_bytes(), encode(&entry)?));
        }
        self.write(move |db, batch| {
            let family = family(db, LOG)?;
            for (key, value) in rows {
                batch.put_cf(family, key, value);
            }
            Ok(())
        })
        .await?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.write(move |db, batch| {
            batch.delete_range_cf(family(db, LOG)?, log_id.index.to_be_bytes(), u64::MAX.to_be_bytes());
            Ok(())
        })
        .await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let purged = encode(&log_id)?;
        self.write(move |db, batch| {
            batch.put_cf(family(db, STATE)?, PURGED, purged);
            batch.delete_range_cf(family(db, LOG)?, 0u64.to_be_bytes(), (log_id.index + 1).to_be_bytes());
            Ok(())
        })
        .await
    }
}

/// Write options of everything that Raft vouches for.
pub(crate) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// A column family that the store opens.
pub(crate) fn family<'a>(db: &'a DB, name: &str) -> Result<&'a ColumnFamily, StorageError> {
    db.cf_handle(name)
        .ok_or_else(|| StorageIOError::read(AnyError::error(format!("the store has no column family `{name}`"))).into())
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    postcard::to_stdvec(value).map_err(|error| wrote(&error))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StorageError> {
    postcard::from_bytes(bytes).map_err(|error| read(&error))
}

fn index_of(key: &[u8]) -> Result<u64, StorageError> {
    let bytes = key.try_into().map_err(|error| read::<std::array::TryFromSliceError>(&error))?;
    Ok(u64::from_be_bytes(bytes))
}

fn read<E: std::error::Error + 'static>(error: &E) -> StorageError {
    StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Read, AnyError::new(error)).into()
}

fn wrote<E: std::error::Error + 'static>(error: &E) -> StorageError {
    StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Write, AnyError::new(error)).into()
}
