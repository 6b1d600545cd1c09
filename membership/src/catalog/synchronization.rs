//! Manual synchronization (§5.3): whose copies are made anew before an operator
//! says so, and for whom that was said. The word is kept with the queue until it
//! came true, so that it outlasts every leader.

use std::collections::{BTreeMap, BTreeSet};

use warren_replication::plan::Synchronization;
use warren_replication::types::{Assignment, Member, NodeId, Process, QueueId};

use super::State;
use super::command::{Change, Outcome};
use super::nodes::Node;
use super::queues::Queue;
use super::refusal::Refusal;

/// What the plan means for a queue as it stands. Nobody waits for an operator while
/// a copy is needed: below the plan's minimum, and while a leader that is not to
/// lead has nobody to hand over to, which is an operator's word, too.
pub(super) fn keep(queue: &mut Queue, assignment: &mut Assignment, nodes: &BTreeMap<NodeId, Node>) {
    let current = |member: &Member| nodes.get(&member.node).is_some_and(|node| node.process.member() == *member);
    queue.called.retain(|member| lacks(assignment, member) && current(member));
    let willing = |node: NodeId| nodes.get(&node).is_some_and(Node::is_willing);
    let needed = assignment.isr.len() < queue.planned_min() as usize
        || assignment.leader.is_some_and(|leader| {
            let next = |member: &Member| member.node != leader.node && willing(member.node);
            !willing(leader.node) && !assignment.isr.iter().chain(&assignment.trailing).any(next)
        });
    let manual = queue.plan.synchronization == Synchronization::Manual && !needed;
    assignment.manual = manual.then(|| queue.called.clone());
}

/// Whether it is a replica and has yet to catch up.
fn lacks(assignment: &Assignment, member: &Member) -> bool {
    assignment.replicas.contains(&member.node)
        && !assignment.isr.contains(member)
        && !assignment.trailing.contains(member)
}

impl State {
    /// An operator's word: all that are live now get a copy, or nobody does any
    /// more who has none to go on from.
    pub(super) fn synchronize(
        &mut self,
        id: QueueId,
        on: bool,
        live: &[Process],
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let queue = self.queues.get(&id).ok_or_else(|| Refusal::Stale(format!("queue {id} is gone")))?;
        let assignment = &queue.assignment;
        let processes = live.iter().filter(|process| self.is_registered(process)).map(|process| process.member());
        let called: BTreeSet<Member> = processes.filter(|member| lacks(assignment, member)).collect();
        let automatic = queue.plan.synchronization == Synchronization::Automatic;
        if automatic && on {
            return Ok(Outcome::Planned(u32::try_from(called.len()).unwrap_or(u32::MAX)));
        }
        if automatic {
            let text = format!("{} synchronizes by itself: there is nothing to cancel", queue.resource());
            return Err(Refusal::Policy(text));
        }
        let before = queue.called.len();
        let planned = if on { called.len() } else { before };
        if on && !called.is_subset(&queue.called) {
            self.amend(id, changes, |queue, _| queue.called.extend(called));
        } else if !on && before > 0 {
            self.amend(id, changes, |queue, _| queue.called.clear());
        }
        Ok(Outcome::Planned(u32::try_from(planned).unwrap_or(u32::MAX)))
    }

    /// A node may lead, or may not, from now on: what that means for the copies of
    /// the queues that it has.
    pub(super) fn weigh_copies(&mut self, node: NodeId, changes: &mut Vec<Change>) {
        for id in self.index.hosted.get(&node).cloned().unwrap_or_default() {
            let manual = |queue: &Queue| queue.plan.synchronization == Synchronization::Manual;
            if self.queues.get(&id).is_some_and(manual) {
                self.amend(id, changes, |_, _| {});
            }
        }
    }
}
