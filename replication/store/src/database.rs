//! The node's one RocksDB: how it is opened, and what it is tuned for. The
//! logs of all queues, the catalog's Raft log and the node's identity share it,
//! and with it one write-ahead log, so that one fsync serves them all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rocksdb::{BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode};
use rustc_hash::FxHashMap;
use warren_replication::types::{Boot, Incarnation, NodeId, QueueId};

use crate::error::StoreError;
use crate::extent::Extent;
use crate::identity::{self, ClusterId, Identity};
use crate::sweeper::Sweeper;
use crate::vouched::Vouched;

/// Entries of all queues: (queue id, index), both big-endian.
pub(crate) const LOG: &str = "log";
/// Epochs, checkpoints and extents of queues, and the node's identity.
pub(crate) const META: &str = "meta";
/// The catalog's Raft log (warren-membership).
const RAFT_LOG: &str = "raft-log";
/// The catalog's vote and snapshot (warren-membership).
const RAFT_STATE: &str = "raft-state";

/// How a node's database is opened. The defaults keep RocksDB's share of the
/// process under about 150 MiB, whatever is queued.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's configured name; a folder of another node is refused.
    pub node: String,
    /// Bytes of one memtable of the log. A queue that stays shorter than the
    /// memtables lives and dies in memory and costs only its WAL bytes.
    pub memtable_bytes: usize,
    /// Bytes of all memtables together; above it the oldest is flushed.
    pub all_memtables_bytes: usize,
    /// Bytes of cached blocks, indexes and filters.
    pub cache_bytes: usize,
    /// Bytes of write-ahead log kept; above it the column families that pin the
    /// oldest file are flushed.
    pub wal_bytes: u64,
}

impl Options {
    /// The defaults, for a node of this name.
    #[must_use]
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            memtable_bytes: 32 << 20,
            all_memtables_bytes: 96 << 20,
            cache_bytes: 16 << 20,
            wal_bytes: 256 << 20,
        }
    }
}

/// A node's database, open. It implements [`crate::LogStore`].
pub struct Database {
    pub(crate) db: Arc<DB>,
    identity: Identity,
    /// Where each queue's log begins and ends. Written by the committing
    /// thread only, read by all.
    pub(crate) extents: RwLock<FxHashMap<QueueId, Extent>>,
    pub(crate) vouched: Mutex<Vouched>,
    pub(crate) sweeper: Mutex<Sweeper>,
    /// Where logs are put that an unclean election left behind.
    pub(crate) aside: PathBuf,
}

/// Opens a node's database in the folder `data`, which is made if it is
/// missing. What is found is on disk again when this returns, and only
/// therefore counts as durable (§1): RocksDB replays its write-ahead log into
/// table files and syncs these and their manifest before it opens
/// (`avoid_flush_during_recovery` stays off).
///
/// # Errors
/// [`StoreError::Locked`] if another process has it, [`StoreError::OtherNode`]
/// if it is another node's, [`StoreError::RolledBack`] if it ends before what
/// the node vouched for, or whatever the disk says.
pub fn open(data: impl AsRef<Path>, options: &Options) -> Result<Arc<Database>, StoreError> {
    let data = data.as_ref();
    let path = data.join("db");
    std::fs::create_dir_all(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;

    let cache = Cache::new_lru_cache(options.cache_bytes);
    let families = [
        ColumnFamilyDescriptor::new("default", small_family(&cache)),
        ColumnFamilyDescriptor::new(LOG, log_family(options, &cache)),
        ColumnFamilyDescriptor::new(META, small_family(&cache)),
        ColumnFamilyDescriptor::new(RAFT_LOG, small_family(&cache)),
        ColumnFamilyDescriptor::new(RAFT_STATE, small_family(&cache)),
    ];
    let db = DB::open_cf_descriptors(&database_options(options), &path, families)
        .map_err(|error| explain_lock(error, &path))?;
    let vouched = Vouched::open(&data.join("vouched"))?;
    vouched.check(db.latest_sequence_number())?;
    let identity = identity::establish(&db, data, &options.node)?;
    let aside = data.join("aside");
    let database = Database {
        db: Arc::new(db),
        identity,
        extents: RwLock::default(),
        vouched: Mutex::new(vouched),
        sweeper: Mutex::default(),
        aside,
    };
    database.load_extents()?;
    Ok(Arc::new(database))
}

impl Database {
    /// The database itself, for the column families of the catalog (`raft-log`
    /// and `raft-state`).
    #[must_use]
    pub fn rocksdb(&self) -> &DB {
        &self.db
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// The node's id, made from its name.
    #[must_use]
    pub fn node(&self) -> NodeId {
        identity::node_id(&self.identity.name)
    }

    /// The disk identity that was drawn when the folder was made.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.identity.incarnation
    }

    /// Counts one more start of the node's process, durably; to be called once
    /// a process, before it answers anybody (§1, boot).
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn next_boot(&self) -> Result<Boot, StoreError> {
        identity::next_boot(&self.db)
    }

    /// The cluster that this folder belongs to, if it has joined one.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn cluster(&self) -> Result<Option<ClusterId>, StoreError> {
        identity::cluster(&self.db)
    }

    /// Binds the folder to its cluster for good.
    ///
    /// # Errors
    /// [`StoreError::OtherCluster`] if it belongs to another one already.
    pub fn set_cluster(&self, cluster: ClusterId) -> Result<(), StoreError> {
        identity::set_cluster(&self.db, cluster)
    }

    pub(crate) fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        column(&self.db, name)
    }
}

