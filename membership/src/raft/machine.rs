//! The catalog as this node has applied it: Raft's state machine around
//! [`State`]. The state lives in memory; snapshots of it, in column family
//! `raft-state`, let the log be purged and a restart begin near its end.

use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, RaftTypeConfig, Snapshot, StorageIOError};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use rocksdb::WriteBatch;
use tokio::sync::watch;
use warren_store::Database;

use super::log::{STATE, decode, encode, family, synced};
use super::{Entry, LogId, Outcomes, SnapshotMeta, StorageError, StoredMembership, TypeConfig};
use crate::Observer;
use crate::catalog::{Change, State};
use crate::core::Core;

const META: &[u8] = b"snapshot/meta";
const DATA: &[u8] = b"snapshot/data";

/// The layout of a snapshot's data: this byte, then the state in postcard.
const FORMAT: u8 = 1;

/// The catalog's state and how far it is, for everybody on this node.
pub(crate) struct Catalog {
    state: RwLock<State>,
    observer: OnceLock<Arc<dyn Observer>>,
    applied: watch::Sender<u64>,
    nodes: watch::Sender<()>,
}

impl Catalog {
    pub(crate) fn new() -> Self {
        Self {
            state: RwLock::new(State::default()),
            observer: OnceLock::new(),
            applied: watch::channel(0).0,
            nodes: watch::channel(()).0,
        }
    }

    /// The state, as of at least [`Self::applied`].
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// The log index up to which the state is applied and the observer has seen it.
    pub(crate) fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Fires when a node registered or was forgotten.
    pub(crate) fn nodes(&self) -> watch::Receiver<()> {
        self.nodes.subscribe()
    }

    /// Who hears of changes; before Raft starts, once.
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) -> Result<(), Arc<dyn Observer>> {
        self.observer.set(observer)
    }

    /// Puts another state in place of the whole.
    fn reset(&self, state: State, index: u64) {
        let mut place = self.state.write();
        *place = state;
        let place = RwLockWriteGuard::downgrade(place);
        if let Some(observer) = self.observer.get() {
            observer.reset(&place);
        }
        drop(place);
        self.nodes.send_replace(());
        self.applied.send_replace(index);
    }

    /// Applies one entry. The observer runs under a read lock, so that what it
    /// looks up is what the changes led to, and before `applied` moves, so that
    /// whoever waits for the index finds the observer's work done (§6.7: a
    /// change answers when every node with a lease has applied it).
    fn apply(&self, entry: Entry) -> Outcomes {
        let index = entry.log_id.index;
        let mut outcomes = Vec::new();
        if let EntryPayload::Normal(batch) = entry.payload {
            let mut changes = Vec::new();
            let mut state = self.state.write();
            outcomes.reserve(batch.0.len());
            for command in &batch.0 {
                let (outcome, changed) = state.apply(command);
                outcomes.push(outcome);
                changes.extend(changed);
            }
            let state = RwLockWriteGuard::downgrade(state);
            if let (false, Some(observer)) = (changes.is_empty(), self.observer.get()) {
                observer.applied(&state, &changes);
            }
            drop(state);
            if changes.iter().any(|change| matches!(change, Change::Node(..) | Change::NodeForgotten(_))) {
                self.nodes.send_replace(());
            }
        }
        self.applied.send_replace(index);
        outcomes
    }
}

/// Raft's handle on the catalog.
pub(crate) struct Machine {
    core: Arc<Core>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

impl Machine {
    /// Starts from the last snapshot on disk, or from nothing.
    ///
    /// # Errors
    /// If the snapshot cannot be read.
    pub(crate) fn load(core: Arc<Core>) -> Result<Self, StorageError> {
        let mut machine = Self { core, last_applied: None, membership: StoredMembership::default() };
        let stored = machine.stored()?;
        let state = match &stored {
            Some((_, data)) => unpack(data)?,
            None => State::default(),
        };
        machine.adopt(stored.map(|(meta, _)| meta).unwrap_or_default(), state);
        Ok(machine)
    }

    fn adopt(&mut self, meta: SnapshotMeta, state: State) {
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership;
        self.core.catalog.reset(state, meta.last_log_id.map_or(0, |id| id.index));
    }

    fn stored(&self) -> Result<Option<(SnapshotMeta, Vec<u8>)>, StorageError> {
        let db = self.core.database.rocksdb();
        let column = family(db, STATE)?;
        let read =
            |key| db.get_cf(column, key).map_err(|error| StorageIOError::read_snapshot(None, AnyError::new(&error)));
        match (read(META)?, read(DATA)?) {
            (Some(meta), Some(data)) => Ok(Some((decode(&meta)?, data))),
            _ => Ok(None),
        }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut all = Vec::new();
        for entry in entries {
            self.last_applied = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = &entry.payload {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
            }
            all.push(self.core.catalog.apply(entry));
        }
        Ok(all)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let last_log_id = self.last_applied;
        Builder {
            state: self.core.catalog.state().clone(),
            meta: SnapshotMeta {
                last_log_id,
                last_membership: self.membership.clone(),
                snapshot_id: last_log_id.map_or_else(|| "empty".to_owned(), |id| id.to_string()),
            },
            database: self.core.database.clone(),
        }
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<<TypeConfig as RaftTypeConfig>::SnapshotData>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let data = snapshot.into_inner();
        let state = unpack(&data)?;
        save(self.core.database.clone(), meta.clone(), data).await?;
        self.adopt(meta.clone(), state);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        Ok(self.stored()?.map(|(meta, data)| Snapshot { meta, snapshot: Box::new(Cursor::new(data)) }))
    }
}

/// A state at an index, to be written out beside the going on of the machine.
pub(crate) struct Builder {
    state: State,
    meta: SnapshotMeta,
    database: Arc<Database>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let data = pack(&self.state)?;
        save(self.database.clone(), self.meta.clone(), data.clone()).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: Box::new(Cursor::new(data)) })
    }
}

/// Puts a snapshot in place of the one before; on disk when it returns, for the
/// log behind it may be purged then.
async fn save(database: Arc<Database>, meta: SnapshotMeta, data: Vec<u8>) -> Result<(), StorageError> {
    let saved = tokio::task::spawn_blocking(move || {
        let db = database.rocksdb();
        let column = family(db, STATE)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(column, META, encode(&meta)?);
        batch.put_cf(column, DATA, data);
        db.write_opt(batch, &synced())
            .map_err(|error| StorageIOError::write_snapshot(Some(meta.signature()), AnyError::new(&error)).into())
    });
    saved.await.map_err(|error| StorageIOError::write_snapshot(None, AnyError::new(&error)))?
}

fn pack(state: &State) -> Result<Vec<u8>, StorageError> {
    let mut data = vec![FORMAT];
    data.extend(encode(state)?);
    Ok(data)
}

fn unpack(data: &[u8]) -> Result<State, StorageError> {
    match data.split_first() {
        Some((&FORMAT, state)) => decode(state),
        other => {
            let found = other.map(|(format, _)| *format);
            let error = AnyError::error(format!("a catalog snapshot of layout {found:?}; this version reads {FORMAT}"));
            Err(StorageIOError::read_snapshot(None, error).into())
        }
    }
}
