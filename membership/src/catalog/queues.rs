//! Queues: declaring them, checking that a declared one is the same, removing
//! them. Who replicates a queue is in `replication.rs`, what it was declared
//! with in `arguments.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use warren_replication::plan::{Placement, Plan, Replicas, Synchronization};
use warren_replication::types::{Assignment, Epoch, Member, NodeId, Process, QueueId, Version};

use super::State;
use super::arguments;
use super::command::{Change, DeclareExchange, DeclareQueue, Outcome, Owner};
use super::refusal::{Refusal, Resource};
use super::streams;
use super::topology::is_reserved;
use super::unclean::Takeover;
use super::value::Arguments;
use crate::placement;

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
    /// The process that a queue of plan `local` goes with.
    pub local: Option<Process>,
    /// What its policy, or the lack of one, means.
    pub plan: Arc<Plan>,
    /// The nodes that the plan wants it on, best leader first. `replicas` of the
    /// assignment is this list, followed by the nodes that are leaving (§6.6).
    pub target: Vec<NodeId>,
    /// Who leads, who is in sync.
    pub assignment: Arc<Assignment>,
    /// The last time that it came to be led by who may have lacked something (§6.3).
    pub takeover: Option<Takeover>,
    /// The in-sync member that its leader is to hand it over to (§6.5).
    pub handover: Option<NodeId>,
    /// Under manual synchronization: the members for whom an operator has said that
    /// they get a copy, until they have it (§5.3).
    pub called: BTreeSet<Member>,
    /// Exchanges with a binding to it.
    pub bound_to: BTreeSet<String>,
    /// The delayed-message exchange that keeps its messages here, if it is not a
    /// queue of clients: they cannot name such a one, it comes and goes with its
    /// exchange.
    pub waiting_room_of: Option<String>,
}

impl Queue {
    /// `queue 'x' in vhost '/'`.
    #[must_use]
    pub fn resource(&self) -> Resource {
        Resource::queue(&self.vhost, &self.name)
    }

    /// Whether it is a log that many read, and not a queue.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        streams::is_stream(&self.arguments)
    }

    /// Whether it is of the type that is meant where none is said.
    #[must_use]
    pub fn is_classic(&self) -> bool {
        !self.is_stream() && !arguments::is_quorum(&self.arguments)
    }

    /// Whether a connection may use it: an exclusive queue is its owner's only.
    pub fn check_owner(&self, owner: &Owner) -> Result<(), Refusal> {
        match self.exclusive {
            Some(owned_by) if owned_by != *owner => Err(Refusal::Locked(self.resource())),
            _ => Ok(()),
        }
    }

    /// The nodes that are on their way out (§6.6).
    pub fn leaving(&self) -> impl Iterator<Item = NodeId> {
        self.assignment.replicas.iter().filter(|node| !self.target.contains(node)).copied()
    }

    /// The minimum of in-sync members that the plan wants in the end.
    #[must_use]
    pub fn planned_min(&self) -> u32 {
        planned_min(&self.plan, self.target.len())
    }
}

/// A plan's minimum for a queue that will be on so many nodes: a majority of
/// named nodes counts those that have yet to join, too.
fn planned_min(plan: &Plan, target: usize) -> u32 {
    plan.min_in_sync.of(match &plan.placement {
        Placement::Mirrored(Replicas::Nodes(names)) => names.len(),
        Placement::Mirrored(_) => target,
        Placement::Local => 1,
    })
}

/// Queues by what is asked of them all at once, so that an election or a lost
/// connection costs what it concerns and not a walk through every queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Replica there.
    pub(super) hosted: BTreeMap<NodeId, BTreeSet<QueueId>>,
    /// Led by that process.
    pub(super) led: BTreeMap<Process, BTreeSet<QueueId>>,
    /// Led by nobody.
    pub(super) down: BTreeSet<QueueId>,
    /// Replicas are not yet the target.
    pub(super) moving: BTreeSet<QueueId>,
    /// Exclusive.
    pub(super) owned: BTreeMap<Owner, BTreeSet<QueueId>>,
    /// Going with that process.
    pub(super) local: BTreeMap<Process, BTreeSet<QueueId>>,
}

fn enter<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<QueueId>>, key: K, id: QueueId) {
    sets.entry(key).or_default().insert(id);
}

fn leave<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<QueueId>>, key: &K, id: QueueId) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(&id);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

impl Index {
    pub(super) fn insert(&mut self, id: QueueId, queue: &Queue) {
        for node in &queue.assignment.replicas {
            enter(&mut self.hosted, *node, id);
        }
        match queue.assignment.leader {
            Some(leader) => enter(&mut self.led, leader, id),
            None => {
                self.down.insert(id);
            }
        }
        if queue.leaving().next().is_some() {
            self.moving.insert(id);
        }
        if let Some(owner) = queue.exclusive {
            enter(&mut self.owned, owner, id);
        }
        if let Some(process) = queue.local {
            enter(&mut self.local, process, id);
        }
    }

