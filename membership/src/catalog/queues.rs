//! Queues: what was declared, and who owns it. Who replicates it is in
//! `replication.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use warren_replication::plan::Plan;
use warren_replication::types::{Assignment, NodeId, Process, QueueId};

use super::command::Owner;
use super::value::Arguments;

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Where.
    pub vhost: String,
    /// Its name.
    pub name: String,
    /// As declared.
    pub durable: bool,
    /// The connection that an exclusive queue belongs to.
    pub exclusive: Option<Owner>,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// As declared.
    pub arguments: Arguments,
    /// Whose client declared it.
    pub declared_by: Process,
    /// What its policy, or the lack of one, means.
    pub plan: Arc<Plan>,
    /// The nodes that the plan wants it on, best leader first. `replicas` of the
    /// assignment is this list, followed by the nodes that are leaving (§6.6).
    pub target: Vec<NodeId>,
    /// Who leads, who is in sync.
    pub assignment: Arc<Assignment>,
    /// Exchanges with a binding to it.
    pub bound_to: BTreeSet<String>,
}

/// Queues by what is asked of them all at once, so that an election or a lost
/// connection costs what it concerns and not a walk through every queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Replica, in sync or eligible there.
    pub(super) hosted: BTreeMap<NodeId, BTreeSet<QueueId>>,
    /// Led there.
    pub(super) led: BTreeMap<NodeId, BTreeSet<QueueId>>,
    /// Led by nobody.
    pub(super) down: BTreeSet<QueueId>,
    /// Replicas are not yet the target.
    pub(super) moving: BTreeSet<QueueId>,
    /// Exclusive.
    pub(super) owned: BTreeMap<Owner, BTreeSet<QueueId>>,
    /// In the process of the declaring node only.
    pub(super) local: BTreeMap<Process, BTreeSet<QueueId>>,
}
