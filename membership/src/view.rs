//! The cluster's nodes as an operator sees them.

use serde::Serialize;
use warren_replication::types::{NodeId, Process};

use crate::catalog::Addresses;
use crate::core::Core;
use crate::gossip::{Gossip, Load, Usage};

/// What a node is to the catalog's consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RaftRole {
    /// It leads.
    Leader,
    /// It votes.
    Voter,
    /// It follows without a vote.
    Learner,
    /// It is registered and not (any more) part of it.
    None,
}

/// A registered node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeView {
    /// Its configured name.
    pub name: String,
    /// Its id.
    pub node: NodeId,
    /// Its latest registered process.
    pub process: Process,
    /// Where it listens.
    pub addresses: Addresses,
    /// Its version, if it gossips.
    pub version: Option<String>,
    /// Whether this node holds it for live.
    pub alive: bool,
    /// What it is to the catalog.
    pub role: RaftRole,
    /// Its load, if it gossips.
    pub load: Load,
    /// Its alarms, if it gossips.
    pub alarms: Vec<String>,
}

/// What the clients of the other live nodes use of what is limited.
pub(crate) fn usage_elsewhere(core: &Core) -> Usage {
    let roster = core.gossip().map(Gossip::roster).map(|roster| roster.borrow().clone()).unwrap_or_default();
    let mut sum = Usage::default();
    for process in core.liveness.live_list().into_iter().filter(|process| *process != core.process) {
        if let Some(seen) = roster.get(&process) {
            sum.add(&seen.usage);
        }
    }
    sum
}

/// All registered nodes.
pub(crate) fn nodes(core: &Core) -> Vec<NodeView> {
    let roster = core.gossip().map(Gossip::roster).map(|roster| roster.borrow().clone()).unwrap_or_default();
    let metrics = core.raft().map(crate::raft::Raft::server_metrics);
    let role = |node: NodeId| {
        let Some(metrics) = &metrics else { return RaftRole::None };
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        if metrics.current_leader == Some(node.0) {
            RaftRole::Leader
        } else if membership.voter_ids().any(|voter| voter == node.0) {
            RaftRole::Voter
        } else if membership.nodes().any(|(member, _)| *member == node.0) {
            RaftRole::Learner
        } else {
            RaftRole::None
        }
    };
    let state = core.catalog.state();
    let view = |node: &crate::catalog::Node| {
        let seen = roster.get(&node.process);
        NodeView {
            name: node.name.clone(),
            node: node.id(),
            process: node.process,
            addresses: node.addresses.clone(),
            version: seen.map(|seen| seen.record.version.clone()),
            alive: core.liveness.live_process(node.id()) == Some(node.process),
            role: role(node.id()),
            load: seen.map(|seen| seen.load).unwrap_or_default(),
            alarms: seen.map(|seen| seen.alarms.clone()).unwrap_or_default(),
        }
    };
    state.nodes().map(view).collect()
}