impl Drop for Database {
    /// A clean stop vouches for everything (§5.5d).
    fn drop(&mut self) {
        let sequence = self.db.latest_sequence_number();
        let kept = self.db.flush_wal(true).map_err(StoreError::from);
        if let Err(error) = kept.and_then(|()| self.vouched.get_mut().write(sequence)) {
            tracing::warn!(%error, "the store was closed without its last sync");
        }
        // Its hold on the database ends with this one's.
        self.sweeper.get_mut().stop(&self.db);
    }
}

/// A column family that `open` has opened.
pub(crate) fn column<'a>(db: &'a DB, name: &'static str) -> Result<&'a ColumnFamily, StoreError> {
    db.cf_handle(name).ok_or(StoreError::Identity("a column family is missing"))
}

fn database_options(options: &Options) -> rocksdb::Options {
    let mut db = rocksdb::Options::default();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    db.set_db_write_buffer_size(options.all_memtables_bytes);
    db.set_max_total_wal_size(options.wal_bytes);
    // A recycled WAL file has its blocks already, so that an fdatasync need not
    // write metadata. Recycling needs point-in-time recovery, which stops
    // silently at the first bad block; `Vouched` notices if that was not the
    // last write.
    db.set_recycle_log_file_num(4);
    db.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    db.set_max_background_jobs(2);
    db.set_max_open_files(512);
    db.set_bytes_per_sync(1 << 20);
    db.set_max_log_file_size(4 << 20);
    db.set_keep_log_file_num(4);
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    db
}

/// For the log: big values written once, read in order if at all, dropped by
/// range. Young levels are not compressed, since most of what is written is
/// gone before it gets further down.
fn log_family(options: &Options, cache: &Cache) -> rocksdb::Options {
    let mut family = rocksdb::Options::default();
    family.set_block_based_table_factory(&tables(cache));
    family.set_write_buffer_size(options.memtable_bytes);
    family.set_max_write_buffer_number(3);
    family.set_compression_type(DBCompressionType::None);
    family.set_bottommost_compression_type(DBCompressionType::Lz4);
    family.set_target_file_size_base(32 << 20);
    family
}

/// For small records that are read by key.
fn small_family(cache: &Cache) -> rocksdb::Options {
    let mut family = rocksdb::Options::default();
    family.set_block_based_table_factory(&tables(cache));
    family.set_write_buffer_size(8 << 20);
    family.set_max_write_buffer_number(2);
    family.set_compression_type(DBCompressionType::Lz4);
    family
}

fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(16 << 10);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables
}

/// RocksDB says "IO error: While lock file: …/LOCK: Resource temporarily unavailable".
fn explain_lock(error: rocksdb::Error, path: &Path) -> StoreError {
    if error.kind() == rocksdb::ErrorKind::IOError && error.as_ref().contains("lock") {
        return StoreError::Locked { path: PathBuf::from(path) };
    }
    StoreError::Rocks(error)
}
