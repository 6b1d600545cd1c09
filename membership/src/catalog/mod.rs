//! The catalog's state machine: what the cluster has agreed on. Pure: the same
//! commands in the same order give the same state on every node; no clock, no
//! chance, no unordered iteration. Raft, storage and the lease are elsewhere.
//!
//! - `command.rs` what can be asked, what comes of it; `refusal.rs` why not
//! - `nodes.rs` who belongs to the cluster; `users.rs` who may what, and
//!   `limits.rs` how much
//! - `topology.rs` vhosts and exchanges, `kinds.rs` their types, `deduplication.rs`
//!   those that route a value once; `bindings.rs`;
//!   `queues.rs` queues, `arguments.rs` what they may be declared with,
//!   `streams.rs` the same for streams
//! - `replication.rs` who leads and who is in sync (§4.3, §6)
//! - `unclean.rs` plans under which something may be lost, and who leads then (§6.3)
//! - `synchronization.rs` who is given a copy on an operator's word only (§5.3)
//! - `handover.rs` who is to lead instead, planned (§6.5)
//! - `parameters.rs` runtime parameters of shovels, federation, …
//! - `policies.rs` which plan a queue has; `reconfigure.rs` on the way to it;
//!   `groups.rs` queues that have one primary

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use warren_replication::plan::Group;
use warren_replication::types::{Member, NodeId, QueueId};

mod apply;
mod arguments;
mod bindings;
pub mod command;
mod deduplication;
mod groups;
mod handover;
pub mod kinds;
pub mod limits;
pub mod nodes;
pub mod parameters;
pub mod pattern;
pub mod policies;
pub mod queues;
mod reads;
mod reconfigure;
pub mod refusal;
mod replication;
pub mod streams;
mod synchronization;
pub mod topology;
mod unclean;
pub mod users;
pub mod value;

pub use command::{
    Bind, BindingChange, Change, Command, DeclareExchange, DeclareQueue, DestinationName, Outcome, Owner,
};
pub use deduplication::Once;
pub use handover::{Led, Move, next_handovers, next_moves_within_reach, rebalance};
pub use kinds::{ExchangeKind, HashOn};
pub use limits::{UserLimits, VhostLimits};
pub use nodes::{Addresses, Node};
pub use parameters::{ParameterKey, Parameters};
pub use pattern::Pattern;
pub use queues::Queue;
pub use reconfigure::next_reconfiguration;
pub use refusal::{Refusal, Resource};
pub use topology::{Binding, Destination, Exchange, Vhost};
pub use unclean::{Takeover, unclean_elections};
pub use users::{Permissions, TopicPermissions, User, Verb};
pub use value::{Arguments, Value};

/// What the cluster has agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    cluster: Option<String>,
    /// The last id that was given to a queue.
    last_queue: QueueId,
    nodes: BTreeMap<NodeId, Node>,
    /// Disks that nodes had before, or that were forgotten with them: never
    /// taken again (§5.5).
    retired: BTreeSet<Member>,
    vhosts: BTreeMap<String, Vhost>,
    users: BTreeMap<String, User>,
    queues: BTreeMap<QueueId, Queue>,
    policies: policies::Policies,
    /// The node that leads each group of queues.
    primaries: BTreeMap<Group, NodeId>,
    /// The node that is to lead one, once it has everything.
    moving: BTreeMap<Group, NodeId>,
    /// How many queues were ever led by who may have lacked something (§6.3).
    unclean: u64,
    parameters: Parameters,
    index: queues::Index,
}

impl State {
    /// Applies one command of the log. A refusal changes nothing but, for a
    /// change of an in-sync set that was well-timed and invalid, the queue's
    /// version: every proposal ends by a higher one (§4.3).
    pub fn apply(&mut self, command: &Command) -> (Result<Outcome, Refusal>, Vec<Change>) {
        let mut changes = Vec::new();
        let result = self.apply_into(command, &mut changes);
        (result, changes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