    pub(super) fn remove(&mut self, id: QueueId, queue: &Queue) {
        for node in &queue.assignment.replicas {
            leave(&mut self.hosted, node, id);
        }
        match queue.assignment.leader {
            Some(leader) => leave(&mut self.led, &leader, id),
            None => {
                self.down.remove(&id);
            }
        }
        self.moving.remove(&id);
        if let Some(owner) = queue.exclusive {
            leave(&mut self.owned, &owner, id);
        }
        if let Some(process) = queue.local {
            leave(&mut self.local, &process, id);
        }
    }

    /// A queue was amended; only what differs is touched, since an election
    /// amends many queues and moves few.
    pub(super) fn amend(&mut self, id: QueueId, before: &Amended, queue: &Queue) {
        let (was, is) = (&before.assignment, &queue.assignment);
        if was.replicas != is.replicas {
            was.replicas.iter().for_each(|node| leave(&mut self.hosted, node, id));
            is.replicas.iter().for_each(|node| enter(&mut self.hosted, *node, id));
        }
        if was.leader != is.leader {
            was.leader.iter().for_each(|leader| leave(&mut self.led, leader, id));
            is.leader.iter().for_each(|leader| enter(&mut self.led, *leader, id));
            set(&mut self.down, id, is.leader.is_none());
        }
        if before.local != queue.local {
            before.local.iter().for_each(|process| leave(&mut self.local, process, id));
            queue.local.iter().for_each(|process| enter(&mut self.local, *process, id));
        }
        set(&mut self.moving, id, queue.leaving().next().is_some());
    }
}

fn set(queues: &mut BTreeSet<QueueId>, id: QueueId, is_in: bool) {
    if is_in {
        queues.insert(id);
    } else {
        queues.remove(&id);
    }
}

/// What the index knew of a queue before it was amended.
pub(super) struct Amended {
    assignment: Arc<Assignment>,
    local: Option<Process>,
}

impl From<&Queue> for Amended {
    fn from(queue: &Queue) -> Self {
        Self { assignment: Arc::clone(&queue.assignment), local: queue.local }
    }
}

impl DeclareQueue {
    /// Clients may not declare a name of the broker's, not even one that it made
    /// for them: looked at before anything else, permissions included.
    pub fn check_name(&self) -> Result<(), Refusal> {
        if is_reserved(&self.name) && !self.server_named {
            return Err(Refusal::Reserved(Resource::queue(&self.vhost, &self.name)));
        }
        Ok(())
    }
}

impl State {
    /// What a declare would meet: the queue if it is there and the same, `None`
    /// if it would be made, else why it is refused. A channel asks this of its
    /// node's applied catalog first: most declares need no command.
    pub fn check_declare_queue(&self, declare: &DeclareQueue) -> Result<Option<QueueId>, Refusal> {
        declare.check_name()?;
        let resource = || Resource::queue(&declare.vhost, &declare.name);
        let found = self.vhost(&declare.vhost)?.queues.get(&declare.name);
        let Some((id, queue)) = found.and_then(|id| Some((*id, self.queues.get(id)?))) else {
            self.check_room(&declare.vhost, &declare.name)?;
            arguments::check_queue(declare)?;
            return Ok(None);
        };
        let owner = declare.exclusive.then_some(declare.owner);
        if queue.exclusive != owner {
            return Err(Refusal::Locked(resource()));
        }
        arguments::same_flag(resource, "durable", declare.durable, queue.durable)?;
        arguments::same_flag(resource, "auto_delete", declare.auto_delete, queue.auto_delete)?;
        arguments::same(resource, arguments::OF_QUEUES, &declare.arguments, &queue.arguments)?;
        Ok(Some(id))
    }

    pub(super) fn declare_queue(
        &mut self,
        declare: &DeclareQueue,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        if let Some(queue) = self.check_declare_queue(declare)? {
            return Ok(Outcome::Queue { queue, created: false });
        }
        let queue = self.make_queue(declare, None, changes)?;
        if let Some(vhost) = self.vhosts.get_mut(&declare.vhost) {
            vhost.queues.insert(declare.name.clone(), queue);
        }
        Ok(Outcome::Queue { queue, created: true })
    }

    /// Where a delayed-message exchange that is being declared keeps what is not
    /// yet due. It has no place among its vhost's queues: no client finds it.
    pub(super) fn make_waiting_room(
        &mut self,
        declare: &DeclareExchange,
        changes: &mut Vec<Change>,
    ) -> Result<QueueId, Refusal> {
        let queue = DeclareQueue {
            vhost: declare.vhost.clone(),
            name: format!("{}:{}", declare.kind.name(), declare.name),
            server_named: true,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: Arguments::new(),
            owner: declare.owner,
            live: declare.live.clone(),
        };
        self.make_queue(&queue, Some(&declare.name), changes)
    }

