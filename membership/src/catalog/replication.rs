//! Who leads a queue and who is in sync: the catalog's half of the protocol
//! (§1, §4.3, §6.1–6.5). Everything here is decided while a command is applied,
//! from the sets as they are then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use warren_replication::types::{Assignment, Boot, Epoch, Member, NodeId, Process, QueueId, Version};

use super::State;
use super::command::{Change, Outcome};
use super::queues::{Amended, Queue};
use super::refusal::Refusal;
use super::{synchronization, unclean};

/// Who may be elected: live, registered and willing processes by node.
pub(super) type Electable = BTreeMap<NodeId, Process>;

/// What a change is compared with (§4.3).
pub(super) type Compared = (Epoch, Version);

/// Makes the in-sync set another one, and the eligible set what follows from it
/// (§1): below the minimum nothing more is committed, so whoever leaves now
/// stays safe to lead; at or above it nobody else is.
pub(super) fn set_isr(assignment: &mut Assignment, isr: BTreeSet<Member>) {
    let mut eligible = std::mem::take(&mut assignment.eligible);
    if isr.len() < assignment.min_in_sync as usize {
        eligible.extend(assignment.isr.difference(&isr));
        eligible.retain(|member| !isr.contains(member));
        assignment.eligible = eligible;
    }
    assignment.isr = isr;
}

/// Brings the minimum to what the plan wants: down at once (§6.6), up only as
/// far as there are members in sync, so that a change of plan or a node that
/// joins never stops a queue that could go on under the old minimum.
pub(super) fn set_min_in_sync(assignment: &mut Assignment, planned: u32) {
    let in_sync = u32::try_from(assignment.isr.len()).unwrap_or(u32::MAX);
    assignment.min_in_sync = planned.min(in_sync.max(assignment.min_in_sync));
    if in_sync >= assignment.min_in_sync {
        assignment.eligible.clear();
    }
}

impl State {
    /// Live, registered processes by node, without the unwilling.
    pub(super) fn electable(&self, live: &[Process], unwilling: &[NodeId]) -> Electable {
        let may = |process: &&Process| self.is_registered(process) && !unwilling.contains(&process.node);
        live.iter().filter(may).map(|process| (process.node, *process)).collect()
    }

