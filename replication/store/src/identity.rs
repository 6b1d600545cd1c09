//! Who the owner of a data folder is: the node's name, the incarnation that was
//! drawn when the folder was made, the boot counter and the cluster's id, all
//! in the `meta` column family under keys that begin with `n`.

use std::fmt;
use std::path::Path;

use rocksdb::{DB, WriteBatch, WriteOptions};
use warren_replication::types::{Boot, Incarnation, NodeId};

use crate::database::{META, column};
use crate::error::StoreError;

/// The layout that this program writes; a folder of another one is refused.
const FORMAT: u64 = 1;

const KEY_FORMAT: &[u8] = b"n/format";
const KEY_NAME: &[u8] = b"n/name";
const KEY_INCARNATION: &[u8] = b"n/incarnation";
const KEY_BOOT: &[u8] = b"n/boot";
const KEY_CLUSTER: &[u8] = b"n/cluster";

/// A cluster's id: drawn by the node that forms it, the same on all its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A node's id: FNV-1a (64 bits) of its configured name, the same for good.
#[must_use]
pub fn node_id(name: &str) -> NodeId {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    NodeId(name.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)))
}

/// What the folder says of its node.
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
}

/// Reads the folder's identity; draws and stores one if the folder is new.
/// Refuses a folder of another node or format.
pub(crate) fn establish(db: &DB, path: &Path, name: &str) -> Result<Identity, StoreError> {
    let Some(format) = get_u64(db, KEY_FORMAT)? else {
        let incarnation = Incarnation(rand::random::<u64>().max(1));
        let meta = column(db, META)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, KEY_FORMAT, FORMAT.to_be_bytes());
        batch.put_cf(meta, KEY_NAME, name.as_bytes());
        batch.put_cf(meta, KEY_INCARNATION, incarnation.0.to_be_bytes());
        db.write_opt(batch, &synced())?;
        return Ok(Identity { name: name.to_owned(), incarnation });
    };
    if format != FORMAT {
        return Err(StoreError::Format { found: format, expected: FORMAT });
    }
    let found = db
        .get_cf(column(db, META)?, KEY_NAME)?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(StoreError::Identity("no node name"))?;
    if found != name {
        return Err(StoreError::OtherNode { path: path.to_owned(), found, expected: name.to_owned() });
    }
    let incarnation = get_u64(db, KEY_INCARNATION)?.ok_or(StoreError::Identity("no incarnation"))?;
    Ok(Identity { name: found, incarnation: Incarnation(incarnation) })
}

/// Counts one more start of the node and returns its number once that is on disk.
pub(crate) fn next_boot(db: &DB) -> Result<Boot, StoreError> {
    let boot = Boot(get_u64(db, KEY_BOOT)?.unwrap_or(0) + 1);
    put_u64(db, KEY_BOOT, boot.0)?;
    Ok(boot)
}

/// The cluster that the folder belongs to, if it ever joined one.
pub(crate) fn cluster(db: &DB) -> Result<Option<ClusterId>, StoreError> {
    Ok(get_u64(db, KEY_CLUSTER)?.map(ClusterId))
}

/// Binds the folder to a cluster for good; refuses another one than it has.
pub(crate) fn set_cluster(db: &DB, given: ClusterId) -> Result<(), StoreError> {
    match cluster(db)? {
        Some(stored) if stored == given => Ok(()),
        Some(stored) => Err(StoreError::OtherCluster { stored, given }),
        None => put_u64(db, KEY_CLUSTER, given.0),
    }
}

fn get_u64(db: &DB, key: &[u8]) -> Result<Option<u64>, StoreError> {
    let Some(value) = db.get_cf(column(db, META)?, key)? else { return Ok(None) };
    let bytes = value.try_into().map_err(|_| StoreError::Identity("a number of the wrong size"))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

fn put_u64(db: &DB, key: &[u8], value: u64) -> Result<(), StoreError> {
    Ok(db.put_cf_opt(column(db, META)?, key, value.to_be_bytes(), &synced())?)
}

pub(crate) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}
