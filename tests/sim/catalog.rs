//! The catalog as one linear history: what a majority has committed, applied
//! by the nodes at leisure (§1, §4.3, §6.2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use warren_queue::{Kind, Rules};
use warren_replication::types::{Assignment, Boot, Epoch, Incarnation, Member, NodeId, Process, QueueId, Version};
use warren_shard::step::{Input, QueueInfo};

#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// What is told to the nodes, in order.
    pub(crate) log: Vec<Input>,
    pub(crate) queues: BTreeMap<QueueId, Arc<Assignment>>,
    pub(crate) deleted: BTreeSet<QueueId>,
    pub(crate) rules: BTreeMap<QueueId, Arc<Rules>>,
    /// Who led last, also while nobody leads.
    last_leader: BTreeMap<QueueId, Process>,
    registered: BTreeMap<NodeId, Process>,
}

impl Catalog {
    fn publish(&mut self, queue: QueueId, assignment: Assignment) {
        if let Some(leader) = assignment.leader {
            self.last_leader.insert(queue, leader);
        }
        let assignment = Arc::new(assignment);
        let rules = self.rules.get(&queue).cloned().unwrap_or_default();
        self.queues.insert(queue, Arc::clone(&assignment));
        self.log.push(Input::Queue(QueueInfo { queue, assignment, auto_delete: false, rules }));
    }

    pub(crate) fn is_stream(&self, queue: QueueId) -> bool {
        self.rules.get(&queue).is_some_and(|rules| matches!(rules.kind, Kind::Stream { .. }))
    }

    /// What a node that starts finds: everything as it is now.
    pub(crate) fn snapshot(&self) -> Vec<Input> {
        let boots = self.registered.values().map(|process| Input::Registered(process.node, process.boot));
        let queues = self.queues.iter().map(|(queue, assignment)| {
            let assignment = Arc::clone(assignment);
            let rules = self.rules.get(queue).cloned().unwrap_or_default();
            Input::Queue(QueueInfo { queue: *queue, assignment, auto_delete: false, rules })
        });
        let deleted = self.deleted.iter().map(|queue| Input::Deleted(*queue));
        boots.chain(queues).chain(deleted).collect()
    }

    pub(crate) fn declare(&mut self, queue: QueueId, replicas: Vec<NodeId>, min_in_sync: u32) {
        let members: Vec<Process> = replicas.iter().filter_map(|node| self.registered.get(node).copied()).collect();
        self.publish(
            queue,
            Assignment {
                epoch: Epoch(1),
                version: Version(1),
                leader: members.first().copied(),
                replicas,
                isr: members.iter().map(|process| process.member()).collect(),
                eligible: BTreeSet::new(),
                min_in_sync,
                predecessor: None,
                predecessor_released: false,
            },
        );
    }

    pub(crate) fn delete(&mut self, queue: QueueId) {
        if self.queues.remove(&queue).is_some() {
            self.deleted.insert(queue);
            self.log.push(Input::Deleted(queue));
        }
    }

    /// A boot, maybe of a new disk: the old one is in sync nowhere from now on.
    pub(crate) fn register(&mut self, node: NodeId, incarnation: Incarnation, boot: Boot) -> Process {
        let process = Process { node, incarnation, boot };
        self.registered.insert(node, process);
        self.log.push(Input::Registered(node, boot));
        let gone = |member: &Member| member.node == node && *member != process.member();
        for (queue, now) in self.queues.clone() {
            if now.isr.iter().chain(&now.eligible).any(gone) {
                let mut next = Assignment::clone(&now);
                next.version = next.version.next();
                let rest: BTreeSet<_> = next.isr.iter().copied().filter(|member| !gone(member)).collect();
                if !rest.is_empty() {
                    set_isr(&mut next, rest);
                }
                next.eligible.retain(|member| !gone(member));
                self.publish(queue, next);
            }
        }
        process
    }

    /// §4.3: a comparison that matches always ends the proposal, taken or refused.
    pub(crate) fn change_isr(&mut self, queue: QueueId, by: Process, from: &Assignment, isr: BTreeSet<Member>) {
        let Some(now) = self.queues.get(&queue) else { return };
        if (now.epoch, now.version) != (from.epoch, from.version) || now.leader != Some(by) {
            return;
        }
        let known = |member: &Member| self.registered.get(&member.node).is_some_and(|p| p.member() == *member);
        let welcome =
            |member: &Member| now.isr.contains(member) || (now.replicas.contains(&member.node) && known(member));
        let taken = isr.contains(&by.member()) && isr.iter().all(welcome);
        let mut next = Assignment::clone(now);
        next.version = next.version.next();
        if taken {
            set_isr(&mut next, isr);
        }
        self.publish(queue, next);
    }

    /// §6.2: the first live and willing of the in-sync set, else of the eligible
    /// one; who is dead leaves the in-sync set in the same command.
    pub(crate) fn elect(&mut self, queue: QueueId, live: &BTreeSet<Process>, unwilling: Option<NodeId>) {
        let Some(now) = self.queues.get(&queue) else { return };
        let process = |set: &BTreeSet<Member>, node: &NodeId| {
            let process = *self.registered.get(node)?;
            (set.contains(&process.member()) && live.contains(&process) && Some(*node) != unwilling).then_some(process)
        };
        let choose = |set| now.replicas.iter().find_map(|node| process(set, node));
        let is_live = |member: &Member| live.iter().any(|process| process.member() == *member);
        let (leader, isr) = match (choose(&now.isr), choose(&now.eligible)) {
            (Some(leader), _) => {
                let rest = now.isr.iter().copied().filter(|m| *m == leader.member() || is_live(m));
                (Some(leader), rest.collect())
            }
            (None, Some(leader)) => (Some(leader), [leader.member()].into()),
            (None, None) => (None, now.isr.clone()),
        };
        if leader.is_none() && (now.leader.is_none() || unwilling.is_some()) {
            return;
        }
        let mut next = Assignment::clone(now);
        next.version = next.version.next();
        next.predecessor = self.last_leader.get(&queue).copied();
        next.leader = leader;
        if leader.is_some() {
            next.epoch = next.epoch.next();
        }
        set_isr(&mut next, isr);
        self.publish(queue, next);
    }
}

/// §1, eligible set: computed by every command that changes the in-sync set.
fn set_isr(next: &mut Assignment, isr: BTreeSet<Member>) {
    if isr.len() < next.min_in_sync as usize {
        let left: Vec<_> = next.isr.difference(&isr).copied().collect();
        next.eligible.extend(left);
        next.eligible.retain(|member| !isr.contains(member));
    } else {
        next.eligible.clear();
    }
    next.isr = isr;
}
