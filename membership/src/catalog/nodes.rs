//! The cluster's nodes: who registered from where under which boot (§1), and
//! what a registration or a farewell does to the queues (§5.5, §6.1).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use warren_replication::types::{Assignment, Member, NodeId, Process, QueueId};

use super::State;
use super::command::{Change, Outcome};
use super::refusal::Refusal;
use super::replication::{Electable, set_isr};

/// Where a node stands and listens, the latter as `host:port` that other nodes
/// and clients can use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// What it may be lost together with: a rack, a room, a data centre; empty:
    /// nothing that is known.
    pub zone: String,
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
    /// An operator does not want it to lead, nor to get new copies (§6.5).
    pub drained: bool,
    /// That process is about to end.
    pub stopping: bool,
}

impl Node {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.process.node
    }

    /// Whether it may be given queues to lead.
    #[must_use]
    pub const fn is_willing(&self) -> bool {
        !self.drained && !self.stopping
    }

    /// Whether that process of this node is certainly over: a later boot on the
    /// same disk is registered (§6.7). Another disk proves nothing: the old
    /// process may still run with it somewhere.
    #[must_use]
    pub fn outlived(&self, process: &Process) -> bool {
        self.process.incarnation == process.incarnation && self.process.boot > process.boot
    }
}

impl State {
    pub(super) fn register(&mut self, node: Node, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        let Node { name, process, .. } = &node;
        let refuse = |why: String| Err(Refusal::Node(why));
        if self.retired.contains(&process.member()) {
            return refuse(format!(
                "the data folder of node '{name}' was given up when the node was forgotten or came with another one; \
                 empty it to join anew"
            ));
        }
        let known = self.nodes.get(&process.node);
        if let Some(known) = known {
            if known.name != *name {
                return refuse(format!("the names '{name}' and '{}' have the same id; rename one node", known.name));
            }
            let same_disk = known.process.incarnation == process.incarnation;
            if known.process == *process && known.nonce == node.nonce {
                return Ok(Outcome::Done);
            }
            if same_disk && known.process.boot >= process.boot {
                return refuse(format!(
                    "boot {} of node '{name}' was seen before (the last one is {}): its data folder was copied or rolled back",
                    process.boot, known.process.boot
                ));
            }
        }
        // It may stand elsewhere now, and so share a zone with others, or no more.
        let moves = known.is_none_or(|known| known.addresses.zone != node.addresses.zone);
        let (joins, before) = (known.is_none(), known.map(|known| known.process));
        let process = *process;
        self.nodes.insert(process.node, node);
        if let Some(before) = before {
            self.drop_process(&before, changes);
            if before.member() != process.member() {
                self.retired.insert(before.member());
                self.drop_member(before.member(), changes);
            }
        }
        if joins {
            self.regroup(changes);
        }
        if moves {
            self.replan_all(changes);
        }
        changes.push(Change::Node(process.node, process.incarnation, process.boot));
        Ok(Outcome::Done)
    }

    /// A process is over: its exclusive queues and those that lived in it only
    /// are deleted (docs/PROOF.md, point 31).
    pub(super) fn drop_process(&mut self, process: &Process, changes: &mut Vec<Change>) {
        let owned = self.index.owned.iter().filter(|(owner, _)| owner.process == *process);
        let mut gone: BTreeSet<QueueId> = owned.flat_map(|(_, queues)| queues).copied().collect();
        gone.extend(self.index.local.get(process).into_iter().flatten());
        for id in gone {
            self.remove_queue(id, changes);
        }
    }

    /// A disk is gone for good: it leaves every in-sync and eligible set (§1).
    /// As the last in-sync member it makes room for the eligible, each of which
    /// holds all that is committed; if there are none it stays, and the queue
    /// is down until an operator decides.
    fn drop_member(&mut self, gone: Member, changes: &mut Vec<Change>) {
        for id in self.index.hosted.get(&gone.node).cloned().unwrap_or_default() {
            let held = |queue: &super::Queue| queue.assignment.counts(&gone);
            if self.queues.get(&id).is_some_and(held) {
                self.amend(id, changes, |_, assignment| leave_sets(assignment, |member| *member == gone));
            }
            let led = |queue: &super::Queue| queue.assignment.leader.is_some_and(|leader| leader.member() == gone);
            if self.queues.get(&id).is_some_and(led) {
                // A leader is always in sync: this one is none any more.
                self.elect_one(id, &Electable::new(), &BTreeSet::new(), false, changes);
            }
        }
    }

    pub(super) fn forget(
        &mut self,
        node: NodeId,
        live: &[Process],
        force: bool,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let Some(known) = self.nodes.get(&node) else {
            return Err(Refusal::Node("no such node is known".into()));
        };
        let (name, process) = (known.name.clone(), known.process);
        if live.contains(&process) {
            return Err(Refusal::Node(format!("node '{name}' is alive: stop it before it is forgotten")));
        }
        let hosted = self.index.hosted.get(&node).cloned().unwrap_or_default();
        let last: Vec<QueueId> = hosted.iter().copied().filter(|id| self.is_last_copy(*id, node)).collect();
        if let (Some(first), false) = (last.first(), force) {
            let example = self.queues.get(first).map_or("", |queue| &queue.name);
            return Err(Refusal::Node(format!(
                "node '{name}' has the last in-sync copy of {} queue(s), '{example}' among them; \
                 start it until they are mirrored elsewhere, or give those queues up with force",
                last.len()
            )));
        }
        self.nodes.remove(&node);
        self.retired.insert(process.member());
        self.drop_process(&process, changes);
        for id in last {
            self.remove_queue(id, changes);
        }
        self.regroup(changes);
        let electable = self.electable(live, &[]);
        for id in hosted {
            self.amend(id, changes, |queue, assignment| {
                leave_sets(assignment, |member| member.node == node);
                assignment.eligible.retain(|member| member.node != node);
                assignment.replicas.retain(|replica| *replica != node);
                queue.target.retain(|replica| *replica != node);
            });
            self.replan(id, changes);
            let leaderless = |queue: &super::Queue| queue.assignment.leader.is_none_or(|leader| leader.node == node);
            if self.queues.get(&id).is_some_and(leaderless) {
                self.elect_one(id, &electable, &BTreeSet::new(), false, changes);
            }
        }
        changes.push(Change::NodeForgotten(node));
        Ok(Outcome::Done)
    }

    /// Whether no other node has a copy that is in sync or safe to lead. Queues
    /// that go with the node's process anyway are not asked for.
    fn is_last_copy(&self, id: QueueId, node: NodeId) -> bool {
        self.queues.get(&id).is_some_and(|queue| {
            let mut holders =
                queue.assignment.isr.iter().chain(&queue.assignment.eligible).chain(&queue.assignment.trailing);
            queue.local.is_none_or(|home| home.node != node) && holders.all(|member| member.node == node)
        })
    }
}

/// Takes members out of the in-sync and eligible sets, but for the last that
/// could ever lead.
fn leave_sets(assignment: &mut Assignment, leaves: impl Fn(&Member) -> bool) {
    let stay = |set: &BTreeSet<Member>| -> BTreeSet<Member> { set.iter().filter(|m| !leaves(m)).copied().collect() };
    assignment.trailing.retain(|member| !leaves(member));
    let mut isr = stay(&assignment.isr);
    if isr.is_empty() {
        // Below the minimum nothing was committed since these left (§1).
        isr = stay(&assignment.eligible);
    }
    if isr.is_empty() {
        return;
    }
    set_isr(assignment, isr);
    assignment.eligible.retain(|member| !leaves(member));
}
