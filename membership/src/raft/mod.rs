//! The catalog's consensus: openraft over this node's RocksDB and tonic.
//!
//! * [`log`]: the Raft log and vote on disk;
//! * [`machine`]: the catalog's state, applied in log order, with snapshots;
//! * [`network`]: Raft's calls to other nodes;
//! * [`runtime`]: how long their answers are waited for.
//!
//! Everything here runs on membership's own small runtime, so that a broker
//! under load does not starve heartbeats.
#![allow(clippy::result_large_err)] // openraft's traits prescribe its error types

pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod runtime;
#[cfg(test)]
mod suite;

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use openraft::{BasicNode, Config, SnapshotPolicy};
use serde::{Deserialize, Serialize};

use crate::catalog::{Command, Outcome, Refusal};
use crate::config::Timing;

/// What each command of an entry came to, in order. Empty for Raft's own entries.
pub(crate) type Outcomes = Vec<Result<Outcome, Refusal>>;

openraft::declare_raft_types!(
    /// One Raft entry holds all commands that were proposed at about the same
    /// time: a write and a round trip is paid per batch.
    pub(crate) TypeConfig:
        D = Batch,
        R = Outcomes,
        NodeId = u64,
        Node = BasicNode,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = runtime::Patient,
);

/// The commands of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch(pub(crate) Vec<Command>);

pub(crate) type Raft = openraft::Raft<TypeConfig>;
pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, BasicNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, BasicNode>;
pub(crate) type StorageError = openraft::StorageError<u64>;

/// Raft's settings. A lagging node is brought up by entries while they are kept,
/// by a snapshot afterwards.
///
/// # Errors
/// If the times contradict each other.
pub(crate) fn config(cluster: &str, timing: &Timing) -> Result<Arc<Config>, openraft::ConfigError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        // Its Raft lease; the least is for its own clock, which is off.
        election_timeout_max: millis(timing.raft_lease),
        election_timeout_min: millis(timing.raft_lease.saturating_sub(Duration::from_millis(1))),
        // This node stands by `elections.rs`.
        enable_elect: false,
        // Of a whole snapshot chunk, its fsync at the other end included.
        install_snapshot_timeout: 10_000,
        snapshot_max_chunk_size: 1 << 20,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timing.snapshot_entries),
        max_in_snapshot_log_to_keep: timing.snapshot_entries,
        replication_lag_threshold: timing.snapshot_entries.saturating_mul(2),
        max_payload_entries: 64,
        ..Config::default()
    };
    Ok(Arc::new(config.validate()?))
}
