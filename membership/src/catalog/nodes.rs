//! The cluster's nodes: who registered from where under which boot (§1), and
//! what a registration or a farewell does to the queues (§5.5, §6.1).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use warren_replication::types::{Incarnation, NodeId, Process};

/// Where a node listens, as `host:port` that other nodes and clients can use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// gRPC of the other nodes.
    pub peer: String,
    /// AMQP clients.
    pub amqp: String,
    /// Operators.
    pub http: String,
    /// Gossip (UDP).
    pub gossip: String,
}

/// A node that belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its configured name.
    pub name: String,
    /// Its latest registered process.
    pub process: Process,
    /// Of that process.
    pub nonce: u64,
    /// Where it listens.
    pub addresses: Addresses,
    /// Whether it votes in the catalog.
    pub voter: bool,
    /// Disks that this node had before: they are never taken again (§5.5).
    pub retired: BTreeSet<Incarnation>,
}

impl Node {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.process.node
    }

    /// Whether that process of this node is certainly over: a later boot on the
    /// same disk is registered (§6.7). Another disk proves nothing: the old
    /// process may still run with it somewhere.
    #[must_use]
    pub fn outlived(&self, process: &Process) -> bool {
        self.process.incarnation == process.incarnation && self.process.boot > process.boot
    }
}