    /// Replaces a queue's entry, version and index included (§1: every change
    /// of it is a higher version).
    pub(super) fn amend(
        &mut self,
        id: QueueId,
        changes: &mut Vec<Change>,
        change: impl FnOnce(&mut Queue, &mut Assignment),
    ) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let before = Amended::from(&*queue);
        let reign = queue.assignment.epoch;
        let mut assignment = Assignment::clone(&queue.assignment);
        assignment.version = assignment.version.next();
        change(queue, &mut assignment);
        unclean::keep(queue, &mut assignment, &self.nodes, &self.primaries, &self.moving);
        synchronization::keep(queue, &mut assignment, &self.nodes);
        // A plan is of one reign, and only for an in-sync member (§6.5).
        let (epoch, isr) = (assignment.epoch, &assignment.isr);
        let stands = |to: &NodeId| epoch == reign && isr.iter().any(|member| member.node == *to);
        queue.handover = queue.handover.filter(stands);
        queue.assignment = Arc::new(assignment);
        self.index.amend(id, &before, queue);
        changes.push(Change::Queue(id));
    }

    /// The queue, if its entry is still the one compared with.
    pub(super) fn compared(&self, id: QueueId, compared: Compared) -> Result<&Queue, Refusal> {
        let queue = self.queues.get(&id).ok_or_else(|| Refusal::Stale(format!("queue {id} is gone")))?;
        let now = (queue.assignment.epoch, queue.assignment.version);
        if now == compared {
            return Ok(queue);
        }
        let (epoch, version) = compared;
        Err(Refusal::Stale(format!("queue {id} is at epoch {} version {}, not {epoch} and {version}", now.0, now.1)))
    }

    pub(super) fn change_isr(
        &mut self,
        id: QueueId,
        compared: Compared,
        (isr, trailing): (&BTreeSet<Member>, &BTreeSet<Member>),
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let queue = self.compared(id, compared)?;
        let assignment = &queue.assignment;
        let fault = self.isr_fault(assignment, isr, trailing);
        let planned = queue.planned_min();
        let follows = assignment.predecessor.is_some_and(|predecessor| {
            // A former leader that is let in again has reported in this epoch:
            // that process leads no more, and nobody needs to wait for it.
            let member = predecessor.member();
            self.is_registered(&predecessor) && isr.contains(&member) && !assignment.isr.contains(&member)
        });
        let refused = fault.is_some();
        // Also a refused one grows the version, so that the proposal ends (§4.3).
        self.amend(id, changes, |_, assignment| {
            if !refused {
                set_isr(assignment, isr.clone());
                assignment.trailing.clone_from(trailing);
                set_min_in_sync(assignment, planned);
                assignment.predecessor_released |= follows;
            }
        });
        fault.map_or(Ok(Outcome::Done), |why| Err(Refusal::Stale(why)))
    }

    /// Why this may not become the in-sync set, if it may not (§4.3, §4.4).
    fn isr_fault(
        &self,
        assignment: &Assignment,
        isr: &BTreeSet<Member>,
        trailing: &BTreeSet<Member>,
    ) -> Option<String> {
        let Some(leader) = assignment.leader else {
            return Some("the queue has no leader".into());
        };
        if !isr.contains(&leader.member()) {
            return Some("the leader is always in sync".into());
        }
        if !isr.is_disjoint(trailing) {
            return Some("whoever is in sync does not trail".into());
        }
        let known = |member: &&Member| assignment.isr.contains(member) || assignment.trailing.contains(member);
        let stranger = isr.iter().chain(trailing).filter(|member| !known(member)).find(|member| {
            // One that is about to end is not waited for again.
            let stays = |node: &super::Node| node.process.member() == **member && !node.stopping;
            let current = self.nodes.get(&member.node).is_some_and(stays);
            !current || !assignment.replicas.contains(&member.node)
        });
        stranger.map(|member| format!("node {} is no replica, or has another disk now", member.node))
    }

    /// Elects for every queue that needs it, and takes the dead out of the
    /// in-sync sets that others lead (§6.2). What becomes of one queue does not
    /// touch another.
    pub(super) fn elect(
        &mut self,
        dead: &[Process],
        live: &[Process],
        unwilling: &[NodeId],
        listed: &[(QueueId, Epoch)],
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let electable = self.electable(live, unwilling);
        // A node that has registered another boot since is not dead.
        let dead: BTreeSet<Process> = dead.iter().filter(|process| self.is_registered(process)).copied().collect();
        let gone: BTreeSet<Member> = dead.iter().map(|process| process.member()).collect();

        let led_by_gone =
            self.index.led.iter().filter(|(leader, _)| dead.contains(leader) || !self.is_registered(leader));
        let mut due: BTreeSet<QueueId> = led_by_gone.flat_map(|(_, queues)| queues).copied().collect();
        due.extend(&self.index.down);
        due.extend(self.move_on(&electable, changes));
        let in_epoch =
            |(id, epoch): &&(QueueId, Epoch)| self.queues.get(id).is_some_and(|q| q.assignment.epoch == *epoch);
        due.extend(listed.iter().filter(in_epoch).map(|(id, _)| *id));

        let (mut led, mut down) = (0, 0);
        for id in &due {
            match self.elect_one(*id, &electable, &gone, false, changes) {
                Some(_) => led += 1,
                None => down += 1,
            }
        }
        for process in &dead {
            let hosted = self.index.hosted.get(&process.node).cloned().unwrap_or_default();
            for id in hosted.difference(&due) {
                self.shrink(*id, process.member(), changes);
            }
        }
        Outcome::Elected { led, down }
    }

    /// Takes a dead mirror out of one in-sync set; never its last member (§1).
    pub(super) fn shrink(&mut self, id: QueueId, gone: Member, changes: &mut Vec<Change>) {
        let Some(queue) = self.queues.get(&id) else { return };
        let assignment = &queue.assignment;
        let leads = assignment.leader.is_some_and(|leader| leader.member() == gone);
        if assignment.leader.is_some() && assignment.trailing.contains(&gone) {
            return self.amend(id, changes, |_, assignment| {
                assignment.trailing.remove(&gone);
            });
        }
        if leads || assignment.isr.len() < 2 || !assignment.isr.contains(&gone) {
            return;
        }
        self.amend(id, changes, |_, assignment| {
            let mut isr = assignment.isr.clone();
            isr.remove(&gone);
            set_isr(assignment, isr);
        });
    }

    /// A new epoch for one queue: the first of its replicas that may be elected
    /// and is in sync, else eligible; else nobody (§6.2, §6.3). A queue that is
    /// down and stays so is left as it is.
    pub(super) fn elect_one(
        &mut self,
        id: QueueId,
        electable: &Electable,
        gone: &BTreeSet<Member>,
        released: bool,
        changes: &mut Vec<Change>,
    ) -> Option<Process> {
        let queue = self.queues.get(&id)?;
        let old = &queue.assignment;
        let candidate = |set: &BTreeSet<Member>| {
            let processes = old.replicas.iter().filter_map(|node| electable.get(node));
            let able: Vec<&Process> = processes.filter(|process| set.contains(&process.member())).collect();
            // One that is not to lead does, rather than nobody (§6.5).
            able.iter().find(|process| self.is_willing(process.node)).or(able.first()).copied().copied()
        };
        // The queues of a group follow its primary where it is in sync.
        let primary = queue.plan.group.as_ref().and_then(|group| electable.get(self.primaries.get(group)?));
        let primary = primary.filter(|process| old.isr.contains(&process.member())).copied();
        let chosen = primary.or_else(|| candidate(&old.isr)).or_else(|| candidate(&old.eligible));
        if chosen.is_none() && old.leader.is_none() {
            return None;
        }
        let (predecessor, predecessor_released) = self.fence(old, chosen, released);
        self.amend(id, changes, |_, assignment| {
            assignment.epoch = assignment.epoch.next();
            assignment.leader = chosen;
            assignment.predecessor = predecessor;
            assignment.predecessor_released = predecessor_released;
            if let Some(leader) = chosen {
                // Without a leader the set stays as it was; an eligible member
                // that is elected takes its place (§1).
                let stays = assignment.isr.contains(&leader.member());
                let mut isr: BTreeSet<Member> =
                    assignment.isr.iter().filter(|m| stays && !gone.contains(m)).copied().collect();
                isr.insert(leader.member());
                set_isr(assignment, isr);
                assignment.trailing.retain(|member| !gone.contains(member));
            }
        });
        chosen
    }

    /// For whose lease the elected one has to wait (§6.7). Besides the leader
    /// that is replaced, one before it may still hold a lease, if its successor
    /// was replaced before it had waited itself: a short cut past the one must
    /// not become a short cut past the other.
    pub(super) fn fence(&self, old: &Assignment, chosen: Option<Process>, released: bool) -> (Option<Process>, bool) {
        if released {
            // Its word covers those before it.
            return (old.leader.or(old.predecessor), true);
        }
        let holds = |process: &Process| {
            chosen != Some(*process) && !self.nodes.get(&process.node).is_some_and(|node| node.outlived(process))
        };
        let last = old.leader.filter(holds);
        let earlier = old.predecessor.filter(|process| !old.predecessor_released && holds(process));
        match (last, earlier) {
            (None, None) => (old.leader.or(old.predecessor), true),
            (Some(one), None) | (None, Some(one)) => (Some(one), false),
            // Two of them: only time ends the wait, so name a boot that no
            // registration ever follows.
            (Some(last), Some(_)) => (Some(Process { boot: Boot(u64::MAX), ..last }), false),
        }
    }

    pub(super) fn hand_over(
        &mut self,
        id: QueueId,
        compared: Compared,
        to: Option<NodeId>,
        live: &[Process],
        released: bool,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let assignment = &self.compared(id, compared)?.assignment;
        let mut unwilling: Vec<NodeId> = assignment.leader.iter().map(|leader| leader.node).collect();
        unwilling.extend(self.nodes().filter(|node| !node.is_willing()).map(super::Node::id));
        let mut electable = self.electable(live, &unwilling);
        // Planned: only to an in-sync member (§6.5), and to the one named.
        electable.retain(|node, process| assignment.isr.contains(&process.member()) && to.is_none_or(|to| to == *node));
        if electable.is_empty() {
            return Err(Refusal::Stale(format!("no other in-sync replica of queue {id} is live and willing")));
        }
        self.elect_one(id, &electable, &BTreeSet::new(), released, changes);
        Ok(Outcome::Elected { led: 1, down: 0 })
    }

    pub(super) fn resign(
        &mut self,
        id: QueueId,
        compared: Compared,
        live: &[Process],
        released: bool,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let assignment = &self.compared(id, compared)?.assignment;
        let unwilling: Vec<NodeId> = assignment.leader.iter().map(|leader| leader.node).collect();
        let electable = self.electable(live, &unwilling);
        let led = self.elect_one(id, &electable, &BTreeSet::new(), released, changes).is_some();
        Ok(Outcome::Elected { led: led.into(), down: (!led).into() })
    }
}
