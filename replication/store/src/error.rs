//! What can go wrong in the store, said so that an operator knows what to do.

use std::path::PathBuf;

use warren_replication::types::{Index, QueueId};

use crate::identity::ClusterId;

/// An error of the store. None of them is to be retried.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder open.
    #[error("{} is in use by another process; each node needs a data folder of its own", path.display())]
    Locked {
        /// The database folder.
        path: PathBuf,
    },
    /// The folder belongs to a node of another name.
    #[error(
        "{} holds the data of node '{found}', but this node is called '{expected}'; \
         give each node its own data folder, or set node.name back",
        path.display()
    )]
    OtherNode {
        /// The database folder.
        path: PathBuf,
        /// The name in it.
        found: String,
        /// The configured name.
        expected: String,
    },
    /// The folder belongs to another cluster.
    #[error("this node's data belongs to cluster {stored}, not to cluster {given}")]
    OtherCluster {
        /// What the folder says.
        stored: ClusterId,
        /// What the cluster says.
        given: ClusterId,
    },
    /// The folder was written by a version of the program that this one does not read.
    #[error("the data folder has format {found}; this version reads format {expected}")]
    Format {
        /// What the folder says.
        found: u64,
        /// What this program writes.
        expected: u64,
    },
    /// The log of this folder ends before what this node has vouched for: a
    /// damaged or rolled-back log, not a torn last write (§5.5d).
    #[error(
        "the write-ahead log ends at sequence {found}, but this node has vouched for everything \
         up to {vouched}: the log is damaged or the folder was put back to an older state. \
         Move the folder away and start the node with an empty one; it fetches its queues from their other replicas"
    )]
    RolledBack {
        /// The last sequence number found.
        found: u64,
        /// The sequence number known to have been on disk.
        vouched: u64,
    },
    /// A log has a hole, or a write does not continue it.
    #[error("queue {queue}: entry {expected} is missing from the log, found {found}")]
    Gap {
        /// Whose log.
        queue: QueueId,
        /// The index that should be there.
        expected: Index,
        /// What is there instead; 0 = nothing.
        found: Index,
    },
    /// An entry or record on disk cannot be understood.
    #[error("queue {queue}, index {index}: {reason}")]
    Damaged {
        /// Whose.
        queue: QueueId,
        /// Which entry; 0 = the queue's epoch, checkpoint or extent record.
        index: Index,
        /// What is wrong.
        reason: String,
    },
    /// The node's own record in the folder cannot be understood.
    #[error("the node's identity in the data folder is damaged: {0}")]
    Identity(&'static str),
    /// RocksDB failed.
    #[error("RocksDB: {0}")]
    Rocks(#[from] rocksdb::Error),
    /// A file beside the database could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
