//! The catalog as a queue's replicas see it (§1, §4.3, §6.2): one linear
//! history of assignments, compare-and-set changes, elections.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mutation::{self, Mutation};
use crate::types::{Assignment, Boot, Epoch, Incarnation, Lag, LogEnd, Member, NodeId, Process, Version};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Catalog {
    pub(crate) history: Vec<Arc<Assignment>>,
    /// The last registered process of each node.
    pub(crate) registered: Vec<Process>,
    /// Under manual synchronization: for whom an operator has said that they get a
    /// copy (§5.3).
    pub(crate) called: Option<BTreeSet<Member>>,
}

impl Catalog {
    /// A queue that may lose something, up to `max_lag` or at last everything.
    pub(crate) fn losing(self, max_lag: Option<Lag>, last_resort: bool) -> Self {
        let first = Assignment { max_lag, last_resort, ..Assignment::clone(self.now()) };
        Self { history: vec![Arc::new(first)], ..self }
    }

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
            min_in_sync,
            ..Assignment::default()
        };
        Self { history: vec![Arc::new(first)], registered, called: None }
    }

    pub(crate) fn now(&self) -> &Arc<Assignment> {
        &self.history[self.history.len() - 1]
    }

    fn change(&mut self, change: impl FnOnce(&mut Assignment)) {
        let mut next = Assignment::clone(self.now());
        next.version = next.version.next();
        change(&mut next);
        if let Some(called) = &mut self.called {
            called.retain(|member| !next.isr.contains(member) && !next.trailing.contains(member));
            let enough = next.isr.len() >= next.min_in_sync as usize;
            next.manual = enough.then(|| called.clone());
        }
        self.history.push(Arc::new(next));
    }

    fn is_known(&self, member: &Member) -> bool {
        self.registered.iter().any(|process| process.member() == *member)
    }

    /// §4.3: a matching comparison always ends the proposal, taken or refused.
    pub(crate) fn propose(
        &mut self,
        by: Process,
        from: &Assignment,
        (isr, trailing): (BTreeSet<Member>, BTreeSet<Member>),
    ) {
        let now = self.now();
        let compared = (now.epoch, now.version) == (from.epoch, from.version) && now.leader == Some(by);
        if !compared && !mutation::on(Mutation::ChangeWithoutCompare) {
            return;
        }
        let welcome = |member: &Member| {
            now.isr.contains(member)
                || now.trailing.contains(member)
                || (now.replicas.contains(&member.node) && self.is_known(member))
        };
        let taken = isr.contains(&by.member()) && isr.iter().chain(&trailing).all(welcome);
        self.change(|next| {
            if taken {
                set_isr(next, isr);
                next.trailing = trailing;
            }
        });
    }

    /// New copies wait for an operator from now on.
    pub(crate) fn manual(mut self) -> Self {
        self.called = Some(BTreeSet::new());
        let first = Assignment { manual: self.called.clone(), ..Assignment::clone(self.now()) };
        Self { history: vec![Arc::new(first)], ..self }
    }

    /// An operator's word (§5.3): everybody gets a copy, or those who wait for one
    /// wait.
    pub(crate) fn synchronize(&mut self, on: bool) {
        let all = self.registered.iter().map(|process| process.member());
        let Some(called) = &mut self.called else { return };
        *called = all.filter(|_| on).collect();
        self.change(|_| {});
    }

    /// A boot, maybe with a new disk (§1): a lost disk is in sync nowhere.
    pub(crate) fn register(&mut self, process: Process) {
        self.registered[process.node.0 as usize] = process;
        let gone = |member: &Member| member.node == process.node && *member != process.member();
        let now = self.now();
        if now.isr.iter().chain(&now.eligible).chain(&now.trailing).any(gone) {
            self.change(|next| {
                let rest: BTreeSet<_> = next.isr.iter().copied().filter(|member| !gone(member)).collect();
                if !rest.is_empty() {
                    set_isr(next, rest);
                }
                next.eligible.retain(|member| !gone(member));
                next.trailing.retain(|member| !gone(member));
            });
        }
    }

    /// §6.3: what a replica would lead with, if need be.
    pub(crate) fn offer(&mut self, by: Process, to: &Assignment, end: LogEnd) {
        let now = self.now();
        if now.leader.is_none() && now.epoch == to.epoch && self.registered[by.node.0 as usize] == by {
            self.change(|next| {
                next.offers.insert(by, end);
            });
        }
    }

    /// §6.3: nobody who has everything is live, so the longest log of those that
    /// answered leads, alone. What it would lead with.
    pub(crate) fn elect_unclean(&mut self, live: &BTreeSet<Process>) -> Option<LogEnd> {
        let now = self.now();
        let counts = |process: &Process| {
            let member = process.member();
            now.isr.contains(&member) || now.eligible.contains(&member)
        };
        if now.leader.is_some() || live.iter().any(counts) {
            return None;
        }
        let may = |process: &Process| {
            live.contains(process)
                && self.registered[process.node.0 as usize] == *process
                && (now.last_resort || now.trailing.contains(&process.member()))
        };
        let offers = now.offers.iter().filter(|(process, _)| may(process));
        let (leader, end) = offers.max_by_key(|(_, end)| **end)?;
        let (leader, end) = (*leader, *end);
        self.change(|next| {
            next.predecessor = None;
            next.leader = Some(leader);
            next.epoch = next.epoch.next();
            next.isr = [leader.member()].into();
            next.eligible.clear();
            next.trailing.clear();
            next.offers.clear();
            next.unclean = next.epoch;
            next.gaps += 1;
        });
        Some(end)
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
            next.epoch = next.epoch.next();
            next.offers.clear();
            if leader.is_some() {
                let gone = |member: &Member| dead.contains(&member.node) || isr.contains(member);
                next.trailing.retain(|member| !gone(member));
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
