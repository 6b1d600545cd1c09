//! The catalog as a queue's replicas see it (§1, §4.3, §6.2): one linear
//! history of assignments, compare-and-set changes, elections.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mutation::{self, Mutation};
use crate::types::{Assignment, Boot, Epoch, Incarnation, Member, NodeId, Process, Version};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Catalog {
    pub(crate) history: Vec<Arc<Assignment>>,
    /// The last registered process of each node.
    pub(crate) registered: Vec<Process>,
}

impl Catalog {
    pub(crate) fn new(nodes: u64, min_in_sync: u32) -> Self {
        let registered: Vec<_> = (0..nodes)
            .map(|node| Process { node: NodeId(node), incarnation: Incarnation(node + 100), boot: Boot(1) })
            .collect();
        let first = Assignment {
            epoch: Epoch(1),
            version: Version(1),
            leader: registered.first().copied(),
            replicas: registered.iter().map(|process| process.node).collect(),
            isr: registered.iter().map(|process| process.member()).collect(),
            eligible: BTreeSet::new(),
            min_in_sync,
            predecessor: None,
            predecessor_released: false,
        };
        Self { history: vec![Arc::new(first)], registered }
    }

    pub(crate) fn now(&self) -> &Arc<Assignment> {
        &self.history[self.history.len() - 1]
    }

    fn change(&mut self, change: impl FnOnce(&mut Assignment)) {
        let mut next = Assignment::clone(self.now());
        next.version = next.version.next();
        change(&mut next);
        self.history.push(Arc::new(next));
    }

    fn is_known(&self, member: &Member) -> bool {
        self.registered.iter().any(|process| process.member() == *member)
    }

    /// §4.3: a matching comparison always ends the proposal, taken or refused.
    pub(crate) fn propose(&mut self, by: Process, from: &Assignment, isr: BTreeSet<Member>) {
        let now = self.now();
        let compared = (now.epoch, now.version) == (from.epoch, from.version) && now.leader == Some(by);
        if !compared && !mutation::on(Mutation::ChangeWithoutCompare) {
            return;
        }
        let welcome = |member: &Member| {
            now.isr.contains(member) || (now.replicas.contains(&member.node) && self.is_known(member))
        };
        let taken = isr.contains(&by.member()) && isr.iter().all(welcome);
        self.change(|next| {
            if taken {
                set_isr(next, isr);
            }
        });
    }

    /// A boot, maybe with a new disk (§1): a lost disk is in sync nowhere.
    pub(crate) fn register(&mut self, process: Process) {
        self.registered[process.node.0 as usize] = process;
        let gone = |member: &Member| member.node == process.node && *member != process.member();
        let now = self.now();
        if now.isr.iter().chain(&now.eligible).any(gone) {
            self.change(|next| {
                let rest: BTreeSet<_> = next.isr.iter().copied().filter(|member| !gone(member)).collect();
                if !rest.is_empty() {
                    set_isr(next, rest);
                }
                next.eligible.retain(|member| !gone(member));
            });
        }
    }

    /// §6.2: the first live and willing of the in-sync set, else of the
    /// eligible one; the dead leave the in-sync set in the same command.
    pub(crate) fn elect(&mut self, live: &BTreeSet<Process>, dead: &BTreeSet<NodeId>, unwilling: Option<NodeId>) {
        let now = self.now();
        let process = |set: &BTreeSet<Member>, node: NodeId| {
            let process = self.registered[node.0 as usize];
            (set.contains(&process.member()) && live.contains(&process) && Some(node) != unwilling).then_some(process)
        };
        let choose = |set| now.replicas.iter().find_map(|node| process(set, *node));
        let (leader, isr) = match (choose(&now.isr), choose(&now.eligible)) {
            (Some(leader), _) => {
                let rest = now.isr.iter().copied().filter(|m| *m == leader.member() || !dead.contains(&m.node));
                (Some(leader), rest.collect())
            }
            (None, Some(leader)) => (Some(leader), [leader.member()].into()),
            (None, None) => (None, now.isr.clone()),
        };
        if leader.is_none() && now.leader.is_none() {
            return;
        }
        self.change(|next| {
            next.predecessor = next.leader;
            next.leader = leader;
            if leader.is_some() {
                next.epoch = next.epoch.next();
            }
            set_isr(next, isr);
        });
    }
}

/// §1, eligible set: computed by every command that changes the in-sync set.
fn set_isr(next: &mut Assignment, isr: BTreeSet<Member>) {
    if isr.len() < next.min_in_sync as usize || mutation::on(Mutation::KeepEligible) {
        let left: Vec<_> = next.isr.difference(&isr).copied().collect();
        next.eligible.extend(left);
        next.eligible.retain(|member| !isr.contains(member));
    } else {
        next.eligible.clear();
    }
    next.isr = isr;
}