    fn make_queue(
        &mut self,
        declare: &DeclareQueue,
        waiting_room_of: Option<&str>,
        changes: &mut Vec<Change>,
    ) -> Result<QueueId, Refusal> {
        if !self.is_registered(&declare.owner.process) {
            // A proposal of a process that has ended came late: what it would
            // own could never be cleaned up.
            return Err(Refusal::Stale("the declaring node has been restarted or forgotten".into()));
        }
        let id = self.last_queue.next();
        let plan = self.plan_of(&declare.vhost, &declare.name, declare.durable, declare.exclusive, &declare.arguments);
        let primary = plan.group.as_ref().and_then(|group| self.primaries.get(group)).copied();
        let local = primary.unwrap_or(declare.owner.process.node);
        let target = self.first_target(&plan, &declare.live, local);
        // Of a process that is about to end no copy is waited for.
        let stays =
            |process: &&Process| self.nodes.get(&process.node).is_some_and(|n| n.process == **process && !n.stopping);
        let live: Vec<Process> = declare.live.iter().filter(stays).copied().collect();
        let process = |node: &NodeId| live.iter().chain([&declare.owner.process]).find(|p| p.node == *node).copied();
        // At declare the live replicas are in sync: an empty log is so only now (§1).
        let isr: BTreeSet<Member> = target.iter().filter_map(process).map(|p| p.member()).collect();
        let Some(leader) = target.iter().find_map(process) else {
            return Err(Refusal::NoReplica(Resource::queue(&declare.vhost, &declare.name)));
        };
        let enough = isr.len() >= planned_min(&plan, target.len()) as usize;
        let manual = plan.synchronization == Synchronization::Manual && enough;
        let queue = Queue {
            vhost: declare.vhost.clone(),
            name: declare.name.clone(),
            durable: declare.durable,
            exclusive: declare.exclusive.then_some(declare.owner),
            auto_delete: declare.auto_delete,
            arguments: declare.arguments.clone(),
            local: (plan.placement == Placement::Local).then_some(declare.owner.process),
            assignment: Arc::new(Assignment {
                epoch: Epoch(1),
                version: Version(1),
                leader: Some(leader),
                replicas: target.clone(),
                isr,
                min_in_sync: planned_min(&plan, target.len()),
                predecessor_released: true,
                max_lag: plan.max_lag,
                last_resort: plan.unclean_after.is_some(),
                manual: manual.then(BTreeSet::new),
                ..Assignment::default()
            }),
            plan,
            takeover: None,
            target,
            handover: None,
            called: BTreeSet::new(),
            bound_to: BTreeSet::new(),
            waiting_room_of: waiting_room_of.map(str::to_owned),
        };
        self.last_queue = id;
        self.index.insert(id, &queue);
        self.queues.insert(id, queue);
        changes.extend([Change::QueueDeclared(id), Change::Queue(id)]);
        Ok(id)
    }

    /// Where a new queue goes: not to drained nodes, unless the plan cannot do
    /// without them.
    fn first_target(&self, plan: &Plan, live: &[Process], local: NodeId) -> Vec<NodeId> {
        let candidates = self.candidates(live);
        let anywhere = placement::place(plan, &candidates, local, self.last_queue.0);
        let willing: Vec<_> = candidates.into_iter().filter(|candidate| !self.is_drained(candidate.node)).collect();
        let elsewhere = placement::place(plan, &willing, local, self.last_queue.0);
        let enough = elsewhere.len() >= planned_min(plan, anywhere.len()).max(1) as usize;
        if enough && plan.placement != Placement::Local { elsewhere } else { anywhere }
    }

    /// Removes a queue with its bindings; one that is not there is left so.
    pub(super) fn remove_queue(&mut self, id: QueueId, changes: &mut Vec<Change>) {
        let Some(queue) = self.queues.remove(&id) else { return };
        self.index.remove(id, &queue);
        self.unbind_queue(id, &queue, changes);
        match &queue.waiting_room_of {
            // It was lost with its last copy: an exchange does not stay without.
            Some(exchange) => self.remove_exchange(&queue.vhost, exchange, changes),
            None => {
                if let Some(vhost) = self.vhosts.get_mut(&queue.vhost) {
                    vhost.queues.remove(&queue.name);
                }
            }
        }
        changes.push(Change::QueueDeleted { queue: id, vhost: queue.vhost, name: queue.name });
    }

    pub(super) fn drop_owned(&mut self, owner: &Owner, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        for id in self.index.owned.get(owner).cloned().unwrap_or_default() {
            self.remove_queue(id, changes);
        }
        Ok(Outcome::Done)
    }

    /// The nodes as placement sees them.
    pub(super) fn candidates(&self, live: &[Process]) -> Vec<placement::Candidate<'_>> {
        let candidates = self.nodes.values().map(|node| placement::Candidate {
            node: node.id(),
            name: &node.name,
            zone: &node.addresses.zone,
            live: live.contains(&node.process) && node.is_willing(),
            led: self.led_by(node.id()),
            hosted: self.hosted_by(node.id()),
        });
        candidates.collect()
    }
}
